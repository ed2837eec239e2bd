"""Results as labelmap volumes, labelmaps as segmentations and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scans import labels_of
from test_logic import described


def colours(slicer: Any, labelmap: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Name and colour of each entry of a labelmap's colour table."""
    table = labelmap.GetDisplayNode().GetColorNode()
    rows = []
    for value in range(table.GetNumberOfColors()):
        colour = [0.0] * 4
        table.GetColor(value, colour)
        rows.append((table.GetColorName(value), tuple(round(255 * part) for part in colour)))
    return rows


def test_a_labelmap_has_the_labels_of_the_segmentation(
    slicer: Any, logic: Any, volume: Any, model: str, finish: Callable
) -> None:
    expected = labels_of(slicer, logic.process(volume, model), volume)
    here = logic.process(volume, model, output="labelmap")
    run = logic.process(volume, model, wait=False, output="labelmap")
    finish(run)

    for node in (here, run.node):
        assert node.GetClassName() == "vtkMRMLLabelMapVolumeNode"
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), expected)
        assert colours(slicer, node) == [
            ("Background", (0, 0, 0, 0)),
            ("Rim", (245, 128, 3, 255)),
            ("Amygdala", (10, 200, 30, 255)),
            ("Nowhere", (1, 2, 3, 255)),
        ]
        assert "4958002" in node.GetDisplayNode().GetColorNode().GetTerminologyAsString(2)
    assert here.GetName() == "scan labels"
    assert run.node.GetDisplayNode().GetColorNode() is not here.GetDisplayNode().GetColorNode()


def test_a_labelmap_lies_where_the_volume_does(slicer: Any, logic: Any, volume: Any, model: str) -> None:
    import vtk
    from LowResSegSlicer.nodes import matrix_array, run_record, source_volume

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    node = logic.process(volume, model, output="labelmap")

    wanted, found = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(wanted)
    node.GetIJKToRASMatrix(found)
    np.testing.assert_array_equal(matrix_array(found), matrix_array(wanted))
    assert node.GetTransformNodeID() == transform.GetID()
    assert source_volume(node) is volume
    assert (run_record(node) or {})["model"] == "tiny"


def test_the_chosen_labelmap_is_replaced_with_its_colour_table(
    slicer: Any, logic: Any, volume: Any, model: str
) -> None:
    node = logic.process(volume, model, output="labelmap")
    table = node.GetDisplayNode().GetColorNode()
    expected = slicer.util.arrayFromVolume(node).copy()
    slicer.util.updateVolumeFromArray(node, np.zeros((2, 2, 2), np.uint8))
    before = slicer.mrmlScene.GetNumberOfNodes()

    assert logic.process(volume, model, node) is node  # a labelmap node says what is wanted

    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), expected)
    assert node.GetDisplayNode().GetColorNode() is table
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_a_colour_table_of_someone_else_is_left_alone(slicer: Any, logic: Any, volume: Any, model: str) -> None:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Mine")
    node.CreateDefaultDisplayNodes()
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", "Theirs")
    table.SetTypeToUser()
    table.SetNumberOfColors(1)
    node.GetDisplayNode().SetAndObserveColorNodeID(table.GetID())

    logic.process(volume, model, node)

    assert node.GetDisplayNode().GetColorNode() is not table
    assert table.GetNumberOfColors() == 1


def test_a_result_of_an_unknown_kind_or_for_a_node_of_another_is_refused(
    slicer: Any, logic: Any, volume: Any, model: str, existing: Any
) -> None:
    from LowResSegLib.errors import InputError

    with pytest.raises(InputError, match="a segmentation or a labelmap, not surface"):
        logic.process(volume, model, output="surface")
    with pytest.raises(InputError, match="Mine is no node for a labelmap"):
        logic.process(volume, model, existing, output="labelmap")
    with pytest.raises(InputError, match="Volume is no node for a segmentation"):
        logic.process(volume, model, slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Volume"))


def test_a_labelmap_becomes_the_segmentation_of_the_same_run(slicer: Any, logic: Any, volume: Any, model: str) -> None:
    from LowResSegSlicer.nodes import run_record

    direct = logic.process(volume, model)
    labelmap = logic.process(volume, model, output="labelmap")
    imported = logic.import_labelmap(labelmap)

    # What was found nowhere has no voxels, so the labelmap does not tell of it.
    assert described(imported) == [row for row in described(direct) if row[1] != "Nowhere"]
    np.testing.assert_array_equal(labels_of(slicer, imported, volume), labels_of(slicer, direct, volume))
    assert imported.GetNodeReference(imported.GetReferenceImageGeometryReferenceRole()) is volume
    assert (run_record(imported) or {})["model"] == "tiny"


def test_a_segmentation_goes_out_as_a_labelmap_and_comes_back(slicer: Any, logic: Any, volume: Any, model: str) -> None:
    import vtk

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 40.0)
    transform.SetMatrixTransformToParent(matrix)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    segmentation = logic.process(volume, model)
    wanted = labels_of(slicer, segmentation, volume)
    side = "SCT^7771000^Left"
    segment = segmentation.GetSegmentation().GetSegment("Segment_2")
    name, entry = segment.GetTerminologyEntryTagName(), vtk.reference("")
    segment.GetTag(name, entry)
    parts = str(entry).split("~")
    parts[3] = side
    segment.SetTag(name, "~".join(parts))

    labelmap = logic.export_labelmap(segmentation)

    np.testing.assert_array_equal(slicer.util.arrayFromVolume(labelmap), wanted)
    assert labelmap.GetTransformNodeID() == transform.GetID()
    assert [row[0] for row in colours(slicer, labelmap)] == ["Background", "Rim", "Amygdala", "Nowhere"]
    back = logic.import_labelmap(labelmap)
    np.testing.assert_array_equal(labels_of(slicer, back, volume), wanted)
    back.GetSegmentation().GetSegment("Segment_2").GetTag(name, entry)
    assert side in str(entry)


def test_segments_of_layers_get_values_of_their_own(slicer: Any, logic: Any, volume: Any) -> None:
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    shape = slicer.util.arrayFromVolume(volume).shape
    for name, place in (("a", 2), ("b", 4), ("c", 5)):
        inside = np.zeros(shape, np.uint8)
        inside[place : place + 2, 3:9, 3:9] = 1
        segmentation.GetSegmentation().AddEmptySegment(name, name.upper())
        slicer.util.updateSegmentBinaryLabelmapFromArray(inside, segmentation, name, volume)

    array = slicer.util.arrayFromVolume(logic.export_labelmap(segmentation, volume))

    expected = np.zeros(shape, np.uint8)
    for value, place in enumerate((2, 4, 5), 1):
        expected[place : place + 2, 3:9, 3:9] = value
    np.testing.assert_array_equal(array, expected)


def test_a_segmentation_without_a_volume_goes_out_on_voxels_of_its_own(
    slicer: Any, logic: Any, volume: Any, model: str
) -> None:
    segmentation = logic.process(volume, model)
    expected = labels_of(slicer, segmentation, volume)
    slicer.mrmlScene.RemoveNode(volume)

    np.testing.assert_array_equal(slicer.util.arrayFromVolume(logic.export_labelmap(segmentation)), expected)

    bare = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Bare")
    for name in segmentation.GetSegmentation().GetSegmentIDs():
        bare.GetSegmentation().CopySegmentFromSegmentation(segmentation.GetSegmentation(), name)
    counts = np.bincount(slicer.util.arrayFromVolume(logic.export_labelmap(bare)).ravel())
    assert counts[1:].tolist() == np.bincount(expected.ravel())[1:].tolist()


@pytest.mark.parametrize("highest", [40000, 3000000])
def test_labels_of_large_values_are_found(slicer: Any, logic: Any, highest: int) -> None:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Parcels")
    array = np.zeros((4, 5, 6), np.int32)
    array[1, 2, 3], array[2, 3, :] = 7, highest
    slicer.util.updateVolumeFromArray(node, array)

    segments = logic.import_labelmap(node).GetSegmentation()

    found = [(segment.GetName(), segment.GetLabelValue()) for segment in map(segments.GetNthSegment, range(2))]
    assert found == [("Label 7", 7), (f"Label {highest}", highest)]


def test_what_is_no_labelmap_or_has_nothing_in_it_is_refused(slicer: Any, logic: Any, volume: Any) -> None:
    from LowResSegLib.errors import InputError

    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Empty")
    for node, sentence in (
        (None, "No labelmap is chosen"),
        (volume, "scan is not a labelmap volume"),
        (empty, "Empty has no voxels"),
    ):
        with pytest.raises(InputError, match=sentence):
            logic.import_labelmap(node)
    slicer.util.updateVolumeFromArray(empty, np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(InputError, match="Empty has no labels, only background"):
        logic.import_labelmap(empty)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Blank")
    for node, sentence in ((None, "nothing to export"), (segmentation, "Blank has no segments")):
        with pytest.raises(InputError, match=sentence):
            logic.export_labelmap(node)


def test_a_labelmap_s_labels_survive_saving_and_loading_the_scene(
    slicer: Any, logic: Any, volume: Any, model: str, tmp_path: Path
) -> None:
    from LowResSegSlicer.nodes import run_record

    logic.process(volume, model, output="labelmap")
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear()
    slicer.mrmlScene.Connect()

    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLabelMapVolumeNode")
    assert (run_record(node) or {})["model"] == "tiny"
    assert node.GetDisplayNode().GetColorNode() is not None
