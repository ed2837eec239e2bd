"""Sections "Input", "Segment" and "Result", driven by clicks on stand-ins for Slicer's widgets."""

from __future__ import annotations

import gc
import os
import re
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from scans import labels_of, load, write_scan


def test_the_panel_without_a_scan_says_how_to_get_one(panel: Any, picture: Callable) -> None:
    ui = panel.segmenting.ui
    assert not ui.segmentButton.enabled
    assert ui.segmentButton.toolTip == "Choose a volume."
    assert "how to load a scan" in ui.inputInfoLabel.text
    assert ui.sampleButton.isVisible()
    picture(panel, "empty")


def test_links_for_loading_open_what_they_say(slicer: Any, panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(slicer.util, "selectModule", opened.append)
    monkeypatch.setattr(slicer.util, "openAddVolumeDialog", lambda: opened.append("dialog"))
    import qt

    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    for link in ("dicom", "file", "help"):
        panel.segmenting.ui.inputInfoLabel.linkActivated.emit(link)
    assert opened[:2] == ["DICOM", "dialog"] and opened[2].startswith("https://slicer.readthedocs.io/")


def test_sample_scan_is_loaded_and_chosen(
    slicer: Any, panel: Any, click: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Logic:
        def downloadSample(self, name: str) -> Any:
            assert name == "MRHead"
            return load(slicer, write_scan(tmp_path / "MRHead.nrrd"))

    monkeypatch.setitem(__import__("sys").modules, "SampleData", type("Module", (), {"SampleDataLogic": Logic}))
    click(panel.segmenting.ui.sampleButton)
    assert panel.context.chosen.inputVolume.GetName() == "MRHead"
    assert "23 x 26 x 19 voxels" in panel.segmenting.ui.inputInfoLabel.text
    assert not panel.segmenting.ui.sampleButton.isVisible()


def test_a_sample_that_cannot_be_had_is_told(panel: Any, click: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    class Logic:
        def downloadSample(self, name: str) -> Any:
            raise OSError("no route to host")

    monkeypatch.setitem(__import__("sys").modules, "SampleData", type("Module", (), {"SampleDataLogic": Logic}))
    click(panel.segmenting.ui.sampleButton)
    assert panel.segmenting.ui.statusLabel.text == "The sample scan could not be loaded: no route to host"


def test_a_loaded_scan_is_chosen_and_can_be_segmented(panel: Any, volume: Any) -> None:
    assert panel.context.chosen.inputVolume is volume
    assert panel.segmenting.ui.segmentButton.enabled
    assert panel.segmenting.ui.inputInfoLabel.text == "23 x 26 x 19 voxels · 1.1 x 0.9 x 2.3 mm"


def test_click_segments_as_the_logic_does(
    slicer: Any, panel: Any, volume: Any, click: Callable, finish: Callable, picture: Callable
) -> None:
    ui = panel.segmenting.ui
    click(ui.segmentButton)
    assert ui.segmentButton.text == "Cancel" and ui.progressBar.isVisible()
    finish(panel)

    assert ui.statusLabel.text.startswith("Done in ")
    assert ui.segmentButton.text == "Segment" and not ui.progressBar.isVisible()
    result = panel.context.result
    assert panel.context.chosen.outputSegmentation is result
    from LowResSeg import LowResSegLogic

    expected = LowResSegLogic().process(volume)
    np.testing.assert_array_equal(labels_of(slicer, result, volume), labels_of(slicer, expected, volume))
    rows = panel.logic.review(expected)
    table = panel.results.ui.resultTable
    shown = [(table.item(row, 0).text(), table.item(row, 1).text()) for row in range(table.rowCount)]
    assert shown == [(row.structure, f"{row.volume_ml:.1f}") for row in rows] and len(rows) > 10
    assert table.isColumnHidden(2)  # the confidence was not asked for
    picture(panel, "result")


def test_a_second_run_replaces_the_segments_of_the_chosen_segmentation(
    slicer: Any, segmented: Any, click: Callable, finish: Callable
) -> None:
    first = segmented.context.result
    click(segmented.segmenting.ui.segmentButton)
    finish(segmented)
    assert segmented.context.result is first
    names = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")]
    assert len(names) == 2  # with the network's own, which is replaced too


def test_labelmap_output(panel: Any, volume: Any, slicer: Any, click: Callable, finish: Callable) -> None:
    ui = panel.segmenting.ui
    ui.outputKindSelector.setCurrentIndex(1)
    ui.outputKindSelector.activated.emit(1)
    assert ui.outputLabelmapSelector.isVisible() and not ui.outputSelector.isVisible()
    click(ui.segmentButton)
    finish(panel)

    result = panel.context.result
    assert result.IsA("vtkMRMLLabelMapVolumeNode") and panel.context.chosen.outputLabelmap is result
    assert slicer.util.arrayFromVolume(result).max() > 0
    assert panel.results.ui.resultTable.rowCount > 10
    assert not panel.results.ui.show3DButton.enabled


def test_confidence_marks_what_to_look_at_again(
    slicer: Any, panel: Any, volume: Any, click: Callable, finish: Callable, picture: Callable
) -> None:
    panel.segmenting.ui.optionsSection.collapsed = False
    click(panel.segmenting.ui.confidenceCheckBox)
    picture(panel, "options")
    click(panel.segmenting.ui.segmentButton)
    finish(panel)

    ui = panel.results.ui
    rows = panel.logic.review(panel.context.result)
    unsure = [row.structure for row in rows if row.needs_review]
    assert not ui.resultTable.isColumnHidden(2)
    assert ui.resultTable.item(0, 2).text() == f"{rows[0].confidence:.0f} %"
    assert unsure and all(name in ui.reviewLabel.text for name in unsure)  # noise is nothing to be sure of
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    click(ui.confidenceButton)
    node = panel.logic.confidence_node(panel.context.result)
    panel.refresh()
    assert composite.GetForegroundVolumeID() == node.GetID() and ui.confidenceButton.checked
    click(ui.confidenceButton)
    assert composite.GetForegroundVolumeID() is None
    picture(panel, "confidence")
    offered = panel.segmenting.ui.inputSelector
    assert [offered.nodeFromIndex(index) for index in range(offered.nodeCount())] == [volume]  # the map is no scan


def test_a_sequence_is_segmented_frame_by_frame(
    slicer: Any, panel: Any, volume: Any, click: Callable, finish: Callable
) -> None:
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Contrast")
    for time_point in ("0", "1"):
        sequence.SetDataNodeAtValue(volume, time_point)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    ui = panel.segmenting.ui
    ui.inputSelector.setCurrentNode(browser.GetProxyNode(sequence))
    assert ui.inputInfoLabel.text.endswith("2 frames, all are segmented")
    click(ui.segmentButton)
    finish(panel)

    assert ui.statusLabel.text.startswith("Done")
    nodes = slicer.util.getNodesByClass("vtkMRMLSequenceNode")
    assert sorted(node.GetNumberOfDataNodes() for node in nodes) == [2, 2]
    assert panel.context.result.GetSegmentation().GetNumberOfSegments() > 10
    assert panel.results.ui.resultTable.rowCount > 10


def test_show_3d_makes_surfaces(segmented: Any, click: Callable) -> None:
    click(segmented.results.ui.show3DButton)
    representations = segmented.context.result.GetSegmentation()
    assert representations.ContainsRepresentation("Closed surface")


def test_the_estimate_is_of_the_chosen_options(
    panel: Any, volume: Any, click: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from LowResSegLib.estimate import Speed

    asked: list[Any] = []
    monkeypatch.setattr(panel.logic, "estimate", lambda volume, model, finished, threads: asked.append(threads))
    costs = {"sampling": 1e-9, "network": 1e-4, "reconstruction": 1e-9, "fixed": 1.0, "confidence": 2e-3}
    panel.logic._speeds["brain", None] = Speed("native", "", 2, memory=1.0, **costs)
    ui = panel.segmenting.ui
    ui.optionsSection.collapsed = False

    def seconds() -> float:
        told = re.fullmatch(r"This will take about ([\d.]+) s and \d+ MB on this computer\.", ui.estimateLabel.text)
        assert told is not None
        return float(told[1])

    panel.refresh()
    all_passes = seconds()
    ui.passesSelector.setCurrentIndex(1)
    ui.passesSelector.activated.emit(1)
    one = seconds()
    click(ui.confidenceCheckBox)
    assert 1.0 < one < all_passes < seconds()
    ui.threadsSpinBox.value = 1
    assert asked == [1] and "Measuring" in ui.estimateLabel.text  # with one core it was not measured yet


@pytest.mark.measured
def test_the_estimate_comes_without_waiting(panel: Any, volume: Any) -> None:
    from host import pump

    label = panel.segmenting.ui.estimateLabel
    assert label.text == "Measuring how fast this computer is…"
    longest = pump.pump(lambda: label.text.startswith("This will take about "), 300)
    assert label.text.endswith(" MB on this computer.")
    assert longest.work < 0.3 and longest.wall < 2


@pytest.mark.measured
def test_segmenting_does_not_wait_for_the_measurement(
    panel: Any, volume: Any, click: Callable, finish: Callable
) -> None:
    assert "Measuring" in panel.segmenting.ui.estimateLabel.text
    click(panel.segmenting.ui.segmentButton)
    finish(panel)
    assert panel.context.result is not None
    from host import pump

    pump.pump(lambda: panel.segmenting.ui.estimateLabel.text.startswith("This will take"), 300)


def test_the_window_answers_all_the_time(panel: Any, slicer: Any, click: Callable, finish: Callable) -> None:
    from data import brain_scan

    load(slicer, brain_scan("example_brain_t1"))
    gc.collect()
    gc.freeze()  # what other tests have left is not looked through during this run
    try:
        click(panel.segmenting.ui.segmentButton)
        longest = finish(panel, 300)
    finally:
        gc.unfreeze()
    assert longest.work < 0.3 and longest.wall < 2  # 0.1 s by the clock on a machine with nothing else to do
    assert panel.segmenting.ui.statusLabel.text.startswith("Done")


def test_progress_tells_step_and_time_left(panel: Any, volume: Any, click: Callable, finish: Callable) -> None:
    ui = panel.segmenting.ui
    click(ui.segmentButton)
    began = panel.segmenting._began
    panel.segmenting._began = began - 30  # as if it had taken so long
    panel.segmenting._on_progress("network", 0.5)
    assert ui.progressBar.value == 50
    assert ui.statusLabel.text in ("Running the network, about 30 s left", "Running the network, about 31 s left")
    finish(panel)


def test_a_section_that_was_closed_during_a_run_opens_as_it_should(
    panel: Any, volume: Any, click: Callable, finish: Callable
) -> None:
    ui = panel.segmenting.ui
    ui.segmentSection.collapsed = True
    ui.segmentButton.click()
    assert panel.context.run is not None
    finish(panel)
    ui.segmentSection.collapsed = False
    assert ui.segmentButton.isVisible() and not ui.progressBar.isVisible()


def test_cancel_answers_within_a_second(panel: Any, volume: Any, slicer: Any, click: Callable) -> None:
    click(panel.segmenting.ui.segmentButton)
    began = time.monotonic()
    click(panel.segmenting.ui.segmentButton)
    assert time.monotonic() - began < 1
    assert panel.context.run is None
    assert panel.segmenting.ui.statusLabel.text == "Cancelled; the scene is unchanged."
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None
    assert panel.segmenting.ui.segmentButton.text == "Segment" and panel.segmenting.ui.segmentButton.enabled


def test_a_model_for_another_modality_is_shown_with_the_reason(slicer: Any, panel: Any, volume: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(volume), "DICOM.Modality", "CT")
    panel.segmenting.models.read()
    panel.refresh()
    ui = panel.segmenting.ui
    assert ui.modelProblemLabel.isVisible()
    assert ui.modelProblemLabel.text == "The model brain is for MR, and scan is CT."
    assert ui.modelSelector.currentText.endswith("(does not fit)")
    assert ui.inputInfoLabel.text.startswith("CT")


def test_the_card_can_be_read(panel: Any, click: Callable, picture: Callable) -> None:
    ui = panel.segmenting.ui
    assert ui.modelInfoLabel.text == "MR · 17 structures · Apache-2.0"
    assert not ui.modelCardBrowser.isVisible()
    click(ui.modelCardButton)
    assert ui.modelCardBrowser.isVisible()
    page = ui.modelCardBrowser.toPlainText()
    assert all(word in page for word in ("Hippocampus", "Licence", "Limits", "Research use only"))
    assert re.search(r"Review below: Cerebral white matter: \d+, Cerebral cortex: \d+, ", page)
    picture(panel, "card")
    click(ui.modelCardButton)
    assert not ui.modelCardBrowser.isVisible()


def test_a_model_that_is_not_installed_leaves_the_list_empty(panel: Any, volume: Any) -> None:
    panel.context.chosen.model = "gone"
    ui = panel.segmenting.ui
    assert ui.modelSelector.currentIndex == -1
    assert "gone is not installed here" in ui.modelInfoLabel.text
    assert not ui.segmentButton.enabled
    ui.modelSelector.setCurrentIndex(0)
    ui.modelSelector.activated.emit(0)
    assert panel.context.chosen.model == "brain" and ui.segmentButton.enabled


def test_options_are_remembered(panel: Any, open_panel: Callable, click: Callable) -> None:
    ui = panel.segmenting.ui
    ui.optionsSection.collapsed = False
    click(ui.confidenceCheckBox)
    click(ui.keepOriginalCheckBox)
    ui.passesSelector.setCurrentIndex(3)
    ui.passesSelector.activated.emit(3)
    ui.memorySpinBox.value = 512
    wanted = panel.segmenting.options()
    assert (wanted["confidence"], wanted["keep_original"], wanted["passes"], wanted["max_memory"]) == (
        True, False, 4, 512,
    )  # fmt: skip
    assert open_panel().segmenting.options() == wanted


def test_a_memory_limit_that_is_too_low_is_a_sentence(
    panel: Any, volume: Any, click: Callable, finish: Callable
) -> None:
    panel.segmenting.ui.memorySpinBox.value = 1
    click(panel.segmenting.ui.segmentButton)
    finish(panel)
    assert "MB" in panel.segmenting.ui.statusLabel.text and panel.context.result is None


def test_missing_kernels_are_told(slicer: Any, open_panel: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from LowResSegLib import kernels

    monkeypatch.setattr(kernels, "available", lambda: False)
    monkeypatch.setattr(kernels, "why_not", lambda: "liblowresseg.so cannot be loaded")
    label = open_panel().segmenting.ui.kernelsLabel
    assert label.isVisible()
    assert "liblowresseg.so cannot be loaded" in label.text and "slower" in label.text


def test_an_environment_for_pictures_is_used(panel: Any, picture: Callable) -> None:
    path = picture(panel, "any")
    wanted = os.environ.get("LOWRESSEG_PICTURES")
    assert path.stat().st_size > 1000
    assert wanted is None or path.parent == Path(wanted)
