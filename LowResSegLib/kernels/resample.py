"""Resampling by the native kernels; the results are numpy's, bit for bit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Optional

import numpy as np

from LowResSegLib import kernels
from LowResSegLib.kernels.structures import Taps, memory_of

# In the order of the library's numbers.
TYPES = [np.dtype(name) for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")]


def readable(array: np.ndarray) -> np.ndarray:
    """The array, or a copy that the library can read; every copy has the same values as float32."""
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    whole = all(stride % array.itemsize == 0 for stride in array.strides)
    if array.dtype in TYPES and array.flags.aligned and whole:
        return array
    return array.astype(np.float32)


def resample(
    array: np.ndarray,
    taps: Sequence[tuple[np.ndarray, np.ndarray]],
    window: Optional[tuple[float, float]],
    step: Callable[[float], None],
    threads: Optional[int] = None,
) -> np.ndarray:
    """Filter a (z, y, x) array along its axes.

    Args:
        array: of any number type and strides.
        taps: for each axis source indices and float32 weights, (size, taps).
        window: source values beyond its ends are taken for its ends.
        step: called with the share that is done, 0 to 1; may raise to stop.
        threads: at most so many; None means all cores.

    Returns:
        float32 of the sizes that `taps` has.
    """
    array = readable(array)
    pairs = [(np.ascontiguousarray(i, np.int32), np.ascontiguousarray(w, np.float32)) for i, w in taps]
    filters = (Taps * 3)(*(Taps(i.ctypes.data, i.nbytes, w.ctypes.data, w.nbytes, *i.shape) for i, w in pairs))
    clip = None if window is None else (ctypes.c_float * 2)(*window)
    result = np.empty([len(i) for i, _ in pairs], np.float32)
    address, size, layout = memory_of(array)
    job = ctypes.c_void_p()
    status = kernels.library().lrs_resample_start(
        address,
        size,
        TYPES.index(array.dtype),
        ctypes.byref(layout),
        filters,
        clip,
        result.ctypes.data,
        result.nbytes,
        threads or kernels.cores(),
        ctypes.byref(job),
    )
    kernels.check(status)
    kernels.run_job(job, step)
    return result
