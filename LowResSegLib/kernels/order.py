"""Values by their rank: by the native kernels, or by numpy where they are not there."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Optional

import numpy as np

from LowResSegLib import kernels


def ranked(values: np.ndarray, ranks: Sequence[int], threads: Optional[int] = None) -> np.ndarray:
    """The values that sorting would bring to some places.

    Args:
        values: float32 without NaN.
        ranks: the places, counted from 0; at most 8.
        threads: at most so many; None means all cores.
    """
    places = np.array(ranks, np.int64)
    if not kernels.available():
        # The ends are asked for too: with a single place, numpy is slow where many values are equal.
        return np.partition(values, [0, *ranks, values.size - 1], axis=None)[places]
    values = np.ascontiguousarray(values, np.float32)
    found = np.empty(len(places), np.float32)
    job = ctypes.c_void_p()
    status = kernels.library().lrs_order_start(
        values.ctypes.data,
        values.nbytes,
        places.ctypes.data,
        found.ctypes.data,
        len(places),
        threads or kernels.cores(),
        ctypes.byref(job),
    )
    kernels.check(status)
    kernels.run_job(job, lambda share: None)
    return found
