"""What a user may do to the scene while a run is on its way, or just after."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scans import labels_of
from test_runs import children_of_this_process


@pytest.fixture
def undo(slicer: Any) -> Iterator[Any]:
    """The scene with undo switched on for volumes and segmentations too, which Slicer leaves off."""
    scene = slicer.mrmlScene
    scene.SetUndoOn()
    defaults = []
    for kind in ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLLabelMapVolumeNode"):
        default = scene.CreateNodeByClass(kind)
        default.UnRegister(None)
        default.SetUndoEnabled(True)
        scene.AddDefaultNode(default)
        defaults.append(kind)
    yield scene
    for kind in defaults:
        scene.GetDefaultNodeByClass(kind).SetUndoEnabled(False)
    scene.ClearUndoStack()
    scene.SetUndoOff()


def save_and_load(slicer: Any, folder: Path) -> None:
    """Save the scene with its data and open it again."""
    for kind in ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode"):
        for node in slicer.util.getNodesByClass(kind):
            node.AddDefaultStorageNode()
            ending = ".seg.nrrd" if kind.endswith("SegmentationNode") else ".nrrd"
            node.GetStorageNode().SetFileName(str(folder / f"{node.GetID()}{ending}"))
            assert node.GetStorageNode().WriteData(node)
    slicer.mrmlScene.SetURL(str(folder / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear()
    slicer.mrmlScene.Connect()


@pytest.mark.parametrize("kind", ["segmentation", "labelmap"])
def test_undo_takes_a_result_back_and_breaks_nothing(
    slicer: Any, logic: Any, volume: Any, model: str, undo: Any, kind: str
) -> None:
    volume.SetUndoEnabled(True)
    undo.SaveStateForUndo()
    node = logic.process(volume, model, output=kind, keep_original=kind == "segmentation")
    identifier = node.GetID()
    assert undo.GetNumberOfUndoLevels() == 1
    undo.Undo()

    assert undo.GetNodeByID(identifier) is None  # the state of before
    assert undo.IsNodePresent(volume)
    again = logic.process(volume, model, output=kind)
    assert undo.IsNodePresent(again)


def test_undo_of_something_else_keeps_the_result(slicer: Any, logic: Any, volume: Any, model: str, undo: Any) -> None:
    segmentation = logic.process(volume, model, keep_original=True)
    expected = labels_of(slicer, segmentation, volume)
    undo.SaveStateForUndo()
    segmentation.SetName("Renamed")
    undo.Undo()

    assert undo.IsNodePresent(segmentation) and segmentation.GetName() == "scan segmentation"
    np.testing.assert_array_equal(labels_of(slicer, segmentation, volume), expected)
    assert logic.has_original(segmentation)
    np.testing.assert_array_equal(labels_of(slicer, logic.restore(segmentation), volume), expected)


def test_undo_during_a_run_that_takes_the_volume_away_ends_it(
    slicer: Any, logic: Any, model: str, undo: Any, finish: Callable
) -> None:
    from scans import head

    undo.SaveStateForUndo()
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "New")
    slicer.util.updateVolumeFromArray(volume, head())
    run = logic.process(volume, model, wait=False)
    undo.Undo()
    finish(run, seconds=20)

    assert (run.error is None) == undo.IsNodePresent(volume)


def test_renaming_during_a_run_changes_nothing_else(
    slicer: Any, logic: Any, volume: Any, existing: Any, model: str, finish: Callable
) -> None:
    run = logic.process(volume, model, existing, wait=False)
    volume.SetName("Patient")
    existing.SetName("Result")
    finish(run)
    assert run.node is existing and existing.GetName() == "Result"
    np.testing.assert_array_equal(
        labels_of(slicer, existing, volume), labels_of(slicer, logic.process(volume, model), volume)
    )


def test_saving_during_a_run_and_loading_after_it(
    slicer: Any, logic: Any, volume: Any, model: str, finish: Callable, tmp_path: Path
) -> None:
    run = logic.process(volume, model, wait=False, keep_original=True, confidence=True)
    slicer.mrmlScene.SetURL(str(tmp_path / "early.mrml"))
    assert slicer.mrmlScene.Commit()
    finish(run)
    assert run.error is None
    expected, name = labels_of(slicer, run.node, volume), run.node.GetName()
    save_and_load(slicer, tmp_path)

    loaded, scan = slicer.util.getNode(name), slicer.util.getNode("scan")
    np.testing.assert_array_equal(labels_of(slicer, loaded, scan), expected)
    assert logic.has_original(loaded) and logic.confidence_node(loaded) is not None
    assert loaded.GetNodeReference(loaded.GetReferenceImageGeometryReferenceRole()) is scan
    assert [row.structure for row in logic.review(loaded)] == ["Rim", "Amygdala", "Nowhere"]


def test_loading_a_scene_during_a_run_ends_the_run(
    slicer: Any, logic: Any, volume: Any, model: str, finish: Callable, tmp_path: Path
) -> None:
    run = logic.process(volume, model, wait=False)
    save_and_load(slicer, tmp_path)
    before = slicer.mrmlScene.GetNumberOfNodes()
    finish(run, seconds=20)

    assert str(run.error).startswith("The input volume was removed from the scene")
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_a_reloaded_module_begins_anew(slicer: Any, volume: Any, model: str, finish: Callable) -> None:
    from LowResSeg import LowResSegLogic

    logic = LowResSegLogic()
    segmentation = logic.process(volume, model, keep_original=True)
    run = logic.process(volume, model, wait=False)
    logic.close()  # as the panel does before it is reloaded
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("LowResSeg")}
    try:
        from LowResSeg import LowResSegLogic as Reloaded

        assert Reloaded is not LowResSegLogic
        assert run.cancelled and not children_of_this_process()
        new = Reloaded()
        assert new.has_original(segmentation)
        again = new.process(volume, model, segmentation, wait=False)
        finish(again)
        assert again.node is segmentation and again.error is None
        new.close()
    finally:
        for name in [name for name in sys.modules if name.startswith("LowResSeg")]:
            del sys.modules[name]
        sys.modules.update(kept)


def test_cancel_answers_within_a_second_in_the_middle_of_a_run(
    slicer: Any, logic: Any, model: str, finish: Callable
) -> None:
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Large")
    z, y, x = np.ogrid[-1:1:160j, -1:1:160j, -1:1:160j]
    noise = np.random.default_rng(0).integers(0, 30, (160, 160, 160))
    inside = np.where(x * x + y * y + z * z < 0.8, 500, 0)
    slicer.util.updateVolumeFromArray(volume, (inside + noise).astype(np.int16))
    reached: list[str] = []
    run = logic.process(volume, model, wait=False, progress=lambda step, share: reached.append(step))
    import standins

    deadline = time.monotonic() + 60
    while not any(step not in ("starting", "model") for step in reached) and time.monotonic() < deadline:
        standins.QTimer.turn()
        time.sleep(0.005)
    assert run.running, "the volume is too small for this test"
    began = time.monotonic()
    run.cancel()
    assert time.monotonic() - began < 1 and run.cancelled
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None
    logic.close()
    assert time.monotonic() - began < 5 and not children_of_this_process()
