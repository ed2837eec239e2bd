"""The confidence map as a volume node, and the review list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scans import labels_of

from LowResSegLib.volume import Volume


def test_the_map_and_the_review_come_with_the_result(
    slicer: Any, logic: Any, volume: Any, model: str, finish: Callable
) -> None:
    from LowResSegSlicer.nodes import map_ids, scans

    plain = logic.process(volume, model)
    assert logic.confidence_node(plain) is None
    assert [row.confidence for row in logic.review(plain)] == [None] * 3
    here = logic.process(volume, model, confidence=True)
    run = logic.process(volume, model, wait=False, confidence=True)
    finish(run)

    np.testing.assert_array_equal(labels_of(slicer, here, volume), labels_of(slicer, plain, volume))
    assert run.confidence is logic.confidence_node(run.node)
    maps = [slicer.util.arrayFromVolume(logic.confidence_node(node)) for node in (here, run.node)]
    np.testing.assert_array_equal(*maps)
    assert maps[0].dtype == np.uint8 and maps[0].max() <= 100 and maps[0].min() < 100
    rows = logic.review(here)
    assert [row.structure for row in rows] == ["Rim", "Amygdala", "Nowhere"]
    assert 0 < rows[0].confidence <= 100 and rows[0].volume_ml > 0
    assert all(isinstance(row.needs_review, bool) for row in rows)
    assert logic.review(None) == [] and logic.review(volume) == []
    assert scans() == [volume]  # maps are not taken for scans
    assert sorted(map_ids()) == sorted(logic.confidence_node(node).GetID() for node in (here, run.node))


def test_the_map_is_shown_from_0_to_100_with_colours_of_its_own(
    slicer: Any, logic: Any, volume: Any, model: str
) -> None:
    nodes = [logic.confidence_node(logic.process(volume, model, confidence=True)) for _ in range(2)]

    tables = set()
    for node in nodes:
        display = node.GetDisplayNode()
        assert not display.GetAutoWindowLevel()
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, 100)
        tables.add(display.GetColorNode())
    (table,) = tables
    low, high = [0.0] * 4, [0.0] * 4
    table.GetColor(0, low)
    table.GetColor(100, high)
    assert low[0] == max(low[:3]) and high[2] == max(high[:3])  # red and blue
    assert nodes[0].GetName() == "scan confidence" != nodes[1].GetName()


def test_the_map_lies_over_the_volume_wherever_that_is_moved(slicer: Any, logic: Any, volume: Any, model: str) -> None:
    import vtk
    from LowResSegSlicer.confidence import confidence_node
    from LowResSegSlicer.nodes import geometry_of, matrix_array, ras_matrix, volume_from_node

    began = volume_from_node(volume)
    result = logic.process(volume, model)
    coarse = Volume(np.zeros((4, 4, 4), np.uint8), (2.0, 2.0, 2.0), began.origin, began.direction)
    volume.SetOrigin(1.0, 2.0, 3.0)  # as "Center volume" does during a run
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    volume.SetAndObserveTransformNodeID(transform.GetID())

    node = confidence_node(result, coarse, began, volume)

    assert geometry_of(node)["origin"] == pytest.approx(geometry_of(volume)["origin"])
    assert node.GetSpacing() == pytest.approx((2.0, 2.0, 2.0))
    directions = [vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()]
    for each, matrix in zip((node, volume), directions):
        each.GetIJKToRASDirectionMatrix(matrix)
    np.testing.assert_allclose(*(matrix_array(matrix) for matrix in directions), atol=1e-12)
    assert node.GetTransformNodeID() == transform.GetID()
    ours = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(ours)
    np.testing.assert_allclose(matrix_array(ras_matrix(volume_from_node(volume))), matrix_array(ours), atol=1e-12)


def test_the_next_run_replaces_the_map_or_takes_it_away(slicer: Any, logic: Any, volume: Any, model: str) -> None:
    result = logic.process(volume, model, confidence=True)
    node = logic.confidence_node(result)
    assert logic.confidence_node(logic.process(volume, model, result, confidence=True)) is node
    logic.process(volume, model, result)

    assert logic.confidence_node(result) is None and not slicer.mrmlScene.IsNodePresent(node)


def test_the_map_is_no_scan(slicer: Any, logic: Any, volume: Any, model: str) -> None:
    from LowResSegLib.errors import InputError

    node = logic.confidence_node(logic.process(volume, model, confidence=True))
    with pytest.raises(InputError, match="scan confidence is a map that LowResSeg has made"):
        logic.process(node, model)
    assert [case.source for case in logic.batch_cases_from_nodes([node, volume])] == [volume]
