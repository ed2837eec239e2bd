"""DICOM series: what is read, with which geometry and values, and what is refused with what words."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from LowResSegLib import InputError, Volume, read_volume

pydicom = pytest.importorskip("pydicom")

from dicom_checks import assert_same, made, refusal  # noqa: E402
from dicom_series import (  # noqa: E402
    compressed,
    dataset,
    numbers,
    orientation,
    position,
    save,
    save_all,
    slices,
)
from pydicom.uid import (  # noqa: E402
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from LowResSegLib.volume.dicom import read_dicom  # noqa: E402
from LowResSegLib.volume.dicom_series import list_series  # noqa: E402


@pytest.fixture
def scan(rng: np.random.Generator) -> Volume:
    return made(rng)


def test_a_series_is_read_with_its_own_numbers(scan: Volume, tmp_path: Path) -> None:
    folder = save_all(tmp_path, slices(scan))
    read = read_volume(folder)
    assert_same(read, scan)
    assert read.array.dtype == np.int16
    first = pydicom.dcmread(tmp_path / "IM0000")
    assert read.origin == tuple(float(x) for x in first.ImagePositionPatient)
    assert orientation(read) == [float(x) for x in first.ImageOrientationPatient]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_neither_names_nor_order_nor_folders_matter(
    seed: int, data: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("series")
    rng = np.random.default_rng(seed)
    scan = made(rng, (int(rng.integers(2, 7)), 4, 5))
    count = len(scan.array)
    names = data.draw(
        st.lists(st.sampled_from(["a", "b/c", "Übung 1", "d.dcm", "e.IMA", "1.2.3", "z/y/x", "10", "9"]),
                 min_size=count, max_size=count, unique=True)
    )  # fmt: skip
    numbering = data.draw(st.permutations(range(count)))
    for name, number, one in zip(names, numbering, slices(scan)):
        one.InstanceNumber = number
        save(folder / name, one)
    assert_same(read_dicom(folder), scan)
    files = [folder / name for name in data.draw(st.permutations(names))]
    assert_same(read_dicom(files), scan)


@pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (2, 0), (1, 0), (0.25, 3.5)])
@pytest.mark.parametrize("kind", ["int16", "uint16", "uint8"])
def test_rescale_gives_hounsfield_units(
    slope: float, intercept: float, kind: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    scan = made(rng).with_array(made(rng, kind=kind).array)
    read = read_volume(save_all(tmp_path, slices(scan, slope=slope, intercept=intercept)))
    expected = scan.array.astype(np.float64) * slope + intercept
    np.testing.assert_allclose(read.array, expected, rtol=1e-7)
    assert read.array.dtype == (np.float32 if slope == 0.25 else np.int16)


def test_values_beyond_16_bits_are_kept(scan: Volume, tmp_path: Path) -> None:
    stored = scan.with_array(np.full(scan.array.shape, 65535, np.uint16))
    read = read_volume(save_all(tmp_path, slices(stored, slope=2, intercept=-1024)))
    assert (read.array == 65535 * 2 - 1024).all()


def test_every_slice_has_its_own_slope(scan: Volume, tmp_path: Path) -> None:
    objects = slices(scan, SOPClassUID=PositronEmissionTomographyImageStorage, Modality="PT")
    slopes = [1, 2, 0.3333, 0.0001234, 12.5, 7]
    for one, slope in zip(objects, slopes):
        one.RescaleSlope = slope
    read = read_volume(save_all(tmp_path, objects))
    np.testing.assert_allclose(read.array, scan.array * np.array(slopes)[:, None, None], rtol=1e-6)
    assert read.array.dtype == np.float32


def test_padding_stays_what_it_is_and_unused_bits_are_masked(rng: np.random.Generator, tmp_path: Path) -> None:
    scan = made(rng)
    scan.array[:, :2] = -2000
    read = read_volume(save_all(tmp_path / "padded", slices(scan, intercept=-1024, PixelPaddingValue=-2000)))
    assert (read.array[:, :2] == -3024).all()
    stored = scan.with_array(made(rng, kind="uint16").array | 0xF000)
    read = read_volume(save_all(tmp_path / "overlay", slices(stored, BitsStored=12, HighBit=11)))
    np.testing.assert_array_equal(read.array, stored.array & 0x0FFF)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLSLossless],
    ids=lambda syntax: syntax.name.replace(" ", "-"),
)  # fmt: skip
def test_transfer_syntaxes(syntax: Any, rng: np.random.Generator, tmp_path: Path) -> None:
    if syntax == JPEGLSLossless:
        pytest.importorskip("jpeg_ls")
    scan = made(rng, (3, 32, 40), "uint16")
    save_all(tmp_path, slices(scan, intercept=-1000, BitsStored=12, HighBit=11), syntax)
    assert_same(read_volume(tmp_path), scan.with_array(scan.array.astype(np.int32) - 1000))


@pytest.mark.parametrize(
    ("compressor", "syntax"), [("JPEG", "1.2.840.10008.1.2.4.70"), ("JPEG2000", "1.2.840.10008.1.2.4.90")]
)
def test_lossless_jpeg(compressor: str, syntax: str, rng: np.random.Generator, tmp_path: Path) -> None:
    scan = made(rng, (3, 32, 40), "uint16")
    for index, one in enumerate(slices(scan, intercept=-1000)):
        path = save(tmp_path / f"{index}.dcm", compressed(one, tmp_path / f"{index}.dcm", compressor))
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    assert_same(read_volume(tmp_path), scan.with_array(scan.array.astype(np.int32) - 1000))


@pytest.mark.parametrize("syntax", [None, RLELossless], ids=["plain", "RLE"])
def test_a_truncated_file_is_never_read_as_something_else(
    syntax: Any, rng: np.random.Generator, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_all(tmp_path, slices(made(rng, (5, 16, 17))), syntax)
    read_volume(tmp_path)
    content = (tmp_path / "IM0003").read_bytes()
    for length in [0, 1, 100, 131, 132, 140, 200, *range(250, len(content) - 8, 97), len(content) - 9]:
        (tmp_path / "IM0003").write_bytes(content[:length])
        said = refusal(tmp_path)
        assert "IM0003" in said and "damaged" in said
    assert capfd.readouterr() == ("", "")


def test_an_unknown_compression_is_named(scan: Volume, tmp_path: Path) -> None:
    save_all(tmp_path, slices(scan))
    path = tmp_path / "IM0002"
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.9"))
    assert "IM0002 is compressed in a way that is not known here (1.2.840.10008.1.2.9)" in refusal(tmp_path)


def test_other_files_are_passed_over(scan: Volume, tmp_path: Path) -> None:
    objects = slices(scan)
    save_all(tmp_path, objects)
    (tmp_path / "README.TXT").write_text("Viewer: double-click.")
    (tmp_path / "DICOMDIR").write_bytes(bytes(200))
    (tmp_path / ".hidden.dcm").write_text("resource fork")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG" + bytes(300))
    other = dataset(np.zeros((4, 4), np.uint8), SecondaryCaptureImageStorage)
    other.SeriesInstanceUID = generate_uid()
    save(tmp_path / "screenshot.dcm", other)
    del other.PixelData
    other.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.22"  # a report
    save(tmp_path / "report.dcm", other)
    assert_same(read_volume(tmp_path), scan)
    assert_same(read_volume(tmp_path / "DICOMDIR"), scan)
    assert "of other kinds (1)" in refusal(tmp_path / "report.dcm")
    (tmp_path / "notes.dcm").write_text("not DICOM")
    assert "notes.dcm" in refusal(tmp_path)
    assert "not a DICOM file" in refusal([tmp_path / "README.TXT"])


def test_files_without_preamble_are_read(scan: Volume, tmp_path: Path) -> None:
    save_all(tmp_path, slices(scan))
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[132:])
    assert_same(read_volume(tmp_path), scan)


def test_nothing_is_there(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "no")
    assert "no CT, MR or PET" in refusal(tmp_path)
    with pytest.raises(InputError, match="not a file"):
        read_volume(tmp_path)
    assert "no CT" in refusal([])


def test_several_series_are_listed_and_chosen(rng: np.random.Generator, tmp_path: Path) -> None:
    scans = [made(rng, (count, 4, 5)) for count in (3, 4)]
    uids = [generate_uid() for _ in scans]
    for number, (scan, uid, name) in enumerate(zip(scans, uids, ["Schädel nativ", "Hals\nmit KM"]), 1):
        objects = slices(scan, uid, SpecificCharacterSet="ISO_IR 100", SeriesNumber=number, SeriesDescription=name)
        save_all(tmp_path / f"s{9 - number}", objects)
    said = refusal(tmp_path)
    assert "2 series" in said and "--series" in said
    assert "1: CT Schädel nativ, 3 of 5 x 4" in said and "2: CT Hals mit KM, 4 of 5 x 4" in said
    for number, (scan, uid) in enumerate(zip(scans, uids), 1):
        assert_same(read_dicom(tmp_path, str(number)), scan)
        assert_same(read_dicom(tmp_path, uid), scan)
    for wrong in ("0", "3", "1.2.3", "", "99999999999"):
        assert "no series" in refusal(tmp_path, wrong)
    listed = list_series(tmp_path)
    assert [each.uid for each in listed] == uids
    assert listed[0].to_dict() == {
        "uid": uids[0],
        "modality": "CT",
        "description": "Schädel nativ",
        "part": "",
        "slices": 3,
        "matrix": [5, 4],
        "spacing_mm": [0.5, 0.75, pytest.approx(2.5)],
        "localizer": False,
        "problem": "",
    }
    assert not {"Doe", "4711", str(tmp_path)} & set(repr(listed).replace("^", " ").split())


def test_echoes_in_one_series_are_parts_of_it(rng: np.random.Generator, tmp_path: Path) -> None:
    scan, uid = made(rng), generate_uid()
    late = scan.with_array(scan.array[:, ::-1].copy())
    for name, one, echo in (("a", scan, 4.9), ("b", late, 20)):
        save_all(tmp_path / name, slices(one, uid, SOPClassUID=MRImageStorage, EchoTime=echo))
    assert [each.part for each in list_series(tmp_path)] == ["echo time 20.0", "echo time 4.9"]
    said = refusal(tmp_path, uid)
    assert "2 series" in said and "echo time 4.9" in said
    assert_same(read_dicom(tmp_path, "1"), late)
    assert_same(read_dicom(tmp_path, "2"), scan)


def test_scout_views_and_other_orientations_in_one_series(rng: np.random.Generator, tmp_path: Path) -> None:
    scan, uid = Volume(made(rng).array, (0.5, 0.75, 2.5)), generate_uid()
    save_all(tmp_path / "a", slices(scan, uid))
    sagittal = Volume(made(rng, (3, 7, 9)).array, direction=(0, 0, -1, 1, 0, 0, 0, -1, 0))
    save_all(tmp_path / "b", slices(sagittal, uid, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    assert_same(read_dicom(tmp_path), scan)
    save_all(tmp_path / "b", slices(sagittal, uid))
    assert "sagittal" in refusal(tmp_path) and "axial" in refusal(tmp_path, uid)
    assert {each.part for each in list_series(tmp_path)} == {"axial", "sagittal"}
    number = [each.part for each in list_series(tmp_path)].index("sagittal") + 1
    assert_same(read_dicom(tmp_path, str(number)), sagittal)


def test_missing_slices_are_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    save_all(tmp_path, slices(made(rng, (12, 4, 5))))
    (tmp_path / "IM0005").unlink()
    assert "2.5 to 5 mm, as if 1 were missing" in refusal(tmp_path)
    (tmp_path / "IM0006").unlink()
    (tmp_path / "IM0002").unlink()
    assert "as if 3 were missing" in refusal(tmp_path)


def test_uneven_distances_are_refused_and_rounding_is_not(scan: Volume, tmp_path: Path) -> None:
    objects = slices(scan)
    for index, one in enumerate(objects):
        one.ImagePositionPatient = [round(x, 2) for x in position(scan, index)]
    read = read_volume(save_all(tmp_path, objects))
    np.testing.assert_allclose(read.spacing, scan.spacing, atol=5e-3)
    np.testing.assert_array_equal(read.array, scan.array)
    objects[3].ImagePositionPatient = numbers(position(scan, 3.4))  # type: ignore[arg-type]
    assert "mm; resample it onto even distances" in refusal(save_all(tmp_path, objects))


def test_copies_are_left_out_and_other_duplicates_refused(scan: Volume, tmp_path: Path) -> None:
    objects = slices(scan)
    save_all(tmp_path / "a", objects)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert_same(read_volume(tmp_path), scan)
    shutil.rmtree(tmp_path / "b")
    objects[2].SOPInstanceUID = generate_uid()
    objects[2].AcquisitionTime = "120001"
    save(tmp_path / "again", objects[2])
    assert "1 of its 7 slices lie at the place" in refusal(tmp_path)
    objects[2].SOPInstanceUID = objects[2].SOPInstanceUID[:-1]
    save(tmp_path / "again", pydicom.dcmread(tmp_path / "a" / "IM0002"))
    changed = pydicom.dcmread(tmp_path / "a" / "IM0002")
    changed.PixelData = bytes(len(changed.PixelData))
    save(tmp_path / "again", changed)
    assert "lie at the place" in refusal(tmp_path)


def test_a_tilted_gantry_is_refused(scan: Volume, tmp_path: Path) -> None:
    objects = slices(scan)
    down = np.array(orientation(scan)[3:])
    for index, one in enumerate(objects):
        shift = down * np.tan(np.deg2rad(12)) * scan.spacing[2] * index
        one.ImagePositionPatient = numbers(np.array(position(scan, index)) + shift)
    assert "gantry tilt of 12.0 degrees" in refusal(save_all(tmp_path, objects))


def test_a_single_slice_and_a_single_file(scan: Volume, tmp_path: Path) -> None:
    objects = slices(scan)
    save_all(tmp_path, objects)
    assert_same(read_volume(tmp_path / "IM0000"), Volume(scan.array[:1], **scan.geometry))
    del objects[0].SliceThickness
    assert "unknown thickness" in refusal(save(tmp_path / "IM0000", objects[0]))


@pytest.mark.parametrize(
    ("missing", "word"),
    [("ImagePositionPatient", "position"), ("ImageOrientationPatient", "orientation"), ("PixelSpacing", "spacing")],
)
def test_missing_geometry_is_named(missing: str, word: str, scan: Volume, tmp_path: Path) -> None:
    objects = slices(scan)
    for one in objects:
        delattr(one, missing)
    assert f"lack the {word}" in refusal(save_all(tmp_path, objects))
    assert len(list_series(tmp_path)) == 1


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME1"),
        ({"RescaleSlope": 0}, "rescale"),
        ({"PixelSpacing": [0, 1]}, "not positive"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.1, 1, 0]}, "right angles"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "right angles"),
        ({"NumberOfFrames": 2}, "several frames"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], word: str, scan: Volume, tmp_path: Path) -> None:
    if "NumberOfFrames" in change:
        change = {**change, "Rows": 1, "PixelData": bytes(2 * 2 * 9)}
    assert word in refusal(save_all(tmp_path, slices(scan, **change)))


def test_colour_is_refused(scan: Volume, tmp_path: Path) -> None:
    objects = slices(scan, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0, BitsAllocated=8)
    for one in objects:
        one.BitsStored, one.HighBit, one.PixelRepresentation = 8, 7, 0
        one.PixelData = bytes(one.Rows * one.Columns * 3 + 1)
    assert "colour" in refusal(save_all(tmp_path, objects))


def test_sorted_along_the_normal_also_where_z_goes_down(scan: Volume, tmp_path: Path) -> None:
    """Rows to the left and columns to the head: the normal goes to the front, and so do the slices."""
    coronal = Volume(scan.array, scan.spacing, (1, 2, 3), (1, 0, 0, 0, 0, -1, 0, 1, 0))
    read = read_volume(save_all(tmp_path, slices(coronal)[::-1]))
    assert_same(read, coronal)
    assert np.linalg.det(np.reshape(read.direction, (3, 3))) == pytest.approx(1)


def test_a_ct_of_other_numbers_of_bits_is_read_as_one_type(scan: Volume, tmp_path: Path) -> None:
    objects = slices(scan)
    objects[4].RescaleSlope = 0.5
    expected = scan.array.astype(np.float64)
    expected[4] /= 2
    assert_same(read_volume(save_all(tmp_path, objects)), scan.with_array(expected))
    assert CTImageStorage == objects[0].SOPClassUID
