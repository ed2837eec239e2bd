"""What may happen to panel, scene and worker meanwhile, on stand-ins for Slicer's widgets."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from typing import Any, Callable

import numpy as np
import pytest


def workers() -> list[int]:
    """Process IDs of living children."""
    listing = subprocess.Popen(["ps", "-A", "-o", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True)
    rows = [line.split() for line in listing.communicate()[0].splitlines()]
    mine = {int(pid) for pid, parent, state in rows if int(parent) == os.getpid() and not state.startswith("Z")}
    return sorted(mine - {listing.pid})


@pytest.fixture
def running(panel: Any, volume: Any, click: Callable) -> Any:
    """The panel while it segments the small scan."""
    click(panel.segmenting.ui.segmentButton)
    assert panel.context.run is not None
    return panel


def test_closing_the_scene_during_a_run(running: Any, slicer: Any) -> None:
    slicer.mrmlScene.Clear()
    assert running.context.run is None
    ui = running.segmenting.ui
    assert ui.statusLabel.text == "Cancelled; the scene is unchanged."
    assert running.context.chosen.inputVolume is None and not ui.segmentButton.enabled
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None


def test_closing_the_scene_with_everything_open(segmented: Any, slicer: Any, click: Callable) -> None:
    for section in ("editing.ui.editSection", "comparing.ui.compareSection", "exporting.ui.exportSection"):
        owner, _, name = section.split(".")
        click(getattr(getattr(segmented, owner).ui, name))
    slicer.mrmlScene.Clear()
    assert segmented.context.result is None
    assert segmented.results.ui.resultLabel.text == "There is no result yet."
    assert segmented.editing.ui.segmentEditorWidget.segmentationNode() is None
    assert not segmented.exporting.ui.exportButton.enabled


def test_deleting_the_volume_during_a_run(running: Any, slicer: Any, volume: Any, finish: Callable) -> None:
    slicer.mrmlScene.RemoveNode(volume)
    finish(running)
    text = "The input volume was removed from the scene, so its segmentation was stopped."
    assert running.segmenting.ui.statusLabel.text == text
    assert not running.segmenting.ui.segmentButton.enabled


def test_deleting_the_result(segmented: Any, slicer: Any) -> None:
    slicer.mrmlScene.RemoveNode(segmented.context.result)
    assert segmented.context.result is None
    assert not segmented.results.ui.resultTable.isVisible()
    assert segmented.results.ui.show3DButton.segmentationNode() is None


def test_deleting_the_result_during_the_next_run(
    segmented: Any, slicer: Any, click: Callable, finish: Callable
) -> None:
    click(segmented.segmenting.ui.segmentButton)
    slicer.mrmlScene.RemoveNode(segmented.context.result)
    finish(segmented)
    assert segmented.segmenting.ui.statusLabel.text.startswith("Done")
    assert slicer.mrmlScene.IsNodePresent(segmented.context.result)


def test_renaming_during_a_run(running: Any, volume: Any, finish: Callable) -> None:
    volume.SetName("renamed")
    finish(running)
    assert running.context.result.GetName() == "renamed segmentation"


def test_switching_modules_during_a_run(running: Any, finish: Callable) -> None:
    running.exit()
    finish(running)
    assert running.context.result is not None
    running.enter()
    assert running.results.ui.resultTable.rowCount > 10


def test_a_killed_worker_is_told_and_replaced(running: Any, slicer: Any, click: Callable, finish: Callable) -> None:
    (worker,) = workers()
    os.kill(worker, signal.SIGKILL)
    finish(running)
    assert running.segmenting.ui.statusLabel.text.startswith("The worker process ended unexpectedly")
    click(running.segmenting.ui.segmentButton)
    finish(running)
    assert running.context.result is not None


def test_reloading_during_a_run(running: Any, slicer: Any, open_panel: Callable, finish: Callable) -> None:
    names = [name for name in sys.modules if name.split(".")[0] in ("LowResSeg", "LowResSegLib", "LowResSegSlicer")]
    before = {name: sys.modules[name] for name in names}
    running.onReload()
    for name in names:  # what reloadScriptedModule does
        sys.modules.pop(name, None)
    running.cleanup()
    assert workers() == []
    try:
        panel = open_panel()
        assert type(panel) is not type(running)
        panel.segmenting.ui.segmentButton.click()
        finish(panel)
        assert panel.context.result is not None
        panel.cleanup()
    finally:
        sys.modules.update(before)


def test_cleanup_leaves_nothing_behind(running: Any, slicer: Any) -> None:
    assert running.Observations
    running.cleanup()
    assert workers() == [] and not running.Observations
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "later")  # nobody listens any more
    slicer.mrmlScene.Clear()


def test_coming_back_finds_what_was_chosen(segmented: Any, slicer: Any, tmp_path: Any) -> None:
    rows = segmented.results.ui.resultTable.rowCount
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScriptedModuleNode")
    reference = node.GetNodeReferenceID("outputSegmentation")
    assert reference == segmented.context.result.GetID() and rows > 10
    segmented.exit()
    segmented.enter()
    assert segmented.context.result.GetID() == reference


@pytest.mark.parametrize("kind", ["vtkMRMLLabelMapVolumeNode", "vtkMRMLVectorVolumeNode"])
def test_labelmaps_and_vector_volumes_are_not_offered(slicer: Any, panel: Any, kind: str) -> None:
    slicer.mrmlScene.AddNewNodeByClass(kind, "Not a scan")
    assert panel.segmenting.ui.inputSelector.nodeCount() == 0
    assert not panel.segmenting.ui.segmentButton.enabled


def test_an_empty_volume_is_a_sentence(slicer: Any, panel: Any, click: Callable) -> None:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Hollow")
    panel.segmenting.ui.inputSelector.setCurrentNode(node)
    assert panel.segmenting.ui.inputInfoLabel.text == "This volume has no voxels."
    click(panel.segmenting.ui.segmentButton)
    assert panel.segmenting.ui.statusLabel.text == "Hollow has no voxels; load the scan again."
    assert panel.context.run is None


def test_a_scan_that_looks_like_a_labelmap_needs_the_option(
    slicer: Any, panel: Any, volume: Any, click: Callable, finish: Callable
) -> None:
    array = (slicer.util.arrayFromVolume(volume) > 100).astype(np.int16)
    slicer.util.updateVolumeFromArray(volume, array)
    ui = panel.segmenting.ui
    click(ui.segmentButton)
    finish(panel)
    assert "labelmap" in ui.statusLabel.text and panel.context.result is None
    ui.optionsSection.collapsed = False
    click(ui.scanCheckBox)
    click(ui.segmentButton)
    finish(panel)
    assert panel.context.result is not None


def test_a_model_that_needs_a_package_offers_to_install_it(
    slicer: Any,
    open_panel: Callable,
    volume: Any,
    click: Callable,
    answers: list[bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from LowResSeg import LowResSegLogic

    problem: list[Any] = ["This model needs the Python package onnxruntime; install it."]
    listed = LowResSegLogic.models
    monkeypatch.setattr(
        LowResSegLogic, "models", lambda self: [dataclasses.replace(e, problem=problem[0]) for e in listed(self)]
    )
    asked: list[str] = []
    monkeypatch.setattr(slicer.util, "pip_install", lambda name: (asked.append(name), problem.__setitem__(0, None)))
    panel = open_panel()
    ui = panel.segmenting.ui
    assert ui.modelProblemLabel.text == problem[0] and not ui.segmentButton.enabled
    answers.append(False)
    click(ui.installRuntimeButton)
    assert asked == []
    answers.append(True)
    click(ui.installRuntimeButton)
    assert asked == ["onnxruntime"]
    assert not ui.installRuntimeButton.isVisible() and ui.segmentButton.enabled
    assert ui.statusLabel.text == "onnxruntime is installed."
