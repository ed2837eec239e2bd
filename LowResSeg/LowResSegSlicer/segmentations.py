"""Labelmaps as segmentation nodes, and the network's own result beside an edited one."""

from __future__ import annotations

import json
from typing import Any, Optional

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from LowResSegLib.errors import InputError
from LowResSegLib.volume import Label
from LowResSegSlicer.nodes import (
    RUN_RECORD_ATTRIBUTE,
    SOURCE_ROLE,
    in_scene,
    new_node,
    place_beside,
    remove_node,
    source_volume,
)

ORIGINAL_ROLE = "LowResSeg.original"
BINARY_LABELMAP = "Binary labelmap"  # the segmentation library's own name of this representation
_KIND = "vtkMRMLSegmentationNode"


def segmentation_from_labelmap(
    labels: np.ndarray, record: dict[str, Any], volumeNode: Any, outputNode: Optional[Any] = None
) -> Any:
    """Put a labelmap into the scene as segments with names, colours and terminology.

    All segments share one labelmap, as in a file that Slicer reads: no temporary node is made, and the scene is
    touched only after everything that can fail.

    Args:
        labels: integers (z, y, x) on the volume's voxels.
        record: the run record; its "labels" become segments, the whole is kept with the node.
        volumeNode: the source, in the scene. Its present geometry and transform are used: labels belong to voxels.
        outputNode: segmentation node whose segments are replaced; None makes a new one.

    Returns:
        The vtkMRMLSegmentationNode.

    Raises:
        InputError: the volume's size has changed since the run began.
    """
    segments, description = _segments(labels, record, volumeNode), json.dumps(record)
    if not in_scene(outputNode):
        outputNode = new_node(_KIND, _("{volume} segmentation").format(volume=volumeNode.GetName()))
        outputNode.CreateDefaultDisplayNodes()
    assert outputNode is not None
    with slicer.util.NodeModify(outputNode):
        replace_segments(outputNode, segments, description)
        outputNode.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        outputNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)  # needed for editing and DICOM SEG
        outputNode.SetNodeReferenceID(SOURCE_ROLE, volumeNode.GetID())
    place_beside(outputNode, volumeNode)
    return outputNode


def loose_segmentation(labels: np.ndarray, record: dict[str, Any], volumeNode: Any) -> Any:
    """As `segmentation_from_labelmap`, but a node outside the scene, for a sequence to take."""
    segments = _segments(labels, record, volumeNode)
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(volumeNode.GetName())
    replace_segments(node, segments, json.dumps(record))
    return node


def keep_original(segmentationNode: Any) -> Any:
    """Keep a copy of a segmentation node, hidden, for `restore`; an older one is replaced. Returns the copy."""
    original = segmentationNode.GetNodeReference(ORIGINAL_ROLE)
    if original is None:
        original = new_node(_KIND, _("{segmentation} (network)").format(segmentation=segmentationNode.GetName()))
        original.CreateDefaultDisplayNodes()
    _copy_content(segmentationNode, original)
    original.SetAndObserveTransformNodeID(segmentationNode.GetTransformNodeID())
    for role in (SOURCE_ROLE, segmentationNode.GetReferenceImageGeometryReferenceRole()):
        original.SetNodeReferenceID(role, segmentationNode.GetNodeReferenceID(role))
    original.SetDisplayVisibility(False)
    segmentationNode.SetNodeReferenceID(ORIGINAL_ROLE, original.GetID())
    place_beside(original, segmentationNode)
    return original


def forget_original(segmentationNode: Any) -> None:
    """Remove the kept copy, which is of an earlier run."""
    original = segmentationNode.GetNodeReference(ORIGINAL_ROLE)
    if original is not None:
        remove_node(original)
    segmentationNode.RemoveNodeReferenceIDs(ORIGINAL_ROLE)


def has_original(node: Optional[Any]) -> bool:
    """Whether the network's own result can be restored to a node."""
    return node is not None and in_scene(node) and node.IsA(_KIND) and in_scene(node.GetNodeReference(ORIGINAL_ROLE))


def restore(segmentationNode: Any) -> Any:
    """Put the network's own result back into an edited segmentation node; its name and display stay.

    Raises:
        InputError: No result was kept for the node.
    """
    if not has_original(segmentationNode):
        name = segmentationNode.GetName() if segmentationNode is not None else _("Nothing")
        message = _("{name} has no kept result of a network; segment the volume again with keep_original.")
        raise InputError(message.format(name=name))
    original = segmentationNode.GetNodeReference(ORIGINAL_ROLE)
    with slicer.util.NodeModify(segmentationNode):
        _copy_content(original, segmentationNode)
        # The volume may have got another transform, and this node with it, while the hidden copy was left behind.
        volumeNode = source_volume(original)
        owner = volumeNode if volumeNode is not None else original
        segmentationNode.SetAndObserveTransformNodeID(owner.GetTransformNodeID())
    return segmentationNode


def _copy_content(source: Any, target: Any) -> None:
    target.GetSegmentation().DeepCopy(source.GetSegmentation())
    target.SetAttribute(RUN_RECORD_ATTRIBUTE, source.GetAttribute(RUN_RECORD_ATTRIBUTE))


def replace_segments(node: Any, segments: dict[str, Any], description: Optional[str] = None) -> None:
    """Replace all segments of a node, and its run record, which None takes away."""
    segmentation = node.GetSegmentation()
    segmentation.RemoveAllSegments()
    segmentation.SetSourceRepresentationName(BINARY_LABELMAP)
    for identifier, segment in segments.items():
        segmentation.AddSegment(segment, identifier)
    node.SetAttribute(RUN_RECORD_ATTRIBUTE, description)


def check_size(labels: np.ndarray, volumeNode: Any) -> None:
    """Refuse a result whose volume has got another size while it was made."""
    source = volumeNode.GetImageData()
    if source is None or labels.shape != tuple(reversed(source.GetDimensions())):
        message = _("The size of {name} has changed since its segmentation began; segment it again.")
        raise InputError(message.format(name=volumeNode.GetName()))


def _segments(labels: np.ndarray, record: dict[str, Any], volumeNode: Any) -> dict[str, Any]:
    """Segments by their IDs, which are those of the library's .seg.nrrd."""
    check_size(labels, volumeNode)
    ijk_to_ras = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(ijk_to_ras)
    entries = [Label.from_dict(entry) for entry in record["labels"]]
    return segments_on(labels, entries, ijk_to_ras, volumeNode.GetImageData().GetExtent())


def segments_on(
    labels: np.ndarray, entries: list[Label], ijk_to_ras: vtk.vtkMatrix4x4, extent: tuple[int, ...]
) -> dict[str, Any]:
    """Segments of the labels that share one labelmap.

    Args:
        labels: integers (z, y, x).
        entries: the labels that become segments.
        ijk_to_ras: from indices (x, y, z) to RAS.
        extent: of the labelmap, first and last index along x, y, z.
    """
    image = slicer.vtkOrientedImageData()
    image.SetExtent(extent)
    image.SetImageToWorldMatrix(ijk_to_ras)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(np.ravel(labels), deep=True))
    segments = {}
    for label in entries:
        segment = slicer.vtkSegment()
        segment.SetName(label.name)
        segment.SetNameAutoGenerated(False)
        segment.SetColor(*(part / 255 for part in label.color))
        segment.SetColorAutoGenerated(False)
        if label.terminology_entry():
            segment.SetTag(segment.GetTerminologyEntryTagName(), label.terminology_entry())
        segment.SetLabelValue(label.value)
        segment.AddRepresentation(BINARY_LABELMAP, image)
        segments[f"Segment_{label.value}"] = segment
    return segments
