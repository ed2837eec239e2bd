"""The running mean of passes' logits by the native kernels; the numbers are numpy's."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Optional

import numpy as np

from LowResSegLib import kernels
from LowResSegLib.kernels.structures import memory_of


def blend(
    first: np.ndarray,
    second: np.ndarray,
    aside: bool,
    count: int = 1,
    before: int = 0,
    threads: Optional[int] = None,
    step: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """`first`, the mean of `count` passes, overwritten by that of these and of `second`, rounded down.

    Args:
        first: int16 (classes, z, y, x), of magnitude up to 4095.
        second: of the same voxels, or of those half a voxel behind; has `before` slices more at its beginning.
        aside: whether it lies half a voxel behind.
        count: passes whose mean `first` is.
        before: 0, or where it lies aside 1.
        threads: at most so many; None means all cores.
        step: called again and again with 1; may raise to stop.
    """
    assert second.shape[1] == first.shape[1] + before
    job = ctypes.c_void_p()
    arguments = []
    for logits in (first, second):
        address, _, layout = memory_of(logits[0])
        reach = memory_of(logits[-1])[0] + memory_of(logits[-1])[1] - address
        arguments += [address, reach, ctypes.byref(layout), logits.strides[0] // logits.itemsize]
    status = kernels.library().lrs_blend_start(
        *arguments, len(first), int(aside), count, threads or kernels.cores(), ctypes.byref(job)
    )
    kernels.check(status)
    kernels.run_job(job, lambda share: step(1.0))
    return first
