"""All engines give the same integers."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from plans import random_plan

from LowResSegLib import engine
from LowResSegLib.engine import reference
from LowResSegLib.errors import BackendError
from LowResSegLib.model import Layer, Plan


def naive_convolution(value: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums of a zero-padded convolution, in int64, voxel by voxel."""
    depth, height, width = weights.shape[2:]
    padded = np.pad(value.astype(np.int64), [(0, 0), *((edge // 2,) * 2 for edge in weights.shape[2:])])
    sums = np.zeros((len(weights), *value.shape[1:]), np.int64)
    for z, y, x in np.ndindex(*value.shape[1:]):
        patch = padded[:, z : z + depth, y : y + height, x : x + width]
        sums[:, z, y, x] = (weights.astype(np.int64) * patch).reshape(len(weights), -1).sum(1)
    return sums


@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 3, 3), (5, 5, 5), (1, 3, 3), (3, 1, 5)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (4, 1, 6), (3, 4, 6)])
def test_reference_convolution_is_the_definition(kernel: tuple[int, int, int], shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(sum(kernel))
    value = rng.integers(-1, 2, (3, *shape)).astype(np.int8)
    weights = rng.integers(-1, 2, (4, 3, *kernel)).astype(np.int8)
    lower, upper = np.array([-2, 0, 1, -1], np.int32), np.array([0, 1, 4, 2], np.int32)
    layer = Layer("ternary", (0,), 4, weights, lower, upper)
    sums = naive_convolution(value, weights)
    expected = (sums >= upper[:, None, None, None]).astype(int) - (sums < lower[:, None, None, None])
    np.testing.assert_array_equal(reference._apply(layer, [value]), expected)
    if not any(size % 2 for size in shape[1:]):
        strided = reference._apply(replace(layer, factor=(1, 2, 2)), [value])
        np.testing.assert_array_equal(strided, expected[:, :, ::2, ::2])


def test_reference_pools_and_enlarges() -> None:
    value = np.random.default_rng(0).integers(-1, 2, (2, 4, 6, 2)).astype(np.int8)
    pooled = reference._apply(Layer("max_pool", (0,), 2, factor=(2, 2, 2)), [value])
    assert pooled.shape == (2, 2, 3, 1)
    assert pooled[1, 1, 2, 0] == value[1, 2:4, 4:6, 0:2].max()
    enlarged = reference._apply(Layer("upsample", (0,), 2, factor=(2, 2, 2)), [pooled])
    np.testing.assert_array_equal(enlarged[:, 1::2, ::2, 1::2], pooled)
    within = reference._apply(Layer("max_pool", (0,), 2, factor=(1, 2, 2)), [value])
    assert within.shape == (2, 4, 3, 1)
    assert reference._apply(Layer("upsample", (0,), 2, factor=(1, 2, 2)), [within]).shape == value.shape


SHAPES: list[dict[str, Any]] = [
    {},
    {"strided": True},
    {"kernel": (1, 3, 3), "factor": (1, 2, 2)},
    {"kernel": (5, 3, 1), "strided": True, "last_kernel": (3, 3, 3)},
]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("threads", [1, 2])
def test_onnx_runtime_equals_numpy(seed: int, threads: int) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    rng = np.random.default_rng(seed)
    classes, widths = int(rng.integers(2, 20)), [(3, 5), (4, 4, 9), (17,)][seed % 3]
    plan = random_plan(rng, classes, widths, **SHAPES[seed % len(SHAPES)])
    divisor = plan.size_divisor
    shape = [int(n) * divisor for n in rng.integers(1, 5, 3)]
    grid = rng.integers(0, 128, shape).astype(np.uint8)
    oracle = engine.run(plan, grid, "numpy")
    found = engine.run(plan, grid, "onnxruntime", threads)
    assert oracle.dtype == found.dtype == np.int16
    assert oracle.any()
    np.testing.assert_array_equal(found, oracle)


def test_progress_rises_to_one_and_can_stop(rng: np.random.Generator) -> None:
    plan, shares = random_plan(rng), []
    engine.run(plan, np.zeros((2, 2, 2), np.uint8), "numpy", step=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) == len(plan.layers)

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.run(plan, np.zeros((2, 2, 2), np.uint8), "numpy", step=stop)


def test_unknown_and_missing_backends_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match="no backend named 'cuda'"):
        engine.choose_backend("cuda")
    monkeypatch.setattr(engine.kernels, "_load", lambda: (None, "they are not there"))
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    assert engine.choose_backend("auto") == "numpy"
    with pytest.raises(BackendError, match="not installed"):
        engine.choose_backend("onnxruntime")


def test_a_broken_onnx_runtime_is_passed_over_or_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "available_backends", lambda model=None: ("onnxruntime", "numpy"))
    monkeypatch.setitem(sys.modules, "LowResSegLib.engine.onnx_runtime", None)
    monkeypatch.delattr(engine, "onnx_runtime", raising=False)
    assert engine.choose_backend("auto") == "numpy"
    with pytest.raises(BackendError, match="cannot be loaded"):
        engine.run(random_plan(np.random.default_rng(0)), np.zeros((2, 2, 2), np.uint8), "onnxruntime")


def test_operations_are_counted_at_their_resolution() -> None:
    ones = np.ones((2, 1, 3, 3, 3), np.int16)
    deep = np.ones((4, 2, 3, 3, 3), np.int8)
    limits = np.zeros(4, np.int32), np.ones(4, np.int32)
    layers = (
        Layer("image", (), 1),
        Layer("first", (0,), 2, ones, limits[0][:2], limits[1][:2]),
        Layer("max_pool", (1,), 2, factor=(2, 2, 2)),
        Layer("ternary", (2,), 4, deep, *limits),
    )
    assert Plan(layers, 1.0).operations_per_voxel() == 54 + 216 / 8
