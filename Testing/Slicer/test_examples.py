"""What the documentation says to type, typed."""

from __future__ import annotations

import dataclasses
import doctest
import importlib.util
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scans import REPOSITORY, load, write_scan

SCRIPT = REPOSITORY / "docs" / "examples" / "segment_headless.py"


@pytest.fixture
def brain(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small model that goes by the name of the bundled one, with its first structures."""
    from LowResSegLib.model import load_model, write_model

    small = load_model(model)
    names = ("Background", "Cerebral white matter", "Cerebral cortex", "Lateral ventricle")
    labels = tuple(dataclasses.replace(label, name=name) for label, name in zip(small.labels, names))
    folder = tmp_path / "models"
    folder.mkdir()
    changed = dataclasses.replace(small, name="brain", labels=labels, passes=4)
    write_model(folder / "brain.lowresseg", changed)
    monkeypatch.setenv("LOWRESSEG_MODELS", str(folder))
    return "brain"


def examples() -> list[doctest.DocTest]:
    from LowResSegSlicer.logic import LowResSegLogic

    found = doctest.DocTestFinder(recurse=True).find(LowResSegLogic, "LowResSegLogic")
    return [each for each in found if each.examples]


def test_the_examples_of_the_docstrings_give_what_they_show(
    slicer: Any, brain: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = examples()
    assert sum(len(test.examples) for test in tests) >= 15 and len(tests) == 2
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in tests:
        (tmp_path / "scans").mkdir(exist_ok=True)
        scan = write_scan(tmp_path / "scans" / "MRHead.nii.gz")
        names = {"volumeNode": load(slicer, scan), "folder": tmp_path / test.name, "scans": scan.parent, "time": time}
        test.globs.update(names)
        runner.run(test, out=sys.stdout.write, clear_globs=False)
        test.globs["logic"].close()
    assert runner.failures == 0, capsys.readouterr().out


@pytest.fixture
def headless(slicer: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with stand-ins for what loads files in the application."""

    def load_volume(path: str) -> Any:
        if not os.path.isfile(path):
            raise RuntimeError(f"Failed to load node from file: {path}")
        return load(slicer, Path(path))

    def load_segmentation(path: str) -> Any:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Loaded")
        storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
        storage.SetFileName(path)
        assert storage.ReadData(node)
        return node

    monkeypatch.setattr(slicer.util, "loadVolume", load_volume)
    monkeypatch.setattr(slicer.util, "loadSegmentation", load_segmentation)
    specification = importlib.util.spec_from_file_location("segment_headless", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_headless_script_writes_results_and_compares(
    headless: ModuleType, brain: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, folder = write_scan(tmp_path / "scan.nii.gz"), tmp_path / "out"
    assert headless.main(["--", str(scan), str(folder)]) == 0

    names = [f"scan segmentation{ending}" for ending in (".json", ".seg.nrrd", "_labels.ctbl", "_labels.nii.gz")]
    assert sorted(path.name for path in folder.iterdir()) == names
    printed = capsys.readouterr().out
    assert "Cerebral cortex: " in printed and f"wrote {folder / names[0]}" in printed

    other = folder / names[1]
    arguments = [str(scan), str(tmp_path / "more"), "--format", "record", "--compare", str(other)]
    assert headless.main(arguments) == 0
    assert "Cerebral cortex: Dice 1.0" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "more").iterdir()] == ["scan_1 segmentation.json"]


def test_the_headless_script_tells_what_went_wrong(
    headless: ModuleType, brain: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = write_scan(tmp_path / "scan.nii.gz")
    for arguments, sentence in (
        ([str(tmp_path / "missing.nii"), str(tmp_path)], "Failed to load node"),
        ([str(scan), str(tmp_path), "--model", "nosuch"], "There is no model named 'nosuch'"),
        ([str(scan), str(scan)], "cannot be written to"),
    ):
        assert headless.main(arguments) == 1
        captured = capsys.readouterr()
        assert sentence in captured.err and "wrote" not in captured.out


def test_the_headless_script_is_as_its_text_says() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    assert "--python-script segment_headless.py -- SCAN FOLDER" in text
    assert text.rstrip().endswith("slicer.util.exit(main(sys.argv[1:]))")
