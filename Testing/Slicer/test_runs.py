"""`LowResSegLogic.process` through the worker process, and what may happen to nodes, scene and process meanwhile."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scans import labels_of


def children_of_this_process() -> set[int]:
    """Process IDs of living children."""
    listing = subprocess.Popen(["ps", "-A", "-o", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True)
    rows = [line.split() for line in listing.communicate()[0].splitlines()]
    mine = {int(pid) for pid, parent, state in rows if int(parent) == os.getpid() and not state.startswith("Z")}
    return mine - {listing.pid}


def test_worker_process_gives_the_same(
    slicer: Any, logic: Any, volume: Any, existing: Any, model: str, finish: Callable
) -> None:
    expected = labels_of(slicer, logic.process(volume, model), volume)
    heard: list[tuple[str, float]] = []
    ended: list[Any] = []

    run = logic.process(
        volume, model, existing, wait=False, progress=lambda *now: heard.append(now), finished=ended.append
    )
    assert run.running
    assert existing.GetSegmentation().GetSegmentIDs() == ("old",)  # not before the end
    finish(run)

    assert ended == [run]
    assert (run.error, run.cancelled) == (None, False)
    assert run.segmentation is existing
    np.testing.assert_array_equal(labels_of(slicer, existing, volume), expected)
    assert heard and all(0 <= fraction <= 1 for _, fraction in heard)


def test_worker_process_is_kept_for_the_next_run(
    slicer: Any, logic: Any, volume: Any, model: str, finish: Callable
) -> None:
    children = []
    for _ in range(2):
        run = logic.process(volume, model, wait=False)
        children.append(children_of_this_process())
        finish(run)
        assert run.segmentation is not None

    assert len(children[0]) == 1
    assert children[0] == children[1]


def test_a_run_goes_on_though_nobody_holds_its_logic(slicer: Any, volume: Any, model: str, finish: Callable) -> None:
    from LowResSeg import LowResSegLogic

    run = LowResSegLogic().process(volume, model, wait=False)
    gc.collect()
    assert len(children_of_this_process()) == 1
    finish(run)

    assert run.segmentation is not None
    assert not children_of_this_process()  # afterwards, nothing is left of the logic


def test_an_error_in_the_worker_is_the_run_s_error(
    slicer: Any, logic: Any, volume: Any, existing: Any, finish: Callable
) -> None:
    from LowResSegLib.errors import ModelError

    run = logic.process(volume, "nosuch", existing, wait=False)
    finish(run)

    assert isinstance(run.error, ModelError)
    assert "nosuch" in str(run.error)
    assert run.segmentation is None
    assert existing.GetSegmentation().GetSegmentIDs() == ("old",)


def test_a_killed_worker_loses_nothing_and_is_replaced(
    slicer: Any, logic: Any, volume: Any, existing: Any, model: str, finish: Callable
) -> None:
    run = logic.process(volume, model, existing, wait=False)
    (child,) = children_of_this_process()
    os.kill(child, signal.SIGKILL)
    finish(run)

    assert str(run.error).startswith("The worker process ended unexpectedly")
    assert existing.GetSegmentation().GetSegmentIDs() == ("old",)
    again = logic.process(volume, model, existing, wait=False)
    finish(again)
    assert again.segmentation is existing


def test_cancel_answers_at_once_and_changes_nothing(
    slicer: Any, logic: Any, volume: Any, existing: Any, model: str, finish: Callable
) -> None:
    ended: list[Any] = []
    run = logic.process(volume, model, existing, wait=False, finished=ended.append)
    began = time.monotonic()
    run.cancel()

    assert time.monotonic() - began < 1
    assert ended == [run]
    assert (run.running, run.cancelled, run.error, run.segmentation) == (False, True, None, None)
    run.cancel()  # a second time does nothing
    assert ended == [run]
    again = logic.process(volume, model, existing, wait=False)
    finish(again)
    assert again.segmentation is existing


def test_a_run_ends_when_its_volume_is_removed(
    slicer: Any, logic: Any, volume: Any, existing: Any, model: str, finish: Callable
) -> None:
    run = logic.process(volume, model, existing, wait=False)
    slicer.mrmlScene.RemoveNode(volume)
    finish(run, seconds=5)

    assert str(run.error) == "The input volume was removed from the scene, so its segmentation was stopped."
    assert existing.GetSegmentation().GetSegmentIDs() == ("old",)


def test_a_run_ends_when_the_scene_is_closed(
    slicer: Any, logic: Any, volume: Any, model: str, finish: Callable
) -> None:
    run = logic.process(volume, model, wait=False)
    slicer.mrmlScene.Clear()
    finish(run, seconds=5)

    assert run.error is not None
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None


def test_a_chosen_node_removed_during_a_run_is_replaced_by_a_new_one(
    slicer: Any, logic: Any, volume: Any, existing: Any, model: str, finish: Callable
) -> None:
    run = logic.process(volume, model, existing, wait=False)
    slicer.mrmlScene.RemoveNode(existing)
    finish(run)

    assert run.segmentation is not existing
    assert slicer.mrmlScene.IsNodePresent(run.segmentation)


def test_a_volume_resized_during_a_run_is_told(
    slicer: Any, logic: Any, volume: Any, model: str, finish: Callable
) -> None:
    run = logic.process(volume, model, wait=False)
    slicer.util.updateVolumeFromArray(volume, np.zeros((3, 4, 5), np.int16))
    finish(run)

    assert str(run.error).endswith("segment it again.")
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None


def test_close_ends_run_and_worker(slicer: Any, logic: Any, volume: Any, model: str, finish: Callable) -> None:
    run = logic.process(volume, model, wait=False)
    assert children_of_this_process()
    logic.close()

    assert run.cancelled
    assert not children_of_this_process()
    again = logic.process(volume, model, wait=False)  # and it can be used again
    finish(again)
    assert again.segmentation is not None


def test_a_callback_may_start_the_next_run(slicer: Any, logic: Any, volume: Any, model: str, finish: Callable) -> None:
    following: list[Any] = []
    run = logic.process(
        volume, model, wait=False, finished=lambda _: following.append(logic.process(volume, model, wait=False))
    )
    finish(run)
    finish(following[0])

    assert following[0].segmentation is not None


def test_a_callback_that_raises_ends_the_run(
    slicer: Any, logic: Any, volume: Any, existing: Any, model: str, finish: Callable
) -> None:
    ended: list[Any] = []
    run = logic.process(
        volume, model, existing, wait=False, progress=lambda step, fraction: 1 / 0, finished=ended.append
    )
    finish(run)

    assert isinstance(run.error, ZeroDivisionError)
    assert ended == [run]
    assert existing.GetSegmentation().GetSegmentIDs() == ("old",)


def test_one_logic_has_one_run_at_a_time(slicer: Any, logic: Any, volume: Any, model: str, finish: Callable) -> None:
    from LowResSegLib.errors import LowResSegError

    run = logic.process(volume, model, wait=False)
    with pytest.raises(LowResSegError, match="already running"):
        logic.process(volume, model, wait=False)
    finish(run)

    assert run.segmentation is not None


def test_while_a_server_is_tested_nothing_else_begins(logic: Any, volume: Any, model: str, finish: Callable) -> None:
    from LowResSegLib.errors import InputError
    from LowResSegLib.remote.client import Server

    run = logic.test_server(Server("http://127.0.0.1:9", patience=0.5))  # nobody is there
    with pytest.raises(InputError, match="already running"):
        logic.process(volume, model, wait=False)
    with pytest.raises(InputError, match="already running"):
        logic.test_server(Server("http://127.0.0.1:9"))
    finish(run)
    assert run.answer is None and not run.cancelled
    assert "127.0.0.1" in str(run.error)
    finish(logic.process(volume, model, wait=False))
