"""Reconstruction with the scan's intensities by the native kernels; levels, counts and labels are numpy's."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, Optional

import numpy as np

from LowResSegLib import kernels
from LowResSegLib.kernels.resample import TYPES, readable
from LowResSegLib.kernels.structures import Corrections, Places, memory_of

Axes = Sequence[tuple[np.ndarray, np.ndarray]]
Step = Callable[[float], None]


def levels_of(
    source: np.ndarray,
    low: np.float32,
    scale: np.float32,
    window: Optional[tuple[float, float]],
    levels: np.ndarray,
    threads: Optional[int] = None,
) -> None:
    """Write the levels of a scan's intensities.

    Args:
        source: (z, y, x) of any number type and strides.
        low: a level is the nearest whole number of (value - low) * scale, 0 to 127.
        scale: see `low`.
        window: source values beyond its ends are taken for its ends.
        levels: uint8 of the same shape, which is written.
        threads: at most so many; None means all cores.
    """
    source = readable(source)
    (address, size, layout), (to, to_size, to_layout) = memory_of(source), memory_of(levels)
    clip = None if window is None else (ctypes.c_float * 2)(*window)
    _run(
        "lrs_levels_start", lambda done: None, address, size, TYPES.index(source.dtype), ctypes.byref(layout), clip,
        low, scale, to, to_size, ctypes.byref(to_layout), threads or kernels.cores(),
    )  # fmt: skip


def count(
    logits: np.ndarray,
    used: tuple[int, ...],
    places: Axes,
    levels: np.ndarray,
    decay: np.ndarray,
    counts: np.ndarray,
    step: Step,
    threads: Optional[int] = None,
) -> None:
    """Add the classes' probabilities at voxels of each level to counts.

    Args:
        logits: int16 (classes, z, y, x), of magnitude up to 4095.
        used: (z, y, x), the part of the grid that covers the volume.
        places: for each axis the grid voxel before each source voxel, and the weight of the next one in 64ths.
        levels: uint8 (z, y, x) on the source grid, 0 to 127.
        decay: uint16, see `reconstruction.evidence.decay`.
        counts: int64 (classes, 128), in the order of C, which is added to.
        step: called with the share that is done, 0 to 1; may raise to stop.
        threads: at most so many; None means all cores.
    """
    logits, decay = np.ascontiguousarray(logits, np.int16), np.ascontiguousarray(decay, np.uint16)
    grid, kept = _grid(logits, used, places)
    address, size, layout = memory_of(levels)
    _run(
        "lrs_count_start", step, *grid, address, size, ctypes.byref(layout), decay.ctypes.data, decay.nbytes,
        counts.ctypes.data, counts.nbytes, threads or kernels.cores(),
    )  # fmt: skip
    del kept


def fuse(
    logits: np.ndarray,
    seen: np.ndarray,
    places: Axes,
    levels: np.ndarray,
    corrections: np.ndarray,
    lead_shift: int,
    evidence: np.ndarray,
    labels: np.ndarray,
    step: Step,
    threads: Optional[int] = None,
) -> None:
    """Label voxels; see `reconstruction.fusion.fuse_in_numpy`.

    Args:
        logits: int16 (classes, z, y, x), of magnitude up to 4095.
        seen: uint8 (z, y, x), the part of the grid that covers the volume.
        places: for each axis the grid voxel before each source voxel, and the weight of the next one in 64ths.
        levels: uint8 (z, y, x) on the source grid, 0 to 127.
        corrections: int16 (ratios, ratios, leads), of magnitude up to 4095.
        lead_shift: of the corrections, see `model.Fusion`.
        evidence: uint8 (classes, 128).
        labels: uint8 (z, y, x) on the source grid, which is written; any view whose voxels are different places.
        step: called with the share that is done, 0 to 1; may raise to stop.
        threads: at most so many; None means all cores.
    """
    logits, evidence = np.ascontiguousarray(logits, np.int16), np.ascontiguousarray(evidence, np.uint8)
    corrections = np.ascontiguousarray(corrections, np.int16)
    grid, kept = _grid(logits, seen.shape, places)
    table = Corrections(corrections.ctypes.data, corrections.nbytes, *corrections.shape[1:], lead_shift)
    arrays: list[Any] = []
    for array in (seen, levels, labels):
        address, size, layout = memory_of(array)
        arrays.append((address, size, ctypes.byref(layout)))
    _run(
        "lrs_fuse_start", step, *grid, *arrays[0], *arrays[1], ctypes.byref(table), evidence.ctypes.data,
        evidence.nbytes, *arrays[2], threads or kernels.cores(),
    )  # fmt: skip
    del kept


def _grid(logits: np.ndarray, used: tuple[int, ...], places: Axes) -> tuple[list[Any], list[Any]]:
    """The first arguments of a reconstruction, and the arrays that must live as long as it runs."""
    pairs = [(np.ascontiguousarray(b, np.int32), np.ascontiguousarray(w, np.uint8)) for b, w in places]
    axes = (Places * 3)(*(Places(b.ctypes.data, b.nbytes, w.ctypes.data, w.nbytes) for b, w in pairs))
    sizes = ((ctypes.c_int32 * 3)(*logits.shape[1:]), (ctypes.c_int32 * 3)(*used))
    return [logits.ctypes.data, logits.nbytes, len(logits), *sizes, axes], [pairs]


def _run(name: str, step: Step, *arguments: Any) -> None:
    job = ctypes.c_void_p()
    kernels.check(getattr(kernels.library(), name)(*arguments, ctypes.byref(job)))
    kernels.run_job(job, step)
