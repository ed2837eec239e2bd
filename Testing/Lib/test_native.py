"""The bit-plane engine gives the oracle's integers: every operation, instruction set and number of threads."""

from __future__ import annotations

import ctypes
import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import random_plan

from LowResSegLib import engine, kernels
from LowResSegLib.engine import native, reference
from LowResSegLib.errors import BackendError
from LowResSegLib.model import Layer, Plan, load_model

pytestmark = pytest.mark.skipif(not kernels.available(), reason=f"native kernels: {kernels.why_not()}")

EDGES = st.sampled_from([1, 3, 5])


def nothing(share: float) -> None:
    """No one looks at the progress."""


def assert_exact(plan: Plan, grid: np.ndarray, threads: tuple[int, ...] = (1, 2, 5)) -> None:
    oracle = reference.run(plan, grid, nothing)
    for instruction_set in kernels.instruction_sets():
        for count in threads:
            found = native.run(plan, grid, count, nothing, instruction_set)
            np.testing.assert_array_equal(found, oracle, f"{instruction_set}, {count} threads")


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(1, 20),
    widths=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    blocks=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 20)),
    kernel=st.tuples(EDGES, EDGES, EDGES),
    last_kernel=st.tuples(st.sampled_from([1, 3]), EDGES, EDGES),
    factor=st.tuples(*[st.sampled_from([1, 2])] * 3).filter(lambda factor: max(factor) == 2),
    zeros=st.sampled_from([0.0, 0.3, 0.5, 0.9, 0.99, 1.0]),
    strided=st.booleans(),
)
def test_any_network_equals_the_oracle(
    seed: int,
    classes: int,
    widths: list[int],
    blocks: tuple[int, int, int],
    kernel: tuple[int, int, int],
    last_kernel: tuple[int, int, int],
    factor: tuple[int, int, int],
    zeros: float,
    strided: bool,
) -> None:
    rng = np.random.default_rng(seed)
    plan = random_plan(
        rng,
        classes,
        tuple(widths),
        kernel=kernel,
        factor=factor,
        zeros=zeros,
        strided=strided,
        last_kernel=last_kernel,
    )
    shape = [block * f ** (len(widths) - 1) for block, f in zip(blocks, factor)]
    assert_exact(plan, rng.integers(0, 128, shape).astype(np.uint8), (1, 3))


@pytest.mark.parametrize("width", [1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 300])
def test_rows_of_any_width(width: int) -> None:
    rng = np.random.default_rng(width)
    plan = random_plan(rng, 3, (6, 5), factor=(2, 2, 1), kernel=(3, 3, 5), last_kernel=(1, 3, 5))
    assert_exact(plan, rng.integers(0, 128, (4, 6, width)).astype(np.uint8))


@pytest.mark.parametrize("shape", [(6, 10, 100), (12, 4, 60), (2, 90, 20), (1, 1, 700)])
def test_grids_with_and_without_padding_rows(shape: tuple[int, int, int]) -> None:
    """Where rows of padding are few they spare masks; kernels reach over them, and over the ends of slices."""
    rng = np.random.default_rng(shape[2])
    plan = random_plan(rng, 2, (5,), kernel=(3, 5, 3), last_kernel=(3, 3, 5))
    assert_exact(plan, rng.integers(0, 128, shape).astype(np.uint8), (1, 3))


def deep_plan(rng: np.random.Generator, incoming: int, channels: int, kernel: tuple[int, int, int], fill: int) -> Plan:
    """One ternary convolution of many channels whose weights are all `fill`, or random where that is 9."""
    first = np.full((incoming, 1, 1, 1, 1), 63, np.int16)
    limits = rng.integers(0, 4000, incoming).astype(np.int32)
    shape = (channels, incoming, *kernel)
    weights = rng.integers(-1, 2, shape) if fill == 9 else np.full(shape, fill)
    reach = np.abs(weights).reshape(channels, -1).sum(1)
    # At the ends of what sums can reach, and one beyond.
    ends = np.stack([-reach - 1, -reach, reach - 1, reach, reach + 1, np.zeros_like(reach)], 1)
    lower = ends[np.arange(channels), rng.integers(0, 6, channels)]
    upper = np.clip(lower + rng.integers(1, 4, channels), -reach, reach + 2)
    lower = np.minimum(lower, upper - 1)
    last = rng.integers(-9, 10, (2, channels, 1, 1, 1))
    layers = (
        Layer("image", (), 1),
        Layer("first", (0,), incoming, first, limits, limits + 2000),
        Layer("ternary", (1,), channels, weights.astype(np.int8), lower.astype(np.int32), upper.astype(np.int32)),
        Layer("logits", (2,), 2, last.astype(np.int16), offset=np.zeros(2, np.int32)),
    )
    return Plan(layers, 1.0)


@pytest.mark.parametrize("fill", [-1, 0, 1, 9])
@pytest.mark.parametrize(("incoming", "channels"), [(1, 1), (9, 3), (10, 300), (130, 17), (400, 2)])
def test_sums_and_thresholds_at_their_ends(incoming: int, channels: int, fill: int) -> None:
    rng = np.random.default_rng(incoming + channels)
    plan = deep_plan(rng, incoming, channels, (3, 3, 3), fill)
    for grid in (rng.integers(0, 128, (3, 4, 9)), np.zeros((3, 4, 9)), np.full((3, 4, 9), 127)):
        assert_exact(plan, grid.astype(np.uint8), (1, 4))


def test_a_layer_that_is_read_again_much_later() -> None:
    """The places of tensors in memory are planned: a skip through two concatenations has to stay whole."""
    rng = np.random.default_rng(5)
    plan = random_plan(rng, 3, (4,))
    layers = list(plan.layers[:-1])

    def add(operation: str, inputs: tuple[int, ...], channels: int, **more: Any) -> int:
        layers.append(Layer(operation, inputs, channels, **more))
        return len(layers) - 1

    def convolution(source: int, channels: int) -> int:
        shape = (channels, layers[source].channels, 3, 3, 3)
        limits = {"lower": np.full(channels, -1, np.int32), "upper": np.full(channels, 1, np.int32)}
        return add("ternary", (source,), channels, weights=rng.integers(-1, 2, shape).astype(np.int8), **limits)

    a = convolution(1, 5)
    joined = add("concatenate", (a, 1), 9)
    b = convolution(joined, 6)
    small = add("max_pool", (b,), 6, factor=(1, 2, 2))
    back = add("upsample", (convolution(small, 7),), 7, factor=(1, 2, 2))
    twice = add("concatenate", (joined, back, a), 21)
    last = convolution(twice, 4)
    add("logits", (last,), 3, weights=rng.integers(-9, 10, (3, 4, 1, 1, 1)).astype(np.int16), offset=np.zeros(3, "i4"))
    assert_exact(Plan(tuple(layers), 1.0), rng.integers(0, 128, (5, 6, 10)).astype(np.uint8))


def test_the_bundled_model_on_every_instruction_set(rng: np.random.Generator) -> None:
    coarse = rng.integers(0, 128, (4, 5, 4))
    grid = coarse.repeat(6, 0).repeat(8, 1).repeat(10, 2).astype(np.uint8)
    assert_exact(load_model("brain").plan, grid, (2,))


def test_progress_rises_and_can_stop(rng: np.random.Generator) -> None:
    plan, grid = load_model("brain").plan, np.zeros((64, 64, 64), np.uint8)
    shares: list[float] = []
    native.run(plan, grid, 1, shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0

    def stop(share: float) -> None:
        if share > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        native.run(plan, np.zeros((128, 128, 128), np.uint8), 1, stop, kernels.instruction_sets()[0])


def test_cancel_ends_a_run_soon() -> None:
    """The slowest instruction set and the largest items; the bound is wide, for machines that have other work."""
    library, plan = kernels.library(), load_model("brain").plan
    grid = np.zeros((160, 160, 160), np.uint8)
    logits = np.empty((plan.classes, *grid.shape), np.int16)
    job = ctypes.c_void_p()
    status = library.lrs_network_start(
        native._network(plan), (ctypes.c_int32 * 3)(*grid.shape), grid.ctypes.data, grid.nbytes,
        logits.ctypes.data, logits.nbytes, 1, 0, ctypes.byref(job),
    )  # fmt: skip
    kernels.check(status)
    library.lrs_job_wait(job, 300, None)
    began = time.perf_counter()
    library.lrs_job_cancel(job)
    status = library.lrs_job_wait(job, 20_000, None)
    seconds = time.perf_counter() - began
    library.lrs_job_free(job)
    assert status == 2
    assert seconds < 5


def test_runs_at_once_do_not_disturb_each_other() -> None:
    plans = [random_plan(np.random.default_rng(seed), 3, (5, 7)) for seed in range(4)]
    grids = [np.random.default_rng(seed).integers(0, 128, (8, 8, 20)).astype(np.uint8) for seed in range(4)]
    oracles = [reference.run(plan, grid, nothing) for plan, grid in zip(plans, grids)]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(20):
            if not np.array_equal(native.run(plans[index], grids[index], 2, nothing), oracles[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_memory_is_planned_ahead() -> None:
    plan = load_model("brain").plan
    small, large = (native.memory(plan, (edge,) * 3, 2) for edge in (64, 128))
    assert 0 < small < large < 60e6
    assert native.memory(plan, (64, 64, 63), 2) == 0  # not a size that the network takes


def test_what_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = random_plan(np.random.default_rng(0))
    with pytest.raises(BackendError, match="instruction set 'mmx'"):
        native.run(plan, np.zeros((2, 2, 2), np.uint8), 1, nothing, "mmx")
    with pytest.raises(BackendError, match="sizes or numbers"):
        native.run(plan, np.zeros((3, 2, 2), np.uint8), 1, nothing)
    monkeypatch.setattr(kernels, "_load", lambda: (None, "they are on holiday"))
    with pytest.raises(BackendError, match="on holiday"):
        engine.choose_backend("native")
    assert engine.choose_backend("auto") != "native"


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_networks_give_an_error_or_run(seed: int) -> None:
    """Bytes that are wrong anywhere: refused, or a network that runs within its arrays."""
    rng = np.random.default_rng(seed)
    content = bytearray(native.network_bytes(random_plan(rng, 3, (3, 4))))
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(len(content)))
        kind = rng.integers(4)
        if kind == 0:
            content[place] = int(rng.integers(256))
        elif kind == 1:
            del content[place : place + int(rng.integers(1, 9))]
        elif kind == 2:
            content[place:place] = bytes(rng.integers(0, 256, int(rng.integers(1, 9))).astype(np.uint8))
        else:
            start = place // 4 * 4
            content[start : start + 4] = int(rng.choice([-1, 0, 2**31 - 1, -(2**31), 4096, 1 << 20])).to_bytes(
                4, "little", signed=True
            )
    library, network, job = kernels.library(), ctypes.c_void_p(), ctypes.c_void_p()
    status = library.lrs_network_read(bytes(content), len(content), ctypes.byref(network))
    if status != 0:
        assert network.value is None
        return
    grid, logits = np.zeros((4, 4, 4), np.uint8), np.empty((3, 4, 4, 4), np.int16)
    status = library.lrs_network_start(
        network, (ctypes.c_int32 * 3)(4, 4, 4), grid.ctypes.data, grid.nbytes, logits.ctypes.data, logits.nbytes,
        2, -1, ctypes.byref(job),
    )  # fmt: skip
    if status == 0:
        kernels.run_job(job, nothing)
    library.lrs_network_free(network)
