"""Volumes, labels, and their files: what is read, what is refused and with what words, what comes back."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from data import BRAIN_SCANS, brain_scan

from LowResSegLib import InputError, Label, Volume, read_volume, write_labelmap, write_segmentation

STRUCTURE = ("123037004", "SCT", "Anatomical Structure")
AMYGDALA = ("4958002", "SCT", "Amygdala")


def rotation(rng: np.random.Generator) -> tuple[float, ...]:
    """Any orthonormal directions, right- or left-handed."""
    return tuple(np.linalg.qr(rng.normal(size=(3, 3)))[0].ravel().tolist())


@pytest.fixture
def scan(rng: np.random.Generator) -> Volume:
    """A small oblique scan of noise, which does not compress well."""
    array = rng.integers(-1000, 1000, (9, 10, 11)).astype(np.int16)
    return Volume(array, (0.5, 0.75, 2.0), (-10.5, 20.25, 30.0), rotation(rng))


def write_itk(path: Path, volume: Volume, compress: bool = False) -> Path:
    """Write with ITK alone."""
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.spacing)
    image.SetOrigin(volume.origin)
    image.SetDirection(volume.direction)
    sitk.WriteImage(image, str(path), compress)
    return path


def refusal(path: Path) -> str:
    """The one sentence with which a file is refused."""
    with pytest.raises(InputError) as caught:
        read_volume(path)
    text = str(caught.value)
    assert str(path) in text and text.endswith(".") and "\n" not in text
    return text


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd", "A.NII.GZ"])
@pytest.mark.parametrize("compress", [False, True])
def test_each_format_gives_voxels_and_geometry(name: str, compress: bool, scan: Volume, tmp_path: Path) -> None:
    plain = write_itk(tmp_path / name.lower(), scan, compress)
    read = read_volume(plain.rename(tmp_path / name))
    np.testing.assert_array_equal(read.array, scan.array)
    assert read.array.dtype == scan.array.dtype
    for field in scan.geometry:
        np.testing.assert_allclose(read.geometry[field], scan.geometry[field], atol=2e-6)


def test_slope_and_intercept_of_nifti_are_applied(scan: Volume, tmp_path: Path) -> None:
    path = write_itk(tmp_path / "a.nii", scan)
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<2f", 0.5, 3.0)
    path.write_bytes(content)
    np.testing.assert_allclose(read_volume(path).array, scan.array * 0.5 + 3)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused_in_silence(
    name: str, compress: bool, part: float, scan: Volume, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_itk(tmp_path / name, scan, compress)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    refusal(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("header", "data"), [("a.mhd", "a.raw"), ("a.nhdr", "a.raw")])
def test_a_truncated_data_file_is_refused(header: str, data: str, scan: Volume, tmp_path: Path) -> None:
    path = write_itk(tmp_path / header, scan)
    content = (tmp_path / data).read_bytes()
    (tmp_path / data).write_bytes(content[:-1])
    refusal(path)
    (tmp_path / data).unlink()
    refusal(path)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
def test_a_flipped_bit_in_compressed_voxels_is_refused(name: str, scan: Volume, tmp_path: Path) -> None:
    path = write_itk(tmp_path / name, scan, compress=True)
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 4
    path.write_bytes(content)
    assert "truncated or damaged" in refusal(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
def test_what_is_no_image_is_refused(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    path.write_bytes(b"")
    assert "empty" in refusal(path)
    path.write_text("Patient seems well.\n" * 100)
    refusal(path)
    path.write_bytes(gzip.compress(b"Patient seems well.\n" * 100))
    refusal(path)
    path.write_bytes(bytes(range(256)) * 9)
    refusal(path)
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_a_folder_and_an_unknown_ending_are_refused(scan: Volume, tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "no.nii.gz")
    assert "not a file" in refusal(tmp_path)
    path = write_itk(tmp_path / "a.mha", scan).rename(tmp_path / "a.scan")
    assert ".nii.gz" in refusal(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission_is_refused(scan: Volume, tmp_path: Path) -> None:
    path = write_itk(tmp_path / "a.mha", scan)
    path.chmod(0)
    assert "Permission denied" in refusal(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_pictures_series_and_vectors_are_refused(suffix: str, scan: Volume, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(scan.array)
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(image[:, :, 3], str(path))
    assert "2 dimensions" in refusal(path)
    sitk.WriteImage(sitk.JoinSeries([image, image]), str(path))
    assert "series" in refusal(path)
    sitk.WriteImage(sitk.Cast(sitk.Compose([image, image]), sitk.sitkVectorFloat32), str(path))
    assert "several numbers a voxel" in refusal(path)
    sitk.WriteImage(sitk.JoinSeries([image]), str(path))
    np.testing.assert_array_equal(read_volume(path).array, scan.array)


def test_voxels_that_are_not_finite_are_refused(scan: Volume, tmp_path: Path) -> None:
    for bad in (np.nan, np.inf):
        array = scan.array.astype(np.float32)
        array[2, 3, 4] = bad
        assert "not finite" in refusal(write_itk(tmp_path / "a.nii.gz", scan.with_array(array)))


@pytest.mark.parametrize("spacing", [0.0, -1.0, float("nan"), float("inf")])
def test_a_spacing_that_is_not_positive_is_refused(spacing: float, scan: Volume, tmp_path: Path) -> None:
    path = write_itk(tmp_path / "a.nii", scan)
    content = bytearray(path.read_bytes())
    content[84:88] = struct.pack("<f", spacing)
    path.write_bytes(content)
    assert "spacing" in refusal(path)
    path = write_itk(tmp_path / "a.mha", scan)
    header = path.read_bytes().replace(b"ElementSpacing = 0.5 0.75 2", f"ElementSpacing = 0.5 {spacing} 2".encode())
    path.write_bytes(header)
    refusal(path)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_sheared_axes_are_refused(name: str, scan: Volume, tmp_path: Path) -> None:
    sheared = np.array([1.0, 0.02, 0, 0, np.sqrt(1 - 0.02**2), 0, 0, 0, 1])
    image = sitk.GetImageFromArray(scan.array)
    image.SetDirection(sheared.tolist())
    path = tmp_path / name
    sitk.WriteImage(image, str(path))
    assert "right angles" in refusal(path)


def round_trip(volume: Volume, path: Path) -> Volume:
    """A labelmap on the grid of `volume`, written and read."""
    labelmap = volume.with_array((volume.array > 0).astype(np.uint8))
    write_labelmap(path, labelmap)
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # nothing temporary is left
    read = read_volume(path)
    np.testing.assert_array_equal(read.array, labelmap.array)
    assert read.array.dtype == np.uint8
    return read


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
def test_geometry_survives_nifti_as_single_precision_and_then_exactly(seed: int, name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    array = rng.integers(-5, 5, (3, 4, 5)).astype(np.int16)
    volume = Volume(array, tuple(rng.uniform(0.2, 6, 3)), tuple(rng.uniform(-200, 200, 3)), rotation(rng))
    read = round_trip(volume, tmp_path / name)
    np.testing.assert_allclose(read.spacing, volume.spacing, rtol=1e-7)
    np.testing.assert_allclose(read.origin, volume.origin, atol=1e-5)
    np.testing.assert_allclose(read.direction, volume.direction, atol=1e-7)
    assert round_trip(read, tmp_path / name).geometry == read.geometry


def test_geometry_survives_metaimage_exactly_and_nrrd_nearly(scan: Volume, tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    assert round_trip(scan, path).geometry == scan.geometry
    path.unlink()
    read = round_trip(scan, tmp_path / "a.nrrd")
    for field in scan.geometry:
        np.testing.assert_allclose(read.geometry[field], scan.geometry[field], rtol=0, atol=2e-15)


@pytest.mark.parametrize("name", BRAIN_SCANS)
def test_geometry_of_a_real_scan_survives_nifti_exactly(name: str, tmp_path: Path) -> None:
    scan = read_volume(brain_scan(name))
    assert round_trip(scan, tmp_path / "a.nii.gz").geometry == scan.geometry


def test_other_readers_find_the_same_grid(scan: Volume, tmp_path: Path) -> None:
    """The matrix (sform) and the quaternion (qform) of the NIfTI file agree; ITK's own reader takes either."""
    path = tmp_path / "a.nii"
    write_labelmap(path, scan)
    content = bytearray(path.read_bytes())
    content[254:256] = b"\0\0"  # sform_code: unknown
    path.write_bytes(content)
    read = read_volume(path)
    for field in scan.geometry:
        np.testing.assert_allclose(read.geometry[field], scan.geometry[field], atol=3e-6)


@pytest.mark.parametrize("name", ["no/a.nii.gz", "no/a.nrrd", "no/a.seg.nrrd", "file/a.mha"])
def test_a_place_that_cannot_be_written_to_is_refused(name: str, scan: Volume, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / name
    labelmap = scan.with_array(np.zeros(scan.array.shape, np.uint8))
    with pytest.raises(InputError, match=r"cannot be written \(.+\)"):
        write_segmentation(path, labelmap, []) if name.endswith(".seg.nrrd") else write_labelmap(path, labelmap)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_leaves_what_was_there(scan: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.nrrd"
    path.write_text("precious")

    def fail(image: Any, name: str, compress: bool) -> None:
        Path(name).write_text("half a fi")
        raise RuntimeError("ITK ERROR: disk full")

    monkeypatch.setattr(sitk, "WriteImage", fail)
    for name in ("a.nrrd", "b.nii.gz"):
        with pytest.raises(InputError, match="disk full"):
            write_labelmap(tmp_path / name, scan)
    assert [file.name for file in tmp_path.iterdir()] == ["a.nrrd"] and path.read_text() == "precious"


def test_a_labelmap_of_fractions_and_a_format_of_several_files_are_refused(scan: Volume, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="whole numbers"):
        write_labelmap(tmp_path / "a.nii.gz", scan.with_array(scan.array.astype(float)))
    with pytest.raises(InputError, match=r"\.nii\.gz"):
        write_labelmap(tmp_path / "a.mhd", scan)
    with pytest.raises(InputError, match=r"\.seg\.nrrd"):
        write_segmentation(tmp_path / "a.nrrd", scan, [])
    assert not list(tmp_path.iterdir())


def test_a_segmentation_names_every_value_once(scan: Volume, tmp_path: Path) -> None:
    labelmap = scan.with_array((scan.array > 900).astype(np.uint8) * 7)
    with pytest.raises(InputError, match="7"):
        write_segmentation(tmp_path / "a.seg.nrrd", labelmap, [Label(1, "One")])
    with pytest.raises(InputError, match="same value"):
        write_segmentation(tmp_path / "a.seg.nrrd", labelmap, [Label(7, "One"), Label(7, "Another")])


def test_a_volume_checks_its_shape_and_its_geometry() -> None:
    cube = np.zeros((2, 2, 2))
    for array in (np.zeros((2, 2)), np.zeros((2, 2, 2, 2)), np.zeros((2, 0, 2))):
        with pytest.raises(InputError, match="dimensions"):
            Volume(array)
    for wrong in ({"spacing": (1, 1)}, {"origin": (0, 0, np.nan)}, {"direction": (1, 0, 0, 0, 1, 0, 0, 0)}):
        with pytest.raises(InputError, match="finite numbers"):
            Volume(cube, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="positive"):
        Volume(cube, (1, 0, 1))
    with pytest.raises(InputError, match="right angles"):
        Volume(cube, direction=(2, 0, 0, 0, 1, 0, 0, 0, 1))
    with pytest.raises(InputError, match="does not fit"):
        Volume(cube).with_array(np.zeros((2, 2, 3)))
    assert Volume(cube, (1, 2, 3)).voxel_volume_ml == pytest.approx(0.006)


def test_a_label_survives_json_and_ignores_other_keys() -> None:
    label = Label(3, "Amygdala", (1, 2, 3), STRUCTURE, AMYGDALA)  # type: ignore[arg-type]
    assert Label.from_dict({**label.to_dict(), "volume_ml": 1.5}) == label
    assert Label.from_dict({"value": 3, "name": "A", "category": None}) == Label(3, "A")
    for wrong in ({"name": "A"}, {"value": "x", "name": "A"}, {"value": 1, "name": "A", "color": [1, 2]}):
        with pytest.raises(InputError):
            Label.from_dict(wrong)
    with pytest.raises(InputError, match="type of label A"):
        Label.from_dict({"value": 1, "name": "A", "type": ["x", "y"]})


def test_terminology_is_written_as_slicer_does() -> None:
    label = Label(3, "Amygdala", (1, 2, 3), STRUCTURE, AMYGDALA)  # type: ignore[arg-type]
    assert label.terminology_entry() == (
        "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure~SCT^4958002^Amygdala~^^"
        "~Anatomic codes - DICOM master list~^^~^^"
    )
    assert Label(3, "Amygdala").terminology_entry() == ""
