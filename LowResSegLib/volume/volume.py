"""An array of voxels and where it lies in the patient."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from LowResSegLib.errors import InputError

# How far the product of the direction with its transpose may be from the identity. Scanners and single precision
# files round; a shear that a reader could see is beyond this.
DIRECTION_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class Volume:
    """A volume of voxels in patient space (LPS: x grows to the left, y to the back, z to the head).

    Attributes:
        array: Voxels as (z, y, x); any number type.
        spacing: Distance of neighbouring voxels along the index axes x, y, z, in mm.
        origin: Centre of the voxel with index (0, 0, 0), in mm.
        direction: 3 x 3 matrix, row by row; its columns are the directions of the index axes x, y, z.
        modality: DICOM's code for the kind of scan, such as CT or MR; empty where it is not known.

    Raises:
        InputError: The array is not 3-D or is empty, a spacing is not a positive number, a number is not finite, or
            the directions are not at right angles and of length 1.
    """

    array: np.ndarray
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    modality: str = ""

    def __post_init__(self) -> None:
        """Turn the geometry into tuples of floats and check it."""
        for field, length in (("spacing", 3), ("origin", 3), ("direction", 9)):
            values = tuple(float(value) for value in getattr(self, field))
            if len(values) != length or not all(math.isfinite(value) for value in values):
                raise InputError(f"The {field} {values} is not {length} finite numbers; repair the file's header.")
            object.__setattr__(self, field, values)
        if self.array.ndim != 3 or self.array.size == 0:
            raise InputError(f"A volume has three dimensions of at least one voxel, not the shape {self.array.shape}.")
        if self.array.dtype.kind not in "buif":
            raise InputError(f"Voxels are whole or real numbers, not {self.array.dtype}.")
        if min(self.spacing) <= 0:
            raise InputError(f"The spacing {self.spacing} is not positive in every direction; repair its header.")
        matrix = np.reshape(self.direction, (3, 3))
        if np.abs(matrix.T @ matrix - np.eye(3)).max() > DIRECTION_TOLERANCE:
            raise InputError("The axes are not at right angles and of length 1; resample the scan onto a regular grid.")

    def with_array(self, array: np.ndarray) -> Volume:
        """Return another volume on the same grid; `array` is (z, y, x) of the same shape."""
        if array.shape != self.array.shape:
            raise InputError(f"An array of shape {array.shape} does not fit a grid of shape {self.array.shape}.")
        return dataclasses.replace(self, array=array)

    @property
    def geometry(self) -> dict[str, Any]:
        """Spacing, origin and direction by name."""
        return {"spacing": self.spacing, "origin": self.origin, "direction": self.direction}

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return math.prod(self.spacing) / 1000.0
