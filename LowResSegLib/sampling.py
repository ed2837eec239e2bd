"""From a volume to the network's low-resolution grid: orientation, antialiased resampling, normalisation.

The grid keeps the scan's own axes, turned and flipped to the model's nearest orientation, so nothing oblique is
interpolated and the 48 reoriented copies of a scan give bit-identical grids. Only elementwise float32 arithmetic in a
fixed order is used, by numpy or the native kernels: the result does not depend on the number of threads or on a BLAS.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

import numpy as np

from LowResSegLib import kernels
from LowResSegLib.errors import InputError
from LowResSegLib.kernels import fuse
from LowResSegLib.kernels.order import ranked
from LowResSegLib.kernels.resample import resample as resample_natively
from LowResSegLib.volume import Volume

# Patient direction (LPS) that each letter of an orientation code points to.
_LETTERS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
NANOMETRES = 1_000_000  # a mm; spacings are rounded to these, so that every source of a scan gives one grid
MAX_GRID = 1 << 26  # voxels, 400 along each axis; beyond it a header is wrong, as where mm were taken for micrometres


@dataclass(frozen=True)
class Orientation:
    """How array axes (z, y, x) are permuted, then flipped, to reach the model's orientation."""

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def apply(self, array: np.ndarray) -> np.ndarray:
        """View of a (z, y, x) array in the model's orientation."""
        return array.transpose(self.axes)[tuple(slice(None, None, -1 if f else 1) for f in self.flips)]

    def undo(self, array: np.ndarray) -> np.ndarray:
        """View of an array in the model's orientation, turned back to the volume's."""
        flipped = array[tuple(slice(None, None, -1 if f else 1) for f in self.flips)]
        return flipped.transpose(np.argsort(self.axes))


def _check_number(name: str, value: object, least: float, most: float) -> None:
    """Raise ValueError unless `value` is a number from `least` to `most`; a NaN is not."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError(f"{name} is a number from {least:g} to {most:g}, not {value!r}.")


@dataclass(frozen=True)
class GridSettings:
    """The grid that a model works on.

    Attributes:
        spacing: edge of a voxel in mm, the same along each axis.
        orientation: three letters: where the x, y and z index of the grid increase to, such as "RAS".
        divisor: sizes are padded, at their ends and with zeros, to multiples of this.
    """

    spacing: float
    orientation: str = "RAS"
    divisor: int = 1

    def __post_init__(self) -> None:
        """Check the values; raises ValueError."""
        axes = [_LETTERS[letter][0] for letter in self.orientation if letter in _LETTERS]
        if not isinstance(self.orientation, str) or len(self.orientation) != 3 or sorted(axes) != [0, 1, 2]:
            raise ValueError(f"{self.orientation!r} is no orientation; write three letters such as RAS.")
        _check_number("The spacing", self.spacing, 0.1, 100)
        _check_number("The divisor", self.divisor, 1, 256)
        if not isinstance(self.divisor, int):
            raise ValueError("The divisor is a whole number.")


@dataclass(frozen=True)
class Normalisation:
    """How intensities become the network's integers, 0 to 127.

    `foreground`: for MRI, whose intensities have no unit: `low` and `high` percentiles of the scan give its range,
    what lies above `threshold` of the range is foreground, and the `reference` percentile of that becomes `level`.
    `window`: for CT: `low` and `high` in HU become 0 and 127. What lies beyond becomes the nearer end, voxel by voxel,
    before voxels are averaged.
    """

    kind: str = "foreground"
    low: float = 0.5
    high: float = 99.5
    threshold: float = 0.15
    reference: float = 90.0
    level: float = 80.0

    def __post_init__(self) -> None:
        """Check the values; raises ValueError."""
        if self.kind not in ("foreground", "window"):
            raise ValueError(f"{self.kind!r} is no normalisation; write foreground or window.")
        most = 100.0 if self.kind == "foreground" else 1e6
        _check_number("The low value", self.low, 0.0 if self.kind == "foreground" else -1e6, most)
        _check_number("The high value", self.high, self.low + 1e-3, most)
        _check_number("The threshold", self.threshold, 0, 1)
        _check_number("The reference percentile", self.reference, 0, 100)
        _check_number("The level", self.level, 1, 127)

    @property
    def window(self) -> Optional[tuple[float, float]]:
        """The ends of the window in HU; None where the range is the scan's own."""
        return (self.low, self.high) if self.kind == "window" else None

    def apply(self, image: np.ndarray, threads: Optional[int] = None) -> np.ndarray:
        """Integers 0 to 127 (uint8) of a float32 array; raises InputError where all its values are the same."""
        return _levels(image, *self.line(image, threads))

    def line(self, image: np.ndarray, threads: Optional[int] = None) -> tuple[np.float32, np.float32]:
        """The intensity that becomes 0, and levels per unit of intensity; raises InputError as `apply`."""
        if self.kind == "window":
            return np.float32(self.low), np.float32(127.0 / (self.high - self.low))
        low, high = ranked(image, [_rank(self.low, image.size), _rank(self.high, image.size)], threads)
        above = int(np.count_nonzero(image > low + np.float32(self.threshold) * (high - low)))
        wanted = image.size - above + _rank(self.reference, above)  # of the foreground, which sorting puts last
        reference = ranked(image, [wanted], threads)[0] if above else low
        # Resampling rounds, so a constant image has a range of a few units in the last place.
        if not reference - low > 1e-5 * max(abs(reference), abs(low)):
            raise InputError("The image has nearly the same value everywhere; there is nothing to segment.")
        return low, np.float32(self.level) / (reference - low)


def _levels(values: np.ndarray, low: np.float32, scale: np.float32) -> np.ndarray:
    """Float32 intensities as integers 0 to 127 (uint8); each operation is rounded to float32 by itself."""
    return np.asarray(np.clip(np.rint((values - low) * scale), 0, 127).astype(np.uint8))


def _rank(percent: float, count: int) -> int:
    """The place of a percentile among sorted values, the lower one of two."""
    return math.floor(percent / 100 * (count - 1))


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan at its own resolution, with the way of its intensities to the grid's integers.

    Attributes:
        array: (z, y, x) in the model's orientation, a view of the volume's.
        low, scale: what `Normalisation.line` gave for the grid.
        window: of the normalisation.
    """

    array: np.ndarray
    low: np.float32
    scale: np.float32
    window: Optional[tuple[float, float]] = None

    def levels(self, part: tuple[slice, ...], threads: Optional[int] = None) -> np.ndarray:
        """Integers 0 to 127 (uint8) of a part of the scan; its axes lie in memory in the order of the scan's."""
        source = self.array[part]
        result = np.empty_like(source, np.uint8)
        if kernels.available():
            fuse.levels_of(source, self.low, self.scale, self.window, result, threads)
            return result
        for plane, levels in zip(source, result):
            values = plane.astype(np.float32)
            if self.window is not None:
                np.clip(values, np.float32(self.window[0]), np.float32(self.window[1]), out=values)
            levels[...] = _levels(values, self.low, self.scale)
        return result


@dataclass(frozen=True)
class LowResolution:
    """A volume on a model's grid, and what is needed to come back.

    Attributes:
        grid: uint8 (z, y, x) in the model's orientation, padded.
        size: the part of the grid that covers the volume, (z, y, x).
        orientation: from the volume's axes to the model's.
        source_shape: the volume's shape in the model's orientation.
        source_spacing, spacing: of volume (z, y, x, in the model's orientation) and grid, in nanometres.
        scan: the volume itself, for reconstructions that look at it.
    """

    grid: np.ndarray
    size: tuple[int, ...]
    orientation: Orientation
    source_shape: tuple[int, ...]
    source_spacing: tuple[int, ...]
    spacing: int
    scan: Optional[Scan] = None


def orientation_to(volume: Volume, code: str) -> Orientation:
    """The permutation and flips that bring a volume's axes nearest to an orientation code.

    Of the 48 reorientations the one whose axes agree best wins; between equals (turns by 45 degrees) the choice
    depends on the axes' directions alone, not on how the array stores them.
    """
    direction = np.round(np.reshape(volume.direction, (3, 3)), 6)  # columns: x, y, z index axes
    wanted = [_LETTERS[letter] for letter in code]
    best: Optional[tuple[tuple[float, ...], Orientation]] = None
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            turned = direction[:, order] * signs
            agreement = round(float(sum(turned[axis, i] * sign for i, (axis, sign) in enumerate(wanted))), 6)
            rank = (agreement, *(turned.T.ravel() + 0.0))
            if best is None or rank > best[0]:
                # Index axes are x, y, z; array axes are z, y, x.
                axes = tuple(2 - order[2 - axis] for axis in range(3))
                flips = tuple(signs[2 - axis] < 0 for axis in range(3))
                best = (rank, Orientation(axes, flips))  # type: ignore[arg-type]
    assert best is not None
    return best[1]


def _taps(source: int, target: int, ratio: float, aside: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Source indices and float32 weights, each (target, taps), of a triangle filter as wide as it must be.

    `ratio` is target spacing over source spacing. Going down it smooths over one target voxel each way; going up
    it is linear interpolation. At the ends the weights that fall outside are shared among the others. Target voxels
    lie further on by `aside` of a voxel, but not beyond the source's last centre.
    """
    radius = max(ratio, 1.0)
    centre = (np.arange(target) + 0.5 + aside) * ratio - 0.5
    if aside:
        centre = np.minimum(centre, source - 1)
    first = np.ceil(centre - radius - 1e-9).astype(np.int64)
    index = first[:, None] + np.arange(int(2 * radius) + 2)
    weight = np.maximum(0.0, 1.0 - np.abs(index - centre[:, None]) / radius)
    weight[(index < 0) | (index >= source)] = 0.0
    keep = np.flatnonzero(weight.any(axis=0))
    index, weight = index[:, keep], weight[:, keep]
    weight /= weight.sum(axis=1, keepdims=True)
    return np.clip(index, 0, source - 1), weight.astype(np.float32)


def _along_last_but_one(array: np.ndarray, index: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Filter axis -2 of a float32 array; the sum runs over the taps in order."""
    result = array[..., index[:, 0], :] * weight[:, 0, None]
    for tap in range(1, index.shape[1]):
        result += array[..., index[:, tap], :] * weight[:, tap, None]
    return result


def resample(
    array: np.ndarray,
    ratios: tuple[float, ...],
    size: tuple[int, ...],
    step: Callable[[float], None],
    window: Optional[tuple[float, float]] = None,
    threads: Optional[int] = None,
    aside: float = 0.0,
) -> np.ndarray:
    """Antialiased resampling of a (z, y, x) array to float32 of `size`, on a grid `aside` of a voxel further on.

    With a `window`, voxels beyond its ends are taken for its ends. If they were averaged as they are, metal (30000 HU)
    would brighten the tissue around it, and the padding outside the scanner's field of view (-3024 HU) would darken
    the skin beside it.
    """
    taps = [_taps(n, m, ratio, aside) for n, m, ratio in zip(array.shape, size, ratios)]
    if kernels.available():
        return resample_natively(array, taps, window, step, threads)
    return resample_in_numpy(array, taps, window, step)


def resample_in_numpy(
    array: np.ndarray,
    taps: list[tuple[np.ndarray, np.ndarray]],
    window: Optional[tuple[float, float]],
    step: Callable[[float], None],
) -> np.ndarray:
    """What `resample` does, one output slice at a time; the native kernel gives the same bits."""
    limits = None if window is None else np.array(window, np.float32)
    (iz, wz), (iy, wy), (ix, wx) = taps
    result = np.empty((len(iz), len(iy), len(ix)), np.float32)
    for z in range(len(iz)):
        plane = np.zeros(array.shape[1:], np.float32)
        for source, weight in zip(iz[z], wz[z]):
            if weight:
                values = array[source].astype(np.float32)
                if limits is not None:
                    np.clip(values, limits[0], limits[1], out=values)
                plane += values * weight
        rows = _along_last_but_one(plane, iy, wy)
        result[z] = _along_last_but_one(np.ascontiguousarray(rows.T), ix, wx).T
        step((z + 1) / len(iz))
    return result


def grid_size(volume: Volume, grid: GridSettings) -> tuple[Orientation, tuple[int, ...], tuple[int, ...]]:
    """From the volume's axes to the model's; there the volume's spacing in nanometres, and the grid's size, (z, y, x).

    Raises:
        InputError: the volume is far smaller or larger than anything that a model is made for.
    """
    orientation = orientation_to(volume, grid.orientation)
    nanometres = [round(s * NANOMETRES) for s in volume.spacing[::-1]]
    source_spacing = tuple(nanometres[axis] for axis in orientation.axes)
    if min(source_spacing) < 1:
        raise InputError(f"The spacing {volume.spacing} mm is far too small; check the volume's header.")
    shape = (volume.array.shape[axis] for axis in orientation.axes)
    target_spacing = round(grid.spacing * NANOMETRES)
    size = tuple(max(1, -(-n * s // target_spacing)) for n, s in zip(shape, source_spacing))
    if math.prod(size) > MAX_GRID:
        extent = " x ".join(f"{n * grid.spacing:.3g}" for n in size[::-1])
        raise InputError(
            f"The volume is {extent} mm large, too large for the model's grid of {grid.spacing:g} mm; check the "
            "spacing in its header, or crop it."
        )
    return orientation, source_spacing, size


def _check_window(array: np.ndarray, window: tuple[float, float]) -> None:
    """Refuse a scan all of which would become one end of the window."""
    least, most = float(array.min()), float(array.max())
    if most <= window[0] or least >= window[1]:
        raise InputError(
            f"All voxels ({least:g} to {most:g}) lie beyond the model's window of {window[0]:g} to {window[1]:g} HU; "
            "check that the scan is a CT in Hounsfield units."
        )


def sample(
    volume: Volume,
    grid: GridSettings,
    normalisation: Normalisation,
    step: Optional[Callable[[float], None]] = None,
    threads: Optional[int] = None,
    aside: float = 0.0,
) -> LowResolution:
    """A volume on a model's grid.

    Args:
        volume: any orientation and spacing.
        grid: of the model.
        normalisation: of the model.
        step: called with the share that is done, 0 to 1; may raise to stop.
        threads: at most so many for the native kernels; None means all cores.
        aside: the grid lies further on along each of its axes by this much of a voxel, 0 to 0.5.

    Raises:
        InputError: all values are nearly the same or beyond one end of the model's window, or are so large that
            float32 cannot hold them, or the volume is far larger than anything that a model is made for.
    """
    orientation, source_spacing, size = grid_size(volume, grid)
    source = orientation.apply(volume.array)
    target_spacing = round(grid.spacing * NANOMETRES)
    window = normalisation.window
    if window is not None:
        _check_window(source, window)
    ratios = tuple(target_spacing / s for s in source_spacing)
    with np.errstate(over="ignore", invalid="ignore"):
        image = resample(source, ratios, size, step or (lambda share: None), window, threads, aside)
    if not np.isfinite(image).all():
        raise InputError("The image has values that are not finite numbers or are too large; repair them first.")
    padded = [(0, -n % grid.divisor) for n in size]
    line = normalisation.line(image, threads)
    levels = np.pad(_levels(image, *line), padded)
    scan = Scan(source, *line, window)
    return LowResolution(levels, size, orientation, source.shape, source_spacing, target_spacing, scan)
