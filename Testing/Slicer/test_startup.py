"""What Slicer is given when it starts: the terminology file, as the tool writes it and as Slicer's logic reads it."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from scans import REPOSITORY

from LowResSegLib.model import read_model

MODELS = sorted((REPOSITORY / "Resources" / "Models").glob("*.lowresseg"))


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("terminology_tool", REPOSITORY / "tools" / "terminology.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def terminologies(slicer: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Slicer's logic of terminologies, with nothing loaded but what a test loads."""
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    monkeypatch.setattr(slicer.modules, "terminologies", SimpleNamespace(logic=lambda: logic), raising=False)
    return logic


def test_file_is_what_the_tool_makes_of_the_bundled_models(tool: ModuleType) -> None:
    assert tool.TERMINOLOGY.read_text(encoding="utf-8") == tool.text(), "run tools/terminology.py"


def test_a_structure_of_several_models_is_listed_once_and_one_without_a_code_never(tool: ModuleType) -> None:
    models = [read_model(path) for path in MODELS]
    categories = tool.terminology(models + models)["SegmentationCodes"]["Category"]
    found = [(entry["CodingSchemeDesignator"], entry["CodeValue"]) for each in categories for entry in each["Type"]]
    assert sorted(found) == sorted({label.type[1::-1] for model in models for label in model.labels if label.type})


def test_every_structure_can_be_found_in_slicer_by_its_code_with_its_colour(slicer: Any, terminologies: Any) -> None:
    from LowResSegSlicer.startup import load_terminology

    context = load_terminology()

    assert context == "Segmentation category and type - LowResSeg"
    assert terminologies.IsTerminologyContextLoaded(context)
    found = dict(types(slicer, terminologies, context))
    labels = [label for path in MODELS for label in read_model(path).labels if label.type is not None]
    assert len(labels) >= 17
    for label in reversed(labels):  # of a structure that several models have, the first one's colour is offered
        category, name, meaning, color = found[label.type[:2]]
        assert (category, meaning) == (label.category, label.type.meaning)
        expected = {label.type[:2]: label.color for label in reversed(labels)}[label.type[:2]]
        assert color == expected and name


def types(slicer: Any, logic: Any, context: str) -> Iterator[tuple[tuple[str, str], tuple[Any, ...]]]:
    """Each type in a loaded list: its code, then its category, its name in Slicer, its meaning and its colour."""
    for n in range(logic.GetNumberOfCategoriesInTerminology(context)):
        category = slicer.vtkSlicerTerminologyCategory()
        assert logic.GetNthCategoryInTerminology(context, n, category)
        assert not category.GetShowAnatomy()
        code = (category.GetCodeValue(), category.GetCodingSchemeDesignator(), category.GetCodeMeaning())
        for m in range(logic.GetNumberOfTypesInTerminologyCategory(context, category)):
            kind = slicer.vtkSlicerTerminologyType()
            assert logic.GetNthTypeInTerminologyCategory(context, category, m, kind)
            color = tuple(kind.GetRecommendedDisplayRGBValue())
            name = (kind.GetCodeValue(), kind.GetCodingSchemeDesignator())
            yield name, (code, kind.GetSlicerLabel(), kind.GetCodeMeaning(), color)


def test_a_file_that_cannot_be_loaded_is_logged_and_nothing_more(
    slicer: Any, terminologies: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from LowResSegSlicer import startup

    (tmp_path / "broken.term.json").write_text(json.dumps({"SegmentationCodes": {}}), encoding="utf-8")
    for file in ("broken.term.json", "nosuch.term.json"):
        caplog.clear()
        monkeypatch.setattr(startup, "TERMINOLOGY", tmp_path / file)
        assert startup.load_terminology() == ""
        assert "terminology selector" in caplog.text


def test_without_the_terminologies_module_nothing_happens(
    slicer: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from LowResSegSlicer.startup import load_terminology

    monkeypatch.delattr(slicer.modules, "terminologies", raising=False)
    assert load_terminology() == ""
    assert "terminology selector" in caplog.text


def test_one_part_of_the_startup_does_not_depend_on_another(
    slicer: Any, terminologies: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from LowResSegSlicer import startup

    monkeypatch.setitem(sys.modules, "SampleData", None)  # importing it fails
    startup.on_startup_completed()
    assert terminologies.IsTerminologyContextLoaded("Segmentation category and type - LowResSeg")
    assert "register_sample_data failed" in caplog.text

    done = []
    monkeypatch.setattr(slicer.modules.terminologies, "logic", lambda: 1 / 0)
    monkeypatch.setattr(startup, "register_sample_data", lambda: done.append(True))
    startup.on_startup_completed()
    assert done == [True]


def test_the_module_asks_for_it_to_be_done_once_when_slicer_has_started(
    slicer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from LowResSegSlicer.startup import on_startup_completed

    from LowResSeg import LowResSeg

    connected = []
    monkeypatch.setattr(slicer.app, "connect", lambda *arguments: connected.append(arguments), raising=False)
    module = LowResSeg(SimpleNamespace())
    assert connected == [("startupCompleted()", on_startup_completed)]
    assert module.parent.title == "LowResSeg"
