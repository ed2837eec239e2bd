"""The low-resolution grid: orientation, resampling, normalisation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from plans import random_volume, reoriented

from LowResSegLib.errors import InputError
from LowResSegLib.sampling import GridSettings, Normalisation, orientation_to, resample, sample
from LowResSegLib.volume import Volume

GRID = GridSettings(2.0, "RAS", 4)


def turn(axis: int, degrees: float) -> np.ndarray:
    """Rotation matrix about a patient axis."""
    angle, matrix = np.deg2rad(degrees), np.eye(3)
    a, b = [i for i in range(3) if i != axis]
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


@pytest.mark.parametrize(
    "direction",
    [np.eye(3), turn(0, 15) @ turn(2, -20), turn(2, 45), turn(1, 45) @ turn(0, 45)],
    ids=["straight", "oblique", "45 degrees", "45 degrees twice"],
)
def test_the_48_copies_give_one_grid(rng: np.random.Generator, direction: np.ndarray) -> None:
    volume = random_volume(rng, direction=direction)
    expected = sample(volume, GRID, Normalisation())
    assert len(np.unique(expected.grid)) > 20
    count = 0
    for copy, _, _ in reoriented(volume):
        found = sample(copy, GRID, Normalisation())
        np.testing.assert_array_equal(found.grid, expected.grid)
        assert found.source_spacing == expected.source_spacing and found.size == expected.size
        back = found.orientation.undo(found.orientation.apply(copy.array))
        np.testing.assert_array_equal(back, copy.array)
        count += 1
    assert count == 48


def test_orientation_turns_index_axes_to_the_code() -> None:
    """An LPS array in RAS: x and y are flipped; z stays."""
    volume = Volume(np.zeros((2, 3, 4), np.int16), (1, 1, 1), (0, 0, 0), tuple(np.eye(3).ravel()))
    orientation = orientation_to(volume, "RAS")
    assert orientation.axes == (0, 1, 2) and orientation.flips == (False, True, True)
    sagittal = replace(volume, direction=(0, 0, 1, 1, 0, 0, 0, 1, 0))  # x to P, y to S, z to L
    orientation = orientation_to(sagittal, "RAS")
    assert orientation.apply(sagittal.array).shape == (3, 4, 2)
    assert orientation.flips == (False, True, True)


def test_the_same_scan_with_noise_in_its_header_gives_the_same_grid(rng: np.random.Generator) -> None:
    volume = random_volume(rng)
    noisy = replace(
        volume,
        spacing=tuple(s + 3e-7 for s in volume.spacing),
        direction=tuple(d + 1e-8 for d in volume.direction),
    )
    one, other = (sample(v, GRID, Normalisation()) for v in (volume, noisy))
    np.testing.assert_array_equal(one.grid, other.grid)
    assert one.source_spacing == other.source_spacing


@pytest.mark.parametrize("ratio", [0.37, 1.0, 2.0, 2.6])
def test_resampling_keeps_constants_and_ramps(ratio: float) -> None:
    size = 40
    target = int(size / ratio)
    ramp = np.arange(size, dtype=np.float32)[:, None, None] * np.ones((1, 3, 4), np.float32)
    result = resample(ramp, (ratio, 1.0, 1.0), (target, 3, 4), lambda share: None)
    centres = (np.arange(target) + 0.5) * ratio - 0.5
    inner = slice(3, target - 3)
    np.testing.assert_allclose(result[inner, 1, 2], centres[inner], atol=0.15 if ratio > 1 else 1e-4)
    constant = resample(np.full((9, 8, 7), 3.0, np.float32), (ratio,) * 3, (4, 3, 2), lambda share: None)
    np.testing.assert_allclose(constant, 3.0, rtol=1e-6)


def test_resampling_down_does_not_alias() -> None:
    """A checkerboard of single voxels becomes grey, not one of its colours."""
    board = (np.indices((12, 12, 12)).sum(0) % 2).astype(np.float32)
    result = resample(board, (2.0,) * 3, (6, 6, 6), lambda share: None)
    np.testing.assert_allclose(result[1:-1, 1:-1, 1:-1], 0.5, atol=1e-6)


def test_padding_is_zero_and_at_the_end(rng: np.random.Generator) -> None:
    low = sample(random_volume(rng), GRID, Normalisation())
    assert all(n % 4 == 0 for n in low.grid.shape)
    z, y, x = low.size
    assert not low.grid[z:].any() and not low.grid[:, y:].any() and not low.grid[:, :, x:].any()
    assert low.grid[:z, :y, :x].any(axis=(0, 1)).all()


def test_gain_and_offset_of_the_scanner_do_not_matter(rng: np.random.Generator) -> None:
    volume = random_volume(rng)
    other = replace(volume, array=volume.array.astype(np.float64) * 8 + 256)
    one, two = (sample(v, GRID, Normalisation()).grid.astype(int) for v in (volume, other))
    assert np.abs(one - two).max() <= 1 and np.mean(one != two) < 0.01


def test_window_maps_hounsfield_units() -> None:
    window = Normalisation("window", low=-100, high=154)
    values = np.array([-2000, -100, -98, 27, 154, 3000], np.float32)
    assert window.apply(values).tolist() == [0, 0, 1, 64, 127, 127]


def test_voxels_beyond_a_window_are_its_ends_before_they_are_averaged() -> None:
    """Metal and padding beside tissue weigh no more than the ends of the window."""
    line = np.array([-3024, -3024, 40, 40, 30000, 40], np.float64)
    window = Normalisation("window", low=-1000, high=1000)
    ratios, size = (1.0, 1.0, 2.0), (1, 1, 3)
    found = resample(line[None, None], ratios, size, lambda share: None, window.window)
    expected = resample(np.clip(line, -1000, 1000)[None, None], ratios, size, lambda share: None)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32 and found.min() > -1000 and found.max() < 1000
    without = resample(line[None, None], ratios, size, lambda share: None)
    assert without.max() > 5000 and without.min() < -2000
    line[3] = 1e300
    huge = sample(Volume(line.repeat(9).reshape(6, 3, 3)), GRID, window).grid
    line[3] = 1000
    np.testing.assert_array_equal(huge, sample(Volume(line.repeat(9).reshape(6, 3, 3)), GRID, window).grid)
    assert Normalisation().window is None


@pytest.mark.parametrize("kind", ["int16", "uint16", "int32", "float32", "float64"])
def test_the_number_type_of_a_ct_does_not_matter(kind: str, rng: np.random.Generator) -> None:
    window, array = Normalisation("window", low=-100, high=154), random_volume(rng).array
    grids = [sample(random_volume(rng).with_array(array.astype(k)), GRID, window).grid for k in ("int16", kind)]
    np.testing.assert_array_equal(*grids)


@pytest.mark.parametrize(("low", "high"), [(-2000, -1000), (600, 5000), (-3024, -1500)])
def test_a_scan_beyond_the_window_is_refused(low: int, high: int, rng: np.random.Generator) -> None:
    volume = random_volume(rng)
    outside = volume.with_array(rng.integers(low, high + 1, volume.array.shape).astype(np.int16))
    with pytest.raises(InputError, match=r"beyond the model's window of -1000 to 600 HU; check that the scan is a CT"):
        sample(outside, GRID, Normalisation("window", low=-1000, high=600))


def test_constant_and_overflowing_images_are_refused(rng: np.random.Generator) -> None:
    volume = random_volume(rng)
    with pytest.raises(InputError, match="same value everywhere"):
        sample(volume.with_array(np.full_like(volume.array, 7)), GRID, Normalisation())
    with pytest.raises(InputError, match="too large"):
        sample(volume.with_array(np.full(volume.array.shape, 1e300)), GRID, Normalisation())


def test_a_vanishing_spacing_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match="far too small"):
        sample(replace(random_volume(rng), spacing=(1.0, 1e-9, 1.0)), GRID, Normalisation())


def test_a_volume_of_kilometres_is_refused_before_any_work(rng: np.random.Generator) -> None:
    volume = replace(random_volume(rng), spacing=(1e5, 1e5, 1e5))
    with pytest.raises(InputError, match=r"too large for the model's grid of 2 mm; check the spacing"):
        sample(volume, GRID, Normalisation())


@pytest.mark.parametrize(
    "wrong",
    [
        {"orientation": "RAX"},
        {"orientation": "RL"},
        {"orientation": "RAS!"},
        {"orientation": "RLA"},
        {"orientation": ""},
        {"spacing": 0.0},
        {"spacing": float("nan")},
        {"spacing": "2"},
        {"divisor": 0},
        {"divisor": 2.5},
        {"divisor": 2.0},
        {"divisor": True},
    ],
)
def test_impossible_grids_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        replace(GRID, **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "other"},
        {"low": -5},
        {"high": 1e30},
        {"low": 99.5},
        {"reference": 200},
        {"threshold": "x"},
        {"level": float("nan")},
        {"level": {}},
        {"kind": "window", "low": float("-inf")},
    ],
)
def test_impossible_normalisations_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        replace(Normalisation(), **wrong)
