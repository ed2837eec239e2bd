"""The measures of two masks: MONAI's numbers on random masks, and shapes whose distances are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from LowResSegLib import InputError
from LowResSegLib.comparison.measures import dice, hd95, mean_surface_distance, surface_dice, surface_distances

pytest.importorskip("SimpleITK")
SPACING = (0.8, 1.1, 2.5)  # x, y, z


def blob(rng: np.random.Generator, shape: tuple[int, int, int], holes: float = 0.02) -> np.ndarray:
    """A box at a random place with rough faces, and some voxels off at random."""
    mask = np.zeros(shape, bool)
    start = [int(rng.integers(0, n // 2)) for n in shape]
    mask[tuple(slice(s, s + int(rng.integers(2, n - s + 1))) for s, n in zip(start, shape))] = True
    return mask & (rng.random(shape) > holes) | (rng.random(shape) < holes / 4)


@pytest.mark.filterwarnings("ignore::FutureWarning:monai")
@pytest.mark.parametrize("seed", range(8))
def test_monai_agrees_on_random_masks_of_anisotropic_spacing(seed: int) -> None:
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(5, 24, 3))
    first, second = blob(rng, shape), blob(rng, shape)
    one, other = (torch.from_numpy(mask)[None, None].float() for mask in (first, second))
    spacing = SPACING[::-1]  # MONAI's is along the array's axes
    expected = {
        "hd95": metrics.compute_hausdorff_distance(one, other, True, percentile=95, spacing=spacing),
        "mean": metrics.compute_average_surface_distance(one, other, True, symmetric=True, spacing=spacing),
        "surface": metrics.compute_surface_dice(one, other, [1.3], include_background=True, spacing=spacing),
        "dice": metrics.compute_dice(one, other),
    }
    found = {
        "hd95": hd95(first, second, SPACING),
        "mean": mean_surface_distance(first, second, SPACING),
        "surface": surface_dice(first, second, SPACING, 1.3),
        "dice": dice(first, second),
    }
    assert found == pytest.approx({name: float(value) for name, value in expected.items()}, rel=1e-5)


def brute(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances of the surfaces by comparing all with all."""
    points = []
    for mask in (first, second):
        padded = np.pad(mask, 1)
        inside = [np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1] for axis in range(3) for step in (1, -1)]
        points.append(np.argwhere(mask & ~np.logical_and.reduce(inside)) * SPACING[::-1])
    apart = np.sqrt(((points[0][:, None] - points[1]) ** 2).sum(axis=2))
    return apart.min(axis=1), apart.min(axis=0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30), st.tuples(*[st.integers(1, 9)] * 3), st.floats(0.02, 0.98))
def test_distances_are_those_of_all_with_all(seed: int, shape: tuple[int, int, int], share: float) -> None:
    """Masks of any kind, also flat ones, those that fill the array, and those of a voxel."""
    rng = np.random.default_rng(seed)
    first, second = (rng.random(shape) < share for _ in range(2))
    first[tuple(rng.integers(0, shape))] = second[tuple(rng.integers(0, shape))] = True
    found, expected = surface_distances(first, second, SPACING), brute(first, second)
    np.testing.assert_allclose(found.first, expected[0], rtol=1e-5)
    np.testing.assert_allclose(found.second, expected[1], rtol=1e-5)
    np.testing.assert_allclose(surface_distances(second, first, SPACING).first, expected[1], rtol=1e-5)


def test_boxes_that_are_shifted_have_known_distances() -> None:
    first = np.zeros((20, 20, 20), bool)
    first[4:10, 4:10, 4:10] = True
    second = np.roll(first, 2, axis=2)  # by 2 voxels along x
    assert dice(first, second) == pytest.approx(2 * 4 * 36 / (2 * 216))
    assert hd95(first, second, (1.5, 1, 1)) == 3.0
    apart = surface_distances(first, second, (1.5, 1, 1))
    # The near and the far face are 3 mm away but for their edges; of the sides, what lies in both is at 0.
    assert sorted(set(apart.first.tolist())) == pytest.approx([0, 1, 1.5, 2, 3]) and apart.first.size == 216 - 64
    assert apart.mean == pytest.approx(mean_surface_distance(second, first, (1.5, 1, 1)))


def test_spheres_one_in_the_other_are_as_far_apart_as_their_radii() -> None:
    z, y, x = np.indices((61, 61, 61)) - 30
    spheres = [z * z + y * y + x * x <= radius * radius for radius in (20, 25)]
    assert mean_surface_distance(*spheres, (1, 1, 1)) == pytest.approx(5, abs=0.35)
    assert hd95(*spheres, (1, 1, 1)) == pytest.approx(5, abs=0.7)
    assert mean_surface_distance(*spheres, (2, 2, 2)) == pytest.approx(10, abs=0.7)
    assert dice(*spheres) == pytest.approx(2 * 20**3 / (20**3 + 25**3), abs=0.01)
    assert surface_dice(*spheres, (1, 1, 1), 1.0) == 0.0 and surface_dice(*spheres, (1, 1, 1), 6.0) == 1.0


def test_a_voxel_far_away_is_in_the_maximum_but_not_in_the_95th_percentile() -> None:
    first = np.zeros((30, 30, 30), bool)
    first[2:12, 2:12, 2:12] = True
    second = first.copy()
    second[29, 29, 29] = True
    assert hd95(first, second, (1, 1, 1)) == 0.0
    assert surface_distances(first, second, (1, 1, 1)).second.max() == pytest.approx(18 * math.sqrt(3))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.1, 0.1, 0.1), (1 / 3, 1 / 3, 1 / 3)])
def test_what_is_as_far_as_the_tolerance_is_within_it(spacing: tuple[float, float, float]) -> None:
    first = np.zeros((3, 3, 40), bool)
    first[1, 1, 2] = True
    second = np.roll(first, round(1 / spacing[0]), axis=2)
    assert surface_dice(first, second, spacing) == 1.0
    assert surface_dice(first, np.roll(second, 1, axis=2), spacing) == 0.0


def test_structures_far_apart_in_a_large_volume() -> None:
    """The distance map is so large that its memory goes back to the system as soon as it is freed."""
    first, second = np.zeros((2, 200, 210, 220), bool)
    first[0, 0, 0] = second[199, 209, 219] = second[0, 0, 3] = True
    apart = surface_distances(first, second, (1, 1, 2))
    assert apart.first.tolist() == [3.0]
    assert apart.second.tolist() == pytest.approx([3.0, math.sqrt(398**2 + 209**2 + 219**2)])


def test_empty_masks() -> None:
    empty, full = np.zeros((3, 4, 5), bool), np.ones((3, 4, 5), bool)
    assert dice(empty, full) == 0.0 and surface_dice(full, empty, SPACING) == 0.0
    assert math.isnan(dice(empty, empty)) and math.isnan(surface_dice(empty, empty, SPACING))
    for first, second in ((empty, full), (full, empty), (empty, empty)):
        assert math.isnan(hd95(first, second, SPACING)) and math.isnan(mean_surface_distance(first, second, SPACING))
    assert dice(full, full) == 1.0 and hd95(full, full, SPACING) == 0.0
    assert mean_surface_distance(full, full, SPACING) == 0.0 and surface_dice(full, full, SPACING) == 1.0


def test_what_does_not_fit_is_refused() -> None:
    mask = np.ones((2, 3, 4), bool)
    with pytest.raises(InputError, match="one grid"):
        dice(mask, mask[1:])
    with pytest.raises(InputError, match="truth values"):
        dice(mask, mask.astype(np.uint8))
    with pytest.raises(InputError, match="spacings"):
        hd95(mask, mask, (1, 0, 1))
    with pytest.raises(InputError, match="spacings"):
        hd95(mask[0], mask[0], (1, 1))
