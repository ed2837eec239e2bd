"""Volume nodes to the library's volumes, labelmaps to segmentation nodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scans import head, labels_of, load, right_handed

RECORD = {
    "model": "made up",
    "labels": [
        {"value": 1, "name": "Left", "color": [255, 0, 51], "volume_ml": 1.5, "category": None, "type": None},
        {
            "value": 4,
            "name": "Amygdala",
            "color": [0, 204, 102],
            "volume_ml": 0.0,
            "category": ["91723000", "SCT", "Anatomical Structure"],
            "type": ["4958002", "SCT", "Amygdala"],
        },
    ],
    "seconds": {"total": 1.0},
}


def made_up_labels() -> np.ndarray:
    labels = np.zeros(head().shape, np.uint8)
    labels[2:9, 3:8, 5:6] = 1
    labels[9:15, 3:20, 11:17] = 4
    return labels


def test_volume_of_a_node_is_that_of_its_file(slicer: Any, scan: Path) -> None:
    from LowResSegSlicer.nodes import volume_from_node

    from LowResSegLib.volume import read_volume

    from_file, from_node = read_volume(scan), volume_from_node(load(slicer, scan))

    wanted = right_handed(from_file)
    assert from_node.array.dtype == wanted.array.dtype
    np.testing.assert_array_equal(from_node.array, wanted.array)
    for field in ("spacing", "origin", "direction"):
        np.testing.assert_allclose(getattr(from_node, field), getattr(wanted, field), rtol=1e-14, atol=1e-14)


def test_segments_carry_names_colours_and_terminology(slicer: Any, volume: Any) -> None:
    from LowResSegSlicer.segmentations import segmentation_from_labelmap

    segments = segmentation_from_labelmap(made_up_labels(), RECORD, volume).GetSegmentation()

    assert segments.GetSegmentIDs() == ("Segment_1", "Segment_4")
    left, amygdala = (segments.GetSegment(identifier) for identifier in segments.GetSegmentIDs())
    assert (left.GetName(), amygdala.GetName()) == ("Left", "Amygdala")
    assert left.GetColor() == pytest.approx((1.0, 0.0, 0.2))
    assert amygdala.GetColor() == pytest.approx((0.0, 0.8, 0.4))
    untouched = slicer.vtkSegment()  # has Slicer's own "Tissue"
    name = left.GetTerminologyEntryTagName()
    assert segment_tag(left, name) == segment_tag(untouched, name)
    entry = slicer.vtkSlicerTerminologyEntry()
    terminologies = slicer.vtkSlicerTerminologiesModuleLogic()
    text = segment_tag(amygdala, name)
    assert terminologies.DeserializeTerminologyEntry(text, entry)
    assert entry.GetTypeObject().GetCodeValue() == "4958002"
    assert entry.GetTypeObject().GetCodingSchemeDesignator() == "SCT"
    assert entry.GetCategoryObject().GetCodeMeaning() == "Anatomical Structure"


def segment_tag(segment: Any, name: str) -> str:
    import vtk

    value = vtk.reference("")
    assert segment.GetTag(name, value)
    return str(value)


def test_segments_lie_on_the_voxels_of_the_volume(slicer: Any, volume: Any) -> None:
    from LowResSegSlicer.segmentations import segmentation_from_labelmap

    segmentation = segmentation_from_labelmap(made_up_labels(), RECORD, volume)

    np.testing.assert_array_equal(labels_of(slicer, segmentation, volume), made_up_labels())
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 1
    reference = segmentation.GetNodeReferenceID(segmentation.GetReferenceImageGeometryReferenceRole())
    assert reference == volume.GetID()


def test_reference_geometry_is_the_volume_s(slicer: Any, volume: Any) -> None:
    import vtk
    from LowResSegSlicer.segmentations import segmentation_from_labelmap

    segmentation = segmentation_from_labelmap(made_up_labels(), RECORD, volume)

    converter = slicer.vtkSegmentationConverter
    text = segmentation.GetSegmentation().GetConversionParameter(converter.GetReferenceImageGeometryParameterName())
    grid, wanted, found = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    assert converter.DeserializeImageGeometry(text, grid)
    volume.GetIJKToRASMatrix(wanted)
    grid.GetImageToWorldMatrix(found)
    for row in range(4):
        for column in range(4):
            assert found.GetElement(row, column) == pytest.approx(wanted.GetElement(row, column), abs=1e-6)
    assert grid.GetDimensions() == volume.GetImageData().GetDimensions()


def test_leaves_no_other_node_behind(slicer: Any, volume: Any) -> None:
    from LowResSegSlicer.segmentations import segmentation_from_labelmap

    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    segmentation_from_labelmap(made_up_labels(), RECORD, volume)

    added = [node for node in slicer.util.getNodesByClass("vtkMRMLNode") if node.GetID() not in before]
    assert sorted(node.GetClassName() for node in added) == [
        "vtkMRMLSegmentationDisplayNode",
        "vtkMRMLSegmentationNode",
    ]


def test_surfaces_can_be_made(slicer: Any, volume: Any) -> None:
    from LowResSegSlicer.segmentations import segmentation_from_labelmap

    segmentation = segmentation_from_labelmap(made_up_labels(), RECORD, volume)

    assert segmentation.CreateClosedSurfaceRepresentation()
    assert segmentation.GetClosedSurfaceInternalRepresentation("Segment_4").GetNumberOfCells() > 100


def test_replaces_the_segments_of_an_existing_node(slicer: Any, volume: Any) -> None:
    from LowResSegSlicer.segmentations import segmentation_from_labelmap

    existing = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    existing.CreateDefaultDisplayNodes()
    existing.GetSegmentation().SetSourceRepresentationName("Closed surface")  # as one made from a model has
    existing.GetSegmentation().AddEmptySegment("old", "Old")

    segmentation = segmentation_from_labelmap(made_up_labels(), RECORD, volume, existing)

    assert segmentation is existing
    assert existing.GetName() == "Mine"
    assert existing.GetSegmentation().GetSourceRepresentationName() == "Binary labelmap"  # else it cannot be edited
    assert existing.GetSegmentation().GetSegmentIDs() == ("Segment_1", "Segment_4")
    np.testing.assert_array_equal(labels_of(slicer, segmentation, volume), made_up_labels())


def test_makes_a_new_node_if_the_chosen_one_has_left_the_scene(slicer: Any, volume: Any) -> None:
    from LowResSegSlicer.segmentations import segmentation_from_labelmap

    gone = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    slicer.mrmlScene.RemoveNode(gone)

    segmentation = segmentation_from_labelmap(made_up_labels(), RECORD, volume, gone)

    assert segmentation is not gone
    assert slicer.mrmlScene.IsNodePresent(segmentation)


def test_a_record_that_makes_no_segments_changes_nothing(slicer: Any, volume: Any) -> None:
    from LowResSegSlicer.segmentations import segmentation_from_labelmap

    from LowResSegLib.errors import InputError

    existing = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    existing.GetSegmentation().AddEmptySegment("old", "Old")
    before = slicer.mrmlScene.GetNumberOfNodes()
    broken = {**RECORD, "labels": [*RECORD["labels"], {"value": 5}]}

    for output in (existing, None):
        with pytest.raises(InputError):
            segmentation_from_labelmap(made_up_labels(), broken, volume, output)

    assert existing.GetSegmentation().GetSegmentIDs() == ("old",)
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_refuses_labels_of_another_size(slicer: Any, volume: Any) -> None:
    from LowResSegSlicer.segmentations import segmentation_from_labelmap

    from LowResSegLib.errors import InputError

    with pytest.raises(InputError, match=r"The size of scan has changed .*; segment it again\.$"):
        segmentation_from_labelmap(made_up_labels()[1:], RECORD, volume)


def test_takes_the_volume_s_place_in_the_subject_hierarchy(slicer: Any, volume: Any) -> None:
    from LowResSegSlicer.segmentations import segmentation_from_labelmap

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)

    segmentation = segmentation_from_labelmap(made_up_labels(), RECORD, volume)

    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(segmentation)) == study


def test_run_record_survives_saving_and_loading_the_scene(slicer: Any, volume: Any, tmp_path: Path) -> None:
    from LowResSegSlicer.nodes import run_record
    from LowResSegSlicer.segmentations import segmentation_from_labelmap

    record = {**RECORD, "model_limits": 'T1 only; "not" for <children> & 50 % of\nall: é'}
    segmentation = segmentation_from_labelmap(made_up_labels(), record, volume)
    assert run_record(segmentation) == record
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()

    slicer.mrmlScene.Clear()
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None
    slicer.mrmlScene.Connect()

    loaded = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    assert run_record(loaded) == json.loads(json.dumps(record))


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_an_unreadable_run_record_is_none(slicer: Any, text: str) -> None:
    from LowResSegSlicer.nodes import RUN_RECORD_ATTRIBUTE, run_record

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetAttribute(RUN_RECORD_ATTRIBUTE, text)

    assert run_record(node) is None
    assert run_record(None) is None


def node_without_voxels(slicer: Any) -> Any:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")


def labelmap_node(slicer: Any) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    slicer.util.updateVolumeFromArray(node, made_up_labels())
    return node


def vector_node(slicer: Any) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Colours")
    slicer.util.updateVolumeFromArray(node, np.zeros((4, 5, 6, 3), np.uint8))
    return node


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda slicer: None, "No volume is chosen; load a scan and choose it as the input volume."),
        (node_without_voxels, "Empty has no voxels; load the scan again."),
        (labelmap_node, "Labels is not a scalar volume; choose a scan."),
        (vector_node, "Colours is not a scalar volume; choose a scan."),
    ],
)
def test_what_cannot_be_segmented_is_refused_with_a_sentence(slicer: Any, make: Any, sentence: str) -> None:
    from LowResSegSlicer.nodes import volume_from_node

    from LowResSegLib.errors import InputError

    with pytest.raises(InputError) as caught:
        volume_from_node(make(slicer))

    assert str(caught.value) == sentence
