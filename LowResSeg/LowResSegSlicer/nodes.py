"""Volume nodes as the library's volumes, and labelmaps as segmentation nodes."""

from __future__ import annotations

import json
from typing import Any, Optional

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from LowResSegLib.errors import InputError
from LowResSegLib.volume import Label, Volume

RUN_RECORD_ATTRIBUTE = "LowResSeg.RunRecord"
_BINARY_LABELMAP = "Binary labelmap"  # the segmentation library's own name of this representation
_NOT_SCALAR = ("vtkMRMLLabelMapVolumeNode", "vtkMRMLVectorVolumeNode", "vtkMRMLTensorVolumeNode")


def volume_from_node(volumeNode: Any) -> Volume:
    """The voxels and geometry of a scalar volume node, before its parent transform.

    Args:
        volumeNode: vtkMRMLScalarVolumeNode; its voxels are not copied.

    Returns:
        Volume with array (z, y, x), spacing and origin (x, y, z) in mm, LPS.

    Raises:
        InputError: no volume, one without voxels, with several values a voxel or of labels, or one under a
            non-linear transform.
    """
    _check(volumeNode)
    # MRML keeps directions, spacing and origin apart; read apart, they come back with the file's own digits.
    directions = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASDirectionMatrix(directions)
    to_lps = (-1.0, -1.0, 1.0)
    return Volume(
        array=slicer.util.arrayFromVolume(volumeNode),
        spacing=tuple(volumeNode.GetSpacing()),
        origin=tuple(sign * value for sign, value in zip(to_lps, volumeNode.GetOrigin())),
        direction=tuple(to_lps[row] * directions.GetElement(row, column) for row in range(3) for column in range(3)),
    )


def _check(volumeNode: Any) -> None:
    if volumeNode is None:
        raise InputError(_("No volume is chosen; load a scan and choose it as the input volume."))
    name = volumeNode.GetName()
    if not volumeNode.IsA("vtkMRMLScalarVolumeNode") or any(volumeNode.IsA(kind) for kind in _NOT_SCALAR):
        raise InputError(_("{name} is not a scalar volume; choose a scan.").format(name=name))
    image = volumeNode.GetImageData()
    if image is None or 0 in image.GetDimensions() or image.GetPointData().GetScalars() is None:
        raise InputError(_("{name} has no voxels; load the scan again.").format(name=name))
    if image.GetNumberOfScalarComponents() != 1:
        raise InputError(_("{name} has several values a voxel; choose a volume with one.").format(name=name))
    transform = volumeNode.GetParentTransformNode()
    if transform is not None and not transform.IsTransformToWorldLinear():
        message = _("{name} is under a non-linear transform; harden the transform on a copy and segment the copy.")
        raise InputError(message.format(name=name))


def segmentation_from_labelmap(
    labels: np.ndarray, record: dict[str, Any], volumeNode: Any, outputNode: Optional[Any] = None
) -> Any:
    """Put a labelmap into the scene as segments with names, colours and terminology.

    All segments share one labelmap, as in a file that Slicer reads: no temporary node is made, and the scene is
    touched only after everything that can fail.

    Args:
        labels: integers (z, y, x) on the volume's voxels.
        record: the run record; its "labels" become segments, the whole is kept with the node.
        volumeNode: the source. Its present geometry and transform are used: labels belong to voxels.
        outputNode: segmentation node whose segments are replaced; None makes a new one.

    Returns:
        The vtkMRMLSegmentationNode.

    Raises:
        InputError: the volume's size has changed since the run began.
    """
    segments = _segments(_labelmap_image(labels, volumeNode), record)
    description = json.dumps(record)
    if outputNode is None or not slicer.mrmlScene.IsNodePresent(outputNode):
        name = slicer.mrmlScene.GenerateUniqueName(_("{volume} segmentation").format(volume=volumeNode.GetName()))
        outputNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        outputNode.CreateDefaultDisplayNodes()
    with slicer.util.NodeModify(outputNode):
        segmentation = outputNode.GetSegmentation()
        segmentation.RemoveAllSegments()
        segmentation.SetSourceRepresentationName(_BINARY_LABELMAP)
        for identifier, segment in segments.items():
            segmentation.AddSegment(segment, identifier)
        outputNode.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        outputNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)  # needed for editing and DICOM SEG
        outputNode.SetAttribute(RUN_RECORD_ATTRIBUTE, description)
    _place_beside(outputNode, volumeNode)
    return outputNode


def run_record(segmentationNode: Optional[Any]) -> Optional[dict[str, Any]]:
    """The record of the run that made a segmentation node, or None where there is none that can be read."""
    text = segmentationNode.GetAttribute(RUN_RECORD_ATTRIBUTE) if segmentationNode is not None else None
    try:
        record = json.loads(text) if text else None
    except ValueError:  # a scene is a file that anyone may have edited
        return None
    return record if isinstance(record, dict) else None


def _labelmap_image(labels: np.ndarray, volumeNode: Any) -> Any:
    source = volumeNode.GetImageData()
    if source is None or labels.shape != tuple(reversed(source.GetDimensions())):
        message = _("The size of {name} has changed since its segmentation began; segment it again.")
        raise InputError(message.format(name=volumeNode.GetName()))
    ijk_to_ras = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(ijk_to_ras)
    image = slicer.vtkOrientedImageData()
    image.SetExtent(source.GetExtent())
    image.SetImageToWorldMatrix(ijk_to_ras)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(np.ravel(labels), deep=True))
    return image


def _segments(image: Any, record: dict[str, Any]) -> dict[str, Any]:
    """Segments by their IDs, which are those of the library's .seg.nrrd."""
    segments = {}
    for entry in record["labels"]:
        label = Label.from_dict(entry)
        segment = slicer.vtkSegment()
        segment.SetName(label.name)
        segment.SetNameAutoGenerated(False)
        segment.SetColor(*(part / 255 for part in label.color))
        segment.SetColorAutoGenerated(False)
        if label.terminology_entry():
            segment.SetTag(segment.GetTerminologyEntryTagName(), label.terminology_entry())
        segment.SetLabelValue(label.value)
        segment.AddRepresentation(_BINARY_LABELMAP, image)
        segments[f"Segment_{label.value}"] = segment
    return segments


def _place_beside(node: Any, volumeNode: Any) -> None:
    """Under the volume's parent in the subject hierarchy, which may be missing or not know the nodes."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if hierarchy is None:
        return
    item, source = hierarchy.GetItemByDataNode(node), hierarchy.GetItemByDataNode(volumeNode)
    if item and source:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(source))
