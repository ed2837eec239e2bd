"""Section "Edit", driven by clicks on stand-ins for Slicer's widgets."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
from scans import labels_of


def erase_first(slicer: Any, segmentation: Any, volume: Any) -> None:
    """Take all voxels from the first segment, as a user might."""
    first = segmentation.GetSegmentation().GetSegmentIDs()[0]
    empty = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(empty, segmentation, first, volume)


def test_the_editor_gets_result_and_source_volume(
    segmented: Any, volume: Any, click: Callable, picture: Callable
) -> None:
    ui = segmented.editing.ui
    editor = ui.segmentEditorWidget
    assert editor.segmentationNode() is None  # not before it is opened
    click(ui.editSection)
    assert editor.segmentationNode() is segmented.context.result
    assert editor.sourceVolumeNode() is volume
    assert editor.maximumNumberOfUndoStates == 10  # as in the Segment Editor itself
    assert (editor._observed, editor._shortcuts) == (True, True)
    picture(segmented, "edit")


def test_leaving_and_closing_stop_the_editor(segmented: Any, click: Callable) -> None:
    editor = segmented.editing.ui.segmentEditorWidget
    click(segmented.editing.ui.editSection)
    editor.setActiveEffect("Paint")
    segmented.exit()
    assert (editor.activeEffect(), editor._observed, editor._shortcuts) == (None, False, False)
    segmented.enter()
    assert (editor._observed, editor._shortcuts) == (True, True)
    click(segmented.editing.ui.editSection)
    assert (editor._observed, editor._shortcuts) == (False, False)


def test_edits_are_taken_back_with_one_click(slicer: Any, segmented: Any, volume: Any, click: Callable) -> None:
    result = segmented.context.result
    before = labels_of(slicer, result, volume)
    click(segmented.editing.ui.editSection)
    erase_first(slicer, result, volume)
    edited = labels_of(slicer, result, volume)
    assert (edited != before).any()

    click(segmented.editing.ui.restoreButton)  # asks nothing, as it can be undone
    np.testing.assert_array_equal(labels_of(slicer, result, volume), before)
    assert "again as the network gave it" in segmented.editing.ui.editMessage.text
    segmented.editing.ui.segmentEditorWidget.undo()
    np.testing.assert_array_equal(labels_of(slicer, result, volume), edited)


def test_without_a_kept_result_restoring_is_off_and_says_why(
    panel: Any, volume: Any, click: Callable, finish: Callable
) -> None:
    panel.segmenting.ui.keepOriginalCheckBox.checked = False
    click(panel.segmenting.ui.segmentButton)
    finish(panel)
    click(panel.editing.ui.editSection)
    assert not panel.editing.ui.restoreButton.enabled
    assert "was not kept" in panel.editing.ui.restoreButton.toolTip


def test_a_labelmap_is_imported_edited_and_exported_back(
    slicer: Any, panel: Any, volume: Any, click: Callable, answers: list[bool]
) -> None:
    labelmap = slicer.modules.volumes.logic().CreateAndAddLabelVolume(slicer.mrmlScene, volume, "Mine")
    array = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    array[5:9, 5:12, 5:10], array[12:15, 6:9, 6:12] = 1, 2
    slicer.util.updateVolumeFromArray(labelmap, array)
    ui = panel.editing.ui
    click(ui.editSection)
    ui.labelmapSelector.setCurrentNode(labelmap)
    click(ui.importLabelmapButton)
    segmentation = ui.segmentEditorWidget.segmentationNode()
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 2

    erase_first(slicer, segmentation, volume)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(labelmap), array)  # not before it is asked for
    answers.append(False)
    click(ui.exportLabelmapButton)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(labelmap), array)
    answers.append(True)
    click(ui.exportLabelmapButton)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(labelmap), np.where(array == 2, 2, 0))


def test_a_labelmap_without_labels_is_told(slicer: Any, panel: Any, volume: Any, click: Callable) -> None:
    labelmap = slicer.modules.volumes.logic().CreateAndAddLabelVolume(slicer.mrmlScene, volume, "Blank")
    click(panel.editing.ui.editSection)
    panel.editing.ui.labelmapSelector.setCurrentNode(labelmap)
    click(panel.editing.ui.importLabelmapButton)
    assert panel.editing.ui.editMessage.text == "Blank has no labels, only background."
