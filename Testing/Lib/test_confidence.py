"""Confidence: the softmax of the winning label, where it lies in the patient, and what is marked for review."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import CHECKOUT, brain_scan
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import random_model, random_plan, random_volume, reoriented
from scan_files import of

from LowResSegLib import engine, read_volume
from LowResSegLib.cli import main
from LowResSegLib.confidence import REVIEW_BELOW, Confidence, grid_volume, mark, review_limits
from LowResSegLib.inference import label, sample_grids
from LowResSegLib.model import Model, load_model
from LowResSegLib.pipeline import segment, segment_with_confidence
from LowResSegLib.report import volume_table
from LowResSegLib.sampling import GridSettings, LowResolution, Normalisation, Orientation, resample, sample
from LowResSegLib.volume import Label, Volume, scans_in

OBLIQUE = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]


def low(shape: tuple[int, int, int], padding: int = 0) -> LowResolution:
    """A grid of a shape, of a volume that is the same grid."""
    padded = np.zeros([n + padding for n in shape], np.uint8)
    return LowResolution(padded, shape, Orientation((0, 1, 2), (False,) * 3), shape, (10**6,) * 3, 10**6)


def softmax(logits: np.ndarray, unit: float) -> np.ndarray:
    """Probability of the winner, in float64."""
    values = np.exp(unit * (logits.astype(float) - logits.max(0)))
    return values.max(0) / values.sum(0)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 40), st.sampled_from([0.0005, 0.006, 0.05, 3.0]), st.integers(0, 2**32), st.sampled_from([4095, 60])
)
def test_confidence_is_the_softmax_of_the_winner(classes: int, unit: float, seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 7, 3).tolist())
    logits = rng.integers(-most, most + 1, (classes, *shape)).astype(np.int16)
    ties = rng.random(shape) < 0.1
    logits[:, ties] = logits[0, ties]
    seen = Confidence(low(shape), classes, unit)  # type: ignore[arg-type]
    seen.add(logits, 0, shape[0])
    expected = 100 * softmax(logits, unit)
    assert np.abs(seen.percent - expected).max() < 0.5 + 1e-3
    winners = logits.argmax(0)
    for number, percent in enumerate(seen.of_labels()):
        inside = seen.percent[winners == number]
        assert percent == (round(float(inside.mean()), 1) if inside.size else None)


def test_a_few_logits_by_hand() -> None:
    """Two classes at a distance of log 3, a tie of four, a certain one."""
    unit = float(np.log(3) / 100)
    logits = np.full((4, 1, 1, 3), -4000, np.int16)
    logits[:2, 0, 0, 0], logits[:, 0, 0, 1], logits[2, 0, 0, 2] = (0, 100), 7, 4000
    seen = Confidence(low((1, 1, 3)), 4, unit)
    seen.add(logits, 0, 1)
    assert seen.percent.ravel().tolist() == [75, 25, 100]
    assert seen.of_labels() == [25.0, 75.0, 100.0, None]


def test_padding_and_the_slice_behind_are_not_looked_at() -> None:
    rng = np.random.default_rng(0)
    logits = rng.integers(-90, 90, (3, 9, 8, 7)).astype(np.int16)
    whole = Confidence(low((5, 4, 3), 4), 3, 0.02)
    whole.add(logits, 0, 9)
    parts = Confidence(low((5, 4, 3), 4), 3, 0.02)
    for first, end in ((0, 2), (2, 4), (4, 9)):
        parts.add(logits[:, first : end + 1], first, end)
    alone = Confidence(low((5, 4, 3)), 3, 0.02)
    alone.add(np.ascontiguousarray(logits[:, :5, :4, :3]), 0, 5)
    for seen in (parts, alone):
        np.testing.assert_array_equal(seen.percent, whole.percent)
        assert seen.of_labels() == whole.of_labels()


def indices(shape: tuple[int, ...]) -> np.ndarray:
    """Array indices of all voxels, (z, y, x, 3)."""
    return np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)


def world(volume: Volume, index: np.ndarray) -> np.ndarray:
    """Points in the patient of array indices, z, y, x along the last axis."""
    return np.asarray(volume.origin) + (index[..., ::-1] * volume.spacing) @ np.reshape(volume.direction, (3, 3)).T


@pytest.mark.parametrize(("spacing", "of_grid"), [((1.0, 0.8, 1.7), 0.7), ((1.0, 1.0, 1.0), 2.0)])
@pytest.mark.parametrize("direction", [np.eye(3), OBLIQUE])
@pytest.mark.parametrize("orientation", ["RAS", "SLA"])
def test_the_grid_lies_where_the_scan_does(
    direction: np.ndarray, orientation: str, spacing: tuple[float, float, float], of_grid: float
) -> None:
    """Sampled on the grid, the coordinates of a scan's voxels are those that the grid's geometry states, in all copies.

    Coordinates are ramps, which resampling leaves as they are but near the edges (down, by whole factors alone).
    """
    plain = replace(random_volume(np.random.default_rng(0), (15, 17, 14), direction), spacing=spacing)
    lying = []
    for copy, _, _ in reoriented(plain):
        made = sample(copy, GridSettings(of_grid, orientation, 4), Normalisation(), threads=1)
        lying.append(grid_volume(np.zeros(made.size, np.uint8), copy, made))
        points = world(copy, indices(copy.array.shape))
        ratios = tuple(made.spacing / length for length in made.source_spacing)
        for axis in range(3):
            ramp = made.orientation.apply(points[..., axis]).astype(np.float32)
            found = resample(ramp, ratios, made.size, lambda share: None)
            stated = world(lying[-1], indices(made.size))[..., axis]
            inner = (slice(2, -2),) * 3
            np.testing.assert_allclose(found[inner], stated[inner], atol=1e-4)
        np.testing.assert_allclose(lying[-1].origin, lying[0].origin, atol=1e-6)
        np.testing.assert_allclose(lying[-1].direction, lying[0].direction, atol=1e-12)
        assert lying[-1].spacing == (of_grid,) * 3


def test_all_copies_of_a_scan_have_one_confidence(rng: np.random.Generator) -> None:
    model, plain = replace(random_model(rng), passes=2), random_volume(rng, direction=OBLIQUE)
    _, record, expected = segment_with_confidence(plain, model)
    assert len(np.unique(expected.array)) > 3
    for copy, _, _ in reoriented(plain):
        _, told, found = segment_with_confidence(copy, model)
        np.testing.assert_array_equal(found.array, expected.array)
        np.testing.assert_allclose(found.origin, expected.origin, atol=1e-6)
        assert told["labels"] == record["labels"]


def soft_model(rng: np.random.Generator, passes: int = 1) -> Model:
    """A model of four classes whose logits are near each other."""
    plan = replace(random_plan(rng, 4, (3, 4, 5)), logit_unit=0.004)
    labels = tuple(Label(value, f"Structure {value}") for value in range(4))
    return Model("random", labels, GridSettings(2.0, "RAS", 4), Normalisation(), plan, {}, passes=passes)


@pytest.mark.parametrize("passes", [1, 4])
def test_slabs_threads_and_backends_change_nothing(passes: int) -> None:
    rng = np.random.default_rng(3)
    model, volume = soft_model(rng, passes), random_volume(rng, (60, 24, 30))
    grids = sample_grids(volume, model, passes, lambda share: None)

    def look(backend: str, thickness: Any, threads: int) -> Confidence:
        seen = Confidence(grids[0], 4, 0.004)
        label(model, grids, passes, backend, threads, thickness, lambda step, share: None, seen.add)
        return seen

    expected = look("numpy", None, 1)
    assert 25 <= expected.percent.min() < 90
    for backend in engine.available_backends():
        for thickness, threads in ((None, 3), (1, 1), (8, 2)):
            seen = look(backend, thickness, threads)
            np.testing.assert_array_equal(seen.percent, expected.percent)
            assert seen.of_labels() == expected.of_labels()


def test_the_labelmap_and_the_rest_of_the_record_stay(rng: np.random.Generator) -> None:
    model, volume = random_model(rng), random_volume(rng)
    labelmap, record = segment(volume, model)
    found, told, confidence = segment_with_confidence(volume, model)
    np.testing.assert_array_equal(found.array, labelmap.array)
    assert not any("confidence" in entry for entry in record["labels"])
    changing = ("seconds", "peak_memory_mb", "labels")
    assert {key: told[key] for key in record if key not in changing} == {
        key: record[key] for key in record if key not in changing
    }
    for entry, before in zip(told["labels"], record["labels"]):
        new = {key: entry[key] for key in ("confidence", "review_below", "needs_review")}
        assert entry == {**before, **new} and new["review_below"] == REVIEW_BELOW
    assert json.loads(json.dumps(told)) == told
    assert confidence.array.dtype == np.uint8 and confidence.array.max() <= 100
    assert confidence.spacing == (model.grid.spacing,) * 3


def test_float_models_have_confidence_too(rng: np.random.Generator) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from float_graphs import float_model, unet_network

    model, volume = float_model(unet_network(unit=0.0005)), random_volume(rng, (20, 22, 24))
    _, record, confidence = segment_with_confidence(volume, model)
    made = sample(volume, model.grid, model.normalisation)
    logits = engine.run(model.network, made.grid, "onnxruntime")[(slice(None), *(slice(0, n) for n in made.size))]
    assert np.abs(confidence.array - 100 * softmax(logits, 0.0005)).max() < 0.51
    assert len(np.unique(confidence.array)) > 5 and record["labels"][0]["review_below"] == REVIEW_BELOW


@pytest.mark.parametrize(
    ("stated", "limit"),
    [(61, 61.0), (0, 0.0), (88.5, 88.5), *((wrong, REVIEW_BELOW) for wrong in (None, "90", True, 101, float("nan")))],
)
def test_the_limit_is_the_card_s(stated: Any, limit: float, rng: np.random.Generator) -> None:
    model = random_model(rng)
    model.card["review_below"] = stated
    assert set(review_limits(model).values()) == {limit}


def test_the_card_may_have_limits_by_structure(rng: np.random.Generator) -> None:
    model, volume = random_model(rng), random_volume(rng)
    first, second, third = (label.name for label in model.labels[1:])
    model.card["review_below"] = {"default": 70, second: 99.5, third: "x", "nowhere": 3}
    assert review_limits(model) == {first: 70, second: 99.5, third: 70}
    model.card["review_below"] = {second: 99.5}
    assert review_limits(model) == {first: REVIEW_BELOW, second: 99.5, third: REVIEW_BELOW}
    model.card["review_below"] = {first: 0, second: 100}
    labels = segment_with_confidence(volume, model)[1]["labels"]
    assert all(entry["volume_ml"] > 0 and 0 < entry["confidence"] < 100 for entry in labels[:2])
    assert [(entry["review_below"], entry["needs_review"]) for entry in labels[:2]] == [(0, False), (100, True)]


def test_marks() -> None:
    percents = [99.0, 74.9, 75.0, None, None, 10.0]
    volumes = [1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    entries: list[dict[str, Any]] = [
        {"value": value, "name": f"S{value}", "volume_ml": volume_ml} for value, volume_ml in enumerate(volumes)
    ]
    limits = dict.fromkeys((entry["name"] for entry in entries), 75.0)
    mark(entries, percents, {**limits, "S0": 99.1})
    assert [entry["needs_review"] for entry in entries] == [True, True, False, True, False, False]
    assert [entry["review_below"] for entry in entries] == [99.1, *[75.0] * 5]
    assert [entry["confidence"] for entry in entries] == percents


def test_the_table_marks_what_needs_review(rng: np.random.Generator) -> None:
    model, volume = random_model(rng), random_volume(rng)
    plain = volume_table(segment(volume, model)[1])
    record = segment_with_confidence(volume, model)[1]
    first, second, third = record["labels"]
    first.update(confidence=81.4, needs_review=False)
    second.update(confidence=41.6, needs_review=True)
    third.update(confidence=None, needs_review=True)
    lines = volume_table(record).splitlines()
    assert lines[0].endswith("confidence") and lines[1].endswith("      81 %")
    assert lines[2].endswith("      42 %  needs review") and lines[3].endswith("         -  needs review")
    for line, before in zip(lines[:4], plain.splitlines()):
        assert line.startswith(before)


def test_the_command_writes_the_confidence(
    small_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = of("scan.nii.gz")(tmp_path), tmp_path / "out"
    call = ["segment", str(path), "-o", str(out), "--model", "small"]
    assert main([*call, "--confidence"]) == 0
    assert "confidence" in capsys.readouterr().out
    _, record, confidence = segment_with_confidence(read_volume(path), str(small_model))
    written = read_volume(out / "scan_confidence.nii.gz")
    np.testing.assert_array_equal(written.array, confidence.array)
    np.testing.assert_allclose(written.origin, confidence.origin, atol=1e-5)
    assert json.loads((out / "scan.json").read_text())["labels"] == record["labels"]
    assert main([*call, "--confidence", "--skip-existing"]) == 0 and "left out" in capsys.readouterr().err
    assert main([*call, "--confidence"]) == 2 and "is there already" in capsys.readouterr().err
    (tmp_path / "out" / "scan.nii.gz").write_bytes(path.read_bytes())
    assert [found.name for found in scans_in(out)] == ["scan.nii.gz"]
    assert main([*call, "--overwrite"]) == 0  # the confidence of before is not that of these labels
    assert not (out / "scan_confidence.nii.gz").exists()


def test_the_brain_model_is_less_sure_of_what_it_was_not_made_for() -> None:
    """T1 and FLAIR of a patient; a part of the passes is enough."""
    means = []
    for name in ("stroke_T1", "stroke_FLAIR"):
        _, record, confidence = segment_with_confidence(read_volume(brain_scan(name)), "brain", passes=1)
        assert all(50 < entry["confidence"] <= 100 for entry in record["labels"])
        means.append(np.mean([entry["confidence"] for entry in record["labels"]]))
        assert confidence.array.min() >= 100 / 18 - 1
    assert means[1] < means[0] - 2


def test_the_page_and_the_card_have_what_the_benchmark_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(CHECKOUT / "benchmarks"))
    import brain_confidence

    results = json.loads((CHECKOUT / "docs" / "brain_confidence.json").read_text(encoding="utf-8"))
    page = (CHECKOUT / "docs" / "brain_model.md").read_text(encoding="utf-8")
    chosen, reported = results.values()
    one, each = brain_confidence.one_limit(chosen), brain_confidence.choose(chosen)
    assert review_limits(load_model("brain")) == each
    assert brain_confidence.reliability(reported) in page
    assert brain_confidence.review(reported, brain_confidence.limits_named(one, each)) in page
    assert brain_confidence.by_structure(reported, one, each) in page
    before, now = (brain_confidence.marked(reported, limits) for limits in (one, each))
    assert now[0] > before[0] and now[2] < before[2]  # or one limit for all would do


def test_the_benchmark_counts_what_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(CHECKOUT / "benchmarks"))
    import brain_confidence

    structures = [("a", 90.0, 0.9), ("b", 70.0, 0.5), ("c", None, 0.0), ("d", 84.0, 0.8), ("e", 72.0, 0.69)]
    results = [{"kind": "T1-like", "structures": structures}]
    assert brain_confidence.marked(results, dict.fromkeys("abcde", 85)) == (2, 3, 1, 2)
    assert brain_confidence.marked(results, {**dict.fromkeys("abcde", 85), "b": 60, "a": 91}) == (1, 3, 2, 2)
    one = brain_confidence.one_limit(results)
    assert one == dict.fromkeys("abcde", 73)  # the lowest that marks all it can, and nothing else
    percent = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    np.testing.assert_array_equal(brain_confidence.on_scan(percent, (3, 4, 4), 2.0)[2, 0], [4, 4, 5, 5])


def test_limits_by_structure_follow_what_was_drawn(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    """Dice below 0.7 with known chances: the limits are where they are one in four, or near the others'."""
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(CHECKOUT / "benchmarks"))
    import brain_confidence

    middles, results = {"low": 72.0, "high": 88.0, "sure": 80.0}, []
    for number in range(600):
        structures: list[tuple[str, float, float]] = []
        for name, middle in middles.items():
            percent = float(rng.uniform(middle - 15, middle + 15))
            wrong = name != "sure" and rng.random() < 1 / (1 + np.exp((percent - middle) / 2))
            structures.append((name, percent, 0.5 if wrong else 0.9))
        results.append({"kind": "T1-like", "map": number % 6, "structures": structures})
    limits = brain_confidence.limits_at(results, 0.25)
    for name in ("low", "high"):
        assert limits[name] == pytest.approx(middles[name] + 2 * np.log(3), abs=1)
    assert 50 < limits["sure"] < 75
    one, each = brain_confidence.one_limit(results), brain_confidence.choose(results)
    found, _, false, _ = brain_confidence.marked(results, each)
    assert found >= brain_confidence.marked(results, one)[0] and false < brain_confidence.marked(results, one)[2]
