"""What is passed on to others names neither volumes nor folders: run records, exported files, the log."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_transforms import shift

NAME, FOLDER = "DOE^JANE 1970", "Jane Doe, ward 7"


@pytest.fixture
def volume(volume: Any) -> Any:
    volume.SetName(NAME)
    return volume


def content(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def test_records_of_a_hardened_volume_do_not_name_it(
    slicer: Any, logic: Any, volume: Any, model: str, finish: Callable
) -> None:
    from LowResSegSlicer.nodes import run_record

    volume.SetAndObserveTransformNodeID(shift(slicer, 1.1).GetID())
    run = logic.process(volume, model, wait=False, confidence=True)
    finish(run)

    record = run_record(run.node)
    assert run.record == record and NAME not in json.dumps(record)
    assert [text for text in record["warnings"] if "non-linear" in text]
    assert NAME in run.notices[0]  # who reads this knows the scene


def test_exported_files_hold_neither_the_volume_s_name_nor_a_folder(
    slicer: Any, logic: Any, volume: Any, model: str, tmp_path: Path
) -> None:
    folder = tmp_path / FOLDER
    segmentation = logic.process(volume, model, confidence=True)
    segmentation.SetName("result")
    labelmap = logic.export_labelmap(segmentation)
    files = logic.export(segmentation, folder)
    files += logic.export(labelmap, folder / "again", ("labelmap", "record"))

    assert len(files) == 7
    for file in files:
        found = content(file)
        for secret in (NAME, FOLDER, str(tmp_path)):
            assert secret.encode() not in found, f"{file.name} has {secret}"


def test_the_log_has_where_something_failed_but_not_its_text(
    slicer: Any, logic: Any, volume: Any, model: str, caplog: pytest.LogCaptureFixture, finish: Callable
) -> None:
    from LowResSegSlicer import results

    def fail(*arguments: Any) -> None:
        try:
            raise OSError(2, "No such file", f"/{FOLDER}/{NAME}")
        except OSError as error:
            raise RuntimeError(NAME) from error

    run = logic.process(volume, model, wait=False)
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.DEBUG):
        patch.setattr(results, "segmentation_from_labelmap", fail)
        finish(run)

    assert str(run.error) == NAME
    assert "RuntimeError" in caplog.text and "OSError" in caplog.text and "in fail" in caplog.text
    assert NAME not in caplog.text and FOLDER not in caplog.text


def test_nothing_is_logged_of_a_run_that_ends_well_or_is_refused(
    slicer: Any, logic: Any, volume: Any, model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, finish: Callable
) -> None:
    from LowResSegLib import LowResSegError

    with caplog.at_level(logging.DEBUG):
        run = logic.process(volume, model, wait=False)
        finish(run)
        batch = logic.batch(logic.batch_cases_from_nodes([volume]), tmp_path / FOLDER, model, changed=lambda case: None)
        finish(batch)
        with pytest.raises(LowResSegError, match=FOLDER):
            logic.export(run.node, tmp_path / FOLDER / f"{NAME}.seg.nrrd")

    assert [case.status for case in batch.cases] == ["done"]
    assert NAME not in caplog.text and FOLDER not in caplog.text
