"""Section "Compare", driven by clicks on stand-ins for Slicer's widgets."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import pytest


@pytest.fixture
def pair(slicer: Any, volume: Any) -> tuple[Any, Any]:
    """A labelmap and a segmentation of it, shifted by a voxel; the labelmap has one structure more."""
    shape = slicer.util.arrayFromVolume(volume).shape
    array = np.zeros(shape, np.uint8)
    array[5:9, 5:13, 5:13] = 1
    nodes = []
    for name, values in (("A", array), ("B", np.roll(array, 1, axis=2))):
        node = slicer.modules.volumes.logic().CreateAndAddLabelVolume(slicer.mrmlScene, volume, name)
        slicer.util.updateVolumeFromArray(node, values)
        nodes.append(node)
    from LowResSeg import LowResSegLogic

    more = slicer.util.arrayFromVolume(nodes[0])
    segmentation = LowResSegLogic().import_labelmap(nodes[1])
    more[12:15, 5:9, 5:9] = 2
    nodes[0].Modified()
    segmentation.SetName("Shifted")
    slicer.mrmlScene.RemoveNode(nodes[1])
    return nodes[0], segmentation


def choose(panel: Any, pair: tuple[Any, Any], click: Callable) -> Any:
    """Open the section and choose the two; returns its widgets."""
    import qt

    ui = panel.comparing.ui
    click(ui.compareSection)
    ui.referenceSelector.setCurrentNode(pair[0])
    ui.othersSelector.setCheckState(pair[1], qt.Qt.Checked)
    return ui


def test_two_are_compared(
    slicer: Any, panel: Any, pair: tuple[Any, Any], click: Callable, finish: Callable, picture: Callable
) -> None:
    assert not panel.comparing.ui.compareButton.enabled
    ui = choose(panel, pair, click)
    click(ui.compareButton)
    assert ui.compareButton.text == "Cancel" and not panel.segmenting.ui.segmentButton.enabled
    finish(panel)

    cells = [ui.compareTable.item(0, column).text() for column in range(5)]
    assert cells[1] == "0.875"  # 7 of 8 columns overlap
    assert cells[4] == "+0.0 %"
    assert ui.compareTable.rowCount == 1
    assert "Only in A: Label 2." in ui.compareMessage.text
    differences = [n for n in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if "difference" in n.GetName()]
    assert len(differences) == 1
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTableNode") is not None
    picture(panel, "compare")


def test_table_and_plot_are_made_active(
    slicer: Any, panel: Any, pair: tuple[Any, Any], click: Callable, finish: Callable
) -> None:
    ui = choose(panel, pair, click)
    click(ui.compareButton)
    finish(panel)
    click(ui.showTableButton)
    click(ui.showPlotButton)
    selection = slicer.app.applicationLogic().GetSelectionNode()
    assert selection.GetActiveTableID() == slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTableNode").GetID()
    assert selection.GetActivePlotChartID() == slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode").GetID()


def test_more_than_two_are_shown_one_by_one(
    slicer: Any, panel: Any, pair: tuple[Any, Any], click: Callable, finish: Callable
) -> None:
    import qt

    from LowResSeg import LowResSegLogic

    same = LowResSegLogic().import_labelmap(pair[0])
    ui = choose(panel, pair, click)
    ui.othersSelector.setCheckState(same, qt.Qt.Checked)
    ui.differenceCheckBox.checked = False
    click(ui.compareButton)
    finish(panel)

    seen = []
    for index in range(ui.compareResultSelector.count):
        ui.compareResultSelector.setCurrentIndex(index)
        ui.compareResultSelector.activated.emit(index)
        seen.append(ui.compareTable.item(0, 1).text())
    assert sorted(seen) == ["0.875", "1.000"]
    assert not any("difference" in n.GetName() for n in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))


def test_a_side_without_structures_is_told(
    slicer: Any, panel: Any, pair: tuple[Any, Any], click: Callable, finish: Callable
) -> None:
    import qt

    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Nothing")
    ui = choose(panel, pair, click)
    ui.othersSelector.setCheckState(pair[1], qt.Qt.Unchecked)
    ui.othersSelector.setCheckState(empty, qt.Qt.Checked)
    click(ui.compareButton)
    finish(panel)
    assert "Nothing" in ui.compareMessage.text


def test_removing_a_side_ends_the_comparison(
    slicer: Any, panel: Any, pair: tuple[Any, Any], click: Callable, finish: Callable
) -> None:
    ui = choose(panel, pair, click)
    click(ui.compareButton)
    slicer.mrmlScene.RemoveNode(pair[1])
    finish(panel)
    assert ui.compareMessage.text == "A segmentation was removed from the scene, so its comparison was stopped."
    assert not ui.compareButton.enabled


def test_cancel(slicer: Any, panel: Any, pair: tuple[Any, Any], click: Callable) -> None:
    ui = choose(panel, pair, click)
    click(ui.compareButton)
    click(ui.compareButton)
    assert panel.context.run is None and ui.compareMessage.text == "Cancelled."
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTableNode") is None
