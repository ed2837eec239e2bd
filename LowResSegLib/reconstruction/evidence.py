"""What a scan's own intensities say about the classes: from histograms to a table of log-likelihood ratios.

Integers throughout. Logarithms are those of `_log2`, which squares a mantissa again and again, so that no library's
rounding matters.
"""

from __future__ import annotations

import numpy as np

from LowResSegLib.model import Fusion

LEVELS = 128
CERTAIN = 256  # a probability of 1
RATIO_REACH = 5  # ratios are clipped to plus and minus this

# Rounded halves, 2^15 * 2^(-i / 64): what is rounded lies 0.006 or more from a half, so that any library's powers do.
_POWERS = np.array([round(2.0 ** (15 - i / 64)) for i in range(64)], np.int64)
_KERNEL = 1 << 12  # what smoothing makes of a count of 1, all levels together
_VOXEL = CERTAIN * _KERNEL  # what it makes of a voxel
_NOTHING = _VOXEL >> 10  # added to each level of the whole scan, so that none is empty
_FRACTION = 10  # binary places of a logarithm
_LN2 = 726817  # ln 2 times 2^20


def decay(fusion: Fusion) -> np.ndarray:
    """Unnormalised probability of a class by how many integer logits it is below the best one, uint16.

    It has as many entries as a class that takes part can need, `fusion.lead_reach` + 1.
    """
    sixtyfourths = (np.arange(fusion.lead_reach + 1, dtype=np.int64) << 10) // fusion.half_life
    return np.asarray((_POWERS[sixtyfourths & 63] >> np.minimum(sixtyfourths >> 6, 16)).astype(np.uint16))


def evidence_of(counts: np.ndarray, fusion: Fusion) -> np.ndarray:
    """Log-likelihood ratio of each class against the whole scan, by level, as steps of the fusion's corrections.

    With h the smoothed histogram of a class of n voxels and w that of the whole scan of N, the ratio at a level is
    ln ((h + floor * w / N) / (n + floor)) - ln (w / N). The fusion's air is counted with the background's
    voxels of level 0.

    Args:
        counts: int64 (classes, 128): for each class the sum of its probabilities, in 256ths, over the voxels of each
            level.
        fusion: of the model.

    Returns:
        uint8 (classes, 128), 0 to `fusion.ratios` - 1.
    """
    counts = counts.copy()
    counts[0, 0] += int(counts.sum()) * fusion.air >> 8
    smooth = counts @ _smoothing(fusion)
    whole = smooth.sum(0) + _NOTHING
    floor = fusion.floor * (_VOXEL // 256)
    # With all over whole / N, in whole numbers of any size: (h N + floor w) / ((n + floor) w).
    total = int(whole.sum())
    above = [[h * total + floor * w for h, w in zip(row, whole.tolist())] for row in smooth.tolist()]
    below = [[(n + floor) * w for w in whole.tolist()] for n in smooth.sum(1).tolist()]
    logarithm = _log2(above) - _log2(below)
    steps = fusion.ratios - 1
    scale = 2 * RATIO_REACH << (20 + _FRACTION)
    placed = (2 * logarithm * _LN2 * steps + (steps + 1) * scale) // (2 * scale)  # rounded to nearest
    return np.asarray(np.clip(placed, 0, steps).astype(np.uint8))


def _smoothing(fusion: Fusion) -> np.ndarray:
    """Where the count of a level goes, (from, to); what would leave the levels goes to the others."""
    taps = np.zeros(LEVELS, np.int64)
    taps[: len(fusion.smoothing)] = fusion.smoothing
    places = np.arange(LEVELS)
    matrix = taps[np.abs(places[:, None] - places)]
    total = matrix.sum(1, keepdims=True)
    return np.asarray((matrix * _KERNEL + total // 2) // total)


def _log2(numbers: list[list[int]]) -> np.ndarray:
    """Logarithms of base 2 of whole numbers above 0, rounded down to 1/1024 (or one 1024th less), int64."""
    whole = [[n.bit_length() for n in row] for row in numbers]
    shifted = [[n >> b - 32 if b > 32 else n << 32 - b for n, b in zip(row, bits)] for row, bits in zip(numbers, whole)]
    mantissa = np.array(shifted, np.uint64)  # from 2^31 to 2^32 - 1, which is 1 to 2
    result = np.array(whole, np.int64)
    for _ in range(_FRACTION):
        mantissa = mantissa * mantissa >> np.uint64(31)
        doubled = mantissa >> np.uint64(32)  # 1 where the square is 2 or more
        mantissa >>= doubled
        result = 2 * result + doubled.astype(np.int64)
    return result
