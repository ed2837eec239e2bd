"""Labels at full resolution are those of exact linear interpolation."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from LowResSegLib.reconstruction import positions, reconstruct
from LowResSegLib.sampling import LowResolution, Orientation


def low_resolution(
    grid: tuple[int, ...], source: tuple[int, ...], source_spacing: tuple[int, ...], spacing: int
) -> LowResolution:
    straight = Orientation((0, 1, 2), (False, False, False))
    return LowResolution(np.zeros(grid, np.uint8), grid, straight, source, source_spacing, spacing)


def exact_labels(logits: np.ndarray, low: LowResolution) -> np.ndarray:
    """Interpolation voxel by voxel in whole numbers of Python, with the weights rounded to 1/64."""
    result = np.zeros(low.source_shape, np.uint8)
    for voxel in np.ndindex(*low.source_shape):
        corners = []
        for axis, index in enumerate(voxel):
            place = Fraction((2 * index + 1) * low.source_spacing[axis], 2 * low.spacing) - Fraction(1, 2)
            steps = int((place * 64 + Fraction(1, 2)).__floor__())
            steps = min(max(steps, 0), (low.size[axis] - 1) * 64)
            corners.append(((steps // 64, 64 - steps % 64), (min(steps // 64 + 1, low.size[axis] - 1), steps % 64)))
        sums = [0] * len(logits)
        for z, wz in corners[0]:
            for y, wy in corners[1]:
                for x, wx in corners[2]:
                    for label in range(len(logits)):
                        sums[label] += int(logits[label, z, y, x]) * wz * wy * wx
        result[voxel] = sums.index(max(sums))
    return result


@pytest.mark.parametrize("spacings", [(1, 1, 1), (2, 3, 1), (5, 2, 7), (2, 2, 2)])
def test_labels_are_those_of_exact_interpolation(spacings: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(sum(spacings))
    grid = (3, 4, 5)
    source = tuple(n * 2 // s for n, s in zip(grid, spacings))
    source = tuple(max(n, 1) for n in source)
    low = low_resolution(grid, source, spacings, 2)
    # Coarse values make ties common.
    logits = (rng.integers(-3, 4, (4, *grid)) * 1365).astype(np.int16)
    np.testing.assert_array_equal(reconstruct(logits, low), exact_labels(logits, low))


def test_extreme_logits_do_not_overflow() -> None:
    low = low_resolution((2, 2, 2), (5, 5, 5), (1, 1, 1), 2)
    logits = np.full((2, 2, 2, 2), -4095, np.int16)
    logits[1] = 4095
    assert (reconstruct(logits, low) == 1).all()
    assert (reconstruct(logits[::-1], low) == 0).all()


def test_ties_go_to_the_lower_label() -> None:
    low = low_resolution((2, 2, 2), (4, 4, 4), (1, 1, 1), 2)
    logits = np.zeros((3, 2, 2, 2), np.int16)
    logits[1:] = 7
    assert (reconstruct(logits, low) == 1).all()


def test_a_class_between_two_others_is_found() -> None:
    """The middle class is largest nowhere on the grid, and largest between two of its voxels."""
    low = low_resolution((1, 1, 2), (1, 1, 8), (1, 1, 1), 4)
    logits = np.array([[100, 0], [0, 100], [70, 70]], np.int16).reshape(3, 1, 1, 2)
    assert 2 in reconstruct(logits, low)


def test_positions_are_symmetric_where_the_grid_fits() -> None:
    before, weight = positions(8, 1, 4, 2)
    assert before.tolist() == [0, 0, 0, 1, 1, 2, 2, 2] and weight.tolist() == [0, 16, 48, 16, 48, 16, 48, 64]
