"""Measures of two masks of one structure on one grid: overlap, and distances of their surfaces.

The surface of a mask is the set of its voxels with at least one of their six neighbours outside of it; what lies
beyond the array is outside, so a structure that the edge of the scan cuts off has a surface there. A distance is that
from the centre of a surface voxel to the centre of the nearest surface voxel of the other mask, in mm. Every measure
here is symmetric in its two masks. These are the definitions of MONAI's metrics, which tests compare them with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from LowResSegLib.errors import InputError

SURFACE_TOLERANCE_MM = 1.0
_SLACK = 1e-5  # of a distance, as distances are squared in single precision
_PERCENTILE = 95


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distances between the surfaces of two masks.

    Attributes:
        first: In mm, of each surface voxel of the first mask to the second's surface; empty where either is empty.
        second: The same of the second mask to the first.
    """

    first: np.ndarray
    second: np.ndarray

    @property
    def hd95(self) -> float:
        """The greater of the two 95th percentiles of `first` and `second`, mm (percentiles interpolated linearly).

        NaN where one of the masks is empty. The Hausdorff distance (Huttenlocher et al., PAMI 1993) is the same with
        the 100th percentile, which a single voxel decides.
        """
        if not self.first.size or not self.second.size:
            return float("nan")
        return float(max(np.percentile(self.first, _PERCENTILE), np.percentile(self.second, _PERCENTILE)))

    @property
    def mean(self) -> float:
        """Mean of the distances of both directions taken together, mm; NaN where one of the masks is empty.

        This is the average symmetric surface distance of Heimann et al., IEEE TMI 2009.
        """
        if not self.first.size or not self.second.size:
            return float("nan")
        return float((self.first.sum() + self.second.sum()) / (self.first.size + self.second.size))


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Twice the voxels in both masks, over the sum of the voxels in each: 0 to 1 (Dice, Ecology 1945).

    Args:
        first: Boolean.
        second: Boolean, of the same shape.

    Returns:
        0 where one mask is empty, NaN where both are.

    Raises:
        InputError: The masks are not of one shape.
    """
    _check_shapes(first, second)
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2.0 * int(np.count_nonzero(first & second)) / total if total else float("nan")


def surface_distances(
    first: np.ndarray, second: np.ndarray, spacing: Sequence[float], step: Optional[Callable[[], None]] = None
) -> SurfaceDistances:
    """Distances between the surfaces of two masks, exact but for single precision, by the maps of Maurer et al. 2003.

    Only the box around both masks is worked on; it takes some 10 bytes a voxel of it.

    Args:
        first: Boolean (z, y, x).
        second: Boolean, of the same shape.
        spacing: Of voxels along x, y and z, mm, as in `Volume`.
        step: Called now and then; what it raises ends the work and is raised here.

    Raises:
        InputError: The masks are not three-dimensional, not of one shape, or a spacing is not positive.
    """
    _check_shapes(first, second)
    if first.ndim != 3 or len(spacing) != 3 or not all(length > 0 for length in spacing):
        raise InputError(f"Distances need masks (z, y, x) and three positive spacings, not {tuple(spacing)}.")
    box = _box(first, second)
    if box is None or not first.any() or not second.any():
        return SurfaceDistances(np.empty(0), np.empty(0))
    surfaces = [_surface(mask[box]) for mask in (first, second)]
    return SurfaceDistances(*(_distances(surfaces[own], surfaces[1 - own], spacing, step) for own in (0, 1)))


def hd95(first: np.ndarray, second: np.ndarray, spacing: Sequence[float]) -> float:
    """The 95th percentile of the surfaces' distances, mm; see `SurfaceDistances.hd95` and `surface_distances`."""
    return surface_distances(first, second, spacing).hd95


def mean_surface_distance(first: np.ndarray, second: np.ndarray, spacing: Sequence[float]) -> float:
    """The mean distance of the surfaces, mm; see `SurfaceDistances.mean` and `surface_distances`."""
    return surface_distances(first, second, spacing).mean


def surface_dice(
    first: np.ndarray, second: np.ndarray, spacing: Sequence[float], tolerance: float = SURFACE_TOLERANCE_MM
) -> float:
    """The share of both surfaces' voxels that lie within `tolerance` mm of the other surface: 0 to 1.

    After Nikolov et al., JMIR 2021, with surface voxels counted instead of areas summed. 0 where one mask is empty,
    NaN where both are. Arguments and errors are those of `surface_distances`.
    """
    return surface_dice_of(surface_distances(first, second, spacing), bool(first.any() or second.any()), tolerance)


def surface_dice_of(distances: SurfaceDistances, some: bool, tolerance: float = SURFACE_TOLERANCE_MM) -> float:
    """The surface Dice by distances that are known; `some` says whether there is a voxel in either mask."""
    total = distances.first.size + distances.second.size
    if not total:
        return 0.0 if some else float("nan")
    limit = tolerance * (1 + _SLACK)
    return int(np.count_nonzero(distances.first <= limit) + np.count_nonzero(distances.second <= limit)) / total


def _check_shapes(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape:
        raise InputError(f"The masks have the shapes {first.shape} and {second.shape}; bring them onto one grid.")
    if first.dtype.kind != "b" or second.dtype.kind != "b":
        raise InputError(f"A mask is an array of truth values, not of {first.dtype} and {second.dtype}.")


def _box(first: np.ndarray, second: np.ndarray) -> Any:
    """The slices of the box around both masks; None where both are empty."""
    slices = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        there = np.flatnonzero(first.any(axis=others) | second.any(axis=others))
        if not there.size:
            return None
        slices.append(slice(int(there[0]), int(there[-1]) + 1))
    return tuple(slices)


def _surface(mask: np.ndarray) -> np.ndarray:
    """The mask's surface, with a border of one voxel around it, without which the distance map would miss voxels."""
    padded = np.pad(mask, 1)
    inner = mask.copy()
    for axis in range(3):
        for first in (0, 2):
            window = [slice(1, -1)] * 3
            window[axis] = slice(first, padded.shape[axis] - 2 + first)
            inner &= padded[tuple(window)]
    padded[1:-1, 1:-1, 1:-1] &= ~inner
    return padded


def _distances(
    surface: np.ndarray, other: np.ndarray, spacing: Sequence[float], step: Optional[Callable[[], None]]
) -> np.ndarray:
    """Distances of the voxels of a surface to the nearest voxel of the other."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(other.view(np.uint8))
    image.SetSpacing([float(length) for length in spacing])
    # Squared distances are whole where spacings are, so that a tolerance is met or not without a doubt.
    filter = sitk.SignedMaurerDistanceMapImageFilter()
    filter.SetInsideIsPositive(False)
    filter.SetSquaredDistance(True)
    filter.SetUseImageSpacing(True)
    squared = _executed(filter, image, step)  # has a name, as a view does not keep its image
    values: np.ndarray = sitk.GetArrayViewFromImage(squared)[surface]
    distances: np.ndarray = np.sqrt(np.abs(values.astype(np.float64)))
    distances[other[surface]] = 0.0  # single precision gives some 1e-5
    return distances


def _executed(filter: Any, image: Any, step: Optional[Callable[[], None]]) -> Any:
    """Execute an ITK filter, calling `step` as it goes on; what that raises is raised when the filter has stopped."""
    if step is None:
        return filter.Execute(image)
    import SimpleITK as sitk

    raised: list[BaseException] = []

    def watch() -> None:
        try:
            if not raised:
                step()
        except BaseException as error:
            raised.append(error)
            filter.Abort()

    filter.AddCommand(sitk.sitkProgressEvent, watch)
    try:
        result = filter.Execute(image)
    except RuntimeError:
        if not raised:
            raise
    finally:
        filter.RemoveAllCommands()
    if raised:
        raise raised[0]
    return result
