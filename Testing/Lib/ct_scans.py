"""Made-up CT scans: a body on a table, with what scanners and implants add to it."""

from __future__ import annotations

from typing import Optional

import numpy as np
from plans import CT_THRESHOLDS

from LowResSegLib import Volume

AIR, SOFT_TISSUE, BONE = -1000, 40, 700  # HU


def ct(
    shape: tuple[int, int, int] = (10, 24, 26),
    spacing: tuple[float, float, float] = (3.0, 3.0, 3.0),
    direction: Optional[np.ndarray] = None,
    table: bool = False,
    padding: Optional[int] = None,
    metal: Optional[int] = None,
) -> Volume:
    """A body of soft tissue as wide as the scanner's circle, with a bone and a lung and 12 HU of noise; int16, in HU.

    Args:
        shape: (z, y, x).
        spacing: Of x, y and z, in mm.
        direction: 3 x 3 matrix (LPS).
        table: A board behind the body.
        padding: What stands outside the circle that the scanner reconstructs; None for air.
        metal: The value of a pin in the soft tissue; None for no pin.
    """
    z, y, x = np.ogrid[tuple(slice(-1, 1, 1j * n) for n in shape)]
    array = np.full(shape, AIR, np.float64)
    array[np.broadcast_to((y / 0.6) ** 2 + x**2 < 1, shape)] = SOFT_TISSUE
    array[((y + 0.1) / 0.25) ** 2 + ((x + 0.35) / 0.2) ** 2 + z**2 / 2 < 1] = -800
    bone = np.broadcast_to(((y - 0.25) / 0.2) ** 2 + ((x - 0.2) / 0.25) ** 2 < 1, shape)
    array[bone] = BONE
    if table:
        array[np.broadcast_to((y > 0.8) & (y < 0.9) & (abs(x) < 0.7), shape)] = 100
    array = np.rint(array + np.random.default_rng(0).normal(0, 12, shape))
    if metal is not None:
        array[np.broadcast_to(((y + 0.25) / 0.1) ** 2 + ((x - 0.4) / 0.1) ** 2 < 1, shape)] = metal
    if padding is not None:
        array[np.broadcast_to(y**2 + x**2 > 1, shape)] = padding
    matrix = np.eye(3) if direction is None else direction
    return Volume(array.astype(np.int16), spacing, (-31.5, 12.25, 7.0), tuple(matrix.ravel().tolist()))


def thresholded(array: np.ndarray) -> np.ndarray:
    """The labels that the thresholds of `plans.ct_model` give to values in HU."""
    return np.digitize(array, CT_THRESHOLDS).astype(np.uint8)
