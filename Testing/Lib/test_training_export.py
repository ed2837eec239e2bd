"""Runs on cases as model files and ONNX files: they give the trained network's logits, or are not written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; it is needed for training only")
pytest.importorskip("lightning", reason="lightning is not installed; it is needed for training only")
pytest.importorskip("monai", reason="monai is not installed; it is needed for training only")

import case_sets  # noqa: E402
import yaml  # noqa: E402
from case_sets import write_run  # noqa: E402

import LowResSegLib  # noqa: E402
from LowResSegLib import engine, segment  # noqa: E402
from LowResSegLib.cli import main  # noqa: E402
from LowResSegLib.errors import InputError  # noqa: E402
from LowResSegLib.model import load_model  # noqa: E402
from LowResSegLib.sampling import GridSettings  # noqa: E402
from LowResSegLib.training import case_export, head_export  # noqa: E402
from LowResSegLib.training.case_checkpoint import load_segmenter  # noqa: E402
from LowResSegLib.training.case_export import export_run  # noqa: E402
from LowResSegLib.training.cases import Cases, labels_of  # noqa: E402
from LowResSegLib.training.datasets import find_dataset  # noqa: E402
from LowResSegLib.training.labelled import read_labelled  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return case_sets.msd(tmp_path_factory.mktemp("msd"))


@pytest.mark.parametrize("precision", ["ternary", "float"])
def test_exported_models_segment_as_the_trained_network(data: Path, tmp_path: Path, precision: str) -> None:
    if precision == "float":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed; float models need it")
    changes = {"network": {"precision": precision}, "steps": 20, "validate_every": 20, "card": {"title": "Balls"}}
    weights = LowResSegLib.train(write_run(tmp_path / "run.yaml", changes), data, tmp_path / "run")
    model = export_run(weights, tmp_path / "m.lowresseg", onnx_file=tmp_path / "m.onnx")
    assert model is not None and model.kind == ("ternary" if precision == "ternary" else "onnx")
    assert model.grid == GridSettings(2.0, "RAS", 2) and model.card["title"] == "Balls"
    assert [label.name for label in model.labels] == ["background", "Outer", "Inner"]
    segmenter, _ = load_segmenter(weights)
    dataset = find_dataset(data)
    cases = Cases(dataset, labels_of(dataset, {}), segmenter.data)
    volumes, _ = read_labelled(dataset.case("case_01"))
    labelmap, _ = segment(volumes[0], model, not_a_labelmap=True)
    orientation = [0, 1, 2]  # the file's axes run to the left and back, those of training to the right and front
    expected = segmenter.predict(cases["case_01"]).transpose(orientation)[:, ::-1, ::-1]
    # Interpolation places are rounded to 1/64 and logits to integers, so a tie may fall otherwise.
    assert np.mean(labelmap.array != expected) < 0.002
    assert (tmp_path / "m.onnx").stat().st_size > 1000
    if precision == "float":  # so that ONNX Runtime may have the grid slab by slab
        reach = model.network.reach
        grid = np.random.default_rng(0).integers(0, 128, (48, 8, 8)).astype(np.uint8)
        other = grid.copy()
        other[reach + 1 :] = 127 - other[reach + 1 :]
        here, there = (engine.run(model.network, g, "onnxruntime", 1) for g in (grid, other))
        assert 4 <= reach < 46 and np.array_equal(here[:, 0], there[:, 0]) and not np.array_equal(here, there)


@pytest.mark.parametrize("precision", ["ternary", "float"])
def test_a_fusion_head_is_deployed_in_integers(data: Path, tmp_path: Path, precision: str) -> None:
    if precision == "float":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed; float models need it")
    changes = {
        "network": {"precision": precision}, "head": {"name": "fusion"}, "steps": 60, "validate_every": 60,
        "optimiser": {"learning_rate": 3e-2},
    }  # fmt: skip
    weights = LowResSegLib.train(write_run(tmp_path / "run.yaml", changes), data, tmp_path / "run")
    model = export_run(weights, tmp_path / "m.lowresseg")
    assert model is not None and model.fusion is not None and model.fusion.ratios == 33
    segmenter, _ = load_segmenter(weights)
    dataset = find_dataset(data)
    cases = Cases(dataset, labels_of(dataset, {}), segmenter.data)
    differing, changed = [], []
    for name in ("case_01", "case_02", "case_03"):
        volumes, _ = read_labelled(dataset.case(name))
        found = segment(volumes[0], model, not_a_labelmap=True)[0].array
        linear = segment(volumes[0], replace(model, fusion=None), not_a_labelmap=True)[0].array
        expected = segmenter.predict(cases[name])[:, ::-1, ::-1]
        differing.append(np.mean(found != expected))
        changed.append(np.mean(linear != expected))
    # Ratios are rounded to steps; on these few voxels most lie near a border. After so few steps the ternary network's
    # logits are so small that the reach of 4096 integer ones, behind which a class takes no part, is 2.6 of them only.
    most, share = (0.05, 1.5) if precision == "ternary" else (0.015, 4)
    assert np.mean(differing) < most and np.mean(changed) > share * np.mean(differing)
    assert main(["evaluate", "--model", str(tmp_path / "m.lowresseg"), "--data", str(data), "--json"]) == 0


def test_a_fusion_that_differs_from_the_head_is_not_left(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"head": {"name": "fusion"}, "steps": 20, "optimiser": {"learning_rate": 3e-2}}
    weights = LowResSegLib.train(write_run(tmp_path / "run.yaml", changes), data, tmp_path / "run")
    real = head_export.fusion_of
    monkeypatch.setattr(
        case_export, "fusion_of", lambda *args: replace(real(*args), corrections=-real(*args).corrections)
    )
    with pytest.raises(ValueError, match="other labels than the trained head"):
        export_run(weights, tmp_path / "m.lowresseg")
    assert not (tmp_path / "m.lowresseg").exists()


def test_what_model_files_cannot_hold_is_refused(data: Path, tmp_path: Path) -> None:
    for number, (changes, sentence) in enumerate(
        [
            ({"head": {"name": "likelihood"}}, "the head likelihood is not one of its parts"),
            ({"head": {"name": "fusion", "options": {"guided": True}}}, "without the options guided, model and near"),
            ({"head": {"name": "fusion", "options": {"near": 2}}}, "without the options guided, model and near"),
            ({"head": {"name": "fusion"}, "data": {"dimensions": 2, "crop": [24, 16]}}, "for volumes alone"),
            ({"data": {"downsampling": "area"}}, "not by area"),
            ({"data": {"dimensions": 2, "crop": [24, 16]}}, "a grid of one spacing"),
            ({"loss": {"kind": "bce_levels"}}, "a logit for each class"),
        ]
    ):
        run = tmp_path / str(number)
        weights = LowResSegLib.train(write_run(tmp_path / "run.yaml", {**changes, "steps": 1}), data, run)
        with pytest.raises(InputError, match=sentence):
            export_run(weights, tmp_path / "m.lowresseg")
    assert not (tmp_path / "m.lowresseg").exists()


def test_a_file_that_differs_from_the_network_is_not_left(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = LowResSegLib.train(write_run(tmp_path / "run.yaml"), data, tmp_path / "run")
    real = engine.run
    monkeypatch.setattr(engine, "run", lambda *args, **kwargs: real(*args, **kwargs) + 1)
    with pytest.raises(ValueError, match="other logits"):
        export_run(weights, tmp_path / "m.lowresseg")
    assert not (tmp_path / "m.lowresseg").exists()


def test_a_card_gives_names_codes_and_colours(data: Path, tmp_path: Path) -> None:
    own = {"card": {"title": "Balls", "modality": "CT"}}
    weights = LowResSegLib.train(write_run(tmp_path / "run.yaml", own), data, tmp_path / "run")
    table = [{"value": v, "name": n, "color": [v, v, v]} for v, n in enumerate(["Background", "Shell", "Core"])]
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(table))
    card = {"name": "balls", "labels": "labels.yaml", "card": {"modality": "MR"}, "passes": 2, "spacing": 1.5}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    assert (
        main(["export", str(weights), "--card", str(tmp_path / "card.yaml"), "-o", str(tmp_path / "m.lowresseg")]) == 0
    )
    model = load_model(tmp_path / "m.lowresseg")
    assert (model.name, model.labels[2].name, model.passes, model.grid.spacing) == ("balls", "Core", 2, 3.0)
    assert model.card == {"title": "Balls", "modality": "MR"}  # the run's own, where the file does not say otherwise
    (tmp_path / "card.yaml").write_text(yaml.safe_dump({"titel": "x"}))
    with pytest.raises(InputError, match="unknown settings titel"):
        export_run(weights, tmp_path / "m.lowresseg", tmp_path / "card.yaml")
