"""The experiments: every unit's configuration is sound, a smoke version of each part runs, and the page is made."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; it is needed for training only")
pytest.importorskip("lightning", reason="lightning is not installed; it is needed for training only")
pytest.importorskip("monai", reason="monai is not installed; it is needed for training only")

import case_sets  # noqa: E402

from benchmarks.experiments import goals, page, plan, run, table  # noqa: E402
from benchmarks.experiments.findings import findings  # noqa: E402
from LowResSegLib import kernels  # noqa: E402
from LowResSegLib.training.case_checkpoint import load_segmenter  # noqa: E402
from LowResSegLib.training.cases import Cases, labels_of  # noqa: E402
from LowResSegLib.training.datasets import find_dataset  # noqa: E402
from LowResSegLib.training.splits import make_splits, read_splits, write_splits  # noqa: E402


def test_units_have_names_of_their_own_and_what_they_need_comes_before() -> None:
    seen: set[str] = set()
    for part in plan.PARTS:
        for unit in plan.units(part):
            assert unit.key not in seen and unit.part == part == unit.key[0]
            assert set(unit.needs) <= seen, unit.key
            seen.add(unit.key)
    assert {unit.seed for part in plan.PARTS for unit in plan.units(part)} == {0, 1, 2}


def test_held_out_cases_are_enough_and_seen_by_nothing_else() -> None:
    (split,) = read_splits(plan.SPLIT)
    assert len(split.test) >= 40
    assert not set(split.test) & ({*split.training, *split.validation})


@pytest.mark.parametrize("part", plan.PARTS)
def test_configurations_are_read(part: str) -> None:
    for unit in plan.units(part):
        config = run.config_of(unit, Path("runs"))
        assert config.seed == unit.seed and (config.teacher is None) == (unit.teacher is None)


def small(unit: plan.Unit) -> plan.Unit:
    """The unit with a tiny network and a few steps."""
    config: dict[str, Any] = copy.deepcopy(dict(unit.config))
    flat = config["data"]["dimensions"] == 2
    config["data"]["crop"] = [32, 32] if flat else [16, 24, 16]
    config["network"]["widths"] = [4, 6] if config["network"]["name"] == "unet" else [4]
    config["augmentation"] = {"reuse": 4, "pool": 4}
    return replace(
        unit,
        config={**config, "steps": 3, "batch": 2, "statistics_batches": min(1, config.get("statistics_batches", 0))},
    )


def six_cases(folder: Path) -> tuple[Path, Path]:
    """Six small cases and their split, of which two are held out."""
    data = case_sets.msd(folder / "data")
    names = [f"case_{number:02d}" for number in range(6)]
    split = folder / "splits.json"
    write_splits(split, make_splits(names, folds=2, test_cases=names[:2])[:1])
    return data, split


def smoke(keys: list[str], folder: Path) -> list[dict[str, Any]]:
    """Rows of some units, on six small cases."""
    data, split = six_cases(folder)
    rows = []
    for key in keys:
        unit = small(plan.unit_of(key))
        weights = run.train(unit, data, folder, 0, split)
        assert weights is not None
        rows.append(run.row_of(unit, weights, data, folder, split))
    return rows


KEYS = {
    "a": ["a/elu_net/j/16/0", "a/elu_net/published-base/16/0", "a/elu_net/published-j/16/0", "a/unet/likelihood/16/0"],
    "b": ["b/float/half/0", "b/ternary/half/0", "b/float/full/0", "b/continuation/half/0", "b/binary/half/0"],
    "c": ["b/float/half/0", "c/threshold/1.3/0"],
    "d": ["d/float/8/0", "d/ternary/8/0"],
}


@pytest.mark.parametrize("part", plan.PARTS)
def test_a_smoke_version_of_each_part_runs(part: str, tmp_path: Path) -> None:
    for row in smoke(KEYS[part], tmp_path):
        labels = {"1"} if "published" in row["unit"] else {"1", "2"}
        assert set(row["dice"]) == labels and all(len(found) == 2 for found in row["dice"].values())
        assert row["steps"] == 3 and row["parameters"] > 0 and row["macs"] > 0
        assert bool(row["zeros"]) == ("ternary" in row["unit"] or row["part"] == "c" or "continuation" in row["unit"])
        table.append(row, tmp_path / "table.jsonl")
    assert list(table.rows(tmp_path / "table.jsonl")) == KEYS[part]


def test_int8_keeps_what_float_finds(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime.quantization", reason="onnx and onnxruntime are not installed")
    from benchmarks.experiments import int8

    smoke(["d/float/8/0"], tmp_path)
    weights = plan.folder_of(tmp_path, "d/float/8/0") / "weights.pt"
    row = int8.row_of("d/float/8", 0, weights, tmp_path / "data", tmp_path / "splits.json")
    assert row["unit"] == "d/float/8/int8/0" and len(row["dice"]["1"]) == 2

    segmenter, _ = load_segmenter(weights)
    dataset = find_dataset(tmp_path / "data")
    cases = Cases(dataset, labels_of(dataset, {}), segmenter.data)
    trunk = segmenter.trunk
    small = int8.quantised(segmenter, cases, dataset.names[:2], tmp_path).trunk
    with torch.no_grad():
        image = 50 * torch.rand(1, 1, 8, 12, 8) / 64
        wide, narrow = trunk(image).logits, small(image).logits
    error = float((wide - narrow).abs().max() / wide.abs().max())
    assert 0 < error < 0.2  # int8, and of this network


def test_more_zeros_with_a_higher_threshold(tmp_path: Path) -> None:
    _, low, _, high = smoke(["b/float/half/0", "c/threshold/0.3/0", "b/ternary/half/0", "c/threshold/1.6/0"], tmp_path)
    assert high["zeros"]["weights"] > low["zeros"]["weights"] + 0.3


def test_a_unit_that_another_process_has_is_left_alone(tmp_path: Path) -> None:
    with run.claimed(tmp_path / "unit") as first, run.claimed(tmp_path / "unit") as second:
        assert first and not second
    with run.claimed(tmp_path / "unit") as again:
        assert again


def test_what_a_unit_starts_from_is_trained_again_where_only_its_row_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"b/float/half/0": {"unit": "b/float/half/0"}}
    unit_of = plan.unit_of
    monkeypatch.setattr(plan, "unit_of", lambda key: small(unit_of(key)))
    monkeypatch.setattr(table, "rows", lambda: there)
    monkeypatch.setattr(table, "append", lambda row: there.update({row["unit"]: row}))
    data, split = six_cases(tmp_path)
    unit = plan.unit_of("b/ternary/half/0")
    assert [each.key for each in run.to_train(unit, tmp_path, split)] == ["b/float/half/0", "b/ternary/half/0"]

    with run.claimed(plan.folder_of(tmp_path, "b/float/half/0")):
        assert run.add_row(unit, data, tmp_path, 10, split) is False
    assert run.add_row(unit, data, tmp_path, 10, split) is True
    assert there["b/float/half/0"] == {"unit": "b/float/half/0"}  # the row that others were compared with stays
    assert there["b/ternary/half/0"]["steps"] == 3
    assert [each.key for each in run.to_train(unit, tmp_path, split)] == ["b/ternary/half/0"]
    assert run.add_row(unit, data, tmp_path, 10, split) is False


def test_the_interval_of_a_mean_is_that_of_statistics() -> None:
    difference = np.random.default_rng(1).normal(0.02, 0.05, 48)
    low, high = table.bootstrap(difference)
    error = difference.std(ddof=1) / np.sqrt(48)
    assert low == pytest.approx(difference.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(difference.mean() + 1.96 * error, abs=0.2 * error)
    assert table.bootstrap(np.full(5, 0.25)) == (0.25, 0.25)


def test_values_average_structures_and_keep_gaps() -> None:
    row = json.loads('{"dice": {"1": [0.5, null], "2": [1.0, 0.5]}}')
    np.testing.assert_array_equal(table.values(row), [0.75, np.nan])


def rows_of(*arms: str, gain: float = 0.0) -> dict[str, dict[str, Any]]:
    """Made-up rows of all seeds; each arm is `gain` better than the one before."""
    rng = np.random.default_rng(0)
    cases = rng.normal(0.8, 0.03, (2, 48))
    return {
        f"{arm}/{seed}": {
            "unit": f"{arm}/{seed}", "arm": arm, "seed": seed, "steps": 5, "parameters": 1000, "head_parameters": 5,
            "macs": 7, "zeros": {"weights": 0.4, "activations": 0.3}, "hd95": {"1": [1.0] * 48, "2": [1.0] * 48},
            "surface_dice": {"1": [0.9] * 48, "2": [0.9] * 48},
            "dice": {str(v + 1): (cases[v] + number * gain + 0.001 * seed).tolist() for v in range(2)},
        }
        for number, arm in enumerate(arms)
        for seed in plan.SEEDS
    }  # fmt: skip


def test_an_empty_table_makes_a_page_that_says_what_is_missing() -> None:
    text = page.text(page.Results({}, []), False)
    assert "So far 0 of" in text and text.count("| missing |") > 100 and "nan" not in text


def test_the_page_has_differences_and_verdicts_of_the_rows() -> None:
    arms = ("linear", "j", "nearest", "fusion")
    rows = rows_of(*(f"a/elu_net/{arm}/16" for arm in arms), gain=0.004)
    text = page.text(page.Results(rows, []), False)
    assert "| elu_net | j | " in text and "+0.40 (+0.40 to +0.40)" in text
    assert "+1.20 (+1.20 to +1.20) | reached, and the interval lies above it |" in text
    incomplete = {key: row for key, row in rows.items() if not key.endswith("/2")}
    text = page.text(page.Results(incomplete, []), False)
    assert "(2 of 3 seeds)" in text and "+0.40" not in text


def test_the_front_compares_at_equal_time(tmp_path: Path) -> None:
    arms = [arm for longer in (False, True) for _, _, arm in goals.front_arms(longer)]
    arms += [unit.arm for unit in plan.units("c") if unit.seed == 0]
    rows = rows_of(*(goals.int8_of(arm) for arm in arms if "float" in arm), *arms, gain=0.002)
    times = [
        {"arm": arm, "milliseconds": {"1": 1.0, "2": 0.1 * (n + 1)}} for n, arm in enumerate(arms) if "float" not in arm
    ]
    times += [
        {"arm": f"float/{width}", "runtime": runtime, "milliseconds": {"1": 9.0, "2": 5.0 + width}, "machine": "m"}
        for width in plan.FRONT
        for runtime in goals.RUNTIMES
    ]
    results = page.Results(rows, times)
    assert goals.time_goal(results)[1] == goals.time_goal(results, longer=True)[1] == "reached"
    assert "(4 channels: 0.06 of the time of ORT float32, +" in " ".join(findings(results).split())
    few = [row for row in times if row.get("runtime") != "OpenVINO int8"]
    assert goals.time_goal(page.Results(rows, few)) == ["missing", "missing"]
    slow = [{**row, "milliseconds": {"1": 99.0, "2": 99.0}} if "runtime" not in row else row for row in times]
    assert goals.time_goal(page.Results(rows, slow))[1] == "missed"
    assert page.draw(results, tmp_path / "front.png") and (tmp_path / "front.png").stat().st_size > 5000


def test_times_and_bytes_are_measured(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed; the benchmark compares with it")
    if not kernels.available():
        pytest.skip(f"the native engine is timed: {kernels.why_not()}")
    from benchmarks.experiments import measure

    smoke(["b/float/half/0", "b/ternary/half/0", "a/unet/likelihood/16/0"], tmp_path)
    rows = {(row["arm"], row.get("runtime")): row for row in measure.front(tmp_path, [1], 1)}
    rows.update({(row["arm"], None): row for row in measure.heads(tmp_path, 1, set())})
    assert not list(measure.heads(tmp_path, 1, {"a/unet/likelihood/16"}))
    assert rows["b/ternary/half", None]["bytes"] > 100 and rows["b/ternary/half", None]["milliseconds"]["1"] > 0
    assert set(rows["a/unet/likelihood/16", None]["milliseconds"]) == {"trunk", "head"}
    assert {runtime for arm, runtime in rows if arm == "float/32"} == set(goals.RUNTIMES)
