"""The bundled hippocampus models: what their cards and their page say is what was measured, and they run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from data import data_file

from LowResSegLib import Volume, segment
from LowResSegLib.comparison.measures import dice
from LowResSegLib.model import Model, load_model
from LowResSegLib.volume import read_volume

CHECKOUT = Path(__file__).resolve().parents[2]
NAMES = ("hippocampus", "hippocampus-float", "hippocampus-float-small")
VALUES = json.loads((CHECKOUT / "docs" / "hippocampus_accuracy.json").read_text(encoding="utf-8"))


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> Model:
    """Each bundled one, whatever else is installed."""
    return load_model(CHECKOUT / "Resources" / "Models" / f"{request.param}.lowresseg")


def test_card_and_page_say_what_was_measured(model: Model) -> None:
    (found,) = [each for each in VALUES if each["model"] == model.name and each["passes"] == model.passes]
    assert found["model_sha256"] == model.digest and found["split"] == "test" and len(found["cases"]) == 48
    mean = f"{found['mean']['dice']['all']:.3f}"
    assert f"Mean Dice of {mean} over both structures on 48 held-out cases" in model.card["validation"]
    page = (CHECKOUT / "docs" / "hippocampus_models.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{model.name}` | {model.passes} |")]
    assert f"| **{mean}** |" in row


def test_the_licence_of_the_data_is_kept(model: Model) -> None:
    assert model.card["licence"] == "CC-BY-SA 4.0" and "Antonelli et al." in model.card["training_data"]
    assert model.mirror and [label.value for label in model.labels] == [0, 1, 2]


def test_a_held_out_case_is_segmented(model: Model) -> None:
    """Better than nine in ten of the held-out cases demand; both sides of the body."""
    if model.kind == "onnx":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed; float models need it")
    folder = data_file("Task04_Hippocampus")
    case = VALUES[0]["cases"][0]["case"]
    volume = read_volume(folder / "imagesTr" / f"{case}.nii.gz")
    truth = read_volume(folder / "labelsTr" / f"{case}.nii.gz").array
    labelmap, record = segment(volume, model)
    assert record["warnings"] == []
    mirrored, _ = segment(volume.with_array(np.ascontiguousarray(volume.array[..., ::-1])), model)
    for found in (labelmap.array, mirrored.array[..., ::-1]):
        assert np.mean([dice(found == value, truth == value) for value in (1, 2)]) > 0.8


def test_a_whole_head_is_told(model: Model, rng: np.random.Generator) -> None:
    from LowResSegLib.suitability import doubts

    head = Volume(rng.normal(100, 20, (64, 64, 64)).astype(np.float32), (4.0, 4.0, 4.0))
    (sentence,) = doubts(head, model)
    assert "25 to 90 mm along each edge, but this one is 256 x 256 x 256 mm" in sentence
