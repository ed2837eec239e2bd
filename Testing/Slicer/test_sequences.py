"""Sequences, frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scans import labels_of
from test_runs import children_of_this_process
from test_transforms import shift

TIMES = ("0", "12.5", "40")


@pytest.fixture
def browser(slicer: Any, volume: Any) -> Any:
    """A browser with a sequence of three different frames; `volume` shows one of them no more."""
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Contrast")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    array = slicer.util.arrayFromVolume(volume).copy()
    for number, value in enumerate(TIMES):
        slicer.util.updateVolumeFromArray(volume, np.roll(array, 2 * number, axis=2))
        sequence.SetDataNodeAtValue(volume, value)
    slicer.util.updateVolumeFromArray(volume, array)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return browser


def turn_to(slicer: Any, browser: Any, index: int) -> None:
    browser.SetSelectedItemNumber(index)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)


def check_frames(slicer: Any, logic: Any, browser: Any, results: Any, model: str, frames: tuple[int, ...]) -> None:
    """Each frame's labels are those of its volume alone, and the browser shows them together."""
    from LowResSegSlicer.nodes import run_record

    proxy, shown = browser.GetProxyNode(browser.GetMasterSequenceNode()), browser.GetProxyNode(results)
    assert [results.GetNthIndexValue(index) for index in range(results.GetNumberOfDataNodes())] == [
        TIMES[frame] for frame in frames
    ]
    seen = []
    for frame in frames:
        turn_to(slicer, browser, frame)
        expected = labels_of(slicer, logic.process(proxy, model, every_frame=False), proxy)
        assert set(np.unique(expected)) == {0, 1, 2}
        np.testing.assert_array_equal(labels_of(slicer, shown, proxy), expected)
        assert (run_record(shown) or {})["model"] == "tiny"
        seen.append(expected)
    assert any((first != second).any() for first, second in zip(seen, seen[1:]))


@pytest.mark.parametrize("given", ["sequence", "proxy"])
def test_every_frame_is_segmented(slicer: Any, logic: Any, browser: Any, model: str, given: str) -> None:
    sequence = browser.GetMasterSequenceNode()
    heard: list[tuple[str, float]] = []
    results = logic.process(
        sequence if given == "sequence" else browser.GetProxyNode(sequence),
        model,
        progress=lambda step, fraction: heard.append((step, fraction)),
    )

    assert results.GetClassName() == "vtkMRMLSequenceNode"
    assert results.GetName() == "Contrast segmentation"
    assert (results.GetIndexName(), results.GetIndexUnit()) == ("time", "s")
    check_frames(slicer, logic, browser, results, model, (0, 1, 2))
    assert list(dict.fromkeys(step for step, _ in heard)) == [f"Frame {number} of 3" for number in (1, 2, 3)]
    assert [share for _, share in heard] == sorted(share for _, share in heard) and heard[-1][1] == 1
    shown = browser.GetProxyNode(results)
    assert shown.GetNodeReference(shown.GetReferenceImageGeometryReferenceRole()) is browser.GetProxyNode(sequence)


def test_the_worker_process_does_frame_after_frame(
    slicer: Any, logic: Any, browser: Any, model: str, finish: Callable
) -> None:
    from LowResSegLib.errors import LowResSegError

    run = logic.process(browser.GetMasterSequenceNode(), model, wait=False)
    with pytest.raises(LowResSegError, match="already running"):
        logic.process(browser.GetMasterSequenceNode(), model, wait=False)
    finish(run)

    assert run.error is None and not run.failed
    assert run.segmentation is browser.GetProxyNode(run.node)
    assert set(run.records) == {0, 1, 2}
    check_frames(slicer, logic, browser, run.node, model, (0, 1, 2))


def test_a_frame_that_fails_is_told_and_the_others_go_on(
    slicer: Any, logic: Any, browser: Any, model: str, finish: Callable
) -> None:
    sequence = browser.GetMasterSequenceNode()
    slicer.util.arrayFromVolume(sequence.GetNthDataNode(1))[:] = 7
    run = logic.process(sequence, model, wait=False)
    finish(run)

    assert run.error is None and list(run.failed) == [1]
    assert run.notices == [run.failed[1]]
    assert run.failed[1].startswith("Frame 2 of 3 (time 12.5) was not segmented: ")
    assert "All voxels have the value 7" in run.failed[1]
    check_frames(slicer, logic, browser, run.node, model, (0, 2))


def test_frames_without_voxels_are_left_out_and_a_disk_that_fills_keeps_what_is_done(
    slicer: Any, logic: Any, browser: Any, model: str, finish: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from LowResSegLib.errors import LowResSegError
    from LowResSegLib.jobs import Worker

    sequence = browser.GetMasterSequenceNode()
    sequence.GetNthDataNode(0).SetAndObserveImageData(None)
    submit, given = Worker.submit, []

    def full(self: Any, *arguments: Any, **named: Any) -> Any:
        given.append(arguments)
        if len(given) > 1:
            raise LowResSegError("No room for a temporary copy of the scan; free some disk.")
        return submit(self, *arguments, **named)

    monkeypatch.setattr(Worker, "submit", full)
    run = logic.process(sequence, model, wait=False)
    finish(run)

    assert run.error is None and list(run.failed) == [0, 2]
    assert "has no voxels" in run.failed[0] and "No room" in run.failed[2]
    assert [run.node.GetNthIndexValue(index) for index in range(run.node.GetNumberOfDataNodes())] == [TIMES[1]]
    with pytest.raises(LowResSegError, match="No room"):
        logic.process(sequence, model, wait=False)  # nothing is done yet: the reason, not a list of frames


def test_a_killed_worker_fails_one_frame(slicer: Any, logic: Any, browser: Any, model: str, finish: Callable) -> None:
    import os
    import signal

    run = logic.process(browser.GetMasterSequenceNode(), model, wait=False)
    (child,) = children_of_this_process()
    os.kill(child, signal.SIGKILL)
    finish(run)

    assert list(run.failed) == [0] and "The worker process ended unexpectedly" in run.failed[0]
    assert run.node.GetNumberOfDataNodes() == 2


def test_where_no_frame_can_be_segmented_the_run_fails(slicer: Any, logic: Any, browser: Any, model: str) -> None:
    from LowResSegLib.errors import InputError, ModelError

    sequence = browser.GetMasterSequenceNode()
    before = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(ModelError, match="nosuch"):
        logic.process(sequence, "nosuch")
    for index in range(3):
        slicer.util.arrayFromVolume(sequence.GetNthDataNode(index))[:] = 7
    with pytest.raises(InputError, match="Frame 1 of 3"):
        logic.process(sequence, model)
    sequence.RemoveAllDataNodes()
    with pytest.raises(InputError, match="Contrast has no frames"):
        logic.process(sequence, model)
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_a_sequence_without_a_browser_gets_one(slicer: Any, logic: Any, browser: Any, model: str) -> None:
    sequence = browser.GetMasterSequenceNode()
    slicer.mrmlScene.RemoveNode(browser.GetProxyNode(sequence))
    slicer.mrmlScene.RemoveNode(browser)

    results = logic.process(sequence, model)

    (made,) = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    assert made.GetMasterSequenceNode() is sequence
    check_frames(slicer, logic, made, results, model, (0, 1, 2))


def test_results_are_shown_under_the_transform_of_the_sequence(
    slicer: Any, logic: Any, browser: Any, model: str
) -> None:
    from LowResSegSlicer.nodes import run_record

    proxy = browser.GetProxyNode(browser.GetMasterSequenceNode())
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    proxy.SetAndObserveTransformNodeID(transform.GetID())
    results = logic.process(proxy, model)
    assert browser.GetProxyNode(results).GetTransformNodeID() == transform.GetID()

    proxy.SetAndObserveTransformNodeID(shift(slicer, 1.1).GetID())
    bent = logic.process(proxy, model)
    shown = browser.GetProxyNode(bent)
    assert shown.GetTransformNodeID() is None
    assert "non-linear transform" in run_record(shown)["warnings"][0]


def test_results_can_be_labelmaps_and_are_replaced(slicer: Any, logic: Any, browser: Any, model: str) -> None:
    proxy = browser.GetProxyNode(browser.GetMasterSequenceNode())
    results = logic.process(proxy, model, output="labelmap")
    shown = browser.GetProxyNode(results)
    assert shown.GetDisplayNode().GetColorNode().GetColorName(2) == "Amygdala"
    for index in range(3):
        turn_to(slicer, browser, index)
        expected = labels_of(slicer, logic.process(proxy, model, every_frame=False), proxy)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(shown), expected)

    assert logic.process(proxy, model, shown) is results
    assert results.GetNumberOfDataNodes() == 3


def test_what_sequences_do_not_have_is_refused(
    slicer: Any, logic: Any, browser: Any, existing: Any, model: str
) -> None:
    from LowResSegLib.errors import InputError

    with pytest.raises(InputError, match="not in sequences"):
        logic.process(browser.GetMasterSequenceNode(), model, keep_original=True)
    with pytest.raises(InputError, match="Mine belongs to no sequence"):
        logic.process(browser.GetMasterSequenceNode(), model, existing)


def test_a_sequence_that_is_removed_ends_its_run(
    slicer: Any, logic: Any, browser: Any, model: str, finish: Callable
) -> None:
    run = logic.process(browser.GetMasterSequenceNode(), model, wait=False)
    slicer.mrmlScene.Clear()
    finish(run, seconds=5)

    assert str(run.error) == "The sequence was removed from the scene, so its segmentation was stopped."
