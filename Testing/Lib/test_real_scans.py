"""The bundled model on real scans: every way to compute a labelmap gives the same one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data import BRAIN_SCANS, brain_scan
from plans import reoriented

import LowResSegLib
from LowResSegLib import engine
from LowResSegLib.reconstruction import reconstruct
from LowResSegLib.sampling import sample

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model() -> LowResSegLib.model.Model:
    """The bundled brain model, whatever else is installed."""
    return LowResSegLib.load_model(CHECKOUT / "Resources" / "Models" / "brain.lowresseg")


def test_the_bundled_model_is_what_it_says(model: LowResSegLib.model.Model) -> None:
    path = CHECKOUT / "Resources" / "Models" / "brain.lowresseg"
    assert path.stat().st_size < 1_000_000
    assert model.plan.operations_per_voxel() <= 55_000
    assert model.grid.spacing == 2.0 and len(model.labels) == 18
    assert all(label.type is not None and label.type.scheme in ("SCT", "DCM") for label in model.labels[1:])
    assert {layer.operation for layer in model.plan.layers} == {
        "image", "first", "ternary", "max_pool", "upsample", "concatenate", "logits",
    }  # fmt: skip
    assert "Research use only" in model.card["limits"]


@pytest.mark.parametrize("name", BRAIN_SCANS)
def test_folded_torch_numpy_and_onnx_runtime_agree(name: str, model: LowResSegLib.model.Model) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed; it is needed for training only")
    from LowResSegLib.networks.fold import FoldedNetwork

    volume = LowResSegLib.read_volume(brain_scan(name))
    low = sample(volume, model.grid, model.normalisation)
    found = {
        f"{backend}, {threads} threads": engine.run(model.plan, low.grid, backend, threads)
        for backend in engine.available_backends()
        for threads in (1, 2)
        if backend != "numpy" or threads == 1
    }
    expected = FoldedNetwork(model.plan)(torch.from_numpy(low.grid)[None, None])[0].numpy()
    for logits in found.values():
        np.testing.assert_array_equal(logits, expected)
    labelmap, _ = LowResSegLib.segment(volume, model, passes=1)
    np.testing.assert_array_equal(labelmap.array, reconstruct(expected, low))


def test_labelmap_is_the_same_with_every_backend(model: LowResSegLib.model.Model) -> None:
    """With all passes that the bundled model asks for; on a small scan, as numpy takes its time."""
    volume = LowResSegLib.read_volume(brain_scan("stroke_T1"))
    first, *others = (LowResSegLib.segment(volume, model, backend=name)[0] for name in engine.available_backends())
    assert len(np.unique(first.array)) == len(model.labels)
    for other in others:
        np.testing.assert_array_equal(other.array, first.array)


@pytest.mark.slow
def test_the_48_copies_of_a_real_scan_give_one_labelmap(model: LowResSegLib.model.Model) -> None:
    volume = LowResSegLib.read_volume(brain_scan("stroke_T1"))
    expected, _ = LowResSegLib.segment(volume, model)
    for copy, axes, flips in reoriented(volume):
        labelmap, _ = LowResSegLib.segment(copy, model)
        turned = expected.array.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
        assert np.array_equal(labelmap.array, turned), (axes, flips)
        assert labelmap.geometry == copy.geometry


@pytest.mark.parametrize("name", ["example_brain_t1", "seg3D_MR"])
def test_every_structure_is_found_on_a_t1_scan(name: str, model: LowResSegLib.model.Model) -> None:
    """Volumes of an adult brain, with wide margins: a model that finds nothing or everything fails."""
    _, record = LowResSegLib.segment(LowResSegLib.read_volume(brain_scan(name)), model)
    volumes = {entry["name"]: entry["volume_ml"] for entry in record["labels"]}
    assert all(volume > 0.1 for volume in volumes.values()), volumes
    assert 250 < volumes["Cerebral white matter"] < 700 and 300 < volumes["Cerebral cortex"] < 800
    assert 5 < volumes["Thalamus"] < 30 and 3 < volumes["Hippocampus"] < 16 and 10 < volumes["Brain stem"] < 45


def test_the_package_finds_the_bundled_model_outside_the_checkout(tmp_path: Path) -> None:
    """The package with its resources, as a wheel lays them out, in a Python that knows nothing of the checkout."""
    site = tmp_path / "site"
    shutil.copytree(CHECKOUT / "LowResSegLib", site / "LowResSegLib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(CHECKOUT / "Resources", site / "LowResSegLib" / "Resources")
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import LowResSegLib; "
        "print(LowResSegLib.available_models()['brain'], LowResSegLib.load_model('brain').name)"
    )
    known = str(CHECKOUT / "Testing" / "without_editable")
    environment = {"XDG_DATA_HOME": str(tmp_path), "HOME": str(tmp_path), "PATH": "", "PYTHONPATH": known}
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == [str(site / "LowResSegLib" / "Resources" / "Models" / "brain.lowresseg"), "brain"]
