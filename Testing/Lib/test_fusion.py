"""Labels from logits and the scan itself: those of the definition, by numpy and by the native kernels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fusions import KINDS, random_fusion, random_low_resolution, random_scan
from plans import random_model, random_volume, reoriented
from test_kernels_reconstruct import ORIENTATIONS, random_logits

from LowResSegLib import engine, kernels, segment
from LowResSegLib.errors import Cancelled
from LowResSegLib.inference import label, sample_grids
from LowResSegLib.kernels import fuse as native
from LowResSegLib.model import Fusion, Model
from LowResSegLib.reconstruction import count_slab, empty_labels, evidence_of, fuse_slab, no_counts, reconstruct
from LowResSegLib.reconstruction import fusion as room
from LowResSegLib.reconstruction.evidence import _POWERS, decay
from LowResSegLib.sampling import LowResolution

needs_kernels = pytest.mark.skipif(not kernels.available(), reason="no native kernels")
WAYS = ("numpy", *(("native",) if kernels.available() else ()))
BAD_ARGUMENT = 4


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """By numpy or by the native kernels."""
    if request.param == "numpy":
        monkeypatch.setattr(kernels, "available", lambda: False)
    return str(request.param)


def by_definition(
    logits: np.ndarray, low: LowResolution, fusion: Fusion
) -> tuple[np.ndarray, Iterator[tuple[tuple[int, ...], int, int, dict[int, int]]]]:
    """Counts, and for each voxel its levels and the classes that take part; voxel by voxel, in Python's integers."""
    counts, voxels = np.zeros((len(logits), 128), np.int64), []
    assert low.scan is not None
    window = low.scan.window
    for voxel in np.ndindex(*low.source_shape):
        corners = []
        for axis, index in enumerate(voxel):
            twice, grid = (2 * index + 1) * low.source_spacing[axis] - low.spacing, 2 * low.spacing
            steps = min(max((twice * 64 + low.spacing) // grid, 0), (low.size[axis] - 1) * 64)
            corners.append(((steps // 64, 64 - steps % 64), (min(steps // 64 + 1, low.size[axis] - 1), steps % 64)))
        sums, seen = [0] * len(logits), 0
        for (z, wz), (y, wy), (x, wx) in itertools.product(*corners):
            seen += int(low.grid[z, y, x]) * wz * wy * wx
            sums = [total + int(own[z, y, x]) * wz * wy * wx for total, own in zip(sums, logits)]
        value = np.float32(low.scan.array[voxel])
        value = value if window is None else np.clip(value, np.float32(window[0]), np.float32(window[1]))
        here = int(np.clip(np.rint((value - low.scan.low) * low.scan.scale), 0, 127))
        best = max(sums)
        part = {c: own for c, own in enumerate(sums) if best - own <= fusion.lead_reach << 18}
        weights = {c: int(decay(fusion)[(best - own) >> 18]) for c, own in part.items()}
        total = sum(weights.values())
        for c, weight in weights.items():
            counts[c, here] += (256 * weight + total // 2) // total
        voxels.append((voxel, here, (seen + (1 << 17)) >> 18, part))
    return counts, iter(voxels)


def label_of(part: dict[int, int], here: int, known: int, fusion: Fusion, evidence: np.ndarray) -> int:
    """The label of a voxel by the definition."""
    values = {}
    for c, own in part.items():
        lead = own - max([other for k, other in part.items() if k != c], default=own)
        place = (lead + (fusion.lead_reach << 18)) >> (10 + fusion.lead_shift)
        before = min(place // 256, fusion.leads - 2)
        table = fusion.corrections[evidence[c, here], evidence[c, known]].astype(int)
        weight = place - 256 * before
        values[c] = own + 1024 * int(table[before] * (256 - weight) + table[before + 1] * weight)
    return max(values, key=lambda c: (values[c], -c))


def fusing_model() -> Model:
    """A random model whose logits are near each other, and a fusion that changes many of its labels."""
    rng = np.random.default_rng(1)
    corrections = rng.integers(-400, 401, (7, 7, 9)).astype(np.int16)
    return replace(random_model(rng), fusion=Fusion(corrections, 6, 3000, 5000, 300, (3, 2, 1)))


def sizes(rng: np.random.Generator, seed: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], Any]:
    """Grid, used part, source and spacings; the spacing of the grid is 16."""
    grid = tuple(int(n) for n in rng.choice([1, 2, 3, 6, 11], 3))
    used = tuple(int(rng.integers(max(1, n - 2), n + 1)) for n in grid)
    spacings = tuple(int(n) for n in rng.integers(3, 40, 3))
    covered = tuple(max(1, n * 16 // s) for n, s in zip(used, spacings))
    return grid, used, covered if seed % 3 else tuple(int(n) for n in rng.integers(1, 20, 3)), spacings


@pytest.mark.parametrize("kind", ["noise", "ties", "extreme", "regions"])
@pytest.mark.parametrize("seed", range(3))
def test_labels_are_those_of_the_definition(seed: int, kind: str, way: str) -> None:
    rng = np.random.default_rng(seed)
    low = random_low_resolution(
        rng, (3, 4, 5), (3, 4, 4), (6, 7, 5), (7, 9, 13), 16, ORIENTATIONS[int(rng.integers(48))]
    )
    logits, fusion = random_logits(rng, 4, (3, 4, 5), kind), random_fusion(rng)
    expected, voxels = by_definition(logits, low, fusion)
    counts = no_counts(4)
    count_slab(logits, low, 0, 3, fusion, counts)
    np.testing.assert_array_equal(counts, expected)
    evidence = rng.integers(0, fusion.ratios, (4, 128)).astype(np.uint8)
    labels = empty_labels(low)
    fuse_slab(logits, low, 0, 3, fusion, evidence, labels)
    found = low.orientation.apply(labels)
    for voxel, here, known, part in voxels:
        assert found[voxel] == label_of(part, here, known, fusion, evidence)


@needs_kernels
@pytest.mark.parametrize("kind", ["noise", "ties", "extreme", "regions"])
@pytest.mark.parametrize("seed", range(40))
def test_any_logits_give_numpys_labels(seed: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    grid, used, source, spacings = sizes(rng, seed)
    classes = int(rng.choice([1, 2, 3, 4, 5, 8, 9, 18, 255]))
    low = random_low_resolution(rng, grid, used, source, spacings, 16, ORIENTATIONS[int(rng.integers(48))])
    logits, fusion = random_logits(rng, classes, grid, kind), random_fusion(rng)
    monkeypatch.setattr(room, "COUNTED", int(rng.choice([1 << 22, 50])))
    cut = int(rng.integers(0, grid[0] + 1))
    slabs = [(first, end) for first, end in ((0, cut), (cut, grid[0])) if first < end]
    results = []
    for available in (True, False):
        monkeypatch.setattr(kernels, "available", lambda available=available: available)
        whole, pieces, labels = no_counts(classes), no_counts(classes), empty_labels(low)
        count_slab(logits, low, 0, grid[0], fusion, whole, threads=1 + seed % 4)
        evidence = evidence_of(whole, fusion)
        for first, end in slabs:
            count_slab(logits[:, first : end + 1], low, first, end, fusion, pieces)
        for first, end in slabs:
            part = logits[:, first : end + 1]
            fuse_slab(part, low, first, end, fusion, evidence, labels, threads=1 + seed % 3)
        np.testing.assert_array_equal(pieces, whole)
        np.testing.assert_array_equal(labels, reconstruct(logits, low, fusion=fusion))
        results.append((whole, labels))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", ORIENTATIONS[::9], ids=str)
def test_levels_are_numpys(kind: str, orientation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        scan = random_scan(rng, (5, 1 + 700 * seed, 9), orientation, kind)
        part = (slice(1, 4), slice(None, None, 1 + seed % 3), slice(None))
        found = scan.levels(part, 1 + seed % 3)
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "available", lambda: False)
            np.testing.assert_array_equal(found, scan.levels(part))
        assert found.max() <= 127 and (kind == "bool" or len(np.unique(found)) > 3)


def test_powers_are_far_from_where_rounding_would_be_in_doubt() -> None:
    fractions = [2.0 ** (15 - i / 64) % 1 for i in range(1, 64)]
    assert min(abs(fraction - 0.5) for fraction in fractions) > 1e-3
    assert _POWERS[0] == 1 << 15 and (np.diff(_POWERS) < 0).all()


@pytest.mark.parametrize("air", [0, 192])
@pytest.mark.parametrize("classes", [3, 18])
def test_evidence_is_the_log_likelihood_ratio(classes: int, air: int) -> None:
    rng = np.random.default_rng(classes)
    counts = (256 * 10.0 ** rng.uniform(-2, 1.5, (classes, 128))).astype(np.int64)
    counts[0, 40:] = 0
    counts[1] = 0
    fusion = replace(random_fusion(rng), smoothing=(400, 300, 100), floor=20 * 256, air=air)
    fusion = replace(fusion, corrections=np.zeros((33, 33, 5), np.int16))
    distance = np.abs(np.subtract.outer(np.arange(128), np.arange(128)))
    kernel = np.select([distance == 0, distance == 1, distance == 2], [400.0, 300.0, 100.0], 0.0)
    counted = counts / 256
    counted[0, 0] += air / 256 * counted.sum()
    smooth = counted @ (kernel / kernel.sum(1, keepdims=True))
    share = smooth.sum(0) + 1e-3
    share /= share.sum()
    ratio = np.log((smooth + 20 * share) / (smooth.sum(1, keepdims=True) + 20) / share)
    exact = np.clip((ratio + 5) / 10 * 32, 0, 32)
    found = evidence_of(counts, fusion)
    assert found.dtype == np.uint8 and np.abs(found - exact).max() < 0.53
    assert (found[1] == 16).all() and len(np.unique(found)) > 10


def test_many_classes_and_voxels_are_counted_exactly() -> None:
    fusion = replace(random_fusion(np.random.default_rng(0)), air=0)
    counts = np.full((255, 128), (1 << 40) // 255, np.int64)
    assert (evidence_of(counts, fusion) == fusion.ratios // 2).all()


@pytest.mark.parametrize("backend", engine.available_backends())
def test_slabs_and_threads_do_not_change_labels(backend: str, rng: np.random.Generator) -> None:
    model = fusing_model()
    volume = random_volume(rng, (33, 22, 18))
    grids = sample_grids(volume, model, 1, lambda done: None)
    expected = segment(volume, model, backend=backend)[0].array
    for thickness in (2, 4, 6, 100):
        shares: list[float] = []
        looks: list[int] = []

        def report(name: str, done: float, shares: list[float] = shares) -> None:
            shares.append(done)

        def look(logits: np.ndarray, first: int, end: int, heard: Any, looks: list[int] = looks) -> None:
            looks.extend(range(first, end))

        found = label(model, grids, 1, backend, thickness % 3 + 1, thickness, report, look)
        np.testing.assert_array_equal(found, expected)
        assert shares == sorted(shares) and shares[-1] == 1.0
        assert looks == list(range(grids[0].grid.shape[0]))  # once, although the network may run twice
    linear = segment(volume, replace(model, fusion=None), backend=backend)[0].array
    assert 0.02 < np.mean(expected != linear) < 0.98


def test_all_backends_and_passes_give_the_same(rng: np.random.Generator) -> None:
    model = replace(fusing_model(), passes=2)
    volume = random_volume(rng, (15, 22, 18))
    found = [segment(volume, model, backend=backend)[0].array for backend in engine.available_backends()]
    assert all((other == found[0]).all() for other in found[1:])


def test_reoriented_scans_give_the_same_labels(rng: np.random.Generator, way: str) -> None:
    model = fusing_model()
    volume = random_volume(rng, (9, 14, 11))
    backend = "native" if way == "native" and "native" in engine.available_backends() else "numpy"
    expected = segment(volume, model, backend=backend)[0]
    count = 0
    for turned, order, flips in reoriented(volume):
        same = expected.array.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
        np.testing.assert_array_equal(segment(turned, model, backend=backend)[0].array, same)
        count += 1
    linear = segment(volume, replace(model, fusion=None), backend=backend)[0].array
    assert count == 48 and 0.02 < np.mean(expected.array != linear) < 0.98


def test_it_can_be_cancelled(way: str, rng: np.random.Generator) -> None:
    orientation = ORIENTATIONS[0]
    low = random_low_resolution(rng, (30, 30, 30), (30,) * 3, (120,) * 3, (4,) * 3, 16, orientation)
    logits, fusion = random_logits(rng, 5, (30, 30, 30), "ties"), random_fusion(rng)

    def stop(share: float) -> None:
        raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        count_slab(logits, low, 0, 30, fusion, no_counts(5), stop)
    with pytest.raises(Cancelled):
        fuse_slab(logits, low, 0, 30, fusion, np.zeros((5, 128), np.uint8), empty_labels(low), stop)


@pytest.mark.parametrize("beyond", [0, 1])
def test_what_is_as_far_behind_as_the_reach_takes_part(beyond: int, way: str, rng: np.random.Generator) -> None:
    low = random_low_resolution(rng, (3, 3, 4), (3, 3, 4), (6, 6, 8), (8, 8, 8), 16, ORIENTATIONS[5])
    corrections = np.zeros((3, 3, 9), np.int16)
    corrections[:, :, 0] = 500  # of what is farthest behind
    fusion = Fusion(corrections, 5, 16 * 1000, 256, 0, (1,))
    logits = np.zeros((3, 3, 3, 4), np.int16)
    logits[1], logits[2] = -128 - beyond, -4095
    counts = no_counts(3)
    count_slab(logits, low, 0, 3, fusion, counts)
    assert (counts[1].sum() > 0, counts[2].sum()) == (not beyond, 0)
    assert counts.sum() == pytest.approx(6 * 6 * 8 * 256, rel=0.01)
    assert (reconstruct(logits, low, fusion=fusion) == (0 if beyond else 1)).all()


def test_a_bright_structure_ends_where_its_intensity_does(way: str) -> None:
    """Logits put the border in the middle of a grid voxel, the scan puts it a voxel aside."""
    image = np.zeros((8, 8, 32), np.float32)
    image[:, :, 18:] = 100
    grid = np.full((2, 2, 8), 0, np.uint8)
    grid[:, :, 4], grid[:, :, 5:] = 50, 100
    logits = np.zeros((2, 2, 2, 8), np.int16)
    logits[1, :, :, :4], logits[1, :, :, 4:] = -300, 300
    from LowResSegLib.sampling import Scan

    scan = Scan(image, np.float32(0), np.float32(1))
    low = LowResolution(grid, grid.shape, ORIENTATIONS[0], image.shape, (1, 1, 1), 4, scan)
    ratio = np.linspace(-5, 5, 9)
    corrections = np.broadcast_to((200 * ratio)[:, None, None], (9, 9, 9)).astype(np.int16)
    fusion = Fusion(corrections, 7, round(16 * 100 * math.log(2)), 20 * 256, 0, (4, 2, 1))
    assert (np.flatnonzero(np.diff(reconstruct(logits, low)[4, 4].astype(int))) == [15]).all()
    assert (np.flatnonzero(np.diff(reconstruct(logits, low, fusion=fusion)[4, 4].astype(int))) == [17]).all()


# Arguments of a good call, which a test spoils: the name of the function, and what is replaced by what.
SPOILED: dict[str, tuple[str, int, Any]] = {
    **{f"count {i} none": ("lrs_count_start", i, None) for i in (0, 3, 4, 5, 6, 8, 9, 11)},
    "count levels too short": ("lrs_count_start", 7, 100),
    "count decay of an odd length": ("lrs_count_start", 10, 3),
    "count decay too long": ("lrs_count_start", 10, 9000),
    "count no decay": ("lrs_count_start", 10, 0),
    "count too few counts": ("lrs_count_start", 12, 8 * 128),
    "count no threads": ("lrs_count_start", 13, 0),
    **{f"fuse {i} none": ("lrs_fuse_start", i, None) for i in (0, 3, 4, 5, 6, 8, 9, 11, 12, 13, 15, 17)},
    "fuse seen too short": ("lrs_fuse_start", 7, 5),
    "fuse levels too short": ("lrs_fuse_start", 10, 100),
    "fuse evidence too short": ("lrs_fuse_start", 14, 128),
    "fuse labels too short": ("lrs_fuse_start", 16, 100),
    "fuse no threads": ("lrs_fuse_start", 18, 0),
    **{f"levels {i} none": ("lrs_levels_start", i, None) for i in (0, 3, 7, 9)},
    "levels source too short": ("lrs_levels_start", 1, 100),
    "levels unknown type": ("lrs_levels_start", 2, 8),
    "levels no type": ("lrs_levels_start", 2, -1),
    "levels result too short": ("lrs_levels_start", 8, 100),
    "levels no threads": ("lrs_levels_start", 10, -1),
}


def spoil(monkeypatch: pytest.MonkeyPatch, name: str, index: int, value: Any) -> list[int]:
    """Replace an argument of the next calls of a function; returns a list that gets their statuses."""
    statuses: list[int] = []
    function = getattr(native.kernels.library(), name)

    def spoiled(*arguments: Any) -> int:
        changed = list(arguments)
        changed[index] = value
        statuses.append(function(*changed))
        return statuses[-1]

    class Library:
        def __getattr__(self, other: str) -> Any:
            return spoiled if other == name else getattr(library, other)

    library = native.kernels.library()
    monkeypatch.setattr(native.kernels, "library", Library)
    return statuses


@needs_kernels
@pytest.mark.parametrize("name", SPOILED)
def test_garbage_is_refused(name: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    low = random_low_resolution(rng, (4, 5, 6), (4, 4, 5), (7, 8, 9), (9, 8, 9), 16, ORIENTATIONS[0])
    logits, fusion = random_logits(rng, 3, (4, 5, 6), "ties"), random_fusion(rng)
    reconstruct(logits, low, fusion=fusion)
    statuses = spoil(monkeypatch, *SPOILED[name])
    with pytest.raises(Exception, match="do not fit"):
        reconstruct(logits, low, fusion=fusion)
    assert statuses == [BAD_ARGUMENT]


@needs_kernels
def test_tables_that_do_not_fit_are_refused(rng: np.random.Generator) -> None:
    low = random_low_resolution(rng, (4, 5, 6), (4, 4, 5), (7, 8, 9), (9, 8, 9), 16, ORIENTATIONS[0])
    logits, good = random_logits(rng, 3, (4, 5, 6), "ties"), random_fusion(rng)
    good = replace(good, corrections=np.zeros((5, 5, 7), np.int16), lead_shift=3)
    evidence = np.full((3, 128), 4, np.uint8)
    fuse_slab(logits, low, 0, 4, good, evidence, empty_labels(low))
    for bad in (
        replace(good, lead_shift=13),
        replace(good, lead_shift=-1),
        replace(good, lead_shift=11),
        replace(good, corrections=np.zeros((5, 5, 6), np.int16)),
        replace(good, corrections=np.zeros((5, 5, 1), np.int16)),
        replace(good, corrections=np.zeros((5, 4, 7), np.int16)),
        replace(good, corrections=np.zeros((4, 4, 7), np.int16)),
    ):
        with pytest.raises(Exception, match="do not fit"):
            fuse_slab(logits, low, 0, 4, bad, evidence, empty_labels(low))
