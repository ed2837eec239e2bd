"""The user's guide: its examples are run, the names in it are the panel's, its links and pictures are there."""

from __future__ import annotations

import ast
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_source import panels, scripts
from scans import REPOSITORY

GUIDE = REPOSITORY / "docs" / "guide.md"
TEXT = GUIDE.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def head() -> np.ndarray:
    """A made-up head (z, y, x) of 4 mm voxels."""
    z, y, x = np.mgrid[-1:1:20j, -1:1:24j, -1:1:22j]
    distance = np.sqrt((z / 0.8) ** 2 + (y / 0.9) ** 2 + (x / 0.7) ** 2)
    return np.where(distance < 1, 900 - 500 * distance, 0).astype(np.int16)


def test_examples_run_one_after_the_other(slicer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import standins

    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "MRHead")
    volume.SetSpacing(4.0, 4.0, 4.0)
    slicer.util.updateVolumeFromArray(volume, head())
    monkeypatch.setattr(slicer.app, "temporaryPath", str(tmp_path), raising=False)
    # The examples limit memory, of which the tests before may have left this process much.
    monkeypatch.setattr("LowResSegLib.memory.resident_bytes", lambda: 200 << 20)

    names: dict[str, Any] = {"slicer": slicer, "__name__": "__main__"}
    assert len(EXAMPLES) >= 5
    for example in EXAMPLES:
        exec(compile(example, str(GUIDE), "exec"), names)
        until = time.monotonic() + 60
        while standins.QTimer.waiting and "logic.close()" not in example:
            assert time.monotonic() < until, f"this does not end: {example}"
            standins.QTimer.turn()
            time.sleep(0.02)

    assert names["run"].error is None and names["run"].segmentation.GetName() == "In the background"
    assert names["labelmap"].IsA("vtkMRMLLabelMapVolumeNode")
    assert len(names["result"].comparison.rows) + len(names["result"].comparison.only_first) > 0
    segments = names["segmentation"].GetSegmentation().GetNumberOfSegments()
    assert segments == names["quick"].GetSegmentation().GetNumberOfSegments() > 0  # the removed one is there again
    assert {path.suffix for path in map(Path, names["files"])} == {".nrrd", ".json"}
    assert all(path.is_file() for path in map(Path, names["files"]))
    assert [case.status for case in names["batch"].cases] == ["done"]


def words_of_the_panel() -> set[str]:
    """All texts that the panel can show: those of the .ui files and those that are translated."""
    found = {text.text or "" for panel in panels().values() for text in panel.iter("string")}
    for script in scripts():
        for node in ast.walk(script.tree):
            is_text = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_"
            if is_text and isinstance(node.args[0], ast.Constant):  # type: ignore[attr-defined]
                found.add(node.args[0].value)  # type: ignore[attr-defined]
    return found


def test_names_of_buttons_and_sections_are_those_of_the_panel() -> None:
    steps = {"Open the module", "Choose a scan.", "Choose a model.", "Press Segment.", "Look at it.", "Sequences."}
    steps |= {"Transforms.", "For research use only. Not for diagnosis or treatment."}
    bold = {" ".join(text.split()) for text in re.findall(r"\*\*(.+?)\*\*", TEXT, re.DOTALL)} - steps
    assert len(bold) > 25
    assert bold - words_of_the_panel() == set()


def test_sentences_of_the_panel_are_quoted_as_they_are() -> None:
    library = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "LowResSegLib").rglob("*.py"))
    shown = library + "".join(words_of_the_panel())
    quoted = re.findall(r"^\| \*([^*]+)\* \|", TEXT, re.MULTILINE)
    assert len(quoted) >= 4
    for sentence in quoted:
        assert sentence in shown, sentence


def test_the_limit_for_reviews_is_the_library_s() -> None:
    from LowResSegLib.confidence import REVIEW_BELOW

    assert f"({REVIEW_BELOW:.0f} % where it does not)" in TEXT


def test_links_and_pictures_are_there() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        if target.startswith("#"):
            headings = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
            assert target[1:] in {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}, target
        elif "://" not in target:
            assert (GUIDE.parent / target.split("#")[0]).is_file(), target
