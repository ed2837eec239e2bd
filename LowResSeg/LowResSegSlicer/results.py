"""What becomes of labels that a run has given: the nodes of a result."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import numpy as np
import slicer
from slicer.i18n import tr as _

from LowResSegLib.errors import InputError
from LowResSegLib.volume import Volume
from LowResSegSlicer.confidence import confidence_node
from LowResSegSlicer.labelmaps import labelmap_node
from LowResSegSlicer.nodes import Source, geometry_of, place_beside, run_record
from LowResSegSlicer.segmentations import forget_original, keep_original, segmentation_from_labelmap

SEGMENTATION, LABELMAP = "segmentation", "labelmap"
_KINDS = {SEGMENTATION: "vtkMRMLSegmentationNode", LABELMAP: "vtkMRMLLabelMapVolumeNode"}
_HARDENED_ROLE = "LowResSeg.hardened"  # of a volume: its copy without the non-linear transform


class Result(NamedTuple):
    """The nodes of a result, its run record, and sentences for the user; these may name nodes, the record does not."""

    node: Any
    confidence: Optional[Any]
    record: dict[str, Any]
    notices: tuple[str, ...]


class Review(NamedTuple):
    """What a run says of one structure; confidence in percent, None where it was not asked for."""

    structure: str
    volume_ml: float
    confidence: Optional[float]
    needs_review: bool


class Output:
    """What the labels shall become.

    Args:
        kind: "segmentation" or "labelmap"; None goes by the node, and without one means a segmentation.
        node: the node whose content is replaced when all went well; None makes a new one.
        keep_original: whether the network's own result stays beside the segmentation.

    Raises:
        InputError: The node is of another kind, or there is no such kind.
    """

    def __init__(self, kind: Optional[str] = None, node: Optional[Any] = None, keep_original: bool = False) -> None:
        if kind is None:
            kind = LABELMAP if node is not None and node.IsA(_KINDS[LABELMAP]) else SEGMENTATION
        if kind not in _KINDS:
            raise InputError(_("A result is a segmentation or a labelmap, not {kind}.").format(kind=kind))
        if node is not None and not node.IsA(_KINDS[kind]):
            message = _("{name} is no node for a {kind}; choose another one, or a new one.")
            raise InputError(message.format(name=node.GetName(), kind=kind))
        if keep_original and kind != SEGMENTATION:
            raise InputError(_("The network's own result is kept beside segmentations only, not beside labelmaps."))
        self.kind, self.node, self.keep_original = kind, node, keep_original

    def put(self, labelmap: Volume, record: dict[str, Any], confidence: Optional[Volume], source: Source) -> Result:
        """Bring a result into the scene.

        Raises:
            InputError: The volume's size has changed since the run began.
        """
        volumeNode = source.node
        notices = list(record.get("warnings", ()))
        if source.grid is not source.node:
            volumeNode = _add_hardened(source)
            notice = _(
                "{volume} is under a non-linear transform, so a copy on which the transform is hardened was segmented:"
                " {copy}."
            ).format(volume=source.node.GetName(), copy=volumeNode.GetName())
            notices.append(notice)
            record = tell_of_hardening(record)
        if self.kind == LABELMAP:
            node = labelmap_node(labelmap.array, record, volumeNode, self.node)
        else:
            node = segmentation_from_labelmap(labelmap.array, record, volumeNode, self.node)
            forget_original(node)
            if self.keep_original:
                keep_original(node)
        return Result(node, confidence_node(node, confidence, labelmap, volumeNode), record, tuple(notices))


def tell_of_hardening(record: dict[str, Any]) -> dict[str, Any]:
    """The run record with a warning that a copy was segmented. It names no node: records are passed on to others."""
    warning = _("The scan is under a non-linear transform; a copy on which the transform is hardened was segmented.")
    return {**record, "warnings": [*record.get("warnings", ()), warning]}


def review(node: Optional[Any]) -> list[Review]:
    """What the run record of a node says of each structure; empty where there is no record."""
    rows = []
    for label in (run_record(node) or {}).get("labels", ()):
        confidence = label.get("confidence")
        rows.append(
            Review(
                str(label.get("name", "")),
                float(label.get("volume_ml", 0.0)),
                None if confidence is None else float(confidence),
                bool(label.get("needs_review", False)),
            )
        )
    return rows


def _add_hardened(source: Source) -> Any:
    """The hardened copy in the scene; one of an earlier run is taken where it is the same."""
    earlier = source.node.GetNodeReference(_HARDENED_ROLE)
    if earlier is not None and _same(earlier, source.grid):
        return earlier
    source.grid.SetName(slicer.mrmlScene.GenerateUniqueName(source.grid.GetName()))
    copy = slicer.mrmlScene.AddNode(source.grid)
    copy.CreateDefaultDisplayNodes()
    theirs, ours = source.node.GetDisplayNode(), copy.GetDisplayNode()
    if theirs is not None and ours is not None:
        ours.CopyContent(theirs)
    source.node.SetNodeReferenceID(_HARDENED_ROLE, copy.GetID())
    place_beside(copy, source.node)
    return copy


def _same(first: Any, second: Any) -> bool:
    return (
        first.GetParentTransformNode() is None
        and first.GetImageData() is not None
        and geometry_of(first) == geometry_of(second)
        and np.array_equal(slicer.util.arrayFromVolume(first), slicer.util.arrayFromVolume(second))
    )
