"""Training in another Python: its progress, its result and its sentences arrive, and it ends with us."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path

import case_sets
import pytest
from case_sets import write_run
from workers import gone, posix, wait_until

from LowResSegLib.errors import Cancelled, LowResSegError
from LowResSegLib.jobs import OtherPython, Progress
from LowResSegLib.model import read_model


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the processes print is kept here, and must be gone when a test is over."""
    folder = tmp_path / "private"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A program in the place of the other Python; its file is written by the test."""
    return tmp_path / "python"


def pretend(script: Path, body: str) -> OtherPython:
    """A Python that does what `body` says, whatever its arguments are."""
    script.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{body}\n")
    script.chmod(0o755)
    return OtherPython(script)


def test_trains_exports_and_evaluates(tmp_path: Path, temporary_folder: Path) -> None:
    for package in ("torch", "lightning", "monai", "onnxruntime"):
        pytest.importorskip(package)
    data = case_sets.msd(tmp_path / "data")
    python = OtherPython(sys.executable)
    run = tmp_path / "run"
    training = python.train(write_run(tmp_path / "run.yaml"), data, run)
    heard = set()
    while not training.done():
        heard.add(training.progress())
        time.sleep(0.01)
    weights = training.result()
    assert weights == run / "weights.pt" and weights.is_file()
    assert training.progress().step == "validation" and training.progress().fraction == 1.0
    assert {step for step, _ in heard} >= {"train", "training"}
    assert any("Training 4 cases for 4 steps" in sentence for sentence in training.said())
    model = python.export(weights, tmp_path / "model.lowresseg").result(60)
    assert read_model(model).network.classes == 3
    found = python.evaluate(model, data, "validation", run / "splits.json").result(60)
    assert len(found["cases"]) == 2 and 0 <= found["mean"]["dice"]["all"] <= 1
    del training
    gc.collect()
    assert not list(temporary_folder.glob("lowresseg-*"))


@posix
def test_a_cancelled_run_is_gone(script: Path, temporary_folder: Path, tmp_path: Path) -> None:
    body = f"""
import subprocess
own = subprocess.Popen(["sleep", "60"])
open({str(tmp_path / "pids")!r}, "w").write(f"{{os.getpid()}} {{own.pid}}")
import signal
signal.signal(signal.SIGTERM, lambda *given: (time.sleep(2), sys.exit(1)))
print(json.dumps({{"step": "training", "fraction": 0.25}}), file=sys.stderr, flush=True)
time.sleep(60)"""
    job = pretend(script, body).train("run.yaml", "data", "run")
    assert job.progress().step in ("train", "training") and not job.done()
    with pytest.raises(TimeoutError):
        job.result(0.01)
    wait_until(lambda: job.progress() == Progress("training", 0.25))
    began = time.monotonic()
    job.cancel()
    assert time.monotonic() - began < 1  # a process that takes its time to end holds up nobody
    assert job.done() and job.progress().fraction == 0.25
    for pid in (tmp_path / "pids").read_text().split():
        wait_until(lambda pid=pid: gone(int(pid)))
    with pytest.raises(Cancelled):
        job.result()
    job.cancel()  # harmless
    wait_until(lambda: not list(temporary_folder.glob("lowresseg-*")))


@posix
def test_a_run_that_nobody_holds_is_ended(script: Path, temporary_folder: Path, tmp_path: Path) -> None:
    body = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    job = pretend(script, body).evaluate("model", "data")
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    pid = int((tmp_path / "pid").read_text())
    del job
    gc.collect()
    assert gone(pid) and not list(temporary_folder.glob("lowresseg-*"))


@posix
def test_what_the_command_line_gets(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And none of what this Python has in its environment for itself."""
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    python = pretend(script, "print(json.dumps([sys.argv[1:], [key for key in os.environ if 'PYTHON' in key]]))")
    arguments, left = python.evaluate("model", "data", "test", "splits.json", fold=2).result(30)
    assert "PYTHONHOME" not in left and "PYTHONPATH" not in left
    expected = "-m LowResSegLib evaluate --json --model model --data data --split test --splits splits.json --fold 2"
    assert arguments == [*expected.split(), "--progress", "json"]
    own = OtherPython(script, {"PYTHONPATH": "x", "PATH": os.environ["PATH"], "MINE": "1"})
    python = pretend(script, "print(json.dumps(dict(os.environ)))")
    found = own.evaluate("model", "data").result(30)
    assert found["MINE"] == "1" and "PYTHONPATH" not in found


@posix
def test_sentences_of_what_went_wrong(script: Path, temporary_folder: Path) -> None:
    with pytest.raises(LowResSegError, match="cannot be started"):
        OtherPython(script).train("run.yaml", "data", "run")
    assert not list(temporary_folder.glob("lowresseg-*"))
    for body, sentence in (
        ("print('lowresseg: The run is bad.', file=sys.stderr); sys.exit(2)", r"^The run is bad\.$"),
        ("print('python: No module named LowResSegLib', file=sys.stderr); sys.exit(1)", r"install .*lowresseg\[train"),
        ("os.kill(os.getpid(), 9)", r"unexpectedly \(exit status -9\); its last words: it said nothing\.$"),
    ):
        with pytest.raises(LowResSegError, match=sentence):
            pretend(script, body).train("run.yaml", "data", "run").result(30)


def test_a_configuration_that_is_wrong_is_told(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "run.yaml").write_text(
        json.dumps({"data": {"dimensions": 5}, "name": "x", "network": {"name": "unet"}})
    )
    with pytest.raises(LowResSegError, match="dimensions is 2 or 3"):
        OtherPython(sys.executable).train(tmp_path / "run.yaml", tmp_path, tmp_path / "run").result(60)
