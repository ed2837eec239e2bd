"""What is segmented and what is refused; the cases, and the page about them, are in inputs_table.py."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from case_tables import Case, attempt, warnings, write_models
from ct_scans import ct, thresholded
from data import BRAIN_SCANS, brain_scan, data_file
from inputs_table import REFUSED, TAKEN, page
from scan_files import file, full_disk, itk, labels, of, scan, segmentation, series, with_values

from LowResSegLib import InputError, Volume, read_volume, segment
from LowResSegLib.volume import check_scan, count_frames, read_scan, scans_in

PAGE = Path(__file__).resolve().parents[2] / "docs" / "inputs.md"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small model for each modality."""
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def expected(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The labelmaps of the scans that several cases have in their files."""
    return {
        "MR": segment(scan(), models["MR"])[0].array,
        "CT": thresholded(ct().array),
        "CT with metal": thresholded(ct(metal=3071).array),
    }


@pytest.mark.parametrize("case", TAKEN, ids=lambda case: case.what)
def test_good_input_is_segmented_on_its_own_grid(
    case: Case, models: dict[str, Path], expected: dict[str, np.ndarray], tmp_path: Path
) -> None:
    status, said, out = attempt(case, tmp_path, models)
    assert status == 0, said
    ends = sorted({path.name.split(".", 1)[1] for path in out.iterdir() if path.suffix != ".png"})
    assert ends == ["json", "nii.gz", "seg.nrrd"]
    assert case.picture is False or any(path.suffix == ".png" for path in out.iterdir())
    assert len(warnings(out)) == bool(case.warning) and case.warning in "".join(warnings(out))
    for warning in warnings(out):
        assert f"{warning[1:]}\n" in said
    frames = sorted(out.glob("*_labels.nii.gz"))
    labelmap = read_volume(frames[0])
    path = next(
        path
        for path in (tmp_path / "in").rglob("*")
        if path.suffix in (".nii", ".gz", ".nrrd", ".nhdr", ".mha", ".mhd")
    )
    frame = None
    if "--frame" in case.arguments:
        frame = 0 if case.arguments[1] == "all" else int(case.arguments[1])
        assert len(frames) == (3 if case.arguments[1] == "all" else 1)
    source = read_volume(path, frame, finite=False)
    assert labelmap.array.shape == source.array.shape
    for field in source.geometry:
        np.testing.assert_allclose(labelmap.geometry[field], source.geometry[field], rtol=1e-6, atol=1e-5)
    if case.same:
        np.testing.assert_array_equal(labelmap.array, expected[case.same])


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.what)
def test_bad_input_is_refused_in_a_sentence_and_leaves_nothing(
    case: Case, models: dict[str, Path], tmp_path: Path
) -> None:
    status, said, out = attempt(case, tmp_path, models)
    assert status == 2
    assert case.refusal in said and said.startswith("lowresseg: ") and said.endswith(".\n") and said.count("\n") == 1
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on the size of files")
@pytest.mark.parametrize("room", [0, 100, 400, 1000, 2000, 20000, 40000])
def test_a_disk_that_gets_full_sooner_or_later_leaves_nothing(
    room: int, models: dict[str, Path], tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 900, (30, 40, 50)).astype(np.int16)
    image = file("a.nii", lambda: itk(Volume(noise)))
    status, said, out = attempt(
        Case("", image, picture=True, during=lambda folder: full_disk(folder, room)), tmp_path, models
    )
    assert status == 2 and "cannot be written" in said and said.count("\n") == 1
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a full disk is not simulated there")
def test_the_page_is_what_the_program_prints(tmp_path: Path) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(tmp_path) + "\n"


@pytest.mark.parametrize("name", BRAIN_SCANS)
def test_a_brain_scan_is_no_labelmap(name: str) -> None:
    check_scan(read_volume(brain_scan(name)))


@pytest.mark.parametrize("name", ["ct", "mr"])
def test_an_abdominal_scan_is_no_labelmap_and_its_labels_are(name: str) -> None:
    check_scan(read_volume(data_file("abdomen", f"{name}.nii.gz")))
    with pytest.raises(InputError, match="looks like a labelmap"):
        check_scan(read_volume(data_file("abdomen", f"{name}_labels.nii.gz")))


def test_no_hippocampus_is_taken_for_labels_and_no_labels_for_a_scan() -> None:
    folder = data_file("Task04_Hippocampus")
    for path in scans_in(folder / "imagesTr")[::10]:
        check_scan(read_volume(path))
    for path in scans_in(folder / "labelsTr")[::10]:
        with pytest.raises(InputError, match="looks like a labelmap"):
            check_scan(read_volume(path))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
@pytest.mark.parametrize("compress", [False, True])
def test_no_mutated_header_crashes_the_readers(name: str, compress: bool, tmp_path: Path) -> None:
    """Bytes changed, taken out and put in; a crash of ITK would end the test run."""
    rng = np.random.default_rng(len(name) + compress)
    path = of(name, compress)(tmp_path)
    content = path.read_bytes()
    content = gzip.decompress(content) if name.endswith(".gz") else content
    for _ in range(60):
        mutated = bytearray(content)
        for _ in range(rng.integers(1, 5)):
            place, length = int(rng.integers(min(len(content), 600))), int(rng.integers(0, 9))
            mutated[place : place + length] = [b"", b"9" * length, rng.bytes(length)][rng.integers(3)]
        path.write_bytes(gzip.compress(mutated) if name.endswith(".gz") else mutated)
        try:
            assert read_scan(path)[0].array.ndim == 3
        except InputError as error:
            assert str(path) in str(error) and str(error).endswith(".") and "\n" not in str(error)


def test_a_metaimage_with_fields_of_others_is_read(tmp_path: Path) -> None:
    image = itk(scan())
    for key, value in (("0008|0060", "MR"), ("Some key", "a = b: c"), ("Modality", "x"), ("Comment", "")):
        image.SetMetaData(key, value)
    np.testing.assert_array_equal(read_volume(file("a.mha", lambda: image)(tmp_path)).array, scan().array)


def test_a_labelmap_of_thin_parts_is_known(rng: np.random.Generator) -> None:
    path = data_file("synthseg_label_maps", "training_seg_01.nii.gz")
    with pytest.raises(InputError, match="looks like a labelmap"):
        check_scan(read_volume(path))


def test_scans_of_few_values_and_wide_ranges_are_no_labelmaps(rng: np.random.Generator) -> None:
    check_scan(Volume(rng.integers(0, 16, (20, 20, 20)).astype(np.uint8)))
    check_scan(Volume(rng.integers(-32768, 32767, (20, 20, 20)).astype(np.int16)))
    check_scan(Volume(rng.integers(0, 2**32 - 1, (20, 20, 20)).astype(np.uint32)))
    padded = np.full((20, 20, 20), -2048, np.int16)
    padded[5:15, 5:15, 5:15] = rng.integers(-100, 100, (10, 10, 10))
    check_scan(Volume(padded))


def test_a_frame_is_the_volume_itself(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "a.nrrd", "a.mha"):
        path = file(name, series)(tmp_path)
        assert count_frames(path) == 3
        one, alone = read_volume(path, 1), read_volume(of(f"b{name[1:]}")(tmp_path))
        np.testing.assert_array_equal(one.array, alone.array)
        assert one.geometry == alone.geometry
        assert count_frames(of(f"b{name[1:]}")(tmp_path)) == 1
    with pytest.raises(InputError, match="does not exist"):
        count_frames(tmp_path / "no.nii")


def test_voxels_that_are_not_finite_are_counted_in_their_frame_and_replaced_by_the_lowest(tmp_path: Path) -> None:
    images = [itk(scan("float32")), with_values(np.nan, np.inf, -np.inf)()]
    for name in ("a.nii.gz", "a.nrrd", "a.mha"):
        path = file(name, lambda: sitk.JoinSeries(images))(tmp_path)
        np.testing.assert_array_equal(read_volume(path, 0).array, scan().array)
        with pytest.raises(InputError, match="3 of 2184 voxels"):
            read_volume(path, 1)
        volume, replaced = read_scan(path, 1, replace_nonfinite=True)
        wanted = scan("float32").array
        wanted[2, 3, :3] = np.nan
        wanted[2, 3, :3] = np.nanmin(wanted)
        np.testing.assert_array_equal(volume.array, wanted)
        assert replaced == 3 and read_scan(path, 0, replace_nonfinite=True)[1] == 0


def test_the_last_voxel_of_an_odd_number_is_looked_at(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((3, 3, 3)).astype(np.float32)
    array[-1, -1, -1] = np.nan
    with pytest.raises(InputError, match="1 of 27 voxels"):
        read_volume(file("a.nii", lambda: itk(Volume(array)))(tmp_path))


def test_a_folder_gives_its_scans_without_results(tmp_path: Path) -> None:
    for name in ("b.nii.gz", "a.mha", ".hidden.nii", "c_labels.nii.gz"):
        of(name)(tmp_path)
    segmentation(tmp_path).rename(tmp_path / "b.seg.nrrd")
    file("b_labels.nii.gz", lambda: itk(labels()))(tmp_path)
    (tmp_path / "notes.txt").write_text("Nothing.")
    (tmp_path / "deeper").mkdir()
    of("d.nii")(tmp_path / "deeper")
    assert [path.name for path in scans_in(tmp_path)] == ["a.mha", "b.nii.gz", "c_labels.nii.gz"]


def test_a_folder_of_dicom_files_is_one_scan_and_a_mixed_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    assert scans_in(tmp_path) == [tmp_path] and scans_in(tmp_path.parent) == [tmp_path.parent]
    of("a.nii")(tmp_path)
    with pytest.raises(InputError, match="folders of their own"):
        scans_in(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        scans_in(tmp_path / "a.nii")
