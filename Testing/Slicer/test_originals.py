"""The network's own result beside an edited segmentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scans import labels_of


def edit(slicer: Any, segmentation: Any, volume: Any) -> None:
    """Do what a user might: erase a segment, rename another, add a third."""
    segments = segmentation.GetSegmentation()
    nothing = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(nothing, segmentation, "Segment_1", volume)
    segments.GetSegment("Segment_2").SetName("Something else")
    segments.AddEmptySegment("mine", "Mine")


def save_and_load(slicer: Any, path: Path) -> None:
    slicer.mrmlScene.SetURL(str(path))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear()
    slicer.mrmlScene.Connect()


def test_the_original_is_kept_hidden_beside_the_segmentation(
    slicer: Any, logic: Any, volume: Any, model: str, finish: Callable
) -> None:
    here = logic.process(volume, model, keep_original=True)
    run = logic.process(volume, model, wait=False, keep_original=True)
    finish(run)

    for segmentation in (here, run.node):
        assert logic.has_original(segmentation)
        original = segmentation.GetNodeReference("LowResSeg.original")
        assert original.GetName() == f"{segmentation.GetName()} (network)"
        assert not original.GetDisplayVisibility() and segmentation.GetDisplayVisibility()
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        items = [hierarchy.GetItemByDataNode(node) for node in (original, segmentation)]
        assert all(items) and len({hierarchy.GetItemParent(item) for item in items}) == 1
    assert not logic.has_original(logic.process(volume, model))
    assert not logic.has_original(None) and not logic.has_original(volume)


def test_restore_puts_back_what_was_edited(slicer: Any, logic: Any, volume: Any, model: str) -> None:
    from LowResSegSlicer.nodes import run_record

    segmentation = logic.process(volume, model, keep_original=True)
    expected, record = labels_of(slicer, segmentation, volume), run_record(segmentation)
    for _ in range(2):  # the kept copy is not used up, and not edited with the result
        edit(slicer, segmentation, volume)
        assert (labels_of(slicer, segmentation, volume) != expected).any()

        assert logic.restore(segmentation) is segmentation

        np.testing.assert_array_equal(labels_of(slicer, segmentation, volume), expected)
        names = [segmentation.GetSegmentation().GetNthSegment(index).GetName() for index in range(3)]
        assert names == ["Rim", "Amygdala", "Nowhere"]
        assert segmentation.GetSegmentation().GetNumberOfSegments() == 3
    assert run_record(segmentation) == record


def test_the_original_can_be_restored_from_a_saved_scene(
    slicer: Any, logic: Any, volume: Any, model: str, tmp_path: Path
) -> None:
    segmentation = logic.process(volume, model, keep_original=True)
    expected, name = labels_of(slicer, segmentation, volume), segmentation.GetName()
    edit(slicer, segmentation, volume)
    for node in (segmentation, segmentation.GetNodeReference("LowResSeg.original")):
        node.AddDefaultStorageNode()
        node.GetStorageNode().SetFileName(str(tmp_path / f"{node.GetID()}.seg.nrrd"))
        assert node.GetStorageNode().WriteData(node)
    volume.GetStorageNode().SetFileName(str(tmp_path / "scan.nrrd"))
    assert volume.GetStorageNode().WriteData(volume)
    save_and_load(slicer, tmp_path / "scene.mrml")

    loaded, scan = slicer.util.getNode(name), slicer.util.getNode("scan")
    assert (labels_of(slicer, loaded, scan) != expected).any()
    assert logic.has_original(loaded)
    logic.restore(loaded)
    np.testing.assert_array_equal(labels_of(slicer, loaded, scan), expected)


def test_restore_follows_the_volume_s_present_transform(slicer: Any, logic: Any, volume: Any, model: str) -> None:
    segmentation = logic.process(volume, model, keep_original=True)
    expected = labels_of(slicer, segmentation, volume)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    volume.SetAndObserveTransformNodeID(transform.GetID())

    logic.restore(segmentation)

    assert segmentation.GetTransformNodeID() == transform.GetID()
    np.testing.assert_array_equal(labels_of(slicer, segmentation, volume), expected)


def test_the_next_run_replaces_the_original_or_takes_it_away(slicer: Any, logic: Any, volume: Any, model: str) -> None:
    segmentation = logic.process(volume, model, keep_original=True)
    original = segmentation.GetNodeReference("LowResSeg.original")
    slicer.util.arrayFromVolume(volume)[:] = slicer.util.arrayFromVolume(volume)[::-1].copy()
    logic.process(volume, model, segmentation, keep_original=True)
    expected = labels_of(slicer, segmentation, volume)
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 2
    edit(slicer, segmentation, volume)
    np.testing.assert_array_equal(labels_of(slicer, logic.restore(segmentation), volume), expected)

    logic.process(volume, model, segmentation)  # restoring would bring back another run's result

    assert not logic.has_original(segmentation)
    assert not slicer.mrmlScene.IsNodePresent(original)


def test_nothing_kept_is_told(slicer: Any, logic: Any, volume: Any, model: str) -> None:
    from LowResSegLib.errors import InputError

    segmentation = logic.process(volume, model, keep_original=True)
    slicer.mrmlScene.RemoveNode(segmentation.GetNodeReference("LowResSeg.original"))
    before = labels_of(slicer, segmentation, volume)
    for node in (segmentation, None, volume):
        with pytest.raises(InputError, match="has no kept result of a network"):
            logic.restore(node)
    np.testing.assert_array_equal(labels_of(slicer, segmentation, volume), before)
    with pytest.raises(InputError, match="beside segmentations only"):
        logic.process(volume, model, output="labelmap", keep_original=True)
