"""From low-resolution logits to a labelmap at the resolution of the scan: linearly, or with the scan's intensities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Optional

import numpy as np

from LowResSegLib.model import Fusion
from LowResSegLib.reconstruction.evidence import evidence_of
from LowResSegLib.reconstruction.fusion import count_slab, fuse_slab, no_counts
from LowResSegLib.reconstruction.linear import reconstruct_in_numpy, reconstruct_slab
from LowResSegLib.reconstruction.places import empty_labels, positions
from LowResSegLib.sampling import LowResolution


def reconstruct(
    logits: np.ndarray,
    low: LowResolution,
    step: Optional[Callable[[float], None]] = None,
    threads: Optional[int] = None,
    fusion: Optional[Fusion] = None,
) -> np.ndarray:
    """Labelmap on the source grid.

    Args:
        logits: int16 (classes, z, y, x) on `low.grid`, from -4095 to 4095, or restored ones from 0 to 8191.
        low: what `sampling.sample` made of the volume.
        step: called with the share that is done, 0 to 1; may raise to stop.
        threads: at most so many for the native kernels; None means all cores.
        fusion: of the model; without it logits are interpolated linearly, and no more.

    Returns:
        uint8 array of the volume's own shape and axes.
    """
    labels = empty_labels(low)
    if fusion is None:
        reconstruct_slab(logits, low, 0, low.grid.shape[0], labels, step, threads)
        return labels
    report = step or (lambda share: None)
    counts = no_counts(len(logits))
    count_slab(logits, low, 0, low.grid.shape[0], fusion, counts, lambda share: report(0.0), threads)
    fuse_slab(logits, low, 0, low.grid.shape[0], fusion, evidence_of(counts, fusion), labels, step, threads)
    return labels


__all__ = [
    "count_slab",
    "empty_labels",
    "evidence_of",
    "fuse_slab",
    "no_counts",
    "positions",
    "reconstruct",
    "reconstruct_in_numpy",
    "reconstruct_slab",
]
