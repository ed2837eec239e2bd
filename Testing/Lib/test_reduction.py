"""Labels of reduced logits are those of the full ones, and damaged ones are refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from data import brain_scan
from hypothesis import given, settings
from hypothesis import strategies as st

from LowResSegLib import kernels, load_model
from LowResSegLib.engine import choose_backend
from LowResSegLib.errors import Cancelled, InputError
from LowResSegLib.inference import logits_of, sample_grids
from LowResSegLib.reconstruction import reconstruct
from LowResSegLib.reduction import Reduced, reduce, restore
from LowResSegLib.sampling import LowResolution, Orientation
from LowResSegLib.volume import read_volume

KINDS = ("noise", "ties", "extreme", "regions", "smooth")


def random_logits(rng: np.random.Generator, classes: int, grid: tuple[int, ...], kind: str) -> np.ndarray:
    shape = (classes, *grid)
    if kind == "noise":
        return rng.integers(-4095, 4096, shape).astype(np.int16)
    if kind == "ties":
        return rng.integers(-1, 2, shape).astype(np.int16)
    if kind == "extreme":
        return rng.choice(np.array([-4095, 4095], np.int16), shape)
    if kind == "smooth":  # linear along each axis, so that borders run through cells at every angle
        ramps = sum(
            rng.integers(-900, 901, (classes, 1, 1, 1))
            * np.arange(n).reshape([-1 if a == axis else 1 for a in range(3)])
            for axis, n in enumerate(grid)
        )
        return (ramps + rng.integers(-2000, 2001, (classes, 1, 1, 1))).clip(-4095, 4095).astype(np.int16)
    coarse = rng.integers(-4000, 4001, (classes, *(-(-n // 3) for n in grid)))
    coarse = coarse.repeat(3, 1).repeat(3, 2).repeat(3, 3)[(slice(None), *(slice(0, n) for n in grid))]
    return (coarse + rng.integers(-90, 91, shape)).clip(-4095, 4095).astype(np.int16)


def on_source(logits: np.ndarray, size: tuple[int, ...], source: tuple[int, ...], spacings: Any) -> np.ndarray:
    low = LowResolution(
        np.zeros(logits.shape[1:], np.uint8), size, Orientation((0, 1, 2), (False,) * 3), source, spacings, 16
    )
    return reconstruct(logits, low, threads=1)


sizes = st.tuples(*[st.integers(1, 9)] * 3)


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.sampled_from([1, 2, 3, 4, 7, 8, 9, 18, 40, 255]),
    kind=st.sampled_from(KINDS),
    size=sizes,
    padding=st.tuples(*[st.integers(0, 2)] * 3),
    source=st.tuples(*[st.integers(1, 24)] * 3),
    spacings=st.tuples(*[st.integers(2, 40)] * 3),  # nanometres, of a grid of 16: finer and coarser than the grid
)
def test_labels_are_those_of_the_full_logits(
    seed: int, classes: int, kind: str, size: Any, padding: Any, source: Any, spacings: Any
) -> None:
    grid = tuple(n + more for n, more in zip(size, padding))
    logits = random_logits(np.random.default_rng(seed), classes, grid, kind)
    before = logits.copy()
    reduced = reduce(logits, size, threads=1)
    restored = restore(reduced)
    assert restored.shape == (classes, *size) and 0 <= restored.min() <= restored.max() == 8191
    np.testing.assert_array_equal(logits, before)
    np.testing.assert_array_equal(
        on_source(restored, size, source, spacings), on_source(logits, size, source, spacings)
    )


few_and_many = st.one_of(
    st.tuples(
        st.sampled_from([1, 2, 8, 16, 17, 18, 33]), st.tuples(st.integers(1, 20), st.integers(1, 5), st.integers(1, 40))
    ),
    st.tuples(st.just(255), st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 20))),
)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes_and_size=few_and_many,
    kind=st.sampled_from(KINDS),
    threads=st.integers(1, 4),
)
@pytest.mark.skipif(not kernels.available(), reason="no native kernel for it")
def test_native_kernels_find_gather_and_restore_what_numpy_does(
    seed: int, classes_and_size: Any, kind: str, threads: int
) -> None:
    classes, size = classes_and_size
    logits = random_logits(np.random.default_rng(seed), classes, tuple(n + 1 for n in size), kind)
    reduced = reduce(logits, size, threads)
    restored = restore(reduced, threads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "available", lambda: False)
        wanted = reduce(logits, size)
        again = restore(wanted)
    for field in dataclasses.fields(Reduced):
        np.testing.assert_array_equal(getattr(reduced, field.name), getattr(wanted, field.name), field.name)
    np.testing.assert_array_equal(restored, again)


def test_a_class_is_kept_just_where_it_can_win() -> None:
    logits = np.zeros((3, 1, 1, 4), np.int16)
    logits[0, 0, 0], logits[1, 0, 0], logits[2, 0, 0] = (9, 9, 0, 0), (0, 0, 9, 9), (8, 8, 8, -1)
    reduced = reduce(logits, (1, 1, 4))
    np.testing.assert_array_equal(reduced.winners.ravel(), [0, 0, 1, 1])
    np.testing.assert_array_equal(reduced.mixed.ravel(), [False, True, True, False])
    np.testing.assert_array_equal(reduced.lists, [[0b110, 0b101]])  # at the corners (9, 0, 8) and (0, 9, 8) all can win
    np.testing.assert_array_equal(reduced.below, [9, 9, 1, 1])


def test_a_tie_is_the_lower_classs() -> None:
    # Everywhere as great as class 0, class 1 wins nowhere; class 2 does, as it is greater on one side.
    logits = np.array([[5, 5], [5, 5], [5, 6]], np.int16).reshape(3, 1, 1, 2)
    reduced = reduce(logits, (1, 1, 2))
    np.testing.assert_array_equal(reduced.lists, [[0b100, 0b001]])


def test_real_logits_get_small_and_keep_their_labels() -> None:
    volume, model = read_volume(brain_scan("example_brain_t1")), load_model("brain")
    low = sample_grids(volume, model, 1, lambda share: None)[0]
    logits = logits_of(model, [low.grid], 1, choose_backend("auto", model), None, lambda share: None)
    reduced = reduce(logits, low.size)
    parts = (reduced.winners, np.packbits(reduced.mixed), reduced.lists, reduced.below)
    assert sum(part.nbytes for part in parts) < logits.nbytes / 8
    labels = reconstruct(logits, low)
    assert len(np.unique(labels)) > 10
    np.testing.assert_array_equal(reconstruct(restore(reduced), low), labels)


@pytest.mark.parametrize("threads", [1, 2, 2**31 - 1])
def test_any_number_of_threads_is_taken_and_progress_never_goes_back(rng: np.random.Generator, threads: int) -> None:
    """Where nearly all is left, as of noise, there is too little room at first, and the kernels run again."""
    logits, told = random_logits(rng, 18, (30, 31, 32), "noise"), [0.0]
    found = reduce(logits, (30, 31, 32), threads, told.append)
    assert told == sorted(told) and told[-1] == 1.0
    assert len(found.below) > 4 * found.winners.size and found.mixed.all()


def test_it_can_be_stopped() -> None:
    def stop(share: float) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        reduce(np.zeros((2, 3, 3, 3), np.int16), (3, 3, 3), step=stop)


@pytest.fixture
def reduced(rng: np.random.Generator) -> Reduced:
    return reduce(random_logits(rng, 9, (5, 6, 7), "regions"), (5, 6, 7))


DAMAGES: dict[str, Any] = {
    "a voxel is no longer mixed": lambda r: {"mixed": r.mixed & (np.cumsum(r.mixed).reshape(r.mixed.shape) > 1)},
    "a value is missing": lambda r: {"below": r.below[:-1]},
    "a value is too large": lambda r: {
        "below": np.where(np.arange(r.below.size) == 3, 8191, r.below).astype(np.uint16)
    },
    "values of another type": lambda r: {"below": r.below.astype(np.int16)},
    "a winner beyond the classes": lambda r: {"winners": np.maximum(r.winners, 9)},
    "a class beyond the classes": lambda r: {"lists": r.lists | np.array([[0], [4]], np.uint8)},
    "a winner that is listed": lambda r: {
        "lists": np.full_like(r.lists, 255) & np.array([[255], [1]], np.uint8),
        "below": np.zeros(9 * r.lists.shape[1], np.uint16),
    },
    "no classes": lambda r: {"classes": 0},
    "another shape": lambda r: {"winners": r.winners[1:]},
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("way", ["native", "numpy"])
def test_damaged_parts_are_refused(reduced: Reduced, damage: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "numpy":
        monkeypatch.setattr(kernels, "available", lambda: False)
    elif not kernels.available():
        pytest.skip("no native kernel for it")
    assert restore(reduced).shape == (9, 5, 6, 7)
    with pytest.raises(InputError, match="damaged"):
        restore(dataclasses.replace(reduced, **DAMAGES[damage](reduced)))
