"""Reduced logits by the native kernels: what is left of logits where labels are decided, and logits of it again."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Optional

import numpy as np

from LowResSegLib import kernels


def reduce(
    logits: np.ndarray,
    used: tuple[int, ...],
    threads: Optional[int],
    step: Callable[[float], None],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The winner of each voxel, and what is left of the other classes that can win in the cells around it.

    Args:
        logits: int16 (classes, z, y, x), of magnitude up to 4095.
        used: (z, y, x), the part of the grid that covers the volume.
        threads: at most so many; None means all cores.
        step: called with the share that is done, 0 to 1; may raise to stop.

    Returns:
        Of the used part: winners, mixed, lists and below, as `reduction.Reduced` has them.
    """
    logits = np.ascontiguousarray(logits, np.int16)
    winners, mixed = np.empty(used, np.uint8), np.empty(used, np.bool_)
    count, planes = winners.size, -(-len(logits) // 8)
    columns, listed = count // 2, count  # a guess
    sizes = np.empty(2, np.int64)
    reached = 0.0

    def report(share: float) -> None:  # a second try does not go back
        nonlocal reached
        reached = max(reached, share)
        step(reached)

    full = [*_arrays(logits), len(logits), *((ctypes.c_int32 * 3)(*shape) for shape in (logits.shape[1:], used))]
    while True:
        lists, below = np.empty(planes * columns, np.uint8), np.empty(listed, np.uint16)
        arrays = _arrays(winners, mixed, lists, below)
        _run("lrs_reduce_start", [*full, *arrays, sizes.ctypes.data, kernels.BEST], threads, report)
        there = int(sizes[0]), int(sizes[1])
        if min(there) < 0:
            raise MemoryError("The native kernels: there is not enough memory.")
        if there[0] <= columns and there[1] <= listed:
            return winners, mixed, lists[: planes * there[0]].reshape(planes, -1), below[: there[1]]
        columns, listed = there


def restore(
    classes: int,
    winners: np.ndarray,
    mixed: np.ndarray,
    lists: np.ndarray,
    below: np.ndarray,
    threads: Optional[int],
    step: Callable[[float], None],
) -> Optional[np.ndarray]:
    """Logits of reduced ones, int16 (classes, z, y, x); None where the parts do not fit each other.

    Args:
        classes: 1 to 255.
        winners: as of `reduction.Reduced`, like the next ones; `reduction` checks their types and shapes.
        mixed: see there.
        lists: see there.
        below: see there.
        threads: at most so many; None means all cores.
        step: called with the share that is done, 0 to 1; may raise to stop.
    """
    # What is 0 is not touched: the system has such pages without any work.
    logits = np.zeros((classes, *winners.shape), np.int16)
    parts = [np.require(part, requirements=["C", "A"]) for part in (winners, mixed, lists, below)]
    faults = ctypes.c_int64()
    sizes = (ctypes.c_int32 * 3)(*winners.shape)
    _run("lrs_restore_start", [classes, sizes, *_arrays(*parts, logits), ctypes.addressof(faults)], threads, step)
    return None if faults.value else logits


def runs_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The runs of equal numbers in a uint8 array, uint8, and their lengths less 1, uint16; see `remote.packed`."""
    values = np.ascontiguousarray(values)
    count = max(1024, values.size // 16)  # a guess
    while True:
        runs, lengths = np.empty(count, np.uint8), np.empty(count, np.uint16)
        there = kernels.library().lrs_find_runs(*_arrays(values), runs.ctypes.data, lengths.ctypes.data, count)
        if there <= count:
            return runs[:there], lengths[:there]
        count = there


def of_runs(runs: np.ndarray, lengths: np.ndarray, count: int) -> Optional[np.ndarray]:
    """The numbers of runs, one after another, uint8; None where they are not `count`."""
    runs, lengths = (np.require(part, requirements=["C", "A"]) for part in (runs, lengths))
    values = np.empty(count, np.uint8)
    status = kernels.library().lrs_write_runs(runs.ctypes.data, lengths.ctypes.data, len(runs), *_arrays(values))
    return values if status == 0 else None


def _arrays(*arrays: np.ndarray) -> list[int]:
    return [number for array in arrays for number in (array.ctypes.data, array.nbytes)]


def _run(name: str, arguments: list[Any], threads: Optional[int], step: Callable[[float], None]) -> None:
    """Start one of the functions and wait for its end."""
    job = ctypes.c_void_p()
    kernels.check(getattr(kernels.library(), name)(*arguments, threads or kernels.cores(), ctypes.byref(job)))
    kernels.run_job(job, step)
