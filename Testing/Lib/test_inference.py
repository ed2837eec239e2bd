"""Passes and slabs: what the second pass sees, how both are averaged, and that slabs change nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from plans import random_model, random_plan, random_volume, reoriented

from LowResSegLib import engine, kernels, segment
from LowResSegLib.errors import InputError
from LowResSegLib.inference import blend_in_numpy, label, mirror_axis, sample_grids
from LowResSegLib.kernels.blend import blend as blend_natively
from LowResSegLib.model import Model, read_model, write_model
from LowResSegLib.reconstruction import reconstruct
from LowResSegLib.sampling import GridSettings, Normalisation
from LowResSegLib.volume import Label, Volume

needs_kernels = pytest.mark.skipif(not kernels.available(), reason=f"native kernels: {kernels.why_not()}")


def nothing(*arguments: object) -> None:
    """No one looks at the progress."""


def of_passes(rng: np.random.Generator, passes: int, orientation: str = "RAS") -> Model:
    model = random_model(rng)
    return replace(model, passes=passes, grid=replace(model.grid, orientation=orientation))


def definition(first: np.ndarray, second: np.ndarray, before: int, count: int = 1) -> np.ndarray:
    """The mean voxel by voxel, in Python's integers."""
    result = np.empty_like(first)
    for c, z, y, x in np.ndindex(*first.shape):
        around = [
            int(second[c, max(z + before - dz, 0), max(y - dy, 0), max(x - dx, 0)])
            for dz in (0, 1)
            for dy in (0, 1)
            for dx in (0, 1)
        ]
        result[c, z, y, x] = (8 * count * int(first[c, z, y, x]) + sum(around)) // (8 * (count + 1))
    return result


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (4, 1, 40), (3, 5, 2)])
def test_blending_is_the_mean_of_eight_neighbours(shape: tuple[int, int, int], before: int, count: int) -> None:
    rng = np.random.default_rng(sum(shape))
    for most in (4095, 3):
        first = rng.integers(-most, most + 1, (3, *shape)).astype(np.int16)
        second = rng.integers(-most, most + 1, (3, shape[0] + before, *shape[1:])).astype(np.int16)
        second[0] = -4095
        first[0] = -4095
        expected = definition(first, second, before, count)
        np.testing.assert_array_equal(blend_in_numpy(first.copy(), second, True, count, before), expected)
        if kernels.available():
            for axis in (1, 2, 3):  # views with steps backwards, as mirrored logits have
                mirrored = np.flip(np.ascontiguousarray(np.flip(second, axis)), axis)
                np.testing.assert_array_equal(blend_natively(first.copy(), mirrored, True, count, before, 2), expected)


def test_blending_in_the_same_places_is_the_mean() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.integers(-4095, 4096, (2, 3, 4, 5, 70)).astype(np.int16)
    for count in (1, 3):
        expected = (count * first.astype(int) + second) // (count + 1)
        np.testing.assert_array_equal(blend_in_numpy(first.copy(), second, False, count), expected)
        if kernels.available():
            mirrored = np.flip(np.ascontiguousarray(np.flip(second, 3)), 3)
            np.testing.assert_array_equal(blend_natively(first.copy(), mirrored, False, count), expected)


@needs_kernels
def test_blending_parts_of_larger_arrays() -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(-4095, 4096, (3, 9, 6, 7)).astype(np.int16)
    other = rng.integers(-4095, 4096, (3, 8, 6, 7)).astype(np.int16)
    expected = definition(whole[:, 2:6], other[:, 1:6, :, ::-1], 1)
    kept = whole.copy()
    assert np.shares_memory(blend_natively(whole[:, 2:6], other[:, 1:6, :, ::-1], True, 1, 1), whole)
    np.testing.assert_array_equal(whole[:, 2:6], expected)
    np.testing.assert_array_equal(whole[:, :2], kept[:, :2])
    np.testing.assert_array_equal(whole[:, 6:], kept[:, 6:])


def test_axis_from_left_to_right() -> None:
    assert [mirror_axis(code) for code in ("RAS", "LPS", "ASR", "SLA")] == [2, 2, 0, 1]


def test_second_pass_lies_half_a_voxel_aside(rng: np.random.Generator) -> None:
    """Along a ramp, half a voxel is half of what a whole one is."""
    ramp = np.broadcast_to(np.arange(48, dtype=np.float32) * 40, (48, 48, 48)).copy()
    window = Normalisation("window", 0, 2000)
    model = replace(random_model(rng), passes=2, normalisation=window, grid=GridSettings(4.0))
    volume = Volume(ramp, (1.0, 1.0, 1.0), (0, 0, 0), (-1, 0, 0, 0, -1, 0, 0, 0, 1))
    first, second = sample_grids(volume, model, 2, nothing)
    assert first.grid.shape == second.grid.shape == (12, 12, 12)
    steps = np.diff(first.grid[5, 5].astype(int))[2:-2]
    aside = second.grid[5, 5].astype(int)[2:-3] - first.grid[5, 5].astype(int)[2:-3]
    assert abs(steps.mean() - 2 * aside.mean()) < 0.5


@pytest.mark.parametrize("orientation", ["RAS", "SLA"])
@pytest.mark.parametrize(("passes", "mirror"), [(2, True), (2, False), (4, True)])
def test_all_passes_make_the_labels(rng: np.random.Generator, orientation: str, passes: int, mirror: bool) -> None:
    model, volume = of_passes(rng, passes, orientation), random_volume(rng, (15, 22, 18))
    model = replace(model, mirror=mirror)
    grids = sample_grids(volume, model, passes, nothing)
    axis = mirror_axis(orientation)

    def look(grid: np.ndarray, mirrored: bool) -> np.ndarray:
        seen = np.ascontiguousarray(np.flip(grid, axis)) if mirrored else grid
        logits = engine.run(model.plan, seen, "numpy")
        return np.flip(logits, axis + 1) if mirrored else logits

    mean = first = look(grids[0].grid, False)
    if passes == 4:
        mean = blend_in_numpy(mean.copy(), look(grids[0].grid, True), False)
        mean = blend_in_numpy(mean, look(grids[1].grid, False), True, 2)
    mean = blend_in_numpy(mean.copy(), look(grids[1].grid, mirror), True, passes - 1)
    assert (mean != first).any()
    expected = reconstruct(mean, grids[0])
    for backend in engine.available_backends():
        found, record = segment(volume, model, backend=backend)
        np.testing.assert_array_equal(found.array, expected)
        assert record["passes"] == passes


def test_averaging_can_be_stopped() -> None:
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    first, second = np.zeros((2, 3, 4, 5, 6), np.int16)
    with pytest.raises(KeyboardInterrupt):
        blend_in_numpy(first, second, True, step=stop)
    if kernels.available():
        with pytest.raises(KeyboardInterrupt):
            blend_natively(first, second, True, step=stop)


def test_fewer_passes_may_be_chosen_but_not_more(rng: np.random.Generator) -> None:
    model, volume = of_passes(rng, 2), random_volume(rng)
    once, record = segment(volume, model, passes=1)
    assert record["passes"] == 1
    np.testing.assert_array_equal(once.array, segment(volume, replace(model, passes=1))[0].array)
    for wrong in (4, 3, 0):
        with pytest.raises(InputError, match="looks 2 times at a scan; choose from: 1, 2"):
            segment(volume, model, passes=wrong)


def test_reoriented_copies_of_a_scan_with_four_passes(rng: np.random.Generator) -> None:
    model, volume = of_passes(rng, 4), random_volume(rng)
    expected = segment(volume, model)[0].array
    for copy, order, flips in reoriented(volume):
        turned = expected.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
        np.testing.assert_array_equal(segment(copy, model)[0].array, turned)


@pytest.mark.parametrize("passes", [1, 2, 4])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9, 3.1, 5.0), (4.0, 2.5, 0.7)])
def test_slabs_give_the_labels_of_the_whole(passes: int, spacing: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(3)
    plan = random_plan(rng, 4, (3, 4, 5))
    labels = tuple(Label(value, f"Structure {value}", (40 * value, 200, 10)) for value in range(4))
    model = Model("random", labels, GridSettings(2.0, "RAS", 4), Normalisation(), plan, {}, passes=passes)
    slices = {1.0: 60, 5.0: 16, 0.7: 60}[spacing[2]]  # 21 to 40 of the grid
    volume = replace(random_volume(rng, (slices, 24, 30)), spacing=spacing)
    grids = sample_grids(volume, model, passes, nothing)
    whole = label(model, grids, passes, "numpy", 1, None, nothing)
    assert len(np.unique(whole)) > 1
    for backend in engine.available_backends():
        for thickness in (1, 8, 1000):
            shares: list[tuple[str, float]] = []
            found = label(model, grids, passes, backend, 2, thickness, lambda step, share: shares.append((step, share)))  # noqa: B023
            np.testing.assert_array_equal(found, whole)
            values = [share for _, share in shares]
            assert values == sorted(values) and values[-1] == 1.0


def test_passes_are_kept_in_the_model_file(rng: np.random.Generator, tmp_path: object) -> None:
    path = tmp_path / "two.lowresseg"  # type: ignore[operator]
    write_model(path, of_passes(rng, 4))
    assert read_model(path).passes == 4
