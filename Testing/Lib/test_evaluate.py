"""`lowresseg evaluate`: measures are those of the case, in every layout, and what does not fit is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import case_sets
import numpy as np
import pytest
from data import data_file

import LowResSegLib
from LowResSegLib.cli import main
from LowResSegLib.errors import InputError
from LowResSegLib.training import accuracy
from LowResSegLib.training.splits import Split, write_splits
from LowResSegLib.volume import Volume

STRUCTURES = {1: "Outer", 2: "Inner"}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, small_model: Path) -> str:
    """A model whose result is the true labelmap, with some slices of each structure lost; its name."""
    import dataclasses

    from LowResSegLib.model import load_model
    from LowResSegLib.volume import Label

    model = load_model("small")
    labels = tuple(Label(value, STRUCTURES.get(value, f"other {value}")) for value in range(len(model.labels)))
    named = dataclasses.replace(model, labels=labels)

    def segment(volume: Volume, model: object, **options: object) -> tuple[Volume, dict[str, object]]:
        level = np.rint(volume.array)
        labelmap = np.select([level > 90, level > 35], [2, 1], 0).astype(np.uint8)
        labelmap[:6] = 0
        return volume.with_array(labelmap), {}

    monkeypatch.setattr(accuracy, "load_model", lambda wanted: named if wanted == "small" else load_model(wanted))
    monkeypatch.setattr(accuracy, "segment", segment)
    return "small"


def expected(number: int, value: int) -> float:
    """Dice of a case when its first six slices are lost."""
    truth = case_sets.picture(number)[1] == value
    kept = truth[6:].sum()
    return 2 * kept / (kept + truth.sum())


@pytest.mark.parametrize("layout", ["msd", "nnunet", "plain"])
def test_each_layout_is_evaluated(layout: str, found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if layout == "plain":
        folder = case_sets.plain(tmp_path / "d", 3, {"1": "Outer", "2": "Inner"})
    else:
        folder = getattr(case_sets, layout)(tmp_path / "d", 3)
    assert main(["evaluate", "--model", found, "--data", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [case["case"] for case in report["cases"]] == ["case_00", "case_01", "case_02"]
    for number, case in enumerate(report["cases"]):
        for value in (1, 2):
            assert case["dice"][str(value)] == pytest.approx(expected(number, value), abs=0.01)
            assert case["hd95_mm"][str(value)] >= 1 and 0 < case["surface_dice"][str(value)] < 1
    mean = report["mean"]["dice"]
    assert mean["1"] == pytest.approx(np.mean([case["dice"]["1"] for case in report["cases"]]), abs=1e-4)
    assert mean["all"] == pytest.approx((mean["1"] + mean["2"]) / 2, abs=1e-4)
    assert report["labels"] == {"1": "Outer", "2": "Inner"}


def test_a_split_chooses_the_cases(found: str, tmp_path: Path) -> None:
    folder = case_sets.msd(tmp_path / "d", 4)
    write_splits(tmp_path / "s.json", [Split(("case_00", "case_01"), ("case_02",), ("case_03",))])
    for part, names in (("validation", ["case_02"]), ("test", ["case_03"]), ("training", ["case_00", "case_01"])):
        evaluation = LowResSegLib.evaluate(found, folder, part, tmp_path / "s.json")
        assert [case.name for case in evaluation.cases] == names and evaluation.split == part
    with pytest.raises(InputError, match="give it with --splits"):
        LowResSegLib.evaluate(found, folder, "test")
    with pytest.raises(InputError, match="has no fold 3"):
        LowResSegLib.evaluate(found, folder, "test", tmp_path / "s.json", fold=3)
    write_splits(tmp_path / "s.json", [Split(("case_00",), ("case_02",))])
    with pytest.raises(InputError, match="no test cases"):
        LowResSegLib.evaluate(found, folder, "test", tmp_path / "s.json")


def test_labels_are_matched_by_name(found: str, tmp_path: Path) -> None:
    folder = case_sets.plain(tmp_path / "d", 1, {"7": "inner", "4": "OUTER"})
    _, label = case_sets.picture(0)
    case_sets.write_image(folder / "labels" / "case_00.nii.gz", np.array([0, 4, 7], np.uint8)[label])
    evaluation = LowResSegLib.evaluate(found, folder)
    assert evaluation.mean("dice")["7"] == pytest.approx(expected(0, 2), abs=0.01)
    (folder / "labels.json").write_text('{"4": "Outer", "7": "Liver"}')
    with pytest.raises(InputError, match="does not label Liver"):
        LowResSegLib.evaluate(found, folder)
    (folder / "labels.json").write_text('{"4": "Spleen", "77": "Liver"}')
    with pytest.raises(InputError, match="are not those of the model"):
        LowResSegLib.evaluate(found, folder)
    (folder / "labels.json").write_text('{"4": "Outer"}')
    with pytest.raises(InputError, match="case case_00 holds the value 7, which is not declared"):
        LowResSegLib.evaluate(found, folder)


def test_a_structure_in_neither_labelmap_has_no_value(
    found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = case_sets.plain(tmp_path / "d", 2, {"1": "Outer", "2": "Inner"})
    image, label = case_sets.picture(0)
    case_sets.write_image(folder / "images" / "case_00.nii.gz", np.minimum(image, 60))
    case_sets.write_image(folder / "labels" / "case_00.nii.gz", np.minimum(label, 1))
    evaluation = LowResSegLib.evaluate(found, folder)
    assert math.isnan(evaluation.cases[0].values["dice"][2]) and math.isnan(evaluation.cases[0].values["hd95_mm"][2])
    assert evaluation.mean("dice")["2"] == evaluation.cases[1].values["dice"][2]
    assert main(["evaluate", "--model", found, "--data", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cases"][0]["dice"]["2"] is None


def test_of_several_channels_one_is_chosen(found: str, tmp_path: Path) -> None:
    folder = case_sets.nnunet(tmp_path / "d", 2, channels=2)
    with pytest.raises(InputError, match="2 channels, the model takes one"):
        LowResSegLib.evaluate(found, folder)
    with pytest.raises(InputError, match="no channel 2"):
        LowResSegLib.evaluate(found, folder, channel=2)
    assert LowResSegLib.evaluate(found, folder, channel=0).mean("dice")["all"] > 0.5


def test_a_table_and_a_picture(found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed; it draws the picture")
    folder = case_sets.msd(tmp_path / "d", 3)
    picture = tmp_path / "dice.png"
    assert main(["evaluate", "--model", found, "--data", str(folder), "--picture", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert "mean of 3 cases (all)" in printed and "Outer" in printed and "surface Dice at 1 mm" in printed
    assert picture.read_bytes()[:4] == b"\x89PNG" and len(list(tmp_path.iterdir())) == 3  # models, d, the picture


def test_a_real_model_segments_real_scans(small_model: Path, tmp_path: Path) -> None:
    """The whole way, with a network of random weights: every value is a number or nothing."""
    source = data_file("Task04_Hippocampus")
    names = [f"hippocampus_{number}.nii.gz" for number in ("001", "003")]
    rows = [{"image": str(source / "imagesTr" / n), "label": str(source / "labelsTr" / n)} for n in names]
    (tmp_path / "cases.json").write_text(json.dumps(rows))
    (tmp_path / "labels.json").write_text('{"1": "a", "2": "b"}')
    evaluation = LowResSegLib.evaluate(small_model, tmp_path / "cases.json")
    assert len(evaluation.cases) == 2
    for case in evaluation.cases:
        assert all(0 <= value <= 1 for value in case.values["dice"].values())
