"""Reconstruction by the native kernels; the labels are numpy's."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Optional

import numpy as np

from LowResSegLib import kernels
from LowResSegLib.kernels.structures import Places, memory_of


def reconstruct(
    logits: np.ndarray,
    used: tuple[int, ...],
    places: Sequence[tuple[np.ndarray, np.ndarray]],
    labels: np.ndarray,
    step: Callable[[float], None],
    threads: Optional[int] = None,
) -> None:
    """Interpolate logits linearly and write the label of the largest one.

    Args:
        logits: int16 (classes, z, y, x), from -4095 to 4095, or from 0 to 8191.
        used: (z, y, x), the part of the grid that covers the volume.
        places: for each axis the grid voxel before each source voxel, and the weight of the next one in 64ths.
        labels: uint8 (z, y, x) on the source grid, which is written; any view whose voxels are different places.
        step: called with the share that is done, 0 to 1; may raise to stop.
        threads: at most so many; None means all cores.
    """
    logits = np.ascontiguousarray(logits, np.int16)
    pairs = [(np.ascontiguousarray(b, np.int32), np.ascontiguousarray(w, np.uint8)) for b, w in places]
    axes = (Places * 3)(*(Places(b.ctypes.data, b.nbytes, w.ctypes.data, w.nbytes) for b, w in pairs))
    address, size, layout = memory_of(labels)
    job = ctypes.c_void_p()
    status = kernels.library().lrs_reconstruct_start(
        logits.ctypes.data,
        logits.nbytes,
        len(logits),
        (ctypes.c_int32 * 3)(*logits.shape[1:]),
        (ctypes.c_int32 * 3)(*used),
        axes,
        address,
        size,
        ctypes.byref(layout),
        threads or kernels.cores(),
        ctypes.byref(job),
    )
    kernels.check(status)
    kernels.run_job(job, step)
