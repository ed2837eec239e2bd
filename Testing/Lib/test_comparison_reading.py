"""Segmentations read from files: what we write, what Slicer writes, labelmaps with names from tables, DICOM SEG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import data_file

from LowResSegLib import InputError, Label, Volume, write_labelmap, write_segmentation
from LowResSegLib.comparison import compare, read_segmentation
from LowResSegLib.comparison.label_tables import read_label_table

sitk = pytest.importorskip("SimpleITK")
ANATOMY = ("123037004", "SCT", "Anatomical Structure")
LABELS = (
    Label(1, "Amygdala", (103, 255, 10), ANATOMY, ("4958002", "SCT", "Amygdala")),  # type: ignore[arg-type]
    Label(7, "Noyau léger", (1, 2, 3)),
    Label(9, "Empty"),
)
LEFT_KIDNEY = (
    "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure~SCT^64033007^Kidney"
    "~SCT^7771000^Left~Anatomic codes - DICOM master list~^^~^^"
)


@pytest.fixture
def labelmap() -> Volume:
    """An oblique, anisotropic grid."""
    turn = np.deg2rad(25)
    array = np.zeros((6, 7, 8), np.uint8)
    array[1:3, 2:5, 3:7], array[5, 6, 7] = 1, 7
    direction = (np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn), 0, 0, 0, 1)
    return Volume(array, (0.9, 1.1, 2.5), (-20.5, 31.25, 4.0), direction)


def write_nrrd(path: Path, layers: list[np.ndarray], fields: dict[str, str]) -> Path:
    """A .seg.nrrd of layers (z, y, x) with the fields given."""
    array = np.stack(layers, axis=-1)
    image = sitk.GetImageFromArray(array if len(layers) > 1 else layers[0], isVector=len(layers) > 1)
    image.SetSpacing((0.9, 1.1, 2.5))
    image.SetOrigin((1, 2, 3))
    for key, value in fields.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path), True)
    return path


def segment(number: int, **fields: str) -> dict[str, str]:
    return {f"Segment{number}_{key}": value for key, value in {"ID": f"S_{number}", **fields}.items()}


def test_what_we_write_comes_back(labelmap: Volume, tmp_path: Path) -> None:
    write_segmentation(tmp_path / "a.seg.nrrd", labelmap, LABELS)
    (found,) = read_segmentation(tmp_path / "a.seg.nrrd")
    np.testing.assert_array_equal(found.volume.array, labelmap.array)
    assert found.labels == LABELS
    for name in ("spacing", "origin", "direction"):
        assert getattr(found.volume, name) == pytest.approx(getattr(labelmap, name), abs=1e-12)


def test_layers_that_overlap(tmp_path: Path) -> None:
    first, second = np.zeros((4, 5, 6), np.uint8), np.zeros((4, 5, 6), np.uint8)
    first[1:3, 1:4, 1:5], first[3] = 1, 2
    second[2:4, 2:5, 2:6] = 1
    fields = {
        **segment(
            0, Name="Left kidney", LabelValue="1", Layer="0", Color="1 0 0", Tags=f"TerminologyEntry:{LEFT_KIDNEY}|"
        ),
        **segment(1, Name="Tumour", LabelValue="1", Layer="1", Tags="Segmentation.Status:inprogress|"),
        **segment(2, LabelValue="2", Layer="0"),
    }
    one, other = read_segmentation(write_nrrd(tmp_path / "a.seg.nrrd", [first, second], fields))
    np.testing.assert_array_equal(one.volume.array, first)
    np.testing.assert_array_equal(other.volume.array, second)
    kidney, rest = one.labels
    assert (kidney.name, kidney.value, kidney.color) == ("Left kidney", 1, (255, 0, 0))
    assert kidney.category == ANATOMY and kidney.type == ("64033007+7771000", "SCT", "Kidney, Left")
    assert (rest.name, rest.value) == ("S_2", 2) and [label.name for label in other.labels] == ["Tumour"]


def test_files_of_old_slicers_have_a_layer_for_each_segment(tmp_path: Path) -> None:
    first, second = np.zeros((2, 4, 5, 6), np.uint8)
    first[1], second[1:] = 1, 1
    fields = {**segment(0, Name="a"), **segment(1, Name="b")}
    found = read_segmentation(write_nrrd(tmp_path / "old.seg.nrrd", [first, second], fields))
    assert [[label.name for label in each.labels] for each in found] == [["a"], ["b"]]
    assert [int(each.volume.array.sum()) for each in found] == [30, 90]


@pytest.mark.parametrize("crop", [0, 1])
def test_what_slicer_writes(labelmap: Volume, tmp_path: Path, crop: int) -> None:
    """Its own storage node writes overlapping segments, cropped to where they are."""
    vtk = pytest.importorskip("vtk", reason="slicer-core is not installed")
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
    from vtk.util.numpy_support import numpy_to_vtk

    scene, node = slicer.vtkMRMLScene(), slicer.vtkMRMLSegmentationNode()
    storage = slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(node)
    scene.AddNode(storage)
    storage.SetCropToMinimumExtent(crop)
    storage.SetFileName(str(tmp_path / "slicer.seg.nrrd"))
    boxes = {"Left kidney": (2, 5, 3, 6, 1, 4), "Tumour é": (4, 8, 5, 9, 2, 6), "far": (20, 22, 20, 23, 10, 12)}
    for name, extent in boxes.items():
        image = slicer.vtkOrientedImageData()
        image.SetExtent(*extent)
        image.SetSpacing(0.9, 1.1, 2.5)
        image.SetOrigin(20, -31, 4)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        image.GetPointData().SetScalars(numpy_to_vtk(np.ones(image.GetNumberOfPoints(), np.uint8), deep=1))
        made = slicer.vtkSegment()
        made.SetName(name)
        made.SetColor(0, 0.5, 1)
        made.AddRepresentation("Binary labelmap", image)
        if name == "Left kidney":
            made.SetTag(made.GetTerminologyEntryTagName(), LEFT_KIDNEY)
        node.GetSegmentation().AddSegment(made)
    assert storage.WriteData(node)
    whole = np.zeros((20, 30, 30), np.uint8)  # on the lattice of the images, in RAS like them
    found = read_segmentation(tmp_path / "slicer.seg.nrrd")
    assert len(found) == 2 and {label.name for each in found for label in each.labels} == set(boxes)
    assert next(label for each in found for label in each.labels if label.name == "Left kidney").type is not None
    expected = []
    for name, (x0, x1, y0, y1, z0, z1) in boxes.items():
        array = whole.copy()
        array[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1] = 1
        flip = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
        volume = Volume(array, (0.9, 1.1, 2.5), (-20.0, 31.0, 4.0), flip)
        expected.append(type(found[0])(volume, (Label(1, name),)))
    comparison = compare(expected, found)
    assert [(row.name, row.dice) for row in comparison.rows] == [(name, 1.0) for name in boxes]
    assert not comparison.notices


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_labelmaps_have_names_from_the_record_beside_a_table_or_numbers(
    labelmap: Volume, tmp_path: Path, ending: str
) -> None:
    write_labelmap(tmp_path / f"scan_labels{ending}", labelmap)
    (found,) = read_segmentation(tmp_path / f"scan_labels{ending}")
    np.testing.assert_array_equal(found.volume.array, labelmap.array)
    assert [label.name for label in found.labels] == ["label 1", "label 7"]
    assert found.labels[0].color != found.labels[1].color
    record = {"labels": [label.to_dict() for label in LABELS]}
    (tmp_path / "scan.json").write_text(json.dumps(record), encoding="utf-8")
    (found,) = read_segmentation(tmp_path / f"scan_labels{ending}")
    assert [(label.name, label.type) for label in found.labels] == [(label.name, label.type) for label in LABELS]
    (tmp_path / "table.csv").write_text("value,name\n7,seven\n")
    (found,) = read_segmentation(tmp_path / f"scan_labels{ending}", tmp_path / "table.csv")
    assert [label.name for label in found.labels] == ["label 1", "seven"]
    (tmp_path / "scan.json").write_text("[1]")  # something else
    assert len(read_segmentation(tmp_path / f"scan_labels{ending}")[0].labels) == 2


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.csv", "value,name\n1,Liver\n2,\"Kidney, left\"\n0,nothing\n", {1: "Liver", 2: "Kidney, left"}),
        ("a.csv", "Structure;Label\nLiver;3\n", {3: "Liver"}),
        ("a.csv", "1,Liver\n2,Spleen\n", {1: "Liver", 2: "Spleen"}),
        ("a.tsv", "index\tname\tabbreviation\n5\tLiver\tLv\n", {5: "Liver"}),
        ("a.ctbl", "# Color table file a.ctbl\n0 Background 0 0 0 0\n1 left_kidney 1 2 3 255\n", {1: "left kidney"}),
        ("lut.txt", "#No. Label\n17  Left-Hippocampus   220 216 20 0\n", {17: "Left-Hippocampus"}),
        ("snap.label", '    1  255    0    0        1  1  1    "Label 1"\n', {1: "Label 1"}),
        ("two.txt", "Some words\n12: Liver\n13 Spleen of him\n", {12: "Liver", 13: "Spleen of him"}),
        ("dataset.json", '{"labels": {"0": "background", "1": "Anterior"}}', {1: "Anterior"}),
        ("dataset.json", '{"labels": {"background": 0, "liver": 1, "a": [1, 2], "b": 2}}', {1: "liver", 2: "b"}),
        ("plain.json", '{"4": "Spleen"}', {4: "Spleen"}),
        ("record.json", '{"labels": [{"value": 3, "name": "x", "volume_ml": 2.5}]}', {3: "x"}),
    ],
)  # fmt: skip
def test_tables_of_other_programs(tmp_path: Path, name: str, text: str, expected: dict[int, str]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert {value: label.name for value, label in read_label_table(tmp_path / name).items()} == expected


def test_colours_and_codes_of_tables(tmp_path: Path) -> None:
    (tmp_path / "slicer.csv").write_text(
        "LabelValue,Name,Color_R,Color_G,Color_B,Color_A,Category_CodingScheme,Category_CodeValue,Category_CodeMeaning,"
        "Type_CodingScheme,Type_CodeValue,Type_CodeMeaning,TypeModifier_CodingScheme,TypeModifier_CodeValue,"
        "TypeModifier_CodeMeaning\n2,Kidney,10,20,30,255,SCT,123037004,Anatomical Structure,SCT,64033007,Kidney,SCT,"
        "7771000,Left\n"
    )
    (label,) = read_label_table(tmp_path / "slicer.csv").values()
    assert label == Label(2, "Kidney", (10, 20, 30), ANATOMY, ("64033007+7771000", "SCT", "Kidney, Left"))  # type: ignore[arg-type]
    (tmp_path / "lut.txt").write_text("17 Left-Hippocampus 220 216 20 0\n")
    assert read_label_table(tmp_path / "lut.txt")[17].color == (220, 216, 20)


@pytest.mark.parametrize(("name", "text"), [("a.csv", "x,y\n1,2\n"), ("a.json", "{"), ("a.json", "3"), ("a.txt", "no")])
def test_a_table_that_is_none_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"The table of labels .*{name}"):
        read_label_table(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        read_label_table(tmp_path / "absent.csv")


def test_what_is_no_segmentation_is_refused(labelmap: Volume, tmp_path: Path) -> None:
    def refused(path: Path, match: str) -> None:
        with pytest.raises(InputError, match=match) as error:
            read_segmentation(path)
        assert str(error.value).count(str(path)) == 1 and str(error.value).endswith(".")

    def written(name: str, array: np.ndarray) -> Path:
        sitk.WriteImage(sitk.GetImageFromArray(array, isVector=False), str(tmp_path / name))
        return tmp_path / name

    rng = np.random.default_rng(0)
    refused(tmp_path / "absent.nii.gz", "does not exist")
    refused(written("negative.nii.gz", rng.integers(-1000, 1000, (5, 6, 7)).astype(np.int16)), "from -")
    refused(written("scan.nrrd", rng.integers(0, 5000, (20, 20, 20)).astype(np.int16)), "so it is a scan")
    refused(written("real.nii.gz", rng.random((5, 6, 7)).astype(np.float32)), "not whole numbers")
    refused(written("series.nii.gz", np.ones((2, 5, 6, 7), np.uint8)), "series of several volumes")
    fields = segment(0, LabelValue="1", Layer="3")
    refused(write_nrrd(tmp_path / "layer.seg.nrrd", [labelmap.array], fields), "layer 3 of 1")
    fields = {**segment(0), "Segmentation_MasterRepresentation": "Fractional labelmap"}
    refused(write_nrrd(tmp_path / "kind.seg.nrrd", [labelmap.array], fields), "as Fractional labelmap")
    refused(write_nrrd(tmp_path / "real.seg.nrrd", [labelmap.array.astype(np.float32)], segment(0)), "whole numbers")
    write_segmentation(tmp_path / "cut.seg.nrrd", labelmap, LABELS)
    (tmp_path / "cut.seg.nrrd").write_bytes((tmp_path / "cut.seg.nrrd").read_bytes()[:-20])
    refused(tmp_path / "cut.seg.nrrd", "truncated or damaged")


def _highdicom() -> Any:
    """The package, where it is new enough to read what it writes."""
    highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed")
    if not hasattr(highdicom.seg.Segmentation, "get_volume"):
        pytest.skip("highdicom is older than 0.24")
    return highdicom


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom", "ignore::UserWarning:highdicom")
def test_dicom_seg_comes_back(rng: np.random.Generator, tmp_path: Path) -> None:
    _highdicom()
    from dicom_series import save_all, slices

    from LowResSegLib.volume import find_series, read_series, write_dicom_seg

    matrix = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    matrix[:, 2] = np.cross(matrix[:, 0], matrix[:, 1])
    scan = Volume(
        rng.integers(-1000, 3000, (6, 7, 9)).astype(np.int16),
        (0.5, 0.75, 2.5),
        (-10.5, 20.25, 30.0),
        tuple(matrix.ravel()),
    )
    source = find_series(save_all(tmp_path / "in", slices(scan)))
    volume = read_series(source)
    array = rng.choice(np.array([0, 1, 7], np.uint8), volume.array.shape)
    array[[0, 3, -1]] = 0  # empty planes are left out of the file
    labelmap = volume.with_array(array)
    write_dicom_seg(tmp_path / "a.dcm", labelmap, LABELS, source, "brain", "1")
    found = read_segmentation(tmp_path / "a.dcm")
    write_segmentation(tmp_path / "a.seg.nrrd", labelmap, LABELS)
    comparison = compare(read_segmentation(tmp_path / "a.seg.nrrd"), found)
    assert [(row.name, row.dice, row.matched_by) for row in comparison.rows] == [
        ("Amygdala", 1.0, "code"),
        ("Noyau léger", 1.0, "name"),
        ("Empty", None, "name"),
    ]
    assert not comparison.notices
    np.testing.assert_allclose(found[0].labels[0].color, LABELS[0].color, atol=1)
    with pytest.raises(InputError, match="not a DICOM segmentation object"):
        read_segmentation(tmp_path / "in" / "IM0000")
    with pytest.raises(InputError, match="folder of 6 DICOM files"):
        read_segmentation(tmp_path / "in")


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom", "ignore::UserWarning:highdicom")
def test_segments_of_dicom_seg_may_overlap(rng: np.random.Generator, tmp_path: Path) -> None:
    highdicom = _highdicom()
    import pydicom
    from dicom_series import save_all, slices

    from LowResSegLib.volume.dicom_seg import _descriptions

    scan = Volume(rng.integers(0, 3000, (4, 7, 9)).astype(np.int16), (0.5, 0.75, 2.5))
    folder = save_all(tmp_path / "in", slices(scan))
    masks = rng.random((4, 7, 9, 2)) < 0.5
    segmentation: Any = highdicom.seg.Segmentation(
        source_images=[pydicom.dcmread(file) for file in sorted(folder.iterdir())],
        pixel_array=masks.astype(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=_descriptions(LABELS[:2], "a", "1"),
        series_instance_uid=highdicom.UID(),
        series_number=1,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="a",
        manufacturer_model_name="b",
        software_versions="1",
        device_serial_number="0",
    )
    segmentation.save_as(tmp_path / "a.dcm")
    found = read_segmentation(tmp_path / "a.dcm")
    assert [[label.name for label in each.labels] for each in found] == [["Amygdala"], ["Noyau léger"]]
    for number, each in enumerate(found):
        volume = each.volume.with_array((each.volume.array > 0).astype(np.uint8))
        expected = [type(each)(scan.with_array(masks[..., number].astype(np.uint8)), (Label(1, "x"),))]
        assert compare(expected, [type(each)(volume, (Label(1, "x"),))]).rows[0].dice == 1.0


def test_real_labelmaps_and_tables() -> None:
    path = data_file("abdomen", "ct_labels.nii.gz")  # whole numbers as floats
    (found,) = read_segmentation(path)
    assert found.volume.array.dtype == np.uint8 and len(found.labels) == 59
    with pytest.raises(InputError, match="those of a labelmap"):
        read_segmentation(data_file("abdomen", "ct.nii.gz"))
    names = read_label_table(data_file("Task04_Hippocampus", "dataset.json"))
    assert {value: label.name for value, label in names.items()} == {1: "Anterior", 2: "Posterior"}
    names = read_label_table(data_file("synthseg_label_maps", "labels table.txt"))
    assert names[17].name == "left hippocampus" and names[41].name == "right cerebral white matter"
