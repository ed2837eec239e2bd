"""The native resampling gives numpy's bits, and refuses what does not fit."""

from __future__ import annotations

import ctypes
import itertools
from typing import Any, Optional

import numpy as np
import pytest
from plans import random_volume

from LowResSegLib import kernels, sampling
from LowResSegLib.errors import Cancelled
from LowResSegLib.kernels.resample import resample
from LowResSegLib.kernels.structures import Layout, Taps, memory_of
from LowResSegLib.sampling import GridSettings, Normalisation, Orientation, resample_in_numpy

pytestmark = pytest.mark.skipif(not kernels.available(), reason=f"no native kernels: {kernels.why_not()}")

TYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"]
OTHER_TYPES = ["bool", "int64", "uint64", "float16", ">i2", ">f4"]
BAD_ARGUMENT = 4


def random_array(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Numbers of the whole range of a type, or of a part of it that rounds often."""
    number = np.dtype(kind)
    if number.kind == "f":
        return (rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4)).astype(number)
    if number.kind == "b":
        return rng.random(shape) < 0.5
    info = np.iinfo(number)
    values = rng.integers(info.min, info.max, shape, number.newbyteorder("="), endpoint=True)
    return values.astype(number)


def random_view(rng: np.random.Generator, array: np.ndarray, steps: bool = False) -> np.ndarray:
    """The array's axes in another order and another sense, perhaps with gaps."""
    flips = tuple(slice(None, None, int(rng.choice([-2, -1, 1, 2] if steps else [-1, 1]))) for _ in range(3))
    return array.transpose(rng.permutation(3))[flips]


def compare(
    array: np.ndarray,
    ratios: tuple[float, ...],
    window: Optional[tuple[float, float]] = None,
    threads: int = 1,
    size: Optional[tuple[int, ...]] = None,
) -> None:
    size = size or tuple(max(1, int(np.ceil(n / ratio))) for n, ratio in zip(array.shape, ratios))
    taps = [sampling._taps(n, m, ratio) for n, m, ratio in zip(array.shape, size, ratios)]
    with np.errstate(all="ignore"):
        expected = resample_in_numpy(array, taps, window, lambda share: None)
        found = resample(array, taps, window, lambda share: None, threads)
    assert found.dtype == np.float32 and found.shape == size
    there = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(found), ~there)
    np.testing.assert_array_equal(found.view(np.uint32)[there], expected.view(np.uint32)[there])


@pytest.mark.parametrize("seed", range(60))
def test_any_array_gives_numpys_bits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.choice([1, 2, 3, 9, 17, 30, 41], 3))
    array = random_view(rng, random_array(rng, shape, (TYPES + OTHER_TYPES)[seed % 14]), steps=seed % 3 == 0)
    ratios = tuple(float(rng.choice([0.21, 0.5, 0.93, 1.0, 1.31, 2.0, 2.6, 7.7])) for _ in range(3))
    window = None if seed % 2 else (-100.25, 77.5)
    compare(array, ratios, window, threads=1 + seed % 5)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_all_orientations_of_all_types(kind: str, axes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(kind))
    array = random_array(rng, (21, 19, 23), kind).transpose(axes)
    for flips in itertools.product((-1, 1), repeat=3):
        compare(array[tuple(slice(None, None, flip) for flip in flips)], (2.0, 1.7, 2.3), threads=2)


@pytest.mark.parametrize(
    ("shape", "ratios"),
    [
        ((40, 75, 90), (1.3, 1.1, 0.9)),  # several tiles along every axis
        ((3, 4, 9000), (1.0, 1.0, 0.7)),  # rows that are wider than a tile
        ((9000, 4, 3), (2.3, 1.0, 1.0)),
        ((4, 9000, 3), (1.0, 2.3, 1.0)),
        ((70, 60, 500), (16.0, 16.0, 16.0)),  # many source values for each result
        ((300, 300, 40), (300.0, 300.0, 40.0)),  # all of them
        ((5, 400, 500), (5.0, 400.0, 0.8)),
        ((2000, 2, 2), (1500.0, 1.0, 1.0)),
    ],
)
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (0, 2, 1)])
def test_tiles_of_any_size(shape: tuple[int, ...], ratios: tuple[float, ...], axes: tuple[int, ...]) -> None:
    array = random_array(np.random.default_rng(1), tuple(np.take(shape, axes)), "int16")
    compare(array.transpose(np.argsort(axes)), ratios, threads=2)


def test_numbers_that_are_not_finite_spread_as_in_numpy() -> None:
    rng = np.random.default_rng(2)
    array = rng.normal(size=(12, 14, 15))
    array[3, 4, 5], array[8, 2, 3], array[9, 9, 9], array[0, 0, 0] = np.inf, np.nan, 1e300, -1e300
    single = np.where(np.abs(array) > 1e30, np.inf, array).astype(np.float32)
    for window in (None, (-1.0, 1.0)):
        compare(array, (1.9, 1.3, 2.2), window)
        compare(single, (0.4, 1.0, 0.7), window)


def test_the_sign_of_zero_is_numpys() -> None:
    array = np.random.default_rng(3).choice(np.array([-0.0, 0.0, -1e-45, 1e-45, 1.0], np.float32), (9, 10, 11))
    compare(array, (1.0, 1.0, 1.0))
    compare(array, (1.5, 0.7, 2.0))


def test_arrays_that_cannot_be_read_in_place_are_copied() -> None:
    rng = np.random.default_rng(4)
    raw = rng.integers(0, 256, 2 * 6 * 7 * 8 + 1, np.uint8)
    compare(raw[1:].view(np.int16).reshape(6, 7, 8), (1.5, 1.5, 1.5))  # not aligned
    record = np.zeros((6, 7, 8), [("flag", "u1"), ("value", "<i2")])
    record["value"] = rng.integers(-5, 5, record.shape)
    compare(record["value"], (1.5, 1.5, 1.5))
    compare(np.broadcast_to(np.arange(8, dtype=np.int16), (6, 7, 8)), (1.5, 1.5, 1.5))
    read_only = rng.integers(0, 9, (6, 7, 8))
    read_only.flags.writeable = False
    compare(read_only, (1.5, 1.5, 1.5))


@pytest.mark.parametrize("kind", ["foreground", "window"])
@pytest.mark.parametrize("threads", [1, 3, None])
def test_sampling_is_the_same_with_and_without_the_library(
    kind: str, threads: Optional[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    normalisation = Normalisation() if kind == "foreground" else Normalisation("window", 20.0, 700.5)
    volume = random_volume(rng, (33, 28, 41))
    found = sampling.sample(volume, GridSettings(1.6, "LIP", 4), normalisation, threads=threads)
    monkeypatch.setattr(kernels, "available", lambda: False)
    expected = sampling.sample(volume, GridSettings(1.6, "LIP", 4), normalisation)
    np.testing.assert_array_equal(found.grid, expected.grid)
    assert len(np.unique(found.grid)) > 50 and found.orientation != Orientation((0, 1, 2), (False,) * 3)


class Call:
    """A good call of `lrs_resample_start`, whose arguments a test spoils."""

    def __init__(self) -> None:
        self.array = np.random.default_rng(7).integers(-9, 9, (4, 5, 6)).astype(np.int16)
        taps = [sampling._taps(n, m, r) for n, m, r in zip(self.array.shape, (3, 3, 4), (1.5, 2.0, 1.4))]
        self.index = [np.ascontiguousarray(i, np.int32) for i, _ in taps]
        self.weight = [w for _, w in taps]
        self.result = np.zeros((3, 3, 4), np.float32)
        self.source, self.source_bytes, self.layout = memory_of(self.array)
        self.source_type, self.clip, self.threads = 2, None, 1
        self.output, self.output_bytes = self.result.ctypes.data, self.result.nbytes
        pairs = zip(self.index, self.weight)
        self.taps: Any = (Taps * 3)(
            *(Taps(i.ctypes.data, i.nbytes, w.ctypes.data, w.nbytes, *i.shape) for i, w in pairs)
        )

    def start(self) -> int:
        job = ctypes.c_void_p()
        layout = None if self.layout is None else ctypes.byref(self.layout)
        status = kernels.library().lrs_resample_start(
            self.source,
            self.source_bytes,
            self.source_type,
            layout,
            self.taps,
            self.clip,
            self.output,
            self.output_bytes,
            self.threads,
            ctypes.byref(job),
        )
        if status:
            assert not job
        else:
            kernels.run_job(job, lambda share: None)
        return status


def floats(*numbers: float) -> Any:
    return (ctypes.c_float * len(numbers))(*numbers)


HUGE = (1 << 63) - 1
SPOILED: dict[str, Any] = {
    "no source": lambda call: setattr(call, "source", None),
    "no result": lambda call: setattr(call, "output", None),
    "no layout": lambda call: setattr(call, "layout", None),
    "no taps": lambda call: setattr(call, "taps", None),
    "odd address": lambda call: setattr(call, "source", call.source + 1),
    "odd result": lambda call: setattr(call, "output", call.output + 2),
    "source too short": lambda call: setattr(call, "source_bytes", call.source_bytes - 2),
    "no bytes": lambda call: setattr(call, "source_bytes", 0),
    "type": lambda call: setattr(call, "source_type", 8),
    "negative type": lambda call: setattr(call, "source_type", -1),
    "a larger type": lambda call: setattr(call, "source_type", 4),
    "result too short": lambda call: setattr(call, "output_bytes", call.output_bytes - 4),
    "result too long": lambda call: setattr(call, "output_bytes", call.output_bytes + 4),
    "no threads": lambda call: setattr(call, "threads", 0),
    "negative threads": lambda call: setattr(call, "threads", -(1 << 31)),
    "clip upside down": lambda call: setattr(call, "clip", floats(1, -1)),
    "clip is no number": lambda call: setattr(call, "clip", floats(float("nan"), 1)),
    "first": lambda call: setattr(call.layout, "first", 1),
    "negative first": lambda call: setattr(call.layout, "first", -1),
    "far first": lambda call: setattr(call.layout, "first", HUGE),
    "no index": lambda call: setattr(call.taps[1], "index", None),
    "no weight": lambda call: setattr(call.taps[1], "weight", None),
    "index too short": lambda call: setattr(call.taps[2], "index_bytes", call.taps[2].index_bytes - 4),
    "weight too short": lambda call: setattr(call.taps[2], "weight_bytes", call.taps[2].weight_bytes - 4),
    "size": lambda call: setattr(call.taps[0], "size", 4),
    "no size": lambda call: setattr(call.taps[0], "size", 0),
    "negative size": lambda call: setattr(call.taps[0], "size", -3),
    "huge size": lambda call: setattr(call.taps[0], "size", (1 << 31) - 1),
    "no taps of an axis": lambda call: setattr(call.taps[0], "taps", 0),
    "huge taps": lambda call: setattr(call.taps[0], "taps", (1 << 31) - 1),
    "negative index": lambda call: call.index[1].__setitem__((0, 0), -1),
    "index beyond the end": lambda call: call.index[2].__setitem__((-1, -1), 6),
    "huge index": lambda call: call.index[0].__setitem__((-1, -1), (1 << 31) - 1),
    "index decreases": lambda call: call.index[2].__setitem__((1, 0), 5),
    **{
        f"stride {stride} of axis {axis}": lambda call, axis=axis, stride=stride: call.layout.strides.__setitem__(
            axis, stride
        )
        for axis in range(3)
        for stride in (31, -1, 1 << 40, HUGE, -HUGE - 1)
    },
    **{
        f"{size} voxels along axis {axis}": lambda call, axis=axis, size=size: call.layout.shape.__setitem__(axis, size)
        for axis in range(3)
        for size in (0, -1, 100, (1 << 31) - 1)
    },
}


def test_a_good_call_is_good() -> None:
    call = Call()
    assert call.start() == 0
    assert call.result.any()


@pytest.mark.parametrize("name", SPOILED)
def test_garbage_is_refused(name: str) -> None:
    call = Call()
    SPOILED[name](call)
    assert call.start() == BAD_ARGUMENT
    assert not call.result.any()


def test_it_can_be_cancelled() -> None:
    array = np.zeros((60, 60, 60), np.int16)
    taps = [sampling._taps(60, 300, 0.2)] * 3

    def stop(share: float) -> None:
        raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        resample(array, taps, None, stop, 2)
    shares: list[float] = []
    resample(array, taps, None, shares.append, 2)
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_layouts_name_each_voxel() -> None:
    array = np.arange(60, dtype=np.int32).reshape(3, 4, 5)
    for view in (array, array.transpose(2, 0, 1)[::-1], array[::-1, ::-2, 1::3], array[1:2, :, ::-1]):
        address, size, layout = memory_of(view)
        assert isinstance(layout, Layout)
        memory = np.frombuffer((ctypes.c_char * size).from_address(address), np.int32)
        for voxel in np.ndindex(*view.shape):
            place = layout.first + sum(i * stride for i, stride in zip(voxel, layout.strides))
            assert memory[place] == view[voxel]
