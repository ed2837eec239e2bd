"""CT the whole way, with a model of thresholds: padding, table, metal, rescaling, NIfTI and DICOM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from ct_scans import ct, thresholded
from data import data_file
from plans import CT_THRESHOLDS, CT_WINDOW, ct_model, reoriented
from scan_files import edited, itk, put

from LowResSegLib import Volume, engine, read_volume, segment
from LowResSegLib.sampling import sample


def outside_circle(shape: tuple[int, ...]) -> np.ndarray:
    """The voxels that a scanner does not reconstruct."""
    _, y, x = np.ogrid[tuple(slice(-1, 1, 1j * n) for n in shape)]
    return np.broadcast_to(y**2 + x**2 > 1, shape)


@pytest.mark.parametrize("backend", engine.available_backends())
@pytest.mark.parametrize(
    "added",
    [{}, {"table": True}, *({"padding": value} for value in (-1024, -2000, -3024)), {"metal": 3071}, {"metal": 30000}],
    ids=str,
)
def test_labels_at_the_models_resolution_are_the_thresholds(added: dict[str, Any], backend: str) -> None:
    scan = ct(**added)
    labelmap, record = segment(scan, ct_model(), backend=backend)
    np.testing.assert_array_equal(labelmap.array, thresholded(scan.array))
    assert np.bincount(labelmap.array.ravel()).min() > 20
    if "padding" in added:
        assert not labelmap.array[outside_circle(scan.array.shape)].any()
    for entry in record["labels"]:
        volume = np.count_nonzero(labelmap.array == entry["value"]) * 0.027
        assert entry["volume_ml"] == pytest.approx(volume, abs=1e-4)
    assert record["warnings"] == []


@pytest.mark.parametrize("spacing", [(0.7, 0.7, 1.0), (1.0, 1.3, 5.0), (4.0, 3.5, 0.6)])
def test_neither_padding_nor_metal_changes_what_is_beside_it(spacing: tuple[float, float, float]) -> None:
    """What lies beyond the window is its end, also where voxels are averaged."""
    shape, model, ends = (20, 60, 64), ct_model(), [int(end) for end in CT_WINDOW]
    expected, _ = segment(ct(shape, spacing, padding=ends[0], metal=ends[1]), model)
    for padding, metal in ((-1024, ends[1]), (-2000, ends[1]), (-3024, ends[1]), (ends[0], 3071), (ends[0], 30000)):
        labelmap, _ = segment(ct(shape, spacing, padding=padding, metal=metal), model)
        np.testing.assert_array_equal(labelmap.array, expected.array)


def test_the_table_changes_nothing_but_itself() -> None:
    shape, spacing = (20, 60, 64), (1.5, 1.5, 3.0)
    with_table, without = (segment(ct(shape, spacing, table=table), ct_model())[0].array for table in (True, False))
    assert (with_table != without).any()
    y = np.linspace(-1, 1, shape[1])
    np.testing.assert_array_equal(with_table[:, y < 0.65], without[:, y < 0.65])


def test_the_48_copies_of_a_ct_give_one_labelmap() -> None:
    scan = ct((9, 20, 23), (1.2, 0.9, 4.0), padding=-3024, metal=30000)
    expected, _ = segment(scan, ct_model(), backend="numpy")
    for copy, axes, flips in reoriented(scan):
        labelmap, _ = segment(copy, ct_model(), backend="numpy")
        turned = expected.array.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
        np.testing.assert_array_equal(labelmap.array, turned)


@pytest.fixture(scope="module")
def abdomen() -> Volume:
    """A real CT of the abdomen, with voxels of 3 mm."""
    volume = read_volume(data_file("abdomen", "ct.nii.gz"))
    return volume.with_array(volume.array.astype(np.int16))


@pytest.mark.parametrize("backend", engine.available_backends())
def test_a_real_ct_is_thresholded_and_its_volumes_are_a_persons(abdomen: Volume, backend: str) -> None:
    labelmap, record = segment(abdomen, ct_model(), backend=backend)
    np.testing.assert_array_equal(labelmap.array, thresholded(abdomen.array))
    volumes = {entry["name"]: entry["volume_ml"] for entry in record["labels"]}
    assert 10_000 < volumes["Soft tissue"] < 30_000 and 200 < volumes["Bone"] < 3_000
    assert record["warnings"] == [] and record["window_hu"] == list(CT_WINDOW)


@pytest.mark.parametrize(("padding", "metal"), [(-1024, 3071), (-2000, 30000), (-3024, 3071)])
@pytest.mark.parametrize("spacing", [3.0, 4.5])
def test_padding_and_metal_in_a_real_ct(abdomen: Volume, padding: int, metal: int, spacing: float) -> None:
    circle = outside_circle(abdomen.array.shape)
    pin = np.zeros(circle.shape, bool)
    pin[50:60, 48:52, 60:64] = True
    found = []
    for low, high in ((padding, metal), CT_WINDOW):
        array = abdomen.array.copy()
        array[circle], array[pin] = low, high
        found.append(segment(abdomen.with_array(array), ct_model(spacing))[0].array)
    np.testing.assert_array_equal(*found)
    if spacing == 3.0:
        assert not found[0][circle].any() and (found[0][pin] == 2).all()


def test_a_coarser_grid_finds_the_same_soft_tissue(abdomen: Volume) -> None:
    """Not so of bone, much of which is thinner than a voxel of 6 mm."""
    _, record = segment(abdomen, ct_model(6.0))
    expected = np.count_nonzero(thresholded(abdomen.array) == 1) * abdomen.voxel_volume_ml
    assert record["labels"][0]["volume_ml"] == pytest.approx(expected, rel=0.02)


def test_what_a_grid_holds_is_the_mean_of_the_clipped_scan(abdomen: Volume) -> None:
    """Against a matrix product in double precision, with the triangle filter written out."""
    spacing, model = 4.5, ct_model(4.5)
    low = sample(abdomen, model.grid, model.normalisation)
    expected = low.orientation.apply(np.clip(abdomen.array, *CT_WINDOW).astype(np.float64))
    for axis, (count, size) in enumerate(zip(abdomen.array.shape, low.size)):
        centres = (np.arange(size) + 0.5) * spacing - 1.5  # mm, from the first voxel's
        weights = np.maximum(0, 1 - np.abs(centres[:, None] - 3.0 * np.arange(count)) / spacing)
        expected = np.moveaxis(np.tensordot(weights / weights.sum(1, keepdims=True), expected, ([1], [axis])), 0, axis)
    levels = (expected - CT_WINDOW[0]) / 16
    assert np.abs(low.grid - levels).max() <= 0.5001


Writer = Callable[[Volume, Path], Path]


def nifti(volume: Volume, folder: Path) -> Path:
    """HU as they are."""
    sitk.WriteImage(itk(volume), str(folder / "ct.nii.gz"))
    return folder / "ct.nii.gz"


def unsigned(volume: Volume) -> Volume:
    """Whole numbers from 0 on, 1024 above HU."""
    return volume.with_array((np.maximum(volume.array, -1024) + 1024).astype(np.uint16))


def unsigned_nifti(volume: Volume, folder: Path) -> Path:
    """Unsigned numbers with an intercept of -1024."""
    return edited("ct.nii", put(112, "<2f", 1, -1024), image=lambda: itk(unsigned(volume)))(folder)


def dicom(volume: Volume, folder: Path) -> Path:
    """One object a slice, signed, with an intercept of -1024."""
    series = pytest.importorskip("dicom_series", reason="pydicom is not installed")
    stored = volume.with_array(volume.array + np.int16(1024))
    return series.save_all(folder / "dicom", series.slices(stored, intercept=-1024))


def unsigned_dicom(volume: Volume, folder: Path) -> Path:
    """One object a slice, unsigned, with an intercept of -1024; in no order."""
    series = pytest.importorskip("dicom_series", reason="pydicom is not installed")
    made = series.slices(unsigned(volume), intercept=-1024)
    return series.save_all(folder / "dicom", [made[i] for i in np.random.default_rng(0).permutation(len(made))])


@pytest.mark.parametrize("write", [nifti, unsigned_nifti, dicom, unsigned_dicom], ids=lambda write: write.__name__)
@pytest.mark.parametrize("real", [False, True], ids=["made up", "real"])
def test_nifti_and_dicom_of_a_ct_give_one_labelmap(
    real: bool, write: Writer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    made_up = ct((14, 40, 44), (1.5, 1.25, 3.0), padding=-3024, metal=3071)
    scan = request.getfixturevalue("abdomen") if real else made_up
    expected, _ = segment(scan, ct_model())
    read = read_volume(write(scan, tmp_path))
    labelmap, record = segment(read, ct_model())
    np.testing.assert_array_equal(labelmap.array, expected.array)
    np.testing.assert_allclose(labelmap.origin, scan.origin, atol=1e-4)
    assert record["warnings"] == []
    assert read.modality == ("CT" if "dicom" in write.__name__ else "")


@pytest.mark.parametrize(
    ("modality", "change", "model", "word"),
    [
        ("", 0, "CT", ""),
        ("CT", 0, "CT", ""),
        ("MR", 0, "CT", "is MR by its DICOM header"),
        ("PT", 0, "CT", "is PT by its DICOM header"),
        ("", 1024, "CT", "too high for a CT"),
        ("CT", 1024, "CT", "too high for a CT"),
        ("", 0, "MR", "that of a CT in Hounsfield units"),
        ("XA", 0, "MR", "that of a CT in Hounsfield units"),
        ("CT", 0, "MR", "is CT by its DICOM header"),
        ("MR", 0, "MR", ""),
        ("", 1024, "MR", ""),
    ],
)
def test_a_scan_of_another_modality_is_told_in_the_record(modality: str, change: int, model: str, word: str) -> None:
    scan = replace(ct(), modality=modality)
    scan = scan.with_array(np.maximum(scan.array, -1024) + np.int16(change))
    card = {"modality": model} if model == "CT" else {"modality": "MRI of the head"}
    kind = (
        ct_model().normalisation
        if model == "CT"
        else replace(ct_model().normalisation, kind="foreground", low=1, high=99)
    )
    _, record = segment(scan, replace(ct_model(), card=card, normalisation=kind))
    assert len(record["warnings"]) == bool(word) and word in "".join(record["warnings"])
    for warning in record["warnings"]:
        assert f"is for {model}" in warning and warning.endswith("; its labels are probably wrong.")


def test_the_thresholds_are_between_two_integers_of_the_network() -> None:
    levels = (np.array(CT_THRESHOLDS) - CT_WINDOW[0]) / 16
    np.testing.assert_array_equal(levels % 2, 1.5)
