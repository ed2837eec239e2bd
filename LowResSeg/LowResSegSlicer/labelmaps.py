"""Labelmaps as labelmap volume nodes with a colour table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from LowResSegLib.errors import InputError
from LowResSegLib.volume import Label
from LowResSegSlicer.nodes import RUN_RECORD_ATTRIBUTE, SOURCE_ROLE, in_scene, new_node, place_beside
from LowResSegSlicer.segmentations import check_size
from LowResSegSlicer.terminology import codes, with_contexts

_KIND = "vtkMRMLLabelMapVolumeNode"
_MOST_COUNTED = 1 << 16
_OWN_TABLE_ATTRIBUTE = "LowResSeg.ColorTable"  # of a table that goes with one labelmap of ours


def labelmap_node(labels: np.ndarray, record: dict[str, Any], volumeNode: Any, outputNode: Optional[Any] = None) -> Any:
    """Put a labelmap into the scene as a labelmap volume node with a colour table.

    Args:
        labels: integers (z, y, x) on the volume's voxels.
        record: the run record; its "labels" give the colour table, the whole is kept with the node.
        volumeNode: the source, in the scene. Its present geometry and transform are used.
        outputNode: labelmap volume node whose voxels are replaced; None makes a new one.

    Returns:
        The vtkMRMLLabelMapVolumeNode.

    Raises:
        InputError: the volume's size has changed since the run began.
    """
    check_size(labels, volumeNode)
    entries, description = [Label.from_dict(entry) for entry in record["labels"]], json.dumps(record)
    ijk_to_ras = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(ijk_to_ras)
    if not in_scene(outputNode):
        outputNode = new_node(_KIND, _("{volume} labels").format(volume=volumeNode.GetName()))
    assert outputNode is not None
    with slicer.util.NodeModify(outputNode):
        slicer.util.updateVolumeFromArray(outputNode, labels)
        outputNode.SetIJKToRASMatrix(ijk_to_ras)
        outputNode.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        outputNode.SetNodeReferenceID(SOURCE_ROLE, volumeNode.GetID())
        outputNode.SetAttribute(RUN_RECORD_ATTRIBUTE, description)
    set_color_table(outputNode, entries)
    place_beside(outputNode, volumeNode)
    return outputNode


def loose_labelmap(labels: np.ndarray, record: dict[str, Any], volumeNode: Any) -> Any:
    """As `labelmap_node`, but a node outside the scene and without colours, for a sequence to take."""
    check_size(labels, volumeNode)
    ijk_to_ras = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(ijk_to_ras)
    node = slicer.vtkMRMLLabelMapVolumeNode()
    node.SetName(volumeNode.GetName())
    slicer.util.updateVolumeFromArray(node, labels)
    node.SetIJKToRASMatrix(ijk_to_ras)
    node.SetAttribute(RUN_RECORD_ATTRIBUTE, json.dumps(record))
    return node


def set_color_table(labelmapNode: Any, entries: Sequence[Label], terms: Optional[Mapping[int, str]] = None) -> Any:
    """Give a labelmap volume node a colour table node with these labels; the table of an earlier result is reused.

    Args:
        labelmapNode: in the scene.
        entries: the labels, without the background.
        terms: terminology entry by value, as segments have it; None takes the labels' codes.
    """
    if labelmapNode.GetDisplayNode() is None:
        labelmapNode.CreateDefaultDisplayNodes()
    display = labelmapNode.GetDisplayNode()
    table = display.GetColorNode()
    if table is None or table.GetAttribute(_OWN_TABLE_ATTRIBUTE) != labelmapNode.GetID():
        table = new_node("vtkMRMLColorTableNode", _("{labelmap} colours").format(labelmap=labelmapNode.GetName()))
        table.SetAttribute(_OWN_TABLE_ATTRIBUTE, labelmapNode.GetID())
        table.SetAttribute("Category", "Segmentations")  # where Slicer lists it
        table.SetHideFromEditors(False)
    if terms is None:
        terms = {label.value: label.terminology_entry() for label in entries}
    with slicer.util.NodeModify(table):
        table.SetTypeToUser()
        table.SetNumberOfColors(max((label.value for label in entries), default=0) + 1)
        table.GetLookupTable().SetTableRange(0, table.GetNumberOfColors() - 1)
        for value in range(table.GetNumberOfColors()):
            table.SetColor(value, "", 0.0, 0.0, 0.0, 0.0)
            if _has_definitions(table):
                table.SetColorDefined(value, False)
        table.SetColor(0, _("Background"), 0.0, 0.0, 0.0, 0.0)
        for label in entries:
            table.SetColor(label.value, label.name, *(part / 255 for part in label.color), 1.0)
            # Tables have had terms since Slicer 5.9 or so.
            if terms.get(label.value) and hasattr(table, "SetTerminologyFromString"):
                table.SetTerminologyFromString(label.value, terms[label.value])
        finish_names(table)
    display.SetAndObserveColorNodeID(table.GetID())
    return table


def finish_names(table: Any) -> None:
    """Have a colour table keep its names, which older versions of Slicer would make from the colours."""
    if not _has_definitions(table):
        table.NamesInitialisedOn()  # newer versions log an error


def _has_definitions(table: Any) -> bool:
    """Whether tables know which of their colours are defined, as they do in newer versions of Slicer."""
    return hasattr(table, "SetColorDefined")


def check_labelmap(labelmapNode: Any) -> None:
    """Refuse, with a sentence, what is no labelmap volume with voxels of whole numbers from 0."""
    if labelmapNode is None:
        raise InputError(_("No labelmap is chosen; choose a labelmap volume."))
    name = labelmapNode.GetName()
    if not labelmapNode.IsA(_KIND):
        raise InputError(_("{name} is not a labelmap volume; choose a labelmap.").format(name=name))
    image = labelmapNode.GetImageData()
    if image is None or 0 in image.GetDimensions() or image.GetPointData().GetScalars() is None:
        raise InputError(_("{name} has no voxels; load the labelmap again.").format(name=name))
    array = slicer.util.arrayFromVolume(labelmapNode)
    if array.ndim != 3 or array.dtype.kind not in "iu" or array.min() < 0:
        raise InputError(_("The voxels of {name} are not whole numbers from 0; choose a labelmap.").format(name=name))


def labels_of_labelmap(labelmapNode: Any) -> list[Label]:
    """The labels that a labelmap volume node has voxels of, with what its colour table says of them."""
    values = _values(slicer.util.arrayFromVolume(labelmapNode))
    return [_label_of(color_table(labelmapNode), value) for value in values if value]


def _values(array: np.ndarray) -> list[int]:
    """The values that occur; counting is much faster than sorting, where they are small."""
    if int(array.max()) >= _MOST_COUNTED:
        return [int(value) for value in np.unique(array)]
    counts = np.zeros(int(array.max()) + 1, np.int64)
    for plane in array:  # all at once would be copied into 8 bytes a voxel
        counts += np.bincount(plane.ravel(), minlength=len(counts))
    return [int(value) for value in np.flatnonzero(counts)]


def term_of_color(table: Optional[Any], value: int) -> str:
    """The terminology entry of a colour; empty where there is none, or Slicer's tables have none yet."""
    if table is None or value >= table.GetNumberOfColors() or not hasattr(table, "GetTerminologyAsString"):
        return ""
    return with_contexts(table.GetTerminologyAsString(value))


def color_table(labelmapNode: Any) -> Optional[Any]:
    """The colour node of a labelmap volume node, or None."""
    display = labelmapNode.GetDisplayNode()
    return display.GetColorNode() if display is not None else None


def _label_of(table: Optional[Any], value: int) -> Label:
    """The label of a value by a colour table, which may not have it."""
    name = _("Label {value}").format(value=value)
    if table is None or value >= table.GetNumberOfColors():
        return Label(value, name)
    colour = [0.0] * 4
    table.GetColor(value, colour)
    undefined = not table.GetColorDefined(value) if _has_definitions(table) else False
    known = table.GetColorName(value)
    if undefined or known in (None, "", "(none)"):  # as older tables call what has no name
        return Label(value, name)
    category, kind = codes(term_of_color(table, value))
    red, green, blue = (round(255 * part) for part in colour[:3])
    return Label(value, known, (red, green, blue), category, kind)
