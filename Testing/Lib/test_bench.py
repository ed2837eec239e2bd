"""`lowresseg bench` and the estimates behind it: what they tell, not how fast anything is."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plans import ct_model, random_model

from LowResSegLib import engine, kernels
from LowResSegLib.cli import main
from LowResSegLib.estimate import (
    COMMON_VOLUMES,
    Speed,
    estimate,
    grid_shape,
    interleaved,
    measure,
    measured_shape,
    processor,
    speed_here,
)
from LowResSegLib.model import Model
from LowResSegLib.sampling import GridSettings, Normalisation, sample
from LowResSegLib.volume import Volume

SPEED = Speed(
    "numpy", "", 1, sampling=1e-9, network=1e-6, reconstruction=2e-9, fixed=0.01, memory=10.0, confidence=3e-8
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache is a folder of the test; returns the file of measurements."""
    import LowResSegLib.estimate.speed as speed

    monkeypatch.setattr(speed, "_cache_folder", lambda: tmp_path / "cache" / "LowResSeg")
    monkeypatch.setattr(speed, "_EDGE", 8)
    return tmp_path / "cache" / "LowResSeg" / "speed.json"


@pytest.fixture
def model(rng: np.random.Generator) -> Model:
    return random_model(rng)


@pytest.mark.parametrize("backend", engine.available_backends())
def test_a_measurement_is_complete(model: Model, backend: str) -> None:
    speed = measure(model, 1, backend)
    assert speed.backend == backend and speed.threads == 1
    assert (speed.instruction_set in kernels.INSTRUCTION_SETS) == (backend == "native")
    for value in (speed.sampling, speed.network, speed.reconstruction, speed.fixed, speed.memory, speed.confidence):
        assert value > 0 and math.isfinite(value)
    assert speed.gmac_per_second(model) > 0
    assert measure(ct_model(), backend=backend).threads == engine.cores()


def test_costs_grow_with_the_volume_in_every_direction(model: Model) -> None:
    smaller = estimate(SPEED, model, (40, 50, 60), (1.0, 1.0, 1.0))
    assert smaller.seconds > SPEED.fixed and smaller.megabytes > 0
    for axis in range(3):
        shape = tuple(2 * n if axis == a else n for a, n in enumerate((40, 50, 60)))
        larger = estimate(SPEED, model, shape, (1.0, 1.0, 1.0))
        assert larger.seconds > smaller.seconds and larger.megabytes > smaller.megabytes
        spacing = tuple(2.0 if axis == a else 1.0 for a in range(3))
        wider = estimate(SPEED, model, (40, 50, 60), spacing)
        assert wider.seconds > smaller.seconds and wider.megabytes > smaller.megabytes
    assert estimate(SPEED, model, (40, 50, 60), (1.0, 1.0, 1.0), itemsize=8).megabytes > smaller.megabytes


def test_seconds_are_the_sum_of_the_steps(model: Model) -> None:
    shape, spacing = (30, 40, 50), (1.0, 0.5, 2.0)
    grid = math.prod(grid_shape(model.grid, shape, spacing))
    expected = SPEED.fixed + math.prod(shape) * (SPEED.sampling + SPEED.reconstruction) + grid * SPEED.network
    assert estimate(SPEED, model, shape, spacing).seconds == pytest.approx(expected)


def test_passes_and_the_confidence_map_are_counted_where_they_are_asked_for(rng: np.random.Generator) -> None:
    model = replace(random_model(rng), passes=4)
    shape, spacing = (30, 40, 50), (1.0, 0.5, 2.0)
    grid, source = math.prod(grid_shape(model.grid, shape, spacing)), math.prod(shape)
    all_passes, one = (estimate(SPEED, model, shape, spacing, passes=passes) for passes in (None, 1))
    assert all_passes == estimate(SPEED, model, shape, spacing, passes=4)
    more = 3 * grid * SPEED.network + source * SPEED.sampling
    assert all_passes.seconds - one.seconds == pytest.approx(more) and all_passes.megabytes > one.megabytes
    sure = estimate(SPEED, model, shape, spacing, confidence=True)
    assert sure.seconds - all_passes.seconds == pytest.approx(grid * SPEED.confidence)
    assert all_passes.megabytes <= sure.megabytes <= all_passes.megabytes + grid / 1e6


def test_a_model_whose_grid_may_have_any_size_is_measured(rng: np.random.Generator) -> None:
    model = ct_model()
    assert model.grid.divisor == 1
    for normalisation in (model.normalisation, Normalisation()):  # the second one needs some contrast
        assert measure(replace(model, normalisation=normalisation), 1, "numpy").fixed > 0


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.3, 0.7, 4.1), (3.0, 2.0, 1.0)])
@pytest.mark.parametrize("divisor", [1, 4])
def test_the_grid_is_that_of_sampling(
    model: Model, spacing: tuple[float, float, float], divisor: int, rng: np.random.Generator
) -> None:
    grid = GridSettings(2.0, "LPS", divisor)
    volume = Volume(rng.integers(0, 999, (7, 20, 13)).astype(np.int16), spacing)
    assert grid_shape(grid, volume.array.shape, spacing) == sample(volume, grid, model.normalisation).grid.shape


def test_a_measurement_is_remembered_by_model_and_threads(
    model: Model, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = speed_here(model, 1, "numpy")
    assert speed_here(model, 1, "numpy") == first
    two = speed_here(model, 2, "numpy")
    assert (first.threads, two.threads) == (1, 2) and len(json.loads(cache.read_text())) == 2
    assert speed_here(model, 1, "numpy", again=True) == speed_here(model, 1, "numpy") != first
    assert len(json.loads(cache.read_text())) == 2
    monkeypatch.setattr("LowResSegLib.estimate.speed.processor", lambda: "another one")
    speed_here(model, 1, "numpy")
    assert len(json.loads(cache.read_text())) == 3


@pytest.mark.parametrize("content", ["", "[1, 2]", "{", "\0"])
def test_a_damaged_memory_is_measured_anew(model: Model, cache: Path, content: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(content)
    assert speed_here(model, 1, "numpy") == speed_here(model, 1, "numpy")


def test_without_a_cache_folder_nothing_is_remembered(model: Model, cache: Path) -> None:
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file is in the way")
    assert speed_here(model, 1, "numpy").backend == "numpy"


def test_runs_take_turns() -> None:
    order: list[str] = []
    seconds = interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "b": 2}


def test_the_float32_network_has_the_plans_layers(model: Model) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from LowResSegLib.estimate.float_network import float_graph, float_run

    graph = float_graph(model.plan.layers)
    onnx.checker.check_model(graph)
    convolutions = [layer for layer in model.plan.layers if layer.weights is not None]
    assert [node.op_type for node in graph.graph.node].count("Conv") == len(convolutions)
    (output,) = float_run(model.plan, (4, 8, 6), 1)()  # type: ignore[misc]
    assert output.shape == (1, model.plan.classes, 4, 8, 6) and output.dtype == np.float32 and np.isfinite(output).all()


def bench(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["bench", "--model", "small", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_prints_json(small_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = bench(capsys, "--threads", "1", "--backend", "numpy")
    assert report["model"] == "random" and len(report["model_sha256"]) == 64
    assert report["backend"] == "numpy" and report["instruction_set"] is None and report["threads"] == 1
    assert report["processor"] == processor() and report["gmac_per_second"] > 0 and report["gmac"] > 0
    assert [volume["name"] for volume in report["volumes"]] == [name for name, _, _ in COMMON_VOLUMES]
    assert all(volume["seconds"] > 0 and volume["memory_mb"] > 0 for volume in report["volumes"])
    assert bool(report["speed_up"]) == (report["comparison_missing"] is None)
    assert all(ratio > 0 for ratio in report["speed_up"].values())


def test_the_command_prints_tables(small_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--model", "small", "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert "GMAC/s" in printed and "512 x 512 x 300" in printed and "0.8 x 0.8 x 1" in printed
    if kernels.available():
        assert f"native, instruction set {kernels.instruction_sets()[-1]}" in printed


def test_the_command_says_why_the_native_kernels_do_not_run(
    small_model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_load", lambda: (None, "they were switched off for this test"))
    report = bench(capsys)
    assert report["backend"] != "native" and report["native_kernels_missing"] == "they were switched off for this test"
    assert main(["bench", "--model", "small"]) == 0
    assert "The native kernels cannot be used: they were switched off for this test." in capsys.readouterr().out


def test_the_command_goes_on_without_onnx_runtime(
    small_model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "LowResSegLib.estimate.float_network", raising=False)
    report = bench(capsys, "--backend", "numpy")
    assert report["speed_up"] == {} and "cannot be loaded" in report["comparison_missing"]
    assert main(["bench", "--model", "small", "--backend", "numpy"]) == 0
    assert "not compared: it cannot be loaded" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--threads", "0"], ["--model", "nothing"], ["--backend", "cuda"]])
def test_bad_usage_ends_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        raise SystemExit(main(["bench", *arguments]))
    assert end.value.code == 2 and capsys.readouterr().err.count("\n") == 1


def test_common_volumes_are_measured_on_grids_that_models_take(model: Model) -> None:
    for _, shape, spacing in COMMON_VOLUMES:
        assert all(n % model.grid.divisor == 0 for n in grid_shape(model.grid, shape, spacing))
    assert all(n % model.grid.divisor == 0 for n in measured_shape(model))
