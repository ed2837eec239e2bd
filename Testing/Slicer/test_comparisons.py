"""Comparisons of segmentations and labelmaps, in any mix, and the nodes that they give."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from data import data_file
from scans import labels_of
from test_transforms import shift


def eroded(slicer: Any, segmentation: Any, volume: Any, name: str = "Edited") -> Any:
    """A copy of a segmentation with one segment smaller, one without a partner, and one of another name."""
    copy = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    copy.GetSegmentation().DeepCopy(segmentation.GetSegmentation())
    copy.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    copy.SetAndObserveTransformNodeID(segmentation.GetTransformNodeID())
    inside = slicer.util.arrayFromSegmentBinaryLabelmap(copy, "Segment_1", volume).copy()
    inside[: inside.shape[0] // 2] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(inside, copy, "Segment_1", volume)
    copy.GetSegmentation().GetSegment("Segment_2").SetName("Mandelkern")  # its code still says what it is
    copy.GetSegmentation().AddEmptySegment("extra", "Extra")
    return copy


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


@pytest.fixture
def pair(slicer: Any, logic: Any, volume: Any, model: str) -> tuple[Any, Any]:
    """A segmentation and an edited one."""
    segmentation = logic.process(volume, model)
    return segmentation, eroded(slicer, segmentation, volume)


def inside(slicer: Any, node: Any, volume: Any, segment: str) -> np.ndarray:
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume) > 0


def test_structures_are_matched_and_measured(slicer: Any, logic: Any, volume: Any, pair: tuple[Any, Any]) -> None:
    result = logic.compare(*pair)

    rows = {row.name: row for row in result.comparison.rows}
    assert {name: row.matched_by for name, row in rows.items()}["Amygdala"] == "code"
    masks = [inside(slicer, node, volume, "Segment_1") for node in pair]
    assert rows["Rim"].dice == pytest.approx(dice(*masks))
    assert 0 < rows["Rim"].dice < 1
    assert rows["Amygdala"].dice == 1
    millilitres = math.prod(volume.GetSpacing()) / 1000
    assert rows["Rim"].volume_first_ml == pytest.approx(masks[0].sum() * millilitres, rel=1e-6)
    assert rows["Rim"].volume_second_ml == pytest.approx(masks[1].sum() * millilitres, rel=1e-6)
    assert result.comparison.only_second == ("Extra",)
    assert result.comparison.names == ("scan segmentation", "Edited")


def test_the_table_has_a_row_for_each_structure_with_units(logic: Any, pair: tuple[Any, Any]) -> None:
    result = logic.compare(*pair)

    table = result.table.GetTable()
    titles = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
    assert titles[:5] == [
        "Structure",
        "Dice",
        "Surface Dice at 1 mm",
        "HD95 (mm)",
        "Mean surface distance (mm)",
    ]
    assert "Volume of scan segmentation (ml)" in titles and "Volume of Edited (ml)" in titles
    for index, row in enumerate(result.comparison.rows):
        assert table.GetValueByName(index, "Structure").ToString() == row.name
        for title, value in (("Dice", row.dice), ("HD95 (mm)", row.hd95_mm)):
            found = table.GetValueByName(index, title).ToDouble()
            assert math.isnan(found) if value is None else found == pytest.approx(value)
    assert any(row.dice is None for row in result.comparison.rows)  # Nowhere is empty in both
    assert "Only Edited has: Extra." in result.table.GetDescription()
    assert result.table.GetName() == "scan segmentation and Edited: comparison"


def test_the_chart_shows_the_table(slicer: Any, logic: Any, pair: tuple[Any, Any]) -> None:
    result = logic.compare(*pair)

    series = result.chart.GetNthPlotSeriesNode(0)
    assert series.GetTableNode() is result.table
    table = result.table.GetTable()
    for column in (series.GetLabelColumnName(), series.GetYColumnName()):
        assert table.GetColumnByName(column) is not None
    assert result.chart.GetTitle() == "scan segmentation and Edited"


def test_the_difference_shows_what_only_one_has(slicer: Any, logic: Any, volume: Any, pair: tuple[Any, Any]) -> None:
    result = logic.compare(*pair)

    segments = result.difference.GetSegmentation()
    names = {segments.GetSegment(name).GetName(): name for name in segments.GetSegmentIDs()}
    assert set(names) >= {"Only in the reference", "Only in the other", "In both, but not the same structure"}
    first, second = (inside(slicer, node, volume, "Segment_1") for node in pair)
    found = inside(slicer, result.difference, volume, names["Only in the reference"])
    np.testing.assert_array_equal(found, first & ~second)
    assert found.any()
    colours = {segments.GetSegment(name).GetColor() for name in segments.GetSegmentIDs()}
    assert len(colours) == segments.GetNumberOfSegments()
    assert logic.compare(*pair, difference=False).difference is None


def test_segmentations_and_labelmaps_compare_in_any_mix(
    slicer: Any, logic: Any, volume: Any, pair: tuple[Any, Any]
) -> None:
    first = [pair[0], logic.export_labelmap(pair[0])]
    second = [pair[1], logic.export_labelmap(pair[1])]

    scores = []
    for one in first:
        for other in second:
            result = logic.compare(one, other)
            scores.append({row.name: row.dice for row in result.comparison.rows})
    assert all(score["Rim"] == scores[0]["Rim"] and score["Amygdala"] == 1 for score in scores)


def test_the_worker_process_gives_the_same(logic: Any, pair: tuple[Any, Any], finish: Callable) -> None:
    expected = logic.compare(*pair)
    ended: list[Any] = []
    run = logic.compare(*pair, wait=False, finished=ended.append)
    assert run.running
    finish(run)

    assert run.error is None and ended == [run]
    assert run.results[0].comparison.to_dict() == expected.comparison.to_dict()
    assert run.results[0].difference is not None and run.node is run.results[0].table


def test_more_than_two_are_compared_with_the_first(
    slicer: Any, logic: Any, volume: Any, pair: tuple[Any, Any], finish: Callable
) -> None:
    third = eroded(slicer, pair[0], volume, "Third")
    results = logic.compare_all(pair[0], [pair[1], third, pair[1]])
    assert [result.comparison.names[1] for result in results] == ["Edited", "Third", "Edited"]
    heard: list[float] = []
    run = logic.compare_all(pair[0], [pair[1], third], wait=False, progress=lambda step, share: heard.append(share))
    finish(run)
    assert [result.comparison.names[1] for result in run.results] == ["Edited", "Third"]
    assert heard == sorted(heard)


def test_a_transform_of_both_does_not_matter_and_one_of_one_does(
    slicer: Any, logic: Any, volume: Any, pair: tuple[Any, Any]
) -> None:
    import vtk

    before = logic.compare(*pair)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 1.7)
    transform.SetMatrixTransformToParent(matrix)
    for node in pair:
        node.SetAndObserveTransformNodeID(transform.GetID())
    both = logic.compare(*pair)
    assert both.comparison.to_dict() == before.comparison.to_dict()
    assert both.difference.GetTransformNodeID() == transform.GetID()

    pair[0].SetAndObserveTransformNodeID(None)
    one = logic.compare(*pair)
    scores = [{row.name: row.dice for row in result.comparison.rows} for result in (one, before)]
    assert scores[0]["Amygdala"] < scores[1]["Amygdala"]
    assert any("resampled" in notice for notice in one.notices)
    assert one.difference.GetTransformNodeID() is None

    # Moved by the transform and back by its own geometry, it is where it was.
    matrix.Invert()
    pair[1].GetSegmentation().ApplyLinearTransform(_vtk_transform(matrix))
    back = logic.compare(*pair)
    assert {row.name: row.dice for row in back.comparison.rows} == scores[1]


def _vtk_transform(matrix: Any) -> Any:
    import vtk

    transform = vtk.vtkTransform()
    transform.SetMatrix(matrix)
    return transform


def test_a_bent_or_sheared_one_is_resampled_with_a_notice(
    slicer: Any, logic: Any, volume: Any, pair: tuple[Any, Any]
) -> None:
    import vtk

    reference = {row.name: row.dice for row in logic.compare(*pair).comparison.rows}
    sheared = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 1, 0.3)
    sheared.SetMatrixTransformToParent(matrix)
    for transform in (sheared, shift(slicer, 1.7)):
        pair[1].SetAndObserveTransformNodeID(transform.GetID())
        result = logic.compare(*pair)
        assert any("Edited is under a transform that bends or shears" in notice for notice in result.notices)
        scores = {row.name: row.dice for row in result.comparison.rows}
        assert 0.2 < scores["Amygdala"] < reference["Amygdala"]


def test_layers_that_overlap_are_compared(slicer: Any, logic: Any, volume: Any) -> None:
    shape = slicer.util.arrayFromVolume(volume).shape
    nodes = []
    for name, places in (("One", (3, 5)), ("Two", (3, 6))):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        for identifier, place in zip("ab", places):
            node.GetSegmentation().AddEmptySegment(identifier, f"Part {identifier}")
            mask = np.zeros(shape, np.uint8)
            mask[place : place + 6, 4:12, 4:12] = 1
            segment = node.GetSegmentation().GetSegment(identifier)
            image = slicer.vtkOrientedImageData()
            logic_of = slicer.vtkSlicerSegmentationsModuleLogic
            labelmap = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
            slicer.util.updateVolumeFromArray(labelmap, mask)
            labelmap.CopyOrientation(volume)
            image.DeepCopy(logic_of.CreateOrientedImageDataFromVolumeNode(labelmap))
            segment.SetLabelValue(1)
            segment.AddRepresentation("Binary labelmap", image)
        assert node.GetSegmentation().GetNumberOfLayers() == 2
        nodes.append(node)

    scores = {row.name: row.dice for row in logic.compare(*nodes).comparison.rows}

    assert scores == {"Part a": 1.0, "Part b": pytest.approx(5 / 6)}


def test_surfaces_are_compared_without_changing_their_node(
    slicer: Any, logic: Any, volume: Any, pair: tuple[Any, Any]
) -> None:
    surface = eroded(slicer, pair[0], volume, "Surface")
    surface.CreateClosedSurfaceRepresentation()
    surface.GetSegmentation().SetSourceRepresentationName("Closed surface")
    surface.GetSegmentation().RemoveRepresentation("Binary labelmap")

    scores = {row.name: row.dice for row in logic.compare(surface, pair[1]).comparison.rows}

    assert scores["Mandelkern"] > 0.8
    assert not surface.GetSegmentation().ContainsRepresentation("Binary labelmap")


def test_what_cannot_be_compared_is_refused(
    slicer: Any, logic: Any, volume: Any, pair: tuple[Any, Any], finish: Callable
) -> None:
    from LowResSegLib.errors import InputError

    blank = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Blank")
    before = slicer.mrmlScene.GetNumberOfNodes()
    for first, second, sentence in (
        (None, pair[0], "Nothing is chosen to compare"),
        (pair[0], None, "Nothing is chosen to compare"),
        (pair[0], pair[0], "compared with itself"),
        (pair[0], volume, "scan is not a labelmap volume"),
        (pair[0], blank, "Blank has no segments"),
    ):
        for wait in (True, False):
            with pytest.raises(InputError, match=sentence):
                logic.compare(first, second, wait=wait)
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_two_of_one_name_are_told_apart(slicer: Any, logic: Any, volume: Any, pair: tuple[Any, Any]) -> None:
    pair[1].SetName(pair[0].GetName())

    assert logic.compare(*pair).comparison.names == ("scan segmentation (A)", "scan segmentation (B)")


def test_a_comparison_ends_when_a_node_is_removed_or_it_is_cancelled(
    slicer: Any, logic: Any, pair: tuple[Any, Any], finish: Callable
) -> None:
    before = slicer.mrmlScene.GetNumberOfNodes()
    run = logic.compare(*pair, wait=False)
    run.cancel()
    assert run.cancelled and not run.running and slicer.mrmlScene.GetNumberOfNodes() == before
    run = logic.compare(*pair, wait=False)
    slicer.mrmlScene.RemoveNode(pair[1])
    finish(run, seconds=5)
    assert "was removed from the scene" in str(run.error)


def test_labels_of_a_comparison_are_those_of_the_network(
    slicer: Any, logic: Any, volume: Any, pair: tuple[Any, Any]
) -> None:
    from LowResSegSlicer.structures import labelled_volumes

    (whole,), notices = labelled_volumes(pair[0], in_world=True)
    assert notices == []
    assert [(label.value, label.name) for label in whole.labels] == [(1, "Rim"), (2, "Amygdala"), (3, "Nowhere")]
    assert whole.labels[1].type.value == "4958002"
    assert whole.labels[0].type is None  # Slicer's own "Tissue" says nothing
    np.testing.assert_array_equal(whole.volume.array, labels_of(slicer, pair[0], volume))


def test_real_labels_give_the_dice_that_simpleitk_finds(slicer: Any, logic: Any) -> None:
    sitk = pytest.importorskip("SimpleITK")
    path = data_file("abdomen", "mr_labels.nii.gz")
    labels = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), "Organs", 1)  # as a labelmap
    segmentation = logic.import_labelmap(labels)
    shifted = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Shifted")
    array = slicer.util.arrayFromVolume(labels)
    slicer.util.updateVolumeFromArray(shifted, np.roll(array, 3, axis=2))
    shifted.CopyOrientation(labels)

    result = logic.compare(segmentation, shifted, difference=False)

    oracle = sitk.LabelOverlapMeasuresImageFilter()
    oracle.Execute(sitk.GetImageFromArray(array), sitk.GetImageFromArray(np.roll(array, 3, axis=2)))
    values = [int(value) for value in np.unique(array) if value]
    assert len(values) > 2 and len(result.comparison.rows) == len(values)
    for value, row in zip(values, result.comparison.rows):
        assert row.dice == pytest.approx(oracle.GetDiceCoefficient(value), abs=1e-9)
        assert row.dice < 1
