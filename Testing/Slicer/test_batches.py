"""Case after case, of nodes and of files."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scans import labels_of, load, write_scan
from test_logic import segment_file
from test_runs import children_of_this_process


@pytest.fixture
def nodes(slicer: Any, tmp_path: Path) -> list[Any]:
    """Three volumes, of which the second cannot be segmented."""
    made = [load(slicer, write_scan(tmp_path / f"{name}.nii.gz")) for name in ("first", "second", "third")]
    slicer.util.arrayFromVolume(made[1])[:] = 7
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of scans, of which the second cannot be read, with results of before."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a.nii.gz", "c.nrrd"):
        write_scan(folder / name)
    (folder / "b.nii.gz").write_bytes(b"nothing")
    (folder / "notes.txt").write_text("x")
    (folder / "a.seg.nrrd").write_text("an earlier result")
    (folder / "a_labels.nii.gz").write_text("an earlier result")
    return folder


def states(run: Any) -> list[str]:
    return [case.status for case in run.cases]


def test_a_failure_does_not_stop_the_rest(
    slicer: Any, logic: Any, nodes: list[Any], model: str, finish: Callable
) -> None:
    seen: list[tuple[str, str]] = []
    ended: list[Any] = []
    run = logic.batch(
        logic.batch_cases_from_nodes(nodes),
        model=model,
        changed=lambda case: seen.append((case.name, case.status)),
        finished=ended.append,
    )
    assert run.running and states(run)[1:] == ["waiting", "waiting"]
    finish(run)

    assert ended == [run]
    assert states(run) == ["done", "failed", "done"]
    assert "All voxels have the value 7" in run.cases[1].message and run.cases[1].node is None
    for case, node in ((run.cases[0], nodes[0]), (run.cases[2], nodes[2])):
        expected = labels_of(slicer, logic.process(node, model), node)
        np.testing.assert_array_equal(labels_of(slicer, case.node, node), expected)
        assert case.seconds > 0 and case.fraction == 1 and case.record["model"] == "tiny"
    assert list(dict.fromkeys(seen)) == [
        ("first", "running"),
        ("first", "done"),
        ("second", "running"),
        ("second", "failed"),
        ("third", "running"),
        ("third", "done"),
    ]


def test_results_of_nodes_are_written_where_a_folder_is_given(
    logic: Any, nodes: list[Any], model: str, tmp_path: Path, finish: Callable
) -> None:
    nodes[2].SetName("first")  # two of one name
    cases = logic.batch_cases_from_nodes([nodes[0], nodes[2], nodes[0]])
    assert len(cases) == 2
    run = logic.batch(cases, tmp_path / "out", model=model, formats=("seg.nrrd", "json"))
    finish(run)

    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["first.json", "first.seg.nrrd", "first_2.json", "first_2.seg.nrrd"]
    assert sorted(path.name for case in run.cases for path in case.files) == written


def test_files_of_a_folder_give_what_the_library_does(
    slicer: Any, logic: Any, folder: Path, model: str, tmp_path: Path, finish: Callable
) -> None:
    sitk = pytest.importorskip("SimpleITK")
    from LowResSegLib import read_volume, segment

    cases = logic.batch_cases_from_folder(folder)
    assert [case.name for case in cases] == ["a", "b", "c"]
    run = logic.batch(cases, tmp_path / "out", model=model)
    finish(run)

    assert states(run) == ["done", "failed", "done"]
    assert run.cases[1].message and not run.cases[1].files
    for name, file in (("a", "a.nii.gz"), ("c", "c.nrrd")):
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / f"{name}_labels.nii.gz")))
        np.testing.assert_array_equal(labels, segment(read_volume(folder / file), model)[0].array)
    assert sorted(path.name for path in run.cases[0].files) == ["a.json", "a.seg.nrrd", "a_labels.nii.gz"]
    assert all(path.is_file() for case in run.cases for path in case.files)
    assert not any(path.name.startswith(".") for path in (tmp_path / "out").iterdir())
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None


def test_files_of_before_are_kept_unless_it_is_said(logic: Any, folder: Path, model: str, finish: Callable) -> None:
    (case,) = (case for case in logic.batch_cases_from_folder(folder) if case.name == "a")
    run = logic.batch([case], model=model)  # beside the scan
    finish(run)
    assert states(run) == ["failed"] and "is there already" in case.message
    assert (folder / "a.seg.nrrd").read_text() == "an earlier result"

    run = logic.batch([case], model=model, overwrite=True)
    finish(run)
    assert states(run) == ["done"] and case.message == ""
    assert (folder / "a.seg.nrrd").read_bytes().startswith(b"NRRD")
    expected, _ = segment_file(folder / "a.nii.gz", model)
    assert case.record["labels"][0]["volume_ml"] > 0 and expected.any()


def test_cancel_ends_the_present_case_and_marks_the_rest(
    slicer: Any, logic: Any, nodes: list[Any], model: str, finish: Callable
) -> None:
    import standins

    slicer.util.arrayFromVolume(nodes[1])[:] = slicer.util.arrayFromVolume(nodes[0])
    ended: list[Any] = []
    run = logic.batch(logic.batch_cases_from_nodes(nodes), model=model, finished=ended.append)
    while states(run)[0] != "done":
        standins.QTimer.turn()
        time.sleep(0.01)
    standins.QTimer.turn()
    began = time.monotonic()
    run.cancel()

    assert time.monotonic() - began < 1
    assert states(run) == ["done", "cancelled", "cancelled"] and run.cancelled and not run.running
    assert ended == [run] and run.cases[0].node is not None and run.cases[1].node is None
    again = logic.process(nodes[0], model, wait=False)
    finish(again)
    assert again.segmentation is not None


def test_a_killed_worker_fails_one_case(logic: Any, nodes: list[Any], model: str, finish: Callable) -> None:
    run = logic.batch(logic.batch_cases_from_nodes([nodes[0], nodes[2]]), model=model)
    (child,) = children_of_this_process()
    os.kill(child, signal.SIGKILL)
    finish(run)

    assert states(run) == ["failed", "done"]
    assert run.cases[0].message.startswith("The worker process ended unexpectedly")


def test_a_volume_that_is_removed_fails_its_case(
    slicer: Any, logic: Any, nodes: list[Any], model: str, finish: Callable
) -> None:
    run = logic.batch(logic.batch_cases_from_nodes([nodes[0], nodes[2]]), model=model)
    slicer.mrmlScene.RemoveNode(nodes[0])
    finish(run)
    assert states(run) == ["failed", "done"] and "removed from the scene" in run.cases[0].message

    run = logic.batch(logic.batch_cases_from_nodes([nodes[1], nodes[2]]), model=model)
    slicer.mrmlScene.Clear()  # the waiting one too
    finish(run)
    assert states(run) == ["failed", "failed"]
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None


def test_one_thing_at_a_time(logic: Any, nodes: list[Any], model: str, finish: Callable) -> None:
    from LowResSegLib.errors import InputError

    run = logic.batch(logic.batch_cases_from_nodes(nodes), model=model)
    with pytest.raises(InputError, match="already running"):
        logic.process(nodes[0], model, wait=False)
    with pytest.raises(InputError, match="already running"):
        logic.batch(logic.batch_cases_from_nodes(nodes), model=model)
    logic.close()
    assert run.cancelled and states(run) == ["cancelled"] * 3 and not children_of_this_process()


def test_nothing_to_do_is_refused(logic: Any, tmp_path: Path, model: str) -> None:
    from LowResSegLib.errors import InputError

    with pytest.raises(InputError, match="nothing to do"):
        logic.batch([], model=model)
    with pytest.raises(InputError, match="not stl"):
        logic.batch(logic.batch_cases_from_nodes([]), model=model, formats=("json", "stl"))
    with pytest.raises(InputError, match="holds no scan"):
        logic.batch_cases_from_folder(tmp_path)


def test_a_callback_that_raises_does_not_stop_the_batch(
    logic: Any, nodes: list[Any], model: str, finish: Callable
) -> None:
    run = logic.batch(logic.batch_cases_from_nodes([nodes[0]]), model=model, changed=lambda case: 1 / 0)
    finish(run)
    assert states(run) == ["done"]
