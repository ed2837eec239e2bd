"""What the panel keeps in the scene."""

# No "from __future__ import annotations": parameterNodeWrapper reads the annotations of the class below.

import slicer
from slicer.parameterNodeWrapper import parameterNodeWrapper


@parameterNodeWrapper
class LowResSegParameterNode:
    """What the panel keeps in the scene: the chosen volume and model, and the nodes for the result."""

    inputVolume: slicer.vtkMRMLScalarVolumeNode
    model: str = "brain"
    outputSegmentation: slicer.vtkMRMLSegmentationNode
    outputLabelmap: slicer.vtkMRMLLabelMapVolumeNode
