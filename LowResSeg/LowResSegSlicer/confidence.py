"""The network's confidence as a volume node."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from LowResSegLib.volume import Volume
from LowResSegSlicer.labelmaps import finish_names
from LowResSegSlicer.nodes import (
    MAP_ATTRIBUTE,
    matrix_array,
    new_node,
    place_beside,
    ras_matrix,
    remove_node,
    vtk_matrix,
)

CONFIDENCE_ROLE = "LowResSeg.confidence"
_TABLE_TAG = "LowResSegConfidence"
_PERCENT = 100
# Red where any label might be right, over yellow, to blue where there is no doubt: told apart by readers with any kind
# of colour vision. Each is percent, red, green, blue.
_COLOURS = np.array([(0, 0.6, 0.0, 0.1), (50, 0.9, 0.2, 0.1), (75, 1.0, 0.85, 0.2), (100, 0.1, 0.3, 0.65)])


def confidence_node(resultNode: Any, confidence: Optional[Volume], labelmap: Volume, volumeNode: Any) -> Optional[Any]:
    """Put a confidence map into the scene, for a result; an older one of that result is replaced.

    Args:
        resultNode: the result, in the scene; it refers to the map.
        confidence: percent on the network's grid; None takes an older map away.
        labelmap: the result's labels, with the geometry that the volume had when the run began.
        volumeNode: the volume that was segmented, whose present geometry and transform are used.

    Returns:
        The vtkMRMLScalarVolumeNode, or None.
    """
    node = resultNode.GetNodeReference(CONFIDENCE_ROLE)
    if confidence is None:
        if node is not None:
            remove_node(node)
        resultNode.RemoveNodeReferenceIDs(CONFIDENCE_ROLE)
        return None
    if node is None:
        name = _("{volume} confidence").format(volume=volumeNode.GetName())
        node = new_node("vtkMRMLScalarVolumeNode", name)
        node.SetAttribute(MAP_ATTRIBUTE, "confidence")
        node.CreateDefaultDisplayNodes()
        resultNode.SetNodeReferenceID(CONFIDENCE_ROLE, node.GetID())
    now = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(now)
    began, ours = matrix_array(ras_matrix(labelmap)), matrix_array(ras_matrix(confidence))
    with slicer.util.NodeModify(node):
        slicer.util.updateVolumeFromArray(node, confidence.array)
        # The volume may have been moved, as by "Center volume", since the run began.
        node.SetIJKToRASMatrix(vtk_matrix(matrix_array(now) @ np.linalg.solve(began, ours)))
        node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        node.SetVoxelValueUnits(_percent_unit())
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, _PERCENT)
    display.SetAndObserveColorNodeID(_color_table().GetID())
    place_beside(node, resultNode)
    return node


def _percent_unit() -> Any:
    unit = slicer.vtkCodedEntry()
    unit.SetValueSchemeMeaning("%", "UCUM", "percent")
    return unit


def _color_table() -> Any:
    """The one colour table node of all confidence maps of the scene."""
    table = slicer.mrmlScene.GetSingletonNode(_TABLE_TAG, "vtkMRMLColorTableNode")
    if table is None:
        table = slicer.vtkMRMLColorTableNode()
        table.SetSingletonTag(_TABLE_TAG)
        table.SetName(_("Confidence"))
        table.SetTypeToUser()
        table.SetNumberOfColors(_PERCENT + 1)
        table.GetLookupTable().SetTableRange(0, _PERCENT)
        for percent in range(_PERCENT + 1):
            colour = [np.interp(percent, _COLOURS[:, 0], _COLOURS[:, part]) for part in (1, 2, 3)]
            name = _("{percent} %").format(percent=percent)
            table.SetColor(percent, name, *colour, 1.0)
        finish_names(table)
        table = slicer.mrmlScene.AddNode(table)
    return table
