"""Each task of the jobs: confidence, files, measurements, comparisons; alike in this process and in the worker's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import CHECKOUT
from plans import random_model, random_volume
from scan_files import file, itk, of, scan, series
from workers import PRETENDER, gone, posix, wait_until

from LowResSegLib import InputError, Label, LowResSegError, Volume, engine, estimate, read_volume
from LowResSegLib.cli import main
from LowResSegLib.errors import Cancelled
from LowResSegLib.jobs import InProcess, Runner, Worker, work
from LowResSegLib.jobs import worker as worker_module
from LowResSegLib.model import load_model, write_model
from LowResSegLib.pipeline import segment, segment_with_confidence


@pytest.fixture
def model(tmp_path: Path, rng: np.random.Generator) -> str:
    """A small model file."""
    write_model(tmp_path / "small.lowresseg", random_model(rng))
    return str(tmp_path / "small.lowresseg")


@pytest.fixture
def volume(rng: np.random.Generator) -> Volume:
    return random_volume(rng)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measurements are not those of this computer's user."""
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))


@pytest.fixture
def pretender() -> Iterator[Worker]:
    with Worker(PRETENDER) as worker:
        yield worker


@pytest.fixture(scope="module")
def real() -> Iterator[Worker]:
    """One child for all tests that do it no harm."""
    with Worker() as worker:
        yield worker


@pytest.fixture(params=["in process", "worker"])
def runner(request: pytest.FixtureRequest) -> Runner:
    return InProcess() if request.param == "in process" else request.getfixturevalue("real")


def hidden(folder: Path) -> list[Path]:
    """What is not finished yet; folders may go away as one looks, which os.walk does not mind."""
    found = [Path(root, name) for root, folders, files in os.walk(folder) for name in (*folders, *files)]
    return [path for path in found if path.name.startswith(".lowresseg-")]


def test_confidence_comes_with_the_labelmap(runner: Runner, volume: Volume, model: str) -> None:
    labelmap, record, confidence = segment_with_confidence(volume, model, backend="numpy")
    job = runner.submit(volume, model, "numpy", confidence=True)
    found, told = job.result(60)
    np.testing.assert_array_equal(found.array, labelmap.array)
    assert found.geometry == volume.geometry
    assert told["labels"] == record["labels"]
    assert job.confidence is not None and job.confidence.geometry == confidence.geometry
    np.testing.assert_array_equal(job.confidence.array, confidence.array)
    plain = runner.submit(volume, model, "numpy")
    assert "confidence" not in plain.result(60)[1]["labels"][0] and plain.confidence is None


def test_options_reach_the_run(runner: Runner, volume: Volume, model: str) -> None:
    with pytest.raises(InputError, match="choose from: 1"):
        runner.submit(volume, model, passes=4).result(60)
    with pytest.raises(InputError, match="more than the 3 MB that are allowed"):
        runner.submit(volume, model, max_memory=3).result(60)
    with pytest.raises(InputError, match="looks like a labelmap"):
        runner.submit(volume.with_array((volume.array > 300).astype(np.uint8)), model).result(60)


def test_a_file_is_segmented_as_by_the_command(
    runner: Runner, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of("scan.nii.gz")(tmp_path)
    call = ["segment", str(tmp_path / "scan.nii.gz"), "-o", str(tmp_path / "command"), "--model", model]
    assert main([*call, "--backend", "numpy", "--confidence"]) == 0
    monkeypatch.chdir(tmp_path)  # where the child is not
    job = runner.submit_file(
        "scan.nii.gz", "out/scan", model, ("seg.nrrd", "nii.gz", "json"), backend="numpy", confidence=True
    )
    record = job.result(60)
    names = ["scan.json", "scan.seg.nrrd", "scan_confidence.nii.gz", "scan_labels.nii.gz"]
    assert [Path(name).name for name in record["files"]] == names == sorted(os.listdir("out"))
    assert all(Path(name).is_file() for name in record["files"])
    for name in names[1:]:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "command" / name).read_bytes()
    written = json.loads((tmp_path / "out" / "scan.json").read_text())
    assert written == {key: value for key, value in record.items() if key != "files"}
    assert written["labels"] == json.loads((tmp_path / "command" / "scan.json").read_text())["labels"]


def test_a_frame_of_a_series(runner: Runner, model: str, tmp_path: Path) -> None:
    path = file("series.nii.gz", series)(tmp_path)
    record = runner.submit_file(path, tmp_path / "out" / "frame", model, ("nii.gz",), frame=1).result(60)
    expected = segment(read_volume(path, 1), model)[0].array
    assert record["frame"] == 1
    np.testing.assert_array_equal(read_volume(tmp_path / "out" / "frame_labels.nii.gz").array, expected)


def refusals(folder: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """Calls of `submit_file` that are refused, and a part of the sentence."""
    path = of("scan.nii.gz")(folder)
    (folder / "taken.seg.nrrd").write_text("edited by hand")
    (folder / "file").write_text("in the way")
    itk_labels = of("scan_labels.nii.gz")(folder)
    return {
        "taken": ({"path": path, "output_base": folder / "taken"}, "taken.seg.nrrd is there already; choose"),
        "format": ({"path": path, "formats": ("stl",)}, "'stl' is no format of results; choose from seg.nrrd, nii.gz"),
        "no format": ({"path": path, "formats": ()}, "No format of results is named; choose from seg.nrrd"),
        "input": (
            {"path": itk_labels, "output_base": folder / "scan", "formats": ("nii.gz",), "overwrite": True},
            "would be written over the input",
        ),
        "missing": ({"path": folder / "no.nii.gz"}, "no.nii.gz does not exist"),
        "folder": ({"path": path, "output_base": folder / "file" / "a"}, "cannot be written to"),
        "not DICOM": ({"path": path, "formats": ("dcm",)}, "scan.nii.gz is not DICOM, so there can be no DICOM seg"),
        "memory": ({"path": path, "max_memory": 3}, "more than the 3 MB that are allowed"),
    }


def test_what_cannot_be_done_with_a_file_is_told(runner: Runner, model: str, tmp_path: Path) -> None:
    for arguments, sentence in refusals(tmp_path).values():
        before = sorted(path for path in tmp_path.iterdir() if path.name != "cache")
        with pytest.raises(InputError) as caught:
            runner.submit_file(**{"output_base": tmp_path / "new" / "case", "model": model, **arguments}).result(60)
        assert sentence in str(caught.value) and str(caught.value).endswith(".")
        assert sorted(path for path in tmp_path.iterdir() if path.name != "cache") == before
    assert (tmp_path / "taken.seg.nrrd").read_text() == "edited by hand"


def test_dicom_gets_a_segmentation_object(runner: Runner, model: str, tmp_path: Path, rng: np.random.Generator) -> None:
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom")
    from dicom_checks import made
    from dicom_series import save_all, slices

    save_all(tmp_path / "study", slices(made(rng)))
    record = runner.submit_file(tmp_path / "study", tmp_path / "out" / "a", model, ("dcm", "seg.nrrd")).result(60)
    assert [Path(name).name for name in record["files"]] == ["a.seg.nrrd", "a_seg.dcm"]
    assert pydicom.dcmread(tmp_path / "out" / "a_seg.dcm").Modality == "SEG"


def test_a_run_with_files_that_is_cancelled_leaves_nothing(pretender: Worker, tmp_path: Path) -> None:
    path = file("scan.nii.gz", lambda: itk(scan()))(tmp_path)
    for model in ("patient", "stubborn"):
        job = pretender.submit_file(path, tmp_path / "out" / "case", model)
        wait_until(lambda: job.progress().step == "first")  # noqa: B023
        assert hidden(tmp_path)
        began = time.monotonic()
        job.cancel()
        assert job.done() and time.monotonic() - began < 0.5
        with pytest.raises(Cancelled):
            job.result()
        wait_until(lambda: job.done() and not hidden(tmp_path), 30)  # noqa: B023
        assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True
    record = pretender.submit_file(path, tmp_path / "out" / "case", "good").result(20)
    assert [Path(name).name for name in record["files"]] == ["case.seg.nrrd"]


@posix
def test_a_child_killed_in_a_run_with_files_leaves_nothing(pretender: Worker, tmp_path: Path) -> None:
    path = of("scan.nii.gz")(tmp_path)
    pid = pretender.submit_file(path, tmp_path / "first", "good").result(20)["pid"]
    job = pretender.submit_file(path, tmp_path / "out" / "case", "patient")
    wait_until(lambda: job.progress().step == "first")
    os.kill(pid, 9)
    with pytest.raises(LowResSegError, match="ended unexpectedly"):
        job.result(20)
    assert not hidden(tmp_path)
    assert pretender.submit_file(path, tmp_path / "out" / "case", "good").result(20)["pid"] != pid


@posix
def test_a_parent_that_dies_in_a_run_with_files_leaves_nothing(tmp_path: Path) -> None:
    of("scan.nii.gz")(tmp_path)
    parent = f"""
import os, sys, time
sys.path.insert(0, {str(CHECKOUT)!r})
from LowResSegLib.jobs import Worker
worker = Worker({PRETENDER!r})
print(worker.submit_file("scan.nii.gz", "first", "good").result(20)["pid"], flush=True)
job = worker.submit_file("scan.nii.gz", "second", "stubborn")
while job.progress().step != "first":
    time.sleep(0.01)
os.kill(os.getpid(), 9)
"""
    ended = subprocess.run([sys.executable, "-c", parent], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    wait_until(lambda: gone(int(ended.stdout)) and not hidden(tmp_path), 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.seg.nrrd", "scan.nii.gz"]


def test_a_measurement_is_that_of_this_computer_and_remembered(
    runner: Runner, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = engine.available_backends()[0]
    with Worker() as worker:  # a child that knows this test's cache folder
        chosen = runner if isinstance(runner, InProcess) else worker
        speed = chosen.submit_measure(model, backend, 1).result(60)
        assert speed.backend == backend and speed.network > 0
        assert chosen.submit_measure(model, backend, 1).result(60) == speed
    monkeypatch.setattr(estimate.speed, "measure", lambda *arguments: pytest.fail("it was measured again"))
    assert estimate.speed_here(load_model(model), 1, backend) == speed
    with pytest.raises(LowResSegError, match="no such model"):
        runner.submit_measure("no such model").result(60)


def test_a_measurement_gives_way_and_nothing_else_does(
    volume: Volume, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numpy takes many seconds to measure the brain model, and stops at once."""
    monkeypatch.setattr(worker_module, "_SETTLE_SECONDS", 30.0)  # a busy machine must not make it another child
    with Worker() as worker:
        pid = worker_pid(worker, volume, model)
        first = worker.submit_measure("brain", "numpy")
        wait_until(lambda: first.progress().step == "measuring")
        second = worker.submit_measure("brain", "numpy")
        assert first.done() and not second.done()
        with pytest.raises(Cancelled):
            first.result()
        wait_until(lambda: second.progress().step == "measuring")
        job = worker.submit(volume, model)
        assert second.done()
        with pytest.raises(LowResSegError, match="A segmentation is already running"):
            worker.submit_measure(model)
        job.result(60)
        assert worker_pid(worker, volume, model) == pid


def worker_pid(worker: Worker, volume: Volume, model: str) -> int:
    worker.submit(volume, model).result(60)
    assert worker._child is not None
    return worker._child._process.pid


def test_a_cancelled_measurement_ends_within_a_second(volume: Volume, model: str) -> None:
    with Worker() as worker:
        job = worker.submit_measure("brain", "numpy")
        wait_until(lambda: job.progress().step == "measuring")
        job.cancel()
        assert job.done()
        child = worker._child
        assert child is not None
        wait_until(lambda: not child.stopping(), 1)
        assert child.alive()


def two_segmentations() -> tuple[list[Any], list[Any]]:
    """Of two layers and of one; a structure is shifted by a voxel."""
    comparison = pytest.importorskip("LowResSegLib.comparison")
    first, other, second = (np.zeros((12, 14, 16), np.uint8) for _ in range(3))
    first[2:8, 3:9, 4:10], other[5:9, 5:9, 5:9] = 1, 1
    second[2:8, 3:9, 5:11] = 4
    geometry = {"spacing": (1.0, 2.0, 1.5), "origin": (3.0, -4.0, 5.5)}
    kidney, lesion = Label(1, "Kidney", (9, 8, 7)), Label(1, "Lesion")
    return (
        [
            comparison.LabelledVolume(Volume(first, **geometry), (kidney,)),
            comparison.LabelledVolume(Volume(other, **geometry), (lesion,)),
        ],
        [comparison.LabelledVolume(Volume(second, **geometry), (Label(4, "kidney"),))],
    )


def test_a_comparison_is_the_same_there_and_here(runner: Runner) -> None:
    first, second = two_segmentations()
    compared, difference = runner.submit_comparison(first, second, ("mine", "yours")).result(60)
    expected, differing = work.compare(first, second, ("mine", "yours"), lambda step, share: None, lambda: False)
    assert compared.to_dict() == expected.to_dict() and compared.names == ("mine", "yours")
    assert [row.name for row in compared.rows] == ["Kidney"] and compared.only_first == ("Lesion",)
    assert 0.8 < compared.rows[0].dice < 0.9
    np.testing.assert_array_equal(difference.volume.array, differing.volume.array)
    assert difference.volume.geometry == first[0].volume.geometry and difference.labels == differing.labels
    assert difference.volume.array.any()


def test_a_comparison_places_and_matches_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from LowResSegLib.comparison import difference, pairing

    calls: list[str] = []
    place = pairing.place
    monkeypatch.setattr(pairing, "place", lambda *arguments: calls.append("place") or place(*arguments))
    first, second = two_segmentations()
    steps: list[tuple[str, float]] = []
    _, differing = work.compare(
        first, second, ("mine", "yours"), lambda step, share: steps.append((step, share)), lambda: False
    )
    assert calls == ["place"]
    assert [label.name for label in differing.labels] == ["only mine", "only yours", "labelled differently"]
    np.testing.assert_array_equal(differing.volume.array, difference(first, second).volume.array)
    shares = [share for _, share in steps]
    assert steps[0] == ("matching", 0.0) and shares == sorted(shares) and shares[-1] == 1.0


def test_errors_of_a_comparison_are_told(runner: Runner) -> None:
    first, second = two_segmentations()
    far = Volume(second[0].volume.array, (1.0, 2.0, 1.5), (5000.0, 0.0, 0.0))
    away = [type(second[0])(far, second[0].labels)]
    with pytest.raises(LowResSegError) as caught:
        runner.submit_comparison(first, away).result(60)
    assert type(caught.value) is InputError and str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "submit",
    [
        lambda runner: runner.submit(Volume(np.arange(27).reshape(3, 3, 3))),
        lambda runner: runner.submit_file("a.nii.gz", "b"),
        lambda runner: runner.submit_measure(),
        lambda runner: runner.submit_comparison(*two_segmentations()),
    ],
)
def test_each_task_can_be_cancelled_before_it_begins(submit: Callable[[Runner], Any]) -> None:
    with pytest.raises(Cancelled):
        submit(InProcess(cancel=lambda: True)).result()
    with Worker() as worker:
        job = submit(worker)
        job.cancel()
        with pytest.raises(Cancelled):
            job.result()
