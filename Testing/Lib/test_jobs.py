"""Jobs: the same results as in this process, and a worker that survives what happens to processes."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from data import CHECKOUT
from plans import random_model, random_volume
from scan_files import full_disk
from workers import PRETENDER, gone, posix, running, wait_until

from LowResSegLib import LowResSegError, ModelError, Volume, errors, segment
from LowResSegLib.errors import Cancelled
from LowResSegLib.jobs import InProcess, Progress, Runner, Worker
from LowResSegLib.model import write_model


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Workers make their private folders here, which must be empty when a test is over."""
    folder = tmp_path / "private"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def worker(temporary_folder: Path) -> Iterator[Worker]:
    with Worker(PRETENDER) as worker:
        yield worker
    assert not list(temporary_folder.iterdir())


@pytest.fixture
def volume(rng: np.random.Generator) -> Volume:
    return random_volume(rng)


@pytest.fixture
def model(tmp_path: Path, rng: np.random.Generator) -> str:
    """A small model file."""
    write_model(tmp_path / "small.lowresseg", random_model(rng))
    return str(tmp_path / "small.lowresseg")


def test_a_worker_gives_what_this_process_gives(volume: Volume, model: str) -> None:
    expected, record = segment(volume, model, backend="numpy")
    with Worker() as worker:
        job = worker.submit(volume, model, "numpy", threads=1)
        labelmap, found = job.result(60)
        assert job.done() and job.progress() == Progress("done", 1.0)
    np.testing.assert_array_equal(labelmap.array, expected.array)
    assert labelmap.array.dtype == expected.array.dtype and labelmap.geometry == volume.geometry
    assert found["labels"] == record["labels"] and found["backend"] == "numpy" and found["threads"] is None


def test_errors_of_the_real_way_keep_their_class(volume: Volume, tmp_path: Path) -> None:
    (tmp_path / "bad.lowresseg").write_bytes(b"not a model")
    with Worker() as worker:
        for name in ("no such model", str(tmp_path / "bad.lowresseg")):
            with pytest.raises(ModelError):
                worker.submit(volume, name).result(60)


def test_the_child_is_kept_for_the_next_job(worker: Worker, volume: Volume) -> None:
    worker.start()
    pids = {worker.submit(volume, "good").result(60)[1]["pid"] for _ in range(3)}
    assert len(pids) == 1


def test_a_second_job_is_refused_while_one_runs(worker: Worker, volume: Volume) -> None:
    job = running(worker, volume, "patient")
    with pytest.raises(LowResSegError, match="already running"):
        worker.submit(volume, "good")
    assert not job.done()


def test_result_waits_no_longer_than_asked(worker: Worker, volume: Volume) -> None:
    job = running(worker, volume, "patient")
    with pytest.raises(TimeoutError):
        job.result(0.05)
    assert not job.done() and job.progress() == Progress("first", 0.25)


def test_cancel_answers_at_once_and_a_child_that_stops_is_kept(worker: Worker, volume: Volume) -> None:
    pid = worker.submit(volume, "good").result(20)[1]["pid"]
    job = running(worker, volume, "patient")
    began = time.monotonic()
    job.cancel()
    assert job.done() and time.monotonic() - began < 0.5
    with pytest.raises(Cancelled):
        job.result()
    time.sleep(0.5)
    assert worker.submit(volume, "good").result(20)[1]["pid"] == pid


def test_cancel_of_an_ended_job_changes_nothing(worker: Worker, volume: Volume) -> None:
    job = worker.submit(volume, "good")
    job.result(20)
    job.cancel()
    assert job.result()[1]["model"] == "good"


def test_a_child_that_does_not_stop_ends_itself_though_nobody_looks(worker: Worker, volume: Volume) -> None:
    pid = worker.submit(volume, "good").result(20)[1]["pid"]
    running(worker, volume, "stubborn").cancel()
    assert not gone(pid)
    wait_until(lambda: gone(pid), 5)
    assert worker.submit(volume, "good").result(20)[1]["pid"] != pid


def test_a_job_right_after_a_cancel_finds_the_child_that_stops(worker: Worker, volume: Volume) -> None:
    pid = worker.submit(volume, "good").result(20)[1]["pid"]
    for _ in range(3):
        running(worker, volume, "patient").cancel()
        assert worker.submit(volume, "good").result(20)[1]["pid"] == pid


def test_right_after_cancel_the_next_job_gets_a_new_child(worker: Worker, volume: Volume) -> None:
    pid = worker.submit(volume, "good").result(20)[1]["pid"]
    running(worker, volume, "stubborn").cancel()
    began = time.monotonic()
    job = worker.submit(volume, "good")
    assert time.monotonic() - began < 2
    assert job.result(20)[1]["pid"] != pid
    assert gone(pid)


@posix
def test_a_frozen_child_is_killed_a_second_after_cancel(worker: Worker, volume: Volume, temporary_folder: Path) -> None:
    pid = worker.submit(volume, "good").result(20)[1]["pid"]
    job = running(worker, volume, "frozen")
    job.cancel()
    time.sleep(0.2)
    assert job.done() and not gone(pid)
    time.sleep(1.0)
    began = time.monotonic()
    assert job.done() and time.monotonic() - began < 0.5
    assert gone(pid) and not list(temporary_folder.iterdir())


@posix
def test_closing_ends_a_frozen_child(volume: Volume, temporary_folder: Path) -> None:
    worker = Worker(PRETENDER)
    pid = worker.submit(volume, "good").result(20)[1]["pid"]
    job = running(worker, volume, "frozen")
    worker.close()
    worker.close()
    assert gone(pid) and not list(temporary_folder.iterdir())
    with pytest.raises(Cancelled):
        job.result(1)


def test_the_death_of_the_child_is_told_and_the_next_job_gets_a_new_one(worker: Worker, volume: Volume) -> None:
    pid = worker.submit(volume, "good").result(20)[1]["pid"]
    with pytest.raises(LowResSegError, match=r"ended unexpectedly \(exit status 7; .*Segmentation fault in the pre"):
        worker.submit(volume, "dies").result(20)
    assert worker.submit(volume, "good").result(20)[1]["pid"] != pid


@posix
def test_a_child_killed_from_outside_is_replaced(worker: Worker, volume: Volume) -> None:
    pid = worker.submit(volume, "good").result(20)[1]["pid"]
    os.kill(pid, 9)
    wait_until(lambda: gone(pid))
    assert worker.submit(volume, "good").result(20)[1]["pid"] != pid


@pytest.mark.parametrize("name", ["LowResSegError", "InputError", "ModelError", "BackendError", "Cancelled"])
def test_errors_keep_their_class(name: str, worker: Worker, volume: Volume) -> None:
    with pytest.raises(LowResSegError, match=f"This is a {name}.") as caught:
        worker.submit(volume, name).result(20)
    assert type(caught.value) is getattr(errors, name)


def test_a_bug_in_the_child_is_told_and_logged(worker: Worker, volume: Volume) -> None:
    with pytest.raises(LowResSegError, match="ZeroDivisionError: by none"):
        worker.submit(volume, "bug").result(20)
    assert "Traceback" in worker.log()
    with pytest.raises(LowResSegError, match="not enough memory"):
        worker.submit(volume, "memory").result(20)
    worker.submit(volume, "good").result(20)


def test_what_libraries_print_does_no_harm(worker: Worker, volume: Volume) -> None:
    assert worker.submit(volume, "noisy").result(20)[1]["model"] == "noisy"
    assert "from Python" in worker.log() and "from C" in worker.log()


@posix
def test_a_launcher_that_greets_and_a_folder_with_modules_do_no_harm(
    volume: Volume, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = tmp_path / "launcher"
    launcher.write_text(f'#!/bin/sh\necho Welcome\necho 42\nexec "{sys.executable}" "$@"\n')
    launcher.chmod(0o755)
    here = tmp_path / "here"
    here.mkdir()
    (here / "queue.py").write_text("raise SystemExit('this is not the queue that was meant')")
    monkeypatch.chdir(here)
    monkeypatch.setenv("LOWRESSEG_MODELS", "..")  # relative to where the parent is
    with Worker([str(launcher)]) as worker:
        _, record = worker.submit(volume, Path(model).stem).result(60)
    assert record["model"] == "random"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count each process by itself")
def test_the_child_reports_its_own_memory(volume: Volume, model: str) -> None:
    held = np.ones(400 << 20, np.uint8)
    with Worker() as worker:
        _, record = worker.submit(volume, model, backend="numpy").result(60)
    assert record["peak_memory_mb"] < 350 < held.nbytes / 1e6


def test_files_of_a_job_are_removed_after_it(worker: Worker, volume: Volume, temporary_folder: Path) -> None:
    for name in ("good", "InputError"):
        job = worker.submit(volume, name)
        wait_until(job.done)
        assert not list(temporary_folder.rglob("*.npy"))
    running(worker, volume, "patient").cancel()
    wait_until(lambda: worker.submit(volume, "good").result(20) is not None)
    assert not list(temporary_folder.rglob("*.npy"))


@posix
def test_a_full_disk_is_told_wherever_it_shows(worker: Worker, volume: Volume, temporary_folder: Path) -> None:
    """For the copy of the scan, for the labelmap, and where not even that can be told."""
    worker.start()
    with full_disk(temporary_folder, 300), pytest.raises(LowResSegError, match=r"No room for .*; free some disk\.$"):
        worker.submit(volume, "good")
    assert not list(temporary_folder.rglob("*.npy"))
    with pytest.raises(LowResSegError, match=r"No room for .*; free some disk\.$"):
        worker.submit(volume, "full").result(20)
    worker.close()
    with pytest.raises(LowResSegError, match=r"could not write into .*; free some disk and run it again\.$"):
        worker.submit(volume, "quite full").result(20)
    assert worker.submit(volume, "good").result(20)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("half", "The worker's answer cannot be understood; run it again."),
        ("other shape", "The worker's result cannot be read (InputError: An array of shape (12, 17, 11) does not fit "),
    ],
)
def test_a_damaged_answer_is_told(
    model: str, sentence: str, worker: Worker, volume: Volume, temporary_folder: Path
) -> None:
    with pytest.raises(LowResSegError) as caught:
        worker.submit(volume, model).result(20)
    assert str(caught.value).startswith(sentence) and str(caught.value).endswith("run it again.")
    assert worker.submit(volume, "good").result(20)[1]["model"] == "good"
    assert not list(temporary_folder.rglob("*.npy"))


@pytest.mark.parametrize("command", [["/no/such/python"], [sys.executable, "-c", "import sys; sys.exit('No numpy.')"]])
def test_a_command_that_is_no_python_is_told(command: list[str], volume: Volume, temporary_folder: Path) -> None:
    with Worker(command) as worker, pytest.raises(LowResSegError, match=r"cannot be started|No numpy"):
        worker.submit(volume, "good").result(20)
    assert not list(temporary_folder.iterdir())


@pytest.mark.parametrize("end", ["sys.exit()", "os.kill(os.getpid(), 9)"])
@pytest.mark.parametrize("job", ["stubborn", None])
def test_the_child_goes_with_its_parent(end: str, job: str, temporary_folder: Path, tmp_path: Path) -> None:
    """Also where the parent has the library only on sys.path, and dies without a word."""
    parent = f"""
import os, sys, time, tempfile
sys.path.insert(0, {str(CHECKOUT)!r})
tempfile.tempdir = {str(temporary_folder)!r}
import numpy as np
from LowResSegLib import Volume
from LowResSegLib.jobs import Worker
worker = Worker({PRETENDER!r})
volume = Volume(np.ones((3, 4, 5), np.int16))
print(worker.submit(volume, "good").result(20)[1]["pid"], flush=True)
if {job!r}:
    job = worker.submit(volume, {job!r})
    while job.progress().step != "first":
        time.sleep(0.01)
{end}
"""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ended = subprocess.run(
        [sys.executable, "-c", parent], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert not ended.stderr
    wait_until(lambda: gone(int(ended.stdout)) and not list(temporary_folder.iterdir()), 5)


def test_in_process_runs_the_same_way(volume: Volume, model: str) -> None:
    heard: list[Progress] = []
    runner = InProcess(progress=lambda step, fraction: heard.append(Progress(step, fraction)))
    job = runner.submit(volume, model, "numpy")
    assert job.done() and job.progress() == heard[-1] == Progress("done", 1.0)
    labelmap, _ = job.result()
    expected, _ = segment(volume, model, backend="numpy")
    np.testing.assert_array_equal(labelmap.array, expected.array)
    with pytest.raises(Cancelled):
        InProcess(cancel=lambda: True).submit(volume, model).result()
    with pytest.raises(ModelError):
        InProcess().submit(volume, "no such model").result()


@pytest.mark.parametrize("kind", [InProcess, Worker])
@pytest.mark.parametrize("name", ["submit", "submit_file", "submit_measure", "submit_comparison", "close"])
def test_both_runners_keep_the_interface(kind: type[Runner], name: str) -> None:
    """Their arguments have the same names and defaults, in the same order; mypy looks at the types."""
    expected, found = (inspect.signature(getattr(each, name)).parameters.values() for each in (Runner, kind))
    assert [(each.name, each.default) for each in found] == [(each.name, each.default) for each in expected]
