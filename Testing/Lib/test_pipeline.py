"""The whole way, on random networks."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from plans import random_model, random_volume, reoriented

import LowResSegLib
from LowResSegLib import engine
from LowResSegLib.errors import Cancelled
from LowResSegLib.pipeline import segment


def test_geometry_is_the_inputs_own(rng: np.random.Generator) -> None:
    volume = random_volume(rng, direction=np.linalg.qr(rng.normal(size=(3, 3)))[0])
    labelmap, _ = segment(volume, random_model(rng))
    assert labelmap.array.shape == volume.array.shape and labelmap.array.dtype == np.uint8
    assert (labelmap.spacing, labelmap.origin, labelmap.direction) == (volume.spacing, volume.origin, volume.direction)


@pytest.mark.parametrize("backend", engine.available_backends())
def test_the_48_copies_give_one_labelmap(rng: np.random.Generator, backend: str) -> None:
    model, volume = random_model(rng), random_volume(rng)
    expected, _ = segment(volume, model, backend=backend)
    assert len(np.unique(expected.array)) > 2
    for copy, axes, flips in reoriented(volume):
        labelmap, _ = segment(copy, model, backend=backend)
        turned = expected.array.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
        np.testing.assert_array_equal(labelmap.array, turned)


@pytest.mark.parametrize("spacing", [0.5, 1.0, 3.3])
def test_backends_agree(rng: np.random.Generator, spacing: float) -> None:
    model = random_model(rng, spacing=spacing)
    volume = random_volume(np.random.default_rng(3))
    results = [segment(volume, model, backend=name)[0] for name in engine.available_backends()]
    for one, other in itertools.combinations(results, 2):
        np.testing.assert_array_equal(one.array, other.array)


def test_the_record_says_what_ran(rng: np.random.Generator) -> None:
    model, volume = random_model(rng), random_volume(rng)
    labelmap, record = segment(volume, model, backend="numpy", threads=1)
    assert json.loads(json.dumps(record)) == record
    assert record["model"] == "random" and record["backend"] == "numpy" and record["threads"] is None
    assert record["peak_memory_mb"] > 1 and record["lowresseg"] == LowResSegLib.__version__
    steps = ["model", "sampling", "network", "reconstruction"]
    assert list(record["seconds"]) == [*steps, "total"]
    assert record["seconds"]["total"] == pytest.approx(sum(record["seconds"][step] for step in steps), abs=1e-2)
    assert [entry["value"] for entry in record["labels"]] == [1, 2, 3]
    for entry in record["labels"]:
        voxels = np.count_nonzero(labelmap.array == entry["value"])
        assert entry["volume_ml"] == pytest.approx(voxels * 1.0 * 0.8 * 1.7 / 1000, abs=1e-3)
    assert "research use only" in record["notice"] and record["model_limits"] == "For tests alone."


def test_progress_names_the_steps_and_never_falls(rng: np.random.Generator) -> None:
    seen: list[tuple[str, float]] = []
    segment(random_volume(rng), random_model(rng), lambda step, share: seen.append((step, share)), backend="numpy")
    names = [name for name, _ in itertools.groupby(seen, key=lambda entry: entry[0])]
    assert names == ["model", "sampling", "network", "reconstruction", "done"]
    shares = [share for _, share in seen]
    assert shares == sorted(shares) and shares[0] == 0.0 and shares[-1] == 1.0


@pytest.mark.parametrize("calls", [0, 1, 3, 12])
def test_cancel_ends_the_run_wherever_it_is(rng: np.random.Generator, calls: int) -> None:
    counter = itertools.count()
    with pytest.raises(Cancelled):
        segment(random_volume(rng), random_model(rng), backend="numpy", cancel=lambda: next(counter) >= calls)
    assert next(counter) == calls + 1


def test_tiny_and_thin_volumes_are_segmented(rng: np.random.Generator) -> None:
    model = random_model(rng)
    for shape in [(1, 1, 4), (1, 20, 20), (2, 3, 1)]:
        volume = random_volume(rng, shape=shape)
        labelmap, _ = segment(replace(volume, spacing=(8.0, 0.3, 2.0)), model)
        assert labelmap.array.shape == shape
