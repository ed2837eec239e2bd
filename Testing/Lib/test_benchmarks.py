"""The engine's benchmark: its networks are what the page says, and its tables come into their places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from LowResSegLib import engine
from LowResSegLib.model import Layer, Plan

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SPEEDS = {
    "title": "A network",
    "gmac": 2.0,
    "threads": 1,
    "milliseconds": {"ORT float32": 40.0, "ORT int8": 10.0, "native:avx2": 2.5},
    "peaks": {"ORT float32": 50.0},
    "convolutions": {"ORT int8": ["QLinearConv"]},
}
VOLUME = {
    "shape": [3, 2, 1],
    "spacing_mm": [1.0, 1.5, 2.0],
    "grid_shape": [8, 8, 8],
    "seconds": dict.fromkeys(("sampling", "network", "reconstruction", "total"), 0.25),
    "first_seconds": {"total": 1.0},
    "peak_memory_mb": 99.4,
    "backend": "native",
    "estimate": {"seconds": 0.5, "megabytes": 100.0},
}


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def content(*results: dict[str, Any]) -> dict[str, Any]:
    import machine

    return {"command": "python it", "machine": machine.describe(), "results": list(results)}


def test_tables_come_between_the_markers_and_nothing_else_changes(tmp_path: Path) -> None:
    import tables

    page = tmp_path / "performance.md"
    page.write_text(tables.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    for _ in range(2):  # what is there already is replaced
        tables.write_page({"layers": content(SPEEDS), "growth": content(VOLUME)}, page)
    written = page.read_text(encoding="utf-8")
    assert written.count("| ORT float32 | 40.00 (50) |") == 1 and "| native:avx2 | 2.50 (800) |" in written
    assert "| OpenVINO int8 | not installed |" in written
    assert "over ORT float32* | **16.00** |" in written and "over the best int8* | **4.00** |" in written
    assert "| 3 x 2 x 1 | 1 x 1.5 x 2 | 8 x 8 x 8 | 0.25 |" in written and "| 0.50 s, 100 MB |" in written
    assert "python it" in written
    page.write_text("Nothing.", encoding="utf-8")
    with pytest.raises(ValueError, match="markers"):
        tables.write_page({"layers": content(SPEEDS)}, page)


@pytest.mark.parametrize("key", ["c", "e"])
def test_layers_have_half_their_weights_and_a_third_of_each_value(key: str) -> None:
    import networks

    workload = next(workload for workload in networks.WORKLOADS if workload.key == key)
    plan = networks.chain(workload, 2)
    assert abs(np.mean(plan.layers[3].weights == 0) - 0.5) < 0.01
    same = np.eye(workload.channels, dtype=np.int16).reshape(*[workload.channels] * 2, 1, 1, 1)
    values = Layer("logits", (3,), workload.channels, same, offset=np.zeros(workload.channels, np.int32))
    grid = np.random.default_rng(9).integers(0, 128, (4, 16, 16)).astype(np.uint8)
    found = engine.run(Plan((*plan.layers[:4], values), 1.0), grid, "numpy")
    assert all(0.2 < np.mean(found == value) < 0.5 for value in (-1, 0, 1))


def test_the_u_net_has_the_size_that_the_page_names() -> None:
    import networks

    plan = networks.u_net()
    assert plan.operations_per_voxel() * 96**3 / 1e9 == pytest.approx(46.78, abs=0.01)
    assert plan.classes == networks.CLASSES and plan.size_divisor == 8


@pytest.mark.parametrize("kind", ["ORT float32", "OpenVINO float32", "ORT int8", "OpenVINO int8"])
def test_the_networks_compared_with_run_as_they_shall(kind: str) -> None:
    for package in ("onnx", "onnxruntime", *(["openvino"] if kind.startswith("OpenVINO") else [])):
        pytest.importorskip(package, reason=f"{package} is not installed")
    import baselines
    import networks

    flat = networks.chain(networks.Workload("x", "", 16, (2, 8, 8), (1, 3, 3)), 2)
    for layers, shape in (
        (networks.u_net().layers, (1, 1, 8, 8, 16)),
        (networks.open_chain(flat, 2), (2, 16, 8, 8)),
    ):
        baseline = baselines.Baseline(kind, layers, shape, threads=1)
        baseline.run()
        baseline.check()
        convolutions = sum(layer.weights is not None for layer in layers)
        assert len(baseline.convolutions) == convolutions


def test_a_head_lies_in_the_middle() -> None:
    import whole

    volume = whole.head((20, 30, 40), (10.0, 9.0, 8.0), None)
    assert volume.array.shape == (20, 30, 40) and volume.array.dtype == np.int16 and volume.spacing == (10, 9, 8)
    places = np.argwhere(volume.array > 300).mean(0)
    np.testing.assert_allclose(places, [9.5, 14.5, 19.5], atol=0.01)
    np.testing.assert_array_equal(volume.array, whole.head((20, 30, 40), (10.0, 9.0, 8.0), None).array)
