"""Results as files, and what is said where they cannot be written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scans import REPOSITORY, head, labels_of
from test_logic import described


@pytest.fixture
def segmentation(logic: Any, volume: Any, model: str) -> Any:
    return logic.process(volume, model)


def names(folder: Path) -> list[str]:
    """All that is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_all_files_are_written_and_read_back(
    slicer: Any, logic: Any, volume: Any, segmentation: Any, tmp_path: Path
) -> None:
    sitk = pytest.importorskip("SimpleITK")
    from LowResSegSlicer.nodes import run_record

    nodes = slicer.mrmlScene.GetNumberOfNodes()
    files = logic.export(segmentation, tmp_path / "new" / "folder")

    assert (
        names(tmp_path / "new" / "folder")
        == [
            "scan segmentation.json",
            "scan segmentation.seg.nrrd",
            "scan segmentation_labels.ctbl",
            "scan segmentation_labels.nii.gz",
        ]
        == [file.name for file in files]
    )
    assert all(file.is_file() for file in files)
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes  # nothing is left of the labelmap on the way
    assert json.loads(files[0].read_text()) == run_record(segmentation)
    written = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Written")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(files[1]))
    assert storage.ReadData(written)
    assert described(written) == described(segmentation)
    expected = labels_of(slicer, segmentation, volume)
    np.testing.assert_array_equal(labels_of(slicer, written, volume), expected)
    image = sitk.ReadImage(str(files[3]))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), expected)
    assert image.GetSpacing() == pytest.approx(volume.GetSpacing(), rel=1e-6)
    assert "Amygdala" in files[2].read_text()


def test_the_node_stays_as_it_was(logic: Any, segmentation: Any, tmp_path: Path) -> None:
    from LowResSegSlicer.nodes import run_record

    record, storage = run_record(segmentation), segmentation.GetStorageNode()
    logic.export(segmentation, tmp_path, ("seg.nrrd",))

    assert run_record(segmentation) == record and segmentation.GetStorageNode() is storage


def test_a_labelmap_node_is_exported_too(slicer: Any, logic: Any, volume: Any, model: str, tmp_path: Path) -> None:
    from LowResSegLib.errors import InputError

    labelmap = logic.process(volume, model, output="labelmap")
    before = slicer.mrmlScene.GetNumberOfNodes()
    files = logic.export(labelmap, tmp_path, ("labelmap", "record"))
    assert [file.name for file in files] == ["scan labels.json", "scan labels_labels.ctbl", "scan labels_labels.nii.gz"]
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    with pytest.raises(InputError, match="scan labels is a labelmap; import it"):
        logic.export(labelmap, tmp_path / "other", ("record", "seg.nrrd"))
    assert not (tmp_path / "other").exists()  # not the record alone


def test_files_of_before_are_replaced_only_when_that_is_allowed(logic: Any, segmentation: Any, tmp_path: Path) -> None:
    from LowResSegLib.errors import InputError

    old = tmp_path / "scan segmentation.json"
    old.write_text("mine")
    with pytest.raises(InputError, match="is there already; choose another folder"):
        logic.export(segmentation, tmp_path)
    assert names(tmp_path) == [old.name, "scan.nii.gz"] and old.read_text() == "mine"
    logic.export(segmentation, tmp_path, overwrite=True)
    assert old.read_text() != "mine"


def test_names_that_no_file_can_have_are_changed(logic: Any, segmentation: Any, tmp_path: Path) -> None:
    segmentation.SetName(' a/b\\c: "d"? ..')
    (file,) = logic.export(segmentation, tmp_path, ("record",))
    assert file.parent == tmp_path and file.name == "a_b_c_ _d_.json"


def test_a_folder_that_cannot_be_written_to_is_told(logic: Any, segmentation: Any, tmp_path: Path) -> None:
    from LowResSegLib.errors import InputError

    folder = Path("/proc/lowresseg")  # where not even root can write
    if not folder.parent.is_dir():
        folder = tmp_path / "locked"
        folder.mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot be written to"):
        logic.export(segmentation, folder)


def test_a_file_in_the_folder_s_place_is_told(logic: Any, segmentation: Any, tmp_path: Path) -> None:
    from LowResSegLib.errors import InputError

    (tmp_path / "taken").write_text("x")
    with pytest.raises(InputError, match=r"output folder .*taken cannot be written to"):
        logic.export(segmentation, tmp_path / "taken")


def test_a_full_disk_leaves_nothing_half_written(slicer: Any, logic: Any, segmentation: Any) -> None:
    from LowResSegLib.errors import InputError

    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    import errno
    import tempfile

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:

        def full(self: Path, *arguments: Any, **named: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(Path, "write_text", full)
        with pytest.raises(InputError, match="No space left on device"):
            logic.export(segmentation, Path(folder) / "new", ("seg.nrrd", "labelmap", "record"))
        assert names(Path(folder)) == []


def test_a_storage_node_that_fails_is_told(
    slicer: Any, logic: Any, segmentation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from LowResSegLib.errors import InputError

    class Failing(slicer.vtkMRMLSegmentationStorageNode):  # type: ignore[name-defined]
        def WriteData(self, node: Any) -> int:
            Path(self.GetFileName()).write_bytes(b"half")
            return 0

    monkeypatch.setattr(slicer, "vtkMRMLSegmentationStorageNode", Failing)
    folder = tmp_path / "out"
    with pytest.raises(InputError, match=r"scan segmentation\.seg\.nrrd cannot be written; make room"):
        logic.export(segmentation, folder)
    assert not folder.exists()


def test_what_cannot_be_exported_is_refused(slicer: Any, logic: Any, volume: Any, segmentation: Any) -> None:
    from LowResSegLib.errors import InputError

    blank = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Blank")
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    mine.GetSegmentation().AddEmptySegment("a", "A")
    for node, formats, sentence in (
        (None, ("record",), "Nothing is chosen to export"),
        (blank, ("seg.nrrd",), "Blank has no segments"),
        (volume, ("seg.nrrd",), "scan is not a labelmap volume"),
        (mine, ("record",), "Mine was not made by LowResSeg"),
        (segmentation, ("stl",), "not stl"),
        (segmentation, (), "not none"),
        (segmentation, ("dicom",), "was not made of a volume that was loaded from DICOM"),
    ):
        with pytest.raises(InputError, match=sentence):
            logic.export(node, "/nonexistent/folder" if formats != ("dicom",) else volume_folder(volume), formats)


def volume_folder(volume: Any) -> str:
    return str(Path(volume.GetStorageNode().GetFileName()).parent / "dicom")


def test_dicom_goes_through_slicer_s_exporter_where_it_is(
    slicer: Any, logic: Any, volume: Any, segmentation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from LowResSegLib.errors import InputError

    asked: list[Any] = []

    class Plugin:
        problem, writes = "", True

        def examineForExport(self, item: int) -> list[Any]:
            asked.append(item)
            return [SimpleNamespace(directory="")]

        def export(self, exportables: list[Any]) -> str:
            if self.writes:
                (Path(exportables[0].directory) / "subject_hierarchy_export.SEG1.dcm").write_bytes(b"DICM")
            return self.problem

    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    plugins = {"DICOMSegmentationPlugin": Plugin}
    monkeypatch.setattr(slicer.modules, "dicomPlugins", plugins, raising=False)
    (file,) = logic.export(segmentation, tmp_path / "a", ("dicom",))
    assert file.name == "scan segmentation_seg.dcm" and file.read_bytes() == b"DICM"
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert asked == [hierarchy.GetItemByDataNode(segmentation)]

    Plugin.problem = "no study"
    with pytest.raises(InputError, match="failed on scan segmentation: no study"):
        logic.export(segmentation, tmp_path / "b", ("dicom",))
    Plugin.problem, Plugin.writes = "", False
    with pytest.raises(InputError, match="it wrote no file"):
        logic.export(segmentation, tmp_path / "b", ("dicom",))
    assert not (tmp_path / "b").exists()


def test_dicom_files_that_are_gone_are_told(
    slicer: Any, logic: Any, volume: Any, segmentation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from LowResSegLib.errors import InputError

    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    for database in (None, SimpleNamespace(fileForInstance=lambda uid: "")):
        monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
        with pytest.raises(InputError, match="The DICOM files of scan are not in Slicer's database any more"):
            logic.export(segmentation, tmp_path / "out", ("dicom",))


def test_where_nothing_can_write_dicom_the_sentence_says_what_to_install_in_slicer(
    slicer: Any, logic: Any, volume: Any, segmentation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from LowResSegLib.errors import InputError

    file = tmp_path / "1.dcm"
    file.write_bytes(b"")
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    monkeypatch.setattr(
        slicer, "dicomDatabase", SimpleNamespace(fileForInstance=lambda instance: str(file)), raising=False
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    with pytest.raises(InputError, match=r'QuantitativeReporting.*slicer\.util\.pip_install\("highdicom"\)'):
        logic.export(segmentation, tmp_path / "out", ("dicom",))
    assert names(tmp_path / "out") == []


def test_dicom_is_written_by_the_library_from_the_files_in_slicer_s_database(
    slicer: Any, logic: Any, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("highdicom", "pydicom", "SimpleITK"):
        pytest.importorskip(name)
    monkeypatch.syspath_prepend(str(REPOSITORY / "Testing" / "Lib"))
    import dicom_series
    import highdicom
    from LowResSegSlicer.nodes import ras_matrix

    from LowResSegLib.errors import InputError
    from LowResSegLib.volume import Volume, read_dicom

    stored = Volume(head().astype(np.int16), (1.5, 1.5, 2.5), (-10.0, -20.0, 5.0))
    folder = dicom_series.save_all(tmp_path / "study", dicom_series.slices(stored, Modality="MR"))
    files = {dicom_series.pydicom.dcmread(file).SOPInstanceUID: str(file) for file in sorted(folder.iterdir())}
    scan = read_dicom(folder)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T1")
    slicer.util.updateVolumeFromArray(node, scan.array)
    node.SetIJKToRASMatrix(ras_matrix(scan))
    node.SetAttribute("DICOM.instanceUIDs", " ".join(files))
    monkeypatch.setattr(slicer, "dicomDatabase", SimpleNamespace(fileForInstance=files.get), raising=False)
    segmentation = logic.process(node, model)

    for result in (segmentation, logic.process(node, model, output="labelmap")):
        (file,) = logic.export(result, tmp_path / result.GetName(), ("dicom",))
        written = highdicom.seg.segread(file)
        names_of = {each.SegmentLabel: each.SegmentNumber for each in written.SegmentSequence}
        assert set(names_of) >= {"Rim", "Amygdala"}
        expected = labels_of(slicer, segmentation, node)
        pixels = written.get_volume(combine_segments=False).array
        assert int(pixels[..., names_of["Rim"] - 1].sum()) == int((expected == 1).sum()) > 0

    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Moved")
    slicer.util.updateVolumeFromArray(moved, scan.array)  # lies elsewhere than its files say
    moved.SetAttribute("DICOM.instanceUIDs", " ".join(files))
    with pytest.raises(InputError, match="does not lie on the grid of this DICOM series"):
        logic.export(logic.process(moved, model), tmp_path / "moved", ("dicom",))
    assert not (tmp_path / "moved").exists()
