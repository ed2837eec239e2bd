"""Which classes can win around each voxel of a grid, by the native kernels; the lists are numpy's."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Optional

import numpy as np

from LowResSegLib import kernels


@lru_cache(maxsize=1)
def _start() -> Optional[Callable[..., int]]:
    """The library's function, its types declared; None where there is none of it."""
    # A library of the same interface may be older than this function.
    function = getattr(kernels.library(), "lrs_candidates_start", None) if kernels.available() else None
    if function is None:
        return None
    pointer, number, size = ctypes.c_void_p, ctypes.c_int32, ctypes.c_size_t
    numbers, job = ctypes.POINTER(number), ctypes.POINTER(pointer)
    function.restype = number
    function.argtypes = [pointer, size, number, numbers, numbers, pointer, size, pointer, size, number, job]
    return function


def available() -> bool:
    """Whether the library is there and has this kernel."""
    return _start() is not None


def lists_of(
    logits: np.ndarray,
    used: tuple[int, ...],
    threads: Optional[int],
    step: Callable[[float], None],
) -> tuple[np.ndarray, np.ndarray]:
    """The winner of each voxel, and the other classes that can win in the cells around it; see `reduction`.

    Args:
        logits: int16 (classes, z, y, x), of magnitude up to 4095.
        used: (z, y, x), the part of the grid that covers the volume.
        threads: at most so many; None means all cores.
        step: called with the share that is done, 0 to 1; may raise to stop.

    Returns:
        Winners, uint8 (z, y, x), and lists, uint8 (bytes, z, y, x): bit c % 8 of byte c // 8 for class c; both of the
        used part.
    """
    logits = np.ascontiguousarray(logits, np.int16)
    winners = np.empty(used, np.uint8)
    lists = np.empty((-(-len(logits) // 8), *used), np.uint8)
    job = ctypes.c_void_p()
    start = _start()
    assert start is not None
    status = start(
        logits.ctypes.data,
        logits.nbytes,
        len(logits),
        (ctypes.c_int32 * 3)(*logits.shape[1:]),
        (ctypes.c_int32 * 3)(*used),
        winners.ctypes.data,
        winners.nbytes,
        lists.ctypes.data,
        lists.nbytes,
        threads or kernels.cores(),
        ctypes.byref(job),
    )
    kernels.check(status)
    kernels.run_job(job, step)
    return winners, lists
