"""The list of models, what does not fit a volume, installing and removing, and estimates."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's folder for models, empty."""
    for variable in ("XDG_DATA_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.delenv("LOWRESSEG_MODELS", raising=False)
    from LowResSegLib.model import user_folder

    return user_folder()


def test_models_are_listed_with_what_their_cards_say(logic: Any, own_folder: Path, model: str) -> None:
    own_folder.mkdir(parents=True)
    shutil.copy(model, own_folder)
    (own_folder / "broken.lowresseg").write_bytes(b"not a model")

    entries = {entry.name: entry for entry in logic.models()}

    tiny = entries["tiny"]
    assert (tiny.title, tiny.modality, tiny.structures) == ("Tiny", "MR", ("Rim", "Amygdala", "Nowhere"))
    assert tiny.card["limits"] == "For tests alone."
    assert (tiny.path, tiny.bytes) == (own_folder / "tiny.lowresseg", Path(model).stat().st_size)
    assert tiny.removable and tiny.problem is None and tiny.kind == "ternary"
    assert entries["broken"].problem and entries["broken"].structures == () and entries["broken"].removable
    if "brain" in entries:
        assert not entries["brain"].removable and entries["brain"].licence


def test_a_model_is_installed_and_removed(logic: Any, own_folder: Path, model: str) -> None:
    from LowResSegLib.errors import LowResSegError

    assert logic.models_folder() == own_folder
    installed = logic.install_model(model)
    assert installed == own_folder / "tiny.lowresseg" and installed.read_bytes() == Path(model).read_bytes()
    with pytest.raises(LowResSegError):
        logic.install_model(model)
    logic.install_model(model, overwrite=True)
    logic.remove_model("tiny")
    assert "tiny" not in {entry.name for entry in logic.models()}
    with pytest.raises(LowResSegError):
        logic.remove_model("tiny")


def test_what_does_not_fit_a_volume_is_told(slicer: Any, logic: Any, volume: Any, model: str) -> None:
    assert logic.why_not(model, volume) is None and logic.why_not(model) is None
    assert "nosuch" in logic.why_not("nosuch", volume)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(volume), "DICOM.Modality", "CT")

    assert logic.why_not(model, volume) == "The model tiny is for MR, and scan is CT."
    (warning,) = logic.process(volume, model) and _warnings(logic, volume, model)
    assert "the scan is CT by its DICOM header" in warning


def _warnings(logic: Any, volume: Any, model: str) -> list[str]:
    from LowResSegSlicer.nodes import run_record

    return (run_record(logic.process(volume, model)) or {})["warnings"]


def test_an_estimate_is_measured_in_the_worker_and_put_in_words(
    logic: Any, volume: Any, finish: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where measurements are remembered
    model = "brain"
    if model not in {entry.name for entry in logic.models()}:
        pytest.skip("the model brain is not bundled")
    ended: list[Any] = []
    assert logic.estimate_text(volume, model) == ""
    run = logic.estimate(volume, model, ended.append)
    finish(run)

    assert run.error is None and ended == [run]
    text = logic.estimate_text(volume, model)
    assert re.fullmatch(r"about [0-9.]+ s and [0-9]+ MB on this computer", text)
    assert logic.estimate(volume, model, ended.append) is None and ended[-1] is None  # it is known by now
    assert logic.estimate_text(None, model) == ""


def test_a_segmentation_goes_before_an_estimate(logic: Any, volume: Any, model: str, finish: Callable) -> None:
    measuring = logic.estimate(volume, model)
    run = logic.process(volume, model, wait=False)
    assert logic.estimate(volume, model) is None  # nothing is measured while a run is on its way
    finish(run)
    finish(measuring, seconds=5)

    assert run.segmentation is not None
    assert measuring.cancelled and measuring.error is None and measuring.answer is None
    assert logic.estimate_text(volume, model) == ""


@pytest.mark.parametrize(
    ("seconds", "megabytes", "text"),
    [
        (0.02, 61, "about 0.1 s and 61 MB on this computer"),
        (3.14159, 314.1, "about 3.1 s and 310 MB on this computer"),
        (41.7, 1234, "about 42 s and 1200 MB on this computer"),
        (90, 999, "about 1.5 min and 1000 MB on this computer"),
        (1234, 42, "about 21 min and 42 MB on this computer"),
    ],
)
def test_an_estimate_has_two_digits(
    slicer: Any, volume: Any, model: str, monkeypatch: pytest.MonkeyPatch, seconds: float, megabytes: float, text: str
) -> None:
    from LowResSegSlicer import estimates

    from LowResSegLib.estimate import Estimate

    monkeypatch.setattr(estimates, "estimate", lambda *arguments: Estimate(seconds, megabytes))

    assert estimates.estimate_text(volume, model, None) == text  # type: ignore[arg-type]
