"""The whole way, on random networks."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plans import random_model, random_volume, reoriented
from scan_files import file, itk, labels, scan

import LowResSegLib
from LowResSegLib import engine
from LowResSegLib.cli import main
from LowResSegLib.errors import Cancelled, InputError
from LowResSegLib.jobs import InProcess, Worker
from LowResSegLib.pipeline import segment
from LowResSegLib.volume import Volume
from LowResSegLib.volume import scan as scan_module


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
    assert record["warnings"] == [] and record["window_hu"] is None


def test_progress_names_the_steps_and_never_falls(rng: np.random.Generator) -> None:
    seen: list[tuple[str, float]] = []
    segment(random_volume(rng), random_model(rng), lambda step, share: seen.append((step, share)), backend="numpy")
    names = [name for name, _ in itertools.groupby(seen, key=lambda entry: entry[0])]
    assert names == ["model", "sampling", "network", "reconstruction", "done"]
    shares = [share for _, share in seen]
    assert shares == sorted(shares) and shares[0] == 0.0 and shares[-1] == 1.0


@pytest.mark.parametrize("calls", [0, 1, 3, 9])
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


def not_scans() -> dict[str, tuple[Volume, str]]:
    """Volumes that are no scans, and a part of what is said of each."""
    volume = scan("float32")
    array = volume.array
    holes = array.copy()
    holes[2, 3, :3] = np.nan, np.inf, -np.inf
    return {
        "labelmap": (labels(), "The image looks like a labelmap (4 whole numbers, in areas), not a scan; give the"),
        "mask": (volume.with_array(array > 100), "The image looks like a labelmap (2 whole numbers, in areas)"),
        "constant": (volume.with_array(array * 0 + 7), "All voxels have the value 7; there is nothing to segment."),
        "not finite": (volume.with_array(holes), "3 of 2184 voxels are not finite numbers (NaN or infinity)"),
        "infinite": (volume.with_array(np.where(array > 9, array, np.inf)), "voxels are not finite numbers"),
        "kilometres": (replace(volume, spacing=(1.0, 1e6, 1.0)), "is beyond 0.001 to 100 mm"),
    }


@pytest.mark.parametrize("what", not_scans())
def test_what_is_no_scan_is_refused_by_each_way_in(what: str, rng: np.random.Generator, small_model: Path) -> None:
    volume, sentence = not_scans()[what]
    for way in (segment, lambda *arguments: InProcess().submit(*arguments).result()):
        with pytest.raises(InputError) as caught:
            way(volume, str(small_model))
        assert sentence in str(caught.value) and str(caught.value).endswith(".")
    with Worker() as worker, pytest.raises(InputError) as caught:
        worker.submit(volume, str(small_model)).result(60)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("what", ["labelmap", "mask"])
def test_a_scan_that_looks_like_a_labelmap_is_segmented_where_that_is_said(what: str, small_model: Path) -> None:
    volume, _ = not_scans()[what]
    with pytest.raises(InputError, match=r"--not-a-labelmap \(in Python not_a_labelmap=True\)"):
        segment(volume, small_model)
    expected, _ = segment(volume, small_model, not_a_labelmap=True)
    with Worker() as worker:
        for runner in (worker, InProcess()):
            labelmap, _ = runner.submit(volume, str(small_model), not_a_labelmap=True).result(60)
            np.testing.assert_array_equal(labelmap.array, expected.array)


def test_all_other_checks_stay_where_it_is_no_labelmap(small_model: Path) -> None:
    for what, (volume, sentence) in not_scans().items():
        if what not in ("labelmap", "mask"):
            with pytest.raises(InputError, match=re.escape(sentence)):
                segment(volume, small_model, not_a_labelmap=True)


def test_the_command_looks_at_a_scan_once(tmp_path: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Volume] = []
    monkeypatch.setattr(scan_module, "_check_values", lambda array, low, high: looked.append(array))
    path = file("a.nii", lambda: itk(scan()))(tmp_path)
    assert main(["segment", str(path), "-o", str(tmp_path / "out"), "--model", "small"]) == 0
    assert len(looked) == 1


def test_the_modality_goes_with_the_volume_to_the_worker(small_model: Path) -> None:
    volume = replace(scan(), modality="CT")
    with Worker() as worker:
        labelmap, record = worker.submit(volume, str(small_model)).result(60)
    assert labelmap.modality == "CT" and "is CT by its DICOM header" in record["warnings"][0]
