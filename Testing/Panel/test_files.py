"""Sections "Export", "Batch" and "Models", driven by clicks on stand-ins for Slicer's widgets."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any, Callable

import pytest
from scans import load, write_scan


@pytest.fixture
def export(segmented: Any, click: Callable, tmp_path: Path) -> Any:
    """The section "Export", open, with a folder chosen."""
    click(segmented.exporting.ui.exportSection)
    segmented.exporting.ui.exportFolder.currentPath = str(tmp_path / "out")
    return segmented.exporting


def test_the_result_is_offered_and_written(
    export: Any, segmented: Any, click: Callable, tmp_path: Path, picture: Callable
) -> None:
    assert export.ui.exportSelector.currentNode() is segmented.context.result
    click(export.ui.exportLabelmapCheckBox)
    click(export.ui.exportRecordCheckBox)
    click(export.ui.exportButton)
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == [
        "scan segmentation.json",
        "scan segmentation.seg.nrrd",
        "scan segmentation_labels.ctbl",
        "scan segmentation_labels.nii.gz",
    ]
    assert export.ui.exportMessage.text.startswith(f"Written to {tmp_path / 'out'}: ")
    assert json.loads((tmp_path / "out" / written[0]).read_text())["labels"]
    picture(segmented, "export")


def test_files_of_before_are_kept_unless_asked(export: Any, click: Callable, tmp_path: Path) -> None:
    click(export.ui.exportButton)
    file = tmp_path / "out" / "scan segmentation.seg.nrrd"
    file.write_bytes(b"mine")
    click(export.ui.exportButton)
    assert file.read_bytes() == b"mine" and "scan segmentation.seg.nrrd" in export.ui.exportMessage.text
    click(export.ui.exportOverwriteCheckBox)
    click(export.ui.exportButton)
    assert file.read_bytes() != b"mine"


def test_a_full_disk_is_told_and_nothing_is_left(
    export: Any, segmented: Any, click: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    click(export.ui.exportRecordCheckBox)

    def full(self: Path, *given: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    click(export.ui.exportButton)
    assert "No space left on device" in export.ui.exportMessage.text
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert segmented.context.result.GetSegmentation().GetNumberOfSegments() > 0


def test_folder_and_formats_are_remembered(export: Any, open_panel: Callable, click: Callable) -> None:
    click(export.ui.exportRecordCheckBox)
    click(export.ui.exportButton)
    again = open_panel().exporting.ui
    assert again.exportFolder.currentPath == export.ui.exportFolder.currentPath
    assert again.exportRecordCheckBox.checked and not again.exportLabelmapCheckBox.checked


def test_dicom_of_a_scan_that_is_not_dicom_is_a_sentence(export: Any, click: Callable, tmp_path: Path) -> None:
    click(export.ui.exportDicomCheckBox)
    click(export.ui.exportButton)
    assert "DICOM" in export.ui.exportMessage.text and export.ui.exportMessage.text.endswith(".")
    assert not list((tmp_path / "out").glob("*"))


def statuses(ui: Any) -> dict[str, str]:
    """Names of the cases and their status, as the table shows them."""
    table = ui.batchTable
    return {table.item(row, 0).text(): table.item(row, 1).text() for row in range(table.rowCount)}


def test_volumes_of_the_scene_are_segmented_one_after_another(
    slicer: Any, panel: Any, click: Callable, finish: Callable, tmp_path: Path, picture: Callable
) -> None:
    for name in ("one", "two", "three"):
        load(slicer, write_scan(tmp_path / f"{name}.nrrd"))
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    ui = panel.batch.ui
    click(ui.batchSection)
    import qt

    ui.batchTable.item(1, 0).setCheckState(qt.Qt.Unchecked)
    assert ui.batchButton.text == "Segment 3 scans"
    click(ui.batchButton)
    finish(panel)

    assert statuses(ui) == {"one": "done", "two": "waiting", "three": "done", "empty": "failed"}
    row = [ui.batchTable.item(number, 0).text() for number in range(4)].index("empty")
    assert ui.batchTable.item(row, 2).text() == "empty has no voxels; load the scan again."
    assert ui.batchMessage.text == "2 of 3 scans were segmented. 1 failed; the table says why."
    assert slicer.mrmlScene.IsNodePresent(empty)
    picture(panel, "batch")


def test_files_of_a_folder_are_segmented(panel: Any, click: Callable, finish: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    write_scan(folder / "good.nii.gz")
    (folder / "bad.nii.gz").write_bytes(b"no scan")
    ui = panel.batch.ui
    click(ui.batchSection)
    ui.batchSourceSelector.setCurrentIndex(1)
    ui.batchSourceSelector.activated.emit(1)
    ui.batchFolder.currentPath = str(folder)
    ui.batchOutput.currentPath = str(tmp_path / "results")
    click(ui.batchButton)
    finish(panel)
    assert statuses(ui) == {"good": "done", "bad": "failed"}
    assert (tmp_path / "results" / "good.seg.nrrd").is_file()


def test_a_folder_without_scans_is_told(panel: Any, click: Callable, tmp_path: Path) -> None:
    ui = panel.batch.ui
    click(ui.batchSection)
    ui.batchSourceSelector.setCurrentIndex(1)
    ui.batchSourceSelector.activated.emit(1)
    ui.batchFolder.currentPath = str(tmp_path / "nowhere")
    assert "nowhere" in ui.batchMessage.text and not ui.batchButton.enabled


def test_a_batch_is_cancelled(slicer: Any, panel: Any, click: Callable, tmp_path: Path) -> None:
    from host import pump

    for name in ("one", "two"):
        load(slicer, write_scan(tmp_path / f"{name}.nrrd"))
    ui = panel.batch.ui
    click(ui.batchSection)
    click(ui.batchButton)
    pump.pump(lambda: any("running" in status for status in statuses(ui).values()))
    click(ui.batchButton)
    assert panel.context.run is None
    assert set(statuses(ui).values()) <= {"cancelled", "done"} and "cancelled" in statuses(ui).values()
    assert ui.batchMessage.text.endswith("The rest was cancelled.")


def model_file(folder: Path, name: str) -> Path:
    """The bundled model under another name."""
    import dataclasses

    from LowResSegLib.model import load_model, write_model

    model = load_model("brain")
    card = {**model.card, "title": f"Model {name}"}
    path = folder / f"{name}.lowresseg"
    write_model(path, dataclasses.replace(model, name=name, card=card))
    return path


def titles(panel: Any) -> list[str]:
    table = panel.models.ui.modelsTable
    return [table.item(row, 0).text() for row in range(table.rowCount)]


def test_a_model_is_installed_used_and_removed(
    panel: Any, click: Callable, answers: list[bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Callable
) -> None:
    import qt

    path = model_file(tmp_path, "other")
    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", lambda *given: str(path))
    ui = panel.models.ui
    click(ui.modelsSection)
    click(ui.installModelButton)
    assert "Model other" in titles(panel) and ui.modelsMessage.text == "other is installed."
    selector = panel.segmenting.ui.modelSelector
    assert "Model other" in [selector.itemText(index) for index in range(selector.count)]
    picture(panel, "models")

    ui.modelsTable.selectRow(titles(panel).index("Model other"))
    answers.append(False)
    click(ui.removeModelButton)
    assert "Model other" in titles(panel)
    answers.append(True)
    click(ui.removeModelButton)
    assert "Model other" not in titles(panel) and ui.modelsMessage.text == "other was removed."


def test_replacing_a_model_asks_first(panel: Any, answers: list[bool], tmp_path: Path, click: Callable) -> None:
    path = model_file(tmp_path, "other")
    click(panel.models.ui.modelsSection)
    panel.models.install(str(path))
    installed = panel.logic.models_folder() / "other.lowresseg"
    before = installed.stat().st_mtime_ns
    answers.append(False)
    panel.models.install(str(path))
    assert installed.stat().st_mtime_ns == before
    answers.append(True)
    panel.models.install(str(path))
    assert installed.stat().st_mtime_ns > before


def test_a_file_that_is_no_model_is_refused_with_a_sentence(panel: Any, tmp_path: Path, click: Callable) -> None:
    path = tmp_path / "broken.lowresseg"
    path.write_bytes(b"PK\x03\x04 but not a model")
    click(panel.models.ui.modelsSection)
    before = titles(panel)
    panel.models.install(str(path))
    assert "broken.lowresseg" in panel.models.ui.modelsMessage.text
    assert titles(panel) == before


def test_bundled_models_cannot_be_removed(panel: Any, click: Callable) -> None:
    click(panel.models.ui.modelsSection)
    panel.models.ui.modelsTable.selectRow(0)
    assert not panel.models.ui.removeModelButton.enabled
    assert "cannot be removed" in panel.models.ui.removeModelButton.toolTip


def test_an_unreadable_model_of_the_folder_is_listed_with_the_reason(slicer: Any, open_panel: Callable) -> None:
    from LowResSeg import LowResSegLogic

    folder = LowResSegLogic().models_folder()
    folder.mkdir(parents=True)
    (folder / "torn.lowresseg").write_bytes(b"torn")
    panel = open_panel()
    table = panel.models.ui.modelsTable
    row = titles(panel).index("torn")
    assert table.item(row, 2).text() == "cannot be used"
    table.selectRow(row)
    assert "torn.lowresseg" in panel.models.ui.modelsMessage.text
    assert "brain" in [entry.name for entry in panel.segmenting.models.entries]
