"""Labelmap volume nodes to segmentation nodes and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

import slicer
import vtk
from slicer.i18n import tr as _

from LowResSegLib.errors import InputError
from LowResSegLib.volume import Label
from LowResSegSlicer.labelmaps import check_labelmap, color_table, labels_of_labelmap, set_color_table, term_of_color
from LowResSegSlicer.nodes import (
    RUN_RECORD_ATTRIBUTE,
    SOURCE_ROLE,
    in_scene,
    new_node,
    place_beside,
    remove_node,
    source_volume,
)
from LowResSegSlicer.segmentations import replace_segments, segments_on
from LowResSegSlicer.terminology import label_of_segment, terminology_entry


def import_labelmap(labelmapNode: Any) -> Any:
    """Make a segmentation node of a labelmap volume node: a segment for each value, as its colour table names it.

    Raises:
        InputError: it is no labelmap, or has no label.
    """
    check_labelmap(labelmapNode)
    entries = labels_of_labelmap(labelmapNode)
    if not entries:
        raise InputError(_("{name} has no labels, only background.").format(name=labelmapNode.GetName()))
    ijk_to_ras = vtk.vtkMatrix4x4()
    labelmapNode.GetIJKToRASMatrix(ijk_to_ras)
    array, extent = slicer.util.arrayFromVolume(labelmapNode), labelmapNode.GetImageData().GetExtent()
    segments = segments_on(array, entries, ijk_to_ras, extent)
    for label, segment in zip(entries, segments.values()):
        term = term_of_color(color_table(labelmapNode), label.value)
        if term:  # as it is written there, with the sides and regions that labels do not have
            segment.SetTag(segment.GetTerminologyEntryTagName(), term)
    node = new_node("vtkMRMLSegmentationNode", _("{labelmap} segmentation").format(labelmap=labelmapNode.GetName()))
    node.CreateDefaultDisplayNodes()
    volumeNode = labelmapNode.GetNodeReference(SOURCE_ROLE) or labelmapNode
    with slicer.util.NodeModify(node):
        replace_segments(node, segments, labelmapNode.GetAttribute(RUN_RECORD_ATTRIBUTE))
        node.SetAndObserveTransformNodeID(labelmapNode.GetTransformNodeID())
        node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
        node.SetNodeReferenceID(SOURCE_ROLE, volumeNode.GetID())
    place_beside(node, labelmapNode)
    return node


def export_labelmap(segmentationNode: Any, volumeNode: Optional[Any] = None, outputNode: Optional[Any] = None) -> Any:
    """Make a labelmap volume node, with a colour table, of a segmentation node.

    Args:
        segmentationNode: where its segments overlap, the later one in the list counts.
        volumeNode: on whose voxels; None means those of the segmentation's source volume or, without one, its own.
        outputNode: labelmap volume node whose voxels are replaced; None makes a new one.

    Raises:
        InputError: there is nothing to export, or Slicer cannot export it.
    """
    if segmentationNode is None or segmentationNode.GetSegmentation().GetNumberOfSegments() == 0:
        name = segmentationNode.GetName() if segmentationNode is not None else _("Nothing")
        raise InputError(_("{name} has no segments, so there is nothing to export.").format(name=name))
    volumeNode = volumeNode or source_volume(segmentationNode)
    node = outputNode
    if not in_scene(node):
        name = _("{segmentation} labels").format(segmentation=segmentationNode.GetName())
        node = new_node("vtkMRMLLabelMapVolumeNode", name)
    assert node is not None
    try:
        _export(segmentationNode, volumeNode, node)
    except InputError:
        if node is not outputNode:
            _remove(node)
        raise
    owner = volumeNode if volumeNode is not None else segmentationNode
    node.SetAndObserveTransformNodeID(owner.GetTransformNodeID())
    node.SetNodeReferenceID(SOURCE_ROLE, volumeNode.GetID() if volumeNode is not None else None)
    node.SetAttribute(RUN_RECORD_ATTRIBUTE, segmentationNode.GetAttribute(RUN_RECORD_ATTRIBUTE))
    place_beside(node, segmentationNode)
    return node


@contextmanager
def temporary_labelmap(node: Any) -> Iterator[Any]:
    """A labelmap volume node for a while: the node itself if it is one, or what its segmentation is exported to."""
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        yield node
        return
    labelmap = export_labelmap(node)
    try:
        yield labelmap
    finally:
        _remove(labelmap)


def segment_labels(segmentationNode: Any) -> dict[str, Label]:
    """Labels by segment ID, each with a value of its own: the segments' own where they differ, else 1, 2 and so on."""
    segmentation = segmentationNode.GetSegmentation()
    labels: dict[str, Label] = {}
    wanted = {name: int(segmentation.GetSegment(name).GetLabelValue()) for name in segmentation.GetSegmentIDs()}
    distinct = len(set(wanted.values())) == len(wanted) and min(wanted.values()) > 0
    for number, (name, value) in enumerate(wanted.items(), 1):
        labels[name] = label_of_segment(segmentation.GetSegment(name), value if distinct else number)
    return labels


def _export(segmentationNode: Any, volumeNode: Optional[Any], node: Any) -> None:
    labels, segmentation = segment_labels(segmentationNode), segmentationNode.GetSegmentation()
    terms = {label.value: terminology_entry(segmentation.GetSegment(name)) for name, label in labels.items()}
    table = set_color_table(node, list(labels.values()), terms)
    names = vtk.vtkStringArray()
    for name in labels:
        names.InsertNextValue(name)
    # Slicer takes the values of the labels from the table, by the segments' names.
    extent = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    logic = slicer.modules.segmentations.logic()
    if not logic.ExportSegmentsToLabelmapNode(segmentationNode, names, node, volumeNode, extent, table):
        text = _("{name} cannot be exported as a labelmap; see the log for what Slicer says.")
        raise InputError(text.format(name=segmentationNode.GetName()))
    node.GetDisplayNode().SetAndObserveColorNodeID(table.GetID())
    set_color_table(node, list(labels.values()), terms)  # some versions write into the table


def _remove(labelmapNode: Any) -> None:
    """Take a labelmap of ours and its colour table out of the scene."""
    table = color_table(labelmapNode)
    remove_node(labelmapNode)
    if table is not None:
        slicer.mrmlScene.RemoveNode(table)
