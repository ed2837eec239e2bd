"""Volumes under transforms that bend them: hardened on a copy, and the user's node left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scans import labels_of


def shift(slicer: Any, millimetres: float) -> Any:
    """A grid transform node that moves everything to the right, by the same everywhere, but is not linear."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    image = vtk.vtkImageData()
    image.SetDimensions(6, 6, 6)
    image.SetSpacing(100, 100, 100)
    image.SetOrigin(-250, -250, -250)
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = (millimetres, 0, 0)
    grid = slicer.vtkOrientedGridTransform()
    grid.SetDisplacementGridData(image)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "Bent")
    node.SetAndObserveTransformToParent(grid)
    assert not node.IsTransformToWorldLinear()
    return node


def test_a_copy_is_hardened_and_segmented(slicer: Any, logic: Any, volume: Any, model: str, finish: Callable) -> None:
    from LowResSegSlicer.nodes import run_record, source_volume

    voxels = slicer.util.arrayFromVolume(volume).copy()
    transform = shift(slicer, 1.1)
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    here = logic.process(volume, model)
    run = logic.process(volume, model, wait=False)
    finish(run)

    copy = source_volume(here)
    assert copy is not volume and copy.GetName() == "scan hardened" and copy.GetTransformNodeID() is None
    assert source_volume(run.node) is copy  # the same again needs no second one
    assert copy.GetAttribute("DICOM.instanceUIDs") is None  # it is no longer what the files have
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), voxels)
    assert volume.GetTransformNodeID() == transform.GetID()
    notice = (
        "scan is under a non-linear transform, so a copy on which the transform is hardened was segmented:"
        " scan hardened."
    )
    assert run.notices == [notice]
    warning = "The scan is under a non-linear transform; a copy on which the transform is hardened was segmented."
    assert run_record(here)["warnings"] == run_record(run.node)["warnings"] == [warning]
    expected = labels_of(slicer, logic.process(copy, model), copy)
    assert set(np.unique(expected)) == {0, 1, 2}
    for segmentation in (here, run.node):
        assert segmentation.GetTransformNodeID() is None
        np.testing.assert_array_equal(labels_of(slicer, segmentation, copy), expected)


def test_the_copy_lies_in_the_world_where_the_volume_is_shown(slicer: Any, logic: Any, model: str) -> None:
    from LowResSegSlicer.nodes import source_volume
    from scans import head

    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Upright")
    slicer.util.updateVolumeFromArray(volume, head())
    volume.SetAndObserveTransformNodeID(shift(slicer, 2.0).GetID())

    moved = slicer.util.arrayFromVolume(source_volume(logic.process(volume, model)))

    np.testing.assert_array_equal(moved[:, :, 2:], head()[:, :, :-2])  # two voxels of 1 mm to the right


def test_another_transform_makes_another_copy(slicer: Any, logic: Any, volume: Any, model: str) -> None:
    from LowResSegSlicer.nodes import source_volume

    volume.SetAndObserveTransformNodeID(shift(slicer, 1.1).GetID())
    first = source_volume(logic.process(volume, model))
    volume.SetAndObserveTransformNodeID(shift(slicer, 5.5).GetID())
    second = source_volume(logic.process(volume, model))

    assert first is not second and first.GetName() != second.GetName()


def test_a_failed_or_cancelled_run_leaves_no_copy(slicer: Any, logic: Any, volume: Any, model: str) -> None:
    volume.SetAndObserveTransformNodeID(shift(slicer, 1.1).GetID())
    before = slicer.mrmlScene.GetNumberOfNodes()
    logic.process(volume, model, wait=False).cancel()

    assert slicer.mrmlScene.GetNumberOfNodes() == before
