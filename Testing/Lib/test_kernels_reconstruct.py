"""The native reconstruction gives numpy's labels, and refuses what does not fit."""

from __future__ import annotations

import ctypes
import itertools
from typing import Any

import numpy as np
import pytest

from LowResSegLib import kernels
from LowResSegLib.errors import Cancelled
from LowResSegLib.kernels.reconstruct import reconstruct as reconstruct_natively
from LowResSegLib.kernels.structures import Places, memory_of
from LowResSegLib.reconstruction import empty_labels, positions, reconstruct, reconstruct_in_numpy
from LowResSegLib.sampling import LowResolution, Orientation

pytestmark = pytest.mark.skipif(not kernels.available(), reason=f"no native kernels: {kernels.why_not()}")

ORIENTATIONS = [
    Orientation(axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]
BAD_ARGUMENT = 4
HUGE = (1 << 63) - 1


def low_resolution(
    used: tuple[int, ...],
    source: tuple[int, ...],
    spacings: tuple[int, ...],
    spacing: int,
    orientation: Orientation = ORIENTATIONS[0],
) -> LowResolution:
    return LowResolution(np.zeros(used, np.uint8), used, orientation, source, spacings, spacing)


def random_logits(rng: np.random.Generator, classes: int, grid: tuple[int, ...], kind: str) -> np.ndarray:
    """Logits: noise, with many ties, the largest ones, or regions of one label with rough borders."""
    shape = (classes, *grid)
    if kind == "noise":
        return rng.integers(-4095, 4096, shape).astype(np.int16)
    if kind == "ties":
        return rng.integers(-1, 2, shape).astype(np.int16)
    if kind == "extreme":
        return rng.choice(np.array([-4095, 4095], np.int16), shape)
    coarse = rng.integers(-4000, 4001, (classes, *(-(-n // 3) for n in grid)))
    coarse = coarse.repeat(3, 1).repeat(3, 2).repeat(3, 3)[(slice(None), *(slice(0, n) for n in grid))]
    return (coarse + rng.integers(-90, 91, shape)).clip(-4095, 4095).astype(np.int16)


def in_numpy(logits: np.ndarray, low: LowResolution) -> np.ndarray:
    """What `reconstruct` gives without the native kernels."""
    labels = empty_labels(low)
    sizes = zip(low.source_shape, low.source_spacing, low.size)
    places = [positions(source, spacing, used, low.spacing) for source, spacing, used in sizes]
    reconstruct_in_numpy(logits, low.size, places, low.orientation.apply(labels), lambda share: None)
    return labels


def compare(logits: np.ndarray, low: LowResolution, threads: int = 1) -> np.ndarray:
    found = reconstruct(logits, low, threads=threads)
    assert found.dtype == np.uint8 and found.flags.c_contiguous
    np.testing.assert_array_equal(found, in_numpy(logits, low))
    return found


@pytest.mark.parametrize("kind", ["noise", "ties", "extreme", "regions"])
@pytest.mark.parametrize("seed", range(40))
def test_any_logits_give_numpys_labels(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    grid = tuple(int(n) for n in rng.choice([1, 2, 3, 6, 11, 17], 3))
    used = tuple(int(rng.integers(max(1, n - 2), n + 1)) for n in grid)
    spacings = tuple(int(n) for n in rng.integers(3, 40, 3))
    # As sampling makes it, the grid covers the source; other sizes must do as well.
    covered = tuple(max(1, n * 16 // s) for n, s in zip(used, spacings))
    source = covered if seed % 3 else tuple(int(n) for n in rng.integers(1, 30, 3))
    classes = int(rng.choice([1, 2, 3, 4, 5, 8, 9, 18, 255]))
    low = low_resolution(used, source, spacings, 16, ORIENTATIONS[int(rng.integers(48))])
    compare(random_logits(rng, classes, grid, kind), low, threads=1 + seed % 5)


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
def test_all_orientations(orientation: Orientation) -> None:
    rng = np.random.default_rng(0)
    logits = random_logits(rng, 6, (7, 12, 9), "regions")
    low = low_resolution((7, 11, 9), (15, 13, 30), (9, 16, 5), 18, orientation)
    assert len(np.unique(compare(logits, low, threads=2))) > 3


@pytest.mark.parametrize(
    ("used", "source", "spacings"),
    [
        ((2, 3, 400), (3, 4, 900), (10, 10, 4)),  # rows longer than what is worked on at once
        ((2, 3, 2), (3, 4, 9000), (10, 10, 2)),  # and cells
        ((2, 3, 300), (2, 3, 9000), (10, 10, 1)),
        ((3, 2, 2), (4000, 3, 2), (1, 10, 10)),
        ((3, 2, 2), (900, 70, 60), (1, 1, 1)),
        ((2, 700, 2), (3, 4, 5), (10, 1000, 10)),  # a source far coarser than the grid
        ((40, 50, 60), (7, 9, 11), (60, 57, 58)),
        ((1, 1, 1), (9, 8, 7), (3, 3, 3)),
        ((1, 5, 1), (1, 9, 1), (3, 5, 3)),
    ],
)
@pytest.mark.parametrize("orientation", [ORIENTATIONS[0], ORIENTATIONS[7], ORIENTATIONS[45]], ids=str)
def test_any_sizes(
    used: tuple[int, ...], source: tuple[int, ...], spacings: tuple[int, ...], orientation: Orientation
) -> None:
    rng = np.random.default_rng(1)
    for kind in ("regions", "ties"):
        compare(random_logits(rng, 7, used, kind), low_resolution(used, source, spacings, 10, orientation), threads=2)


def test_numbers_of_threads_do_not_matter() -> None:
    logits = random_logits(np.random.default_rng(2), 5, (20, 21, 22), "regions")
    low = low_resolution((20, 21, 22), (40, 40, 40), (5, 5, 5), 10)
    labels = [reconstruct(logits, low, threads=threads) for threads in (1, 2, 7, 1000, None)]
    assert all((other == labels[0]).all() for other in labels[1:])


def test_logits_beyond_their_range_do_no_harm() -> None:
    logits = np.random.default_rng(3).choice(np.array([-32768, 32767], np.int16), (9, 6, 7, 8))
    assert reconstruct(logits, low_resolution((6, 7, 8), (13, 14, 15), (5, 5, 5), 10)).max() < 9


@pytest.mark.parametrize("step", [1, 2, -3])
def test_labels_are_written_in_their_places_alone(step: int) -> None:
    rng = np.random.default_rng(4)
    low = low_resolution((5, 6, 7), (9, 10, 11), (5, 5, 5), 10)
    logits = random_logits(rng, 4, (5, 6, 7), "regions")
    memory = np.full((30, 40, 50), 77, np.uint8)
    part = memory[2:30:3, 4:34:3, 5:38:3][:9, :10, :11].transpose(2, 0, 1)[:: 1 if step > 0 else -1]
    if abs(step) == 2:
        part = memory[2:11, 4:14, 5:16]
    view = part if part.shape == (9, 10, 11) else part.transpose(1, 2, 0)
    places = [positions(n, s, m, 10) for n, s, m in zip(low.source_shape, low.source_spacing, low.size)]
    reconstruct_natively(logits, low.size, places, view, lambda share: None, 2)
    np.testing.assert_array_equal(view, in_numpy(logits, low))
    view[:] = 77
    assert (memory == 77).all()


class Call:
    """A good call of `lrs_reconstruct_start`, whose arguments a test spoils."""

    def __init__(self) -> None:
        self.logits = random_logits(np.random.default_rng(5), 3, (4, 5, 6), "noise")
        self.labels = np.full((7, 8, 9), 200, np.uint8)
        pairs = [positions(n, 5, m, 10) for n, m in zip(self.labels.shape, (4, 4, 5))]
        self.before = [np.ascontiguousarray(before, np.int32) for before, _ in pairs]
        self.weight = [weight.astype(np.uint8) for _, weight in pairs]
        self.input, self.input_bytes = self.logits.ctypes.data, self.logits.nbytes
        self.classes, self.threads = 3, 1
        self.grid: Any = (ctypes.c_int32 * 3)(4, 5, 6)
        self.used: Any = (ctypes.c_int32 * 3)(4, 4, 5)
        self.output, self.output_bytes, self.layout = memory_of(self.labels)
        arrays = zip(self.before, self.weight)
        self.places: Any = (Places * 3)(*(Places(b.ctypes.data, b.nbytes, w.ctypes.data, w.nbytes) for b, w in arrays))

    def start(self) -> int:
        job = ctypes.c_void_p()
        status = kernels.library().lrs_reconstruct_start(
            self.input,
            self.input_bytes,
            self.classes,
            self.grid,
            self.used,
            self.places,
            self.output,
            self.output_bytes,
            None if self.layout is None else ctypes.byref(self.layout),
            self.threads,
            ctypes.byref(job),
        )
        if status:
            assert not job
        else:
            kernels.run_job(job, lambda share: None)
        return status


SPOILED: dict[str, Any] = {
    **{f"no {name}": lambda call, name=name: setattr(call, name, None) for name in ("input", "grid", "used", "places")},
    **{f"no {name}": lambda call, name=name: setattr(call, name, None) for name in ("output", "layout")},
    "odd address": lambda call: setattr(call, "input", call.input + 1),
    "logits too short": lambda call: setattr(call, "input_bytes", call.input_bytes - 2),
    "logits too long": lambda call: setattr(call, "input_bytes", call.input_bytes + 2),
    "no logits": lambda call: setattr(call, "input_bytes", 0),
    "labels too short": lambda call: setattr(call, "output_bytes", call.output_bytes - 1),
    "no labels": lambda call: setattr(call, "output_bytes", 0),
    "no threads": lambda call: setattr(call, "threads", 0),
    "negative threads": lambda call: setattr(call, "threads", -1),
    "first": lambda call: setattr(call.layout, "first", 1),
    "negative first": lambda call: setattr(call.layout, "first", -1),
    "far first": lambda call: setattr(call.layout, "first", HUGE),
    "before too short": lambda call: setattr(call.places[0], "before_bytes", call.places[0].before_bytes - 4),
    "before too long": lambda call: setattr(call.places[0], "before_bytes", call.places[0].before_bytes + 1),
    "weight too short": lambda call: setattr(call.places[1], "weight_bytes", call.places[1].weight_bytes - 1),
    "no before": lambda call: setattr(call.places[2], "before", None),
    "no weight": lambda call: setattr(call.places[2], "weight", None),
    "weight": lambda call: call.weight[2].__setitem__(3, 65),
    "large weight": lambda call: call.weight[0].__setitem__(-1, 255),
    "negative before": lambda call: call.before[0].__setitem__(0, -1),
    "before beyond the part that is used": lambda call: call.before[1].__setitem__(-1, 4),
    "before far beyond": lambda call: call.before[2].__setitem__(-1, (1 << 31) - 1),
    "before decreases": lambda call: call.before[2].__setitem__(-1, 0),
    "voxels that share a place": lambda call: setattr(call.layout, "strides", (72, 9, 0)),
    "rows that overlap": lambda call: setattr(call.layout, "strides", (72, 8, 1)),
    "slices that overlap": lambda call: setattr(call.layout, "strides", (71, 9, 1)),
    **{f"{n} classes": lambda call, n=n: setattr(call, "classes", n) for n in (0, -1, 2, 4, 256, (1 << 31) - 1)},
    **{
        f"{name} {size} along axis {axis}": lambda call, name=name, axis=axis, size=size: getattr(
            call, name
        ).__setitem__(axis, size)
        for name in ("grid", "used")
        for axis in range(3)
        for size in (0, -1, 7, (1 << 31) - 1)
    },
    **{
        f"stride {stride} of axis {axis}": lambda call, axis=axis, stride=stride: call.layout.strides.__setitem__(
            axis, stride
        )
        for axis in range(3)
        for stride in (100, -1, 1 << 40, HUGE, -HUGE - 1)
    },
    **{
        f"{size} voxels along axis {axis}": lambda call, axis=axis, size=size: call.layout.shape.__setitem__(axis, size)
        for axis in range(3)
        for size in (0, -1, 6, 10, (1 << 31) - 1)
    },
}


def test_a_good_call_is_good() -> None:
    call = Call()
    assert call.start() == 0
    assert call.labels.max() == 2


@pytest.mark.parametrize("name", SPOILED)
def test_garbage_is_refused(name: str) -> None:
    call = Call()
    SPOILED[name](call)
    assert call.start() == BAD_ARGUMENT
    assert (call.labels == 200).all()


def test_it_can_be_cancelled() -> None:
    logits = random_logits(np.random.default_rng(6), 18, (40, 40, 40), "noise")
    low = low_resolution((40, 40, 40), (200, 200, 200), (2, 2, 2), 10)

    def stop(share: float) -> None:
        raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        reconstruct(logits, low, stop)
    shares: list[float] = []
    reconstruct(logits, low, shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0
