"""Arrays before they travel, and after."""

from __future__ import annotations

from typing import Optional

import numpy as np

from LowResSegLib.errors import InputError

# Voxels of other types become these; where their values do not fit, the volume is refused.
TRAVELS_AS = {"bool": "uint8", "float16": "float32", "int64": "int32", "uint64": "uint32"}


def travelling(array: np.ndarray) -> np.ndarray:
    """Voxels in a type that travels, of the same values; raises InputError where there is none."""
    wanted = TRAVELS_AS.get(array.dtype.name)
    if wanted is None:
        return array
    if array.dtype.kind in "iu":
        limits = np.iinfo(wanted)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise InputError("The scan has values too large for a server; segment it here, or do not send it whole.")
    return array.astype(wanted)


def mean_confidences(logits: np.ndarray, percent: np.ndarray) -> list[Optional[float]]:
    """For each class the mean percent of the grid's voxels that it wins; None where it wins none."""
    winners = logits.argmax(0)
    counts = np.bincount(winners.ravel(), minlength=len(logits))
    sums = np.bincount(winners.ravel(), percent.ravel(), len(logits))
    return [round(float(total) / int(count), 1) if count else None for total, count in zip(sums, counts)]
