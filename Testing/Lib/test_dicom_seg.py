"""DICOM SEG: read back with highdicom, voxel by voxel, and what it says about its segments and its source."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from LowResSegLib import InputError, Label, Volume

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")

from dicom_series import PATIENT, PLACE, STUDY, enhanced, item, save, save_all, slices  # noqa: E402

from LowResSegLib.volume.dicom import read_series  # noqa: E402
from LowResSegLib.volume.dicom_seg import write_dicom_seg  # noqa: E402
from LowResSegLib.volume.dicom_series import Series, find_series  # noqa: E402

STRUCTURE = ("123037004", "SCT", "Anatomical Structure")
LABELS = [
    Label(0, "Background"),
    Label(4, "Left amygdala", (255, 0, 0), STRUCTURE, ("4958002", "SCT", "Amygdala")),  # type: ignore[arg-type]
    Label(2, "Liver", (0, 255, 0), STRUCTURE, ("10200004", "SCT", "Liver")),  # type: ignore[arg-type]
    Label(7, "Nothing"),
]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom", "ignore::UserWarning:highdicom")


@pytest.fixture
def scan(rng: np.random.Generator) -> Volume:
    """Oblique, with the normal to any side."""
    matrix = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    matrix[:, 2] = np.cross(matrix[:, 0], matrix[:, 1])
    array = rng.integers(-1000, 3000, (6, 7, 9)).astype(np.int16)
    return Volume(array, (0.5, 0.75, 2.5), (-10.5, 20.25, 30.0), tuple(matrix.ravel().tolist()))


def labelled(volume: Volume, rng: np.random.Generator) -> Volume:
    """Random labels, with an empty plane at each end and one in the middle."""
    array = rng.choice(np.array([0, 2, 4], np.uint8), volume.array.shape)
    array[[0, 3, -1]] = 0
    return volume.with_array(array)


def write(path: Path, labelmap: Volume, source: Series) -> Any:
    write_dicom_seg(path, labelmap, LABELS, source, "brain", "0.1.0")
    assert [file.name for file in path.parent.iterdir() if file.name.startswith(".")] == []
    return highdicom.seg.segread(path)


def place_of(groups: Any) -> list[float]:
    """Where a frame lies."""
    return [float(x) for x in groups.PlanePositionSequence[0].ImagePositionPatient]


def assert_overlays(seg: Any, labelmap: Volume) -> None:
    """Every segment, in space: the planes by their own positions, compared with the labelmap's."""
    normal = np.reshape(labelmap.direction, (3, 3))[:, 2]
    found = np.zeros_like(labelmap.array)
    values = {1: 4, 2: 2, 3: 7}
    pixels = seg.pixel_array if seg.NumberOfFrames > 1 else seg.pixel_array[None]
    shared = seg.SharedFunctionalGroupsSequence[0]
    for plane, groups in zip(pixels, seg.PerFrameFunctionalGroupsSequence):
        place = np.array(place_of(groups))
        distance = (place - labelmap.origin) @ normal / labelmap.spacing[2]
        index = round(distance)
        np.testing.assert_allclose(distance, index, atol=1e-9)
        np.testing.assert_allclose(place, labelmap.origin + normal * labelmap.spacing[2] * index, atol=1e-9)
        found[index][plane > 0] = values[groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber]
    np.testing.assert_array_equal(found, labelmap.array)
    measures = shared.PixelMeasuresSequence[0]
    assert [float(x) for x in measures.PixelSpacing] == list(labelmap.spacing[1::-1])
    assert float(measures.SpacingBetweenSlices) == pytest.approx(labelmap.spacing[2])
    rows = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    np.testing.assert_allclose([float(x) for x in rows], np.reshape(labelmap.direction, (3, 3)).T[:2].ravel())


@pytest.mark.parametrize("order", ["sorted", "reversed", "shuffled"])
def test_a_classic_series_is_overlaid(order: str, scan: Volume, rng: np.random.Generator, tmp_path: Path) -> None:
    objects = slices(scan)
    mixed = {"sorted": objects, "reversed": objects[::-1], "shuffled": [objects[i] for i in rng.permutation(6)]}[order]
    source = find_series(save_all(tmp_path / "in", mixed))
    labelmap = labelled(read_series(source), rng)
    seg = write(tmp_path / "a.dcm", labelmap, source)
    assert_overlays(seg, labelmap)
    for groups in seg.PerFrameFunctionalGroupsSequence:  # each frame refers to the slice that lies in its place
        used = groups.DerivationImageSequence[0].SourceImageSequence
        (named,) = [one for one in objects if one.SOPInstanceUID == used[0].ReferencedSOPInstanceUID]
        assert len(used) == 1 and place_of(groups) == pytest.approx([float(x) for x in named.ImagePositionPatient])


@pytest.mark.parametrize("several", [False, True])
def test_a_multi_frame_source_is_overlaid(
    several: bool, scan: Volume, rng: np.random.Generator, tmp_path: Path
) -> None:
    data = enhanced(scan, np.repeat(rng.permutation(6), 1 + several))
    for number, groups in enumerate(data.PerFrameFunctionalGroupsSequence):
        groups.MREchoSequence = item(EffectiveEchoTime=[5.0, 30.0][number % 2] if several else 5.0)
    source = find_series(save(tmp_path / "in.dcm", data), "1")
    assert source.slices == 6
    labelmap = labelled(read_series(source), rng)
    seg = write(tmp_path / "a.dcm", labelmap, source)
    assert_overlays(seg, labelmap)
    for groups in seg.PerFrameFunctionalGroupsSequence:
        (used,) = groups.DerivationImageSequence[0].SourceImageSequence
        of_source = data.PerFrameFunctionalGroupsSequence[int(used.ReferencedFrameNumber) - 1]
        assert place_of(groups) == pytest.approx(place_of(of_source))
        assert of_source.MREchoSequence[0].EffectiveEchoTime == (30.0 if several else 5.0)


def test_it_says_what_the_segments_are_and_whose(scan: Volume, rng: np.random.Generator, tmp_path: Path) -> None:
    objects = slices(scan)
    source = find_series(save_all(tmp_path / "in", objects))
    seg = write(tmp_path / "a.dcm", labelled(read_series(source), rng), source)
    assert seg.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.4" and seg.Modality == "SEG"
    assert seg.SegmentationType == "BINARY"
    assert [one.SegmentLabel for one in seg.SegmentSequence] == ["Left amygdala", "Liver", "Nothing"]
    first, _, last = seg.SegmentSequence
    for sequence, code in (
        (first.SegmentedPropertyCategoryCodeSequence, STRUCTURE),
        (first.SegmentedPropertyTypeCodeSequence, ("4958002", "SCT", "Amygdala")),
        (last.SegmentedPropertyCategoryCodeSequence, ("85756007", "SCT", "Tissue")),
        (last.SegmentedPropertyTypeCodeSequence, ("7", "99LOWRESSEG", "Nothing")),
    ):
        assert (sequence[0].CodeValue, sequence[0].CodingSchemeDesignator, sequence[0].CodeMeaning) == code
    assert first.SegmentAlgorithmType == "AUTOMATIC" and first.SegmentAlgorithmName == "brain"
    assert first.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "0.1.0"
    colour = np.array(first.RecommendedDisplayCIELabValue) / 65535 * (100, 255, 255) - (0, 128, 128)
    np.testing.assert_allclose(colour, (53.24, 80.09, 67.20), atol=0.02)  # of pure red
    assert (seg.PatientName, seg.PatientID, seg.StudyInstanceUID) == (PATIENT, "4711", STUDY)
    assert seg.FrameOfReferenceUID == PLACE
    (referenced,) = seg.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == source.uid != seg.SeriesInstanceUID
    assert {one.ReferencedSOPInstanceUID for one in referenced.ReferencedInstanceSequence} == {
        one.SOPInstanceUID for one in objects
    }


def test_an_anonymised_source_and_an_empty_labelmap(scan: Volume, tmp_path: Path) -> None:
    objects = slices(scan)
    names = ["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "StudyDate"]
    for one in objects:
        for name in [*names, "StudyTime", "ReferringPhysicianName"]:
            delattr(one, name)
    source = find_series(save_all(tmp_path / "in", objects))
    labelmap = scan.with_array(np.zeros(scan.array.shape, np.uint8))
    seg = write(tmp_path / "a.dcm", labelmap, source)
    assert seg.PatientID == "" and not seg.pixel_array.any()


def test_what_cannot_be_written_is_refused(
    scan: Volume, rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = slices(scan)
    source = find_series(save_all(tmp_path / "in", objects))
    labelmap = labelled(read_series(source), rng)
    moved = Volume(labelmap.array, labelmap.spacing, (0, 0, 0), labelmap.direction)
    for wrong in (moved, Volume(labelmap.array[1:], **labelmap.geometry)):
        with pytest.raises(InputError, match="does not lie on the grid"):
            write(tmp_path / "a.dcm", wrong, source)
    with pytest.raises(InputError, match="5"):
        write(tmp_path / "a.dcm", labelmap.with_array(np.full(scan.array.shape, 5)), source)
    with pytest.raises(InputError, match="at least one label"):
        write_dicom_seg(tmp_path / "a.dcm", labelmap, LABELS[:1], source, "brain", "0.1.0")
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "in" / "IM0000" / "a.dcm", labelmap, source)
    for one in objects:
        del one.FrameOfReferenceUID
    without = find_series(save_all(tmp_path / "without", objects))
    with pytest.raises(InputError, match=r"No DICOM SEG .+; write \.seg\.nrrd only\.$"):
        write(tmp_path / "a.dcm", labelmap, without)
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name == "highdicom":
            raise ImportError(name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=r"highdicom.+lowresseg\[dicom\]"):
        write_dicom_seg(tmp_path / "a.dcm", labelmap, LABELS, source, "brain", "0.1.0")
    assert not (tmp_path / "a.dcm").exists()
