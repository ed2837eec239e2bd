"""Files of cases for the driver: random networks, scans and logits with the results that numpy gives.

As a program it writes one: `python Testing/Kernels/cases.py FILE [SEED]`.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "Lib"), str(Path(__file__).resolve().parents[2])]

from fusions import random_fusion
from plans import random_plan

from LowResSegLib.engine import reference
from LowResSegLib.engine.native import network_bytes
from LowResSegLib.reconstruction import positions
from LowResSegLib.reconstruction.evidence import decay
from LowResSegLib.reconstruction.fusion import count_in_numpy, fuse_in_numpy
from LowResSegLib.reduction import reduce_in_numpy, restore_in_numpy
from LowResSegLib.sampling import Orientation, _taps

# `kinds` in driver/kinds.c
NETWORK, RESAMPLE, ORDER, RECONSTRUCT, BLEND, COUNT, FUSE, LEVELS, REDUCE, RESTORE = range(1, 11)
TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")  # LRS_INT8 and so on
UNTOUCHED = 0xEE  # what the driver fills results with before a run


def _section(kind: int, *blobs: np.ndarray) -> bytes:
    content = [np.ascontiguousarray(blob).tobytes() for blob in blobs]
    pieces = [struct.pack("<2I", kind, len(content))]
    for piece in content:
        pieces += [struct.pack("<Q", len(piece)), piece]
    return b"".join(pieces)


def _layout(view: np.ndarray, array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape, and first element and strides, of a view of an array."""
    first = (view.__array_interface__["data"][0] - array.__array_interface__["data"][0]) // array.itemsize
    strides = [stride // array.itemsize for stride in view.strides]
    return np.array(view.shape, np.int32), np.array([first, *strides], np.int64)


def network(
    rng: np.random.Generator, classes: int, widths: tuple[int, ...], voxels: Sequence[int], **settings: Any
) -> bytes:
    """A random plan, with the settings of `random_plan`, on a grid of about `voxels`."""
    plan = random_plan(rng, classes, widths, **settings)
    divisor = np.broadcast_to(plan.size_divisor, 3)
    shape = [max(1, round(n / d)) * int(d) for n, d in zip(voxels, divisor)]
    grid = rng.integers(0, 128, shape).astype(np.uint8)
    grid[:, : shape[1] // 2] = 0  # as around a head
    logits = reference.run(plan, grid, lambda share: None)
    return _section(
        NETWORK, np.frombuffer(network_bytes(plan), np.uint8), np.array(shape, np.int32), grid, logits.astype(np.int16)
    )


def _filtered(array: np.ndarray, taps: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The filters of three axes, with every operation rounded by itself."""
    (iz, wz), (iy, wy), (ix, wx) = taps
    planes = np.zeros((len(iz), *array.shape[1:]), np.float32)
    for z in range(len(iz)):
        for source, weight in zip(iz[z], wz[z]):
            if weight:
                planes[z] += array[source] * weight
    for axis, (index, weight) in ((1, (iy, wy)), (2, (ix, wx))):
        shape = [1, 1, 1]
        shape[axis] = -1
        total = planes.take(index[:, 0], axis) * weight[:, 0].reshape(shape)
        for tap in range(1, index.shape[1]):
            total = total + planes.take(index[:, tap], axis) * weight[:, tap].reshape(shape)
        planes = total
    return planes


def resample(
    rng: np.random.Generator, kind: str, shape: Sequence[int], ratios: Sequence[float], clip: bool, turn: Orientation
) -> bytes:
    """A scan of one type of numbers, turned and flipped, on a grid of other voxels."""
    if kind.startswith("float"):
        array = rng.normal(100, 300, shape).astype(kind)
    else:
        limits = np.iinfo(kind)
        array = rng.integers(max(limits.min, -3000), min(limits.max, 70000), shape, endpoint=True).astype(kind)
    view = turn.apply(array)
    taps = [_taps(n, max(1, round(n / ratio)), ratio) for n, ratio in zip(view.shape, ratios)]
    values = view.astype(np.float32)
    ends = np.array([-200, 250], np.float32) if clip else np.array([], np.float32)
    if clip:
        values = np.clip(values, *ends)
    result = _filtered(values, taps)
    numbers = [
        blob
        for index, weight in taps
        for blob in (index.astype(np.int32), weight.astype(np.float32), np.array(index.shape, np.int32))
    ]
    return _section(
        RESAMPLE, array, np.array([TYPES.index(kind)], np.int32), *_layout(view, array), *numbers, ends, result
    )


def order(rng: np.random.Generator, count: int, ranks: Sequence[int]) -> bytes:
    """Values of many magnitudes, some of them equal."""
    values = (rng.normal(0, 1, count) * 10.0 ** rng.integers(-30, 30, count)).astype(np.float32)
    values[rng.random(count) < 0.3] = 1.5
    places = np.array(ranks, np.int64) % count
    return _section(ORDER, values, places, np.sort(values)[places])


def _labels(logits: np.ndarray, axes: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The class of the largest interpolated logit, in int64."""
    values = logits.astype(np.int64)
    for axis, (before, weight) in enumerate(axes, 1):
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        after = np.minimum(before + 1, values.shape[axis] - 1)
        weight = weight.astype(np.int64).reshape(shape)
        values = values.take(before, axis) * (64 - weight) + values.take(after, axis) * weight
    return values.argmax(0).astype(np.uint8)


def _ground(
    rng: np.random.Generator, classes: int, grid: Sequence[int], size: Sequence[int]
) -> tuple[np.ndarray, list[int], list[tuple[np.ndarray, np.ndarray]], list[np.ndarray]]:
    """Logits, mostly background; the used part of their grid; places along the axes; these and sizes as blobs."""
    used = [int(rng.integers(max(1, n - 2), n + 1)) for n in grid]
    logits = rng.integers(-300, 301, (classes, *grid)).astype(np.int16)
    logits[0, :, : grid[1] // 2] = 4095
    logits[:, :, :, : grid[2] // 3] //= 100  # ties
    spacing = [max(1, round(1000 * n / m)) for n, m in zip(used, size)]
    axes = [positions(m, s, n, 1000) for m, s, n in zip(size, spacing, used)]
    places = [
        blob for before, weight in axes for blob in (before.astype(np.int32), np.asarray(weight).astype(np.uint8))
    ]
    sizes = [np.array([classes], np.int32), np.array(grid, np.int32), np.array(used, np.int32)]
    return logits, used, axes, [*sizes, *places]


def _turned(turn: Orientation, size: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Untouched bytes as they are stored, and the view of them that is not turned."""
    stored = np.full(turn.undo(np.broadcast_to(np.uint8(0), size)).shape, UNTOUCHED, np.uint8)
    return stored, turn.apply(stored)


def reconstruct(
    rng: np.random.Generator, classes: int, grid: Sequence[int], size: Sequence[int], turn: Orientation
) -> bytes:
    """Labels of a scan that is turned and flipped."""
    logits, used, axes, blobs = _ground(rng, classes, grid, size)
    stored, view = _turned(turn, size)
    view[...] = _labels(logits[(slice(None), *(slice(0, n) for n in used))], axes)
    return _section(RECONSTRUCT, logits, *blobs, *_layout(view, stored), stored)


def count(rng: np.random.Generator, classes: int, grid: Sequence[int], size: Sequence[int], turn: Orientation) -> bytes:
    """Levels of a scan that is turned and flipped, counted by class."""
    logits, used, axes, blobs = _ground(rng, classes, grid, size)
    stored, view = _turned(turn, size)
    view[...] = rng.integers(0, 128, size)
    fusion = random_fusion(rng)
    before = rng.integers(0, 1000, (classes, 128))
    counts = before.copy()
    count_in_numpy(logits, tuple(used), axes, view, fusion, counts, lambda share: None)
    return _section(COUNT, before, *blobs, logits, stored, *_layout(view, stored), decay(fusion), counts)


def fuse(
    rng: np.random.Generator, classes: int, grid: Sequence[int], size: Sequence[int], turns: Sequence[Orientation]
) -> bytes:
    """Labels, levels and the grid's intensities, each turned and flipped in another way."""
    logits, used, axes, blobs = _ground(rng, classes, grid, size)
    (labels, view), (levels, here), (stored, whole) = (
        _turned(turn, shape) for turn, shape in zip(turns, (size, size, grid))
    )
    here[...], whole[...] = rng.integers(0, 128, size), rng.integers(0, 128, grid)
    seen = whole[tuple(slice(0, n) for n in used)]
    fusion = random_fusion(rng)
    evidence = rng.integers(0, fusion.ratios, (classes, 128)).astype(np.uint8)
    fuse_in_numpy(logits, seen, axes, here, fusion, evidence, view, lambda share: None)
    numbers = np.array([fusion.ratios, fusion.leads, fusion.lead_shift], np.int32)
    return _section(
        FUSE, logits, *blobs, stored, *_layout(seen, stored), levels, *_layout(here, levels), fusion.corrections,
        numbers, evidence, *_layout(view, labels), labels,
    )  # fmt: skip


def levels(
    rng: np.random.Generator, kind: str, shape: Sequence[int], clip: bool, turns: tuple[Orientation, Orientation]
) -> bytes:
    """Levels of a scan of one type of numbers, both turned and flipped; many values lie between two levels."""
    array = rng.integers(-20 if kind[0] in "if" else 0, 125, shape).astype(kind)
    if kind.startswith("float"):
        array /= 2
    view = turns[0].apply(array)
    stored, result = _turned(turns[1], view.shape)
    ends = np.array([-3.5, 50], np.float32) if clip else np.array([], np.float32)
    line = np.array([2.25, 1.75], np.float32)
    values = view.astype(np.float32)
    values = np.clip(values, *ends) if clip else values
    result[...] = np.clip(np.rint((values - line[0]) * line[1]), 0, 127)
    return _section(
        LEVELS, array, np.array([TYPES.index(kind)], np.int32), *_layout(view, array), ends, line,
        *_layout(result, stored), stored,
    )  # fmt: skip


def blend(
    rng: np.random.Generator,
    classes: int,
    shape: Sequence[int],
    aside: int,
    before: int,
    count: int,
    turns: tuple[Orientation, Orientation],
) -> bytes:
    """The mean logits of some passes and those of one more, both within larger arrays, turned and flipped."""
    views, arrays = [], []
    for sizes, turn in ((shape, turns[0]), ((shape[0] + before, *shape[1:]), turns[1])):
        stored = turn.undo(np.empty([n + 2 for n in sizes], np.bool_)).shape
        arrays.append(rng.integers(-4095, 4096, (classes, *stored)).astype(np.int16))
        views.append([turn.apply(array)[1:-1, 1:-1, 1:-1] for array in arrays[-1]])
    result = arrays[0].copy()
    at = [index + start for index, start in zip(map(np.arange, shape), (before, 0, 0))]
    around = list(np.ndindex(2, 2, 2)) if aside else [(0, 0, 0)]
    for number, (first, second) in enumerate(zip(*views)):
        total = count * len(around) * first.astype(np.int64)
        for place in around:
            total += second[np.ix_(*(np.maximum(index - offset, 0) for index, offset in zip(at, place)))]
        turns[0].apply(result[number])[1:-1, 1:-1, 1:-1] = total // ((count + 1) * len(around))
    layouts = [_layout(view[0], array) for view, array in zip(views, arrays)]
    between = np.array([array[0].size for array in arrays], np.int64)
    numbers = np.array([classes, aside, count], np.int32)
    return _section(BLEND, arrays[0], *layouts[0], arrays[1], *layouts[1], between, numbers, result)


def reduced(rng: np.random.Generator, classes: int, grid: Sequence[int]) -> list[bytes]:
    """What can win in a part of a grid, what is left of its logits, logits of that, and of parts that do not fit."""
    logits, used, _, (count_, whole, part, *_) = _ground(rng, classes, grid, (1, 1, 1))
    seen = logits[(slice(None), *(slice(0, n) for n in used))]
    wanted = reduce_in_numpy(seen, lambda share: None)
    sizes = np.array([wanted.lists.shape[1], wanted.below.size], np.int64)

    def found(below: np.ndarray, lists: np.ndarray) -> list[np.ndarray]:
        parts = [sizes, below, wanted.winners, wanted.mixed.astype(np.uint8), lists]
        return [np.array([part.nbytes for part in parts], np.int64), _joined(*parts)]

    # Where there is no room for the last number, or for the last list, neither is written.
    rest = np.full(2 * wanted.below.size, UNTOUCHED, np.uint8), np.full(wanted.lists.size, UNTOUCHED, np.uint8)
    results = [found(wanted.below, wanted.lists)]
    if wanted.below.size:
        results += [found(rest[0][2:], rest[1]), found(rest[0], rest[1][1:])]
    given = [logits, count_, whole, part]
    restored = restore_in_numpy(wanted, lambda share: None)
    before, faults = np.zeros(8 + restored.nbytes, np.uint8), np.array([0, 1], np.int64)
    parts = [count_, part, wanted.winners, wanted.mixed, wanted.lists]
    return [
        *(_section(REDUCE, *given, *result) for result in results),
        _section(RESTORE, before, *parts, wanted.below, _joined(faults[:1], restored)),
        # A number more than the lists have: found before anything is written.
        _section(RESTORE, before, *parts, np.append(wanted.below, np.uint16(0)), _joined(faults[1:], restored * 0)),
    ]


def _joined(*arrays: np.ndarray) -> np.ndarray:
    return np.frombuffer(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays), np.uint8)


def write(path: Path, seed: int = 0) -> None:
    """Write a file of cases of all kinds."""
    rng = np.random.default_rng(seed)
    turns = [
        Orientation((0, 1, 2), (False, False, False)),
        Orientation((2, 0, 1), (True, False, True)),
        Orientation((1, 2, 0), (False, True, True)),
        Orientation((2, 1, 0), (True, True, False)),
    ]
    sections = [
        network(rng, 4, (3, 5), (6, 8, 10)),
        network(rng, 2, (1,), (1, 1, 1)),
        network(rng, 18, (8, 9), (4, 6, 70)),
        network(rng, 5, (4, 4, 9), (12, 4, 36)),
        network(rng, 3, (17,), (3, 5, 131)),
        network(rng, 6, (33, 12), (2, 4, 66)),
        network(rng, 9, (2, 3, 4, 5), (8, 16, 24)),
        network(rng, 4, (5, 6, 7), (3, 12, 40), kernel=(1, 3, 3), factor=(1, 2, 2)),
        network(rng, 4, (5, 6), (6, 9, 20), kernel=(3, 1, 5), factor=(2, 1, 1), strided=True, zeros=0.8),
        network(rng, 3, (4, 40), (4, 8, 36), strided=True, zeros=0.0, last_kernel=(3, 3, 3)),
        network(rng, 7, (3,), (9, 7, 65), kernel=(5, 5, 5), zeros=1.0, last_kernel=(1, 1, 5)),
        resample(rng, "int8", (9, 12, 17), (2, 2, 2), False, turns[0]),
        resample(rng, "uint8", (20, 11, 8), (1.3, 0.7, 3), True, turns[1]),
        resample(rng, "int16", (7, 40, 33), (2.5, 4, 3.3), False, turns[2]),
        resample(rng, "uint16", (1, 1, 1), (1, 1, 1), True, turns[3]),
        resample(rng, "int32", (5, 1, 70), (1, 1, 6.5), False, turns[0]),
        resample(rng, "uint32", (2, 3, 4), (0.5, 0.4, 0.3), True, turns[1]),
        resample(rng, "float32", (16, 17, 18), (2, 1, 0.9), False, turns[2]),
        resample(rng, "float64", (6, 7, 90), (1.7, 1.7, 1.7), True, turns[3]),
        order(rng, 1, [0]),
        order(rng, 1000, [0, 5, 499, 950, 999]),
        order(rng, 40000, [200, 39000, 20000]),
        reconstruct(rng, 4, (5, 6, 7), (13, 17, 11), turns[0]),
        reconstruct(rng, 18, (8, 8, 12), (30, 9, 40), turns[1]),
        reconstruct(rng, 2, (1, 1, 1), (3, 4, 5), turns[2]),
        reconstruct(rng, 37, (3, 9, 20), (7, 33, 65), turns[3]),
        blend(rng, 3, (4, 5, 40), 1, 0, 1, (turns[0], turns[0])),
        blend(rng, 2, (3, 1, 1), 1, 1, 2, (turns[1], turns[1])),
        blend(rng, 4, (5, 9, 7), 1, 1, 5, (turns[3], turns[2])),
        blend(rng, 3, (6, 2, 33), 0, 0, 3, (turns[2], turns[1])),
        count(rng, 2, (4, 5, 6), (9, 17, 11), turns[0]),
        count(rng, 18, (8, 8, 12), (30, 9, 40), turns[1]),
        count(rng, 1, (1, 1, 1), (3, 4, 5), turns[2]),
        count(rng, 255, (3, 4, 5), (7, 9, 12), turns[3]),
        fuse(rng, 3, (5, 6, 7), (13, 17, 11), (turns[0], turns[0], turns[0])),
        fuse(rng, 18, (8, 8, 12), (30, 9, 40), (turns[1], turns[2], turns[3])),
        fuse(rng, 2, (1, 1, 1), (3, 4, 5), (turns[2], turns[3], turns[1])),
        fuse(rng, 37, (3, 9, 20), (7, 33, 65), (turns[3], turns[1], turns[2])),
        *reduced(rng, 4, (5, 6, 37)),
        *reduced(rng, 18, (21, 8, 12)),
        *reduced(rng, 1, (1, 1, 1)),
        *reduced(rng, 17, (3, 1, 40)),
        *reduced(rng, 255, (3, 4, 5)),
        *(levels(rng, kind, (5, 6, 70), bool(i % 2), (turns[i % 4], turns[i // 2])) for i, kind in enumerate(TYPES)),
    ]
    path.write_bytes(b"LRSCASE1" + b"".join(sections))


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
