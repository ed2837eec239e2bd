"""The client and the real server, over the real protocol."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from stand_in import scan

from LowResSegLib import pipeline
from LowResSegLib.errors import Cancelled, InputError, RemoteError
from LowResSegLib.model import Fusion, Model, write_model
from LowResSegLib.remote.client import Server, check_server, forget_pin, list_models, segment_remotely, segmenting
from LowResSegLib.remote.runner import Remote

for package in ("fastapi", "uvicorn", "cryptography"):
    pytest.importorskip(package)

CHECKOUT = Path(__file__).resolve().parents[2]


class Serving:
    """`lowresseg serve` in a process of its own, on a port that stays the same."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder.with_suffix(".log")
        self.port = "0"
        self.options: tuple[str, ...] = ()
        self.process: Optional[subprocess.Popen[str]] = None

    def start(self, *options: str) -> None:
        self.options = options or self.options
        self.process = subprocess.Popen(
            [*self._command, *self.options, "--port", self.port],
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
            cwd=CHECKOUT,
        )
        assert self.process.stdout is not None
        self.fingerprint = ""
        for line in self.process.stdout:
            if line.startswith("LowResSeg serves at "):
                self.url = line.split()[-1]
                self.port = self.url.rpartition(":")[2]
            elif "fingerprint" in line:
                self.fingerprint = line.split()[-1]
            elif "Ctrl-C" in line:
                return
        raise AssertionError(f"the server did not start: {self.log.read_text()}")

    @property
    def _command(self) -> list[str]:
        return [sys.executable, "-m", "LowResSegLib", "serve", "--folder", str(self.folder)]

    def token(self, *words: str) -> str:
        done = subprocess.run(
            [*self._command, "token", *words], capture_output=True, text=True, check=True, cwd=CHECKOUT
        )
        return done.stdout.strip()

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(10)


@pytest.fixture
def serving(tmp_path: Path, small_model: Model) -> Iterator[Serving]:
    server = Serving(tmp_path / "server")
    yield server
    server.end()


def test_the_labelmap_is_the_one_of_this_computer(
    start: Callable[..., Any], small_model: Model, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(start().server.address)
    volume = scan(rng)
    expected, record, percent = pipeline.segment_with_confidence(volume, "small")
    for near in (True, False):
        monkeypatch.setattr(segmenting, "is_loopback", lambda host, near=near: near)
        labelmap, told, confidence = segment_remotely(volume, "small", server, confidence=True)
        assert np.array_equal(labelmap.array, expected.array)
        assert confidence is not None and np.array_equal(confidence.array, percent.array)
        assert told["labels"] == record["labels"] and told["backend"] == record["backend"]
        assert told["instruction_set"] == record["instruction_set"]
    whole, told, _ = segment_remotely(volume, "small", server, full_volume=True)
    assert np.array_equal(whole.array, expected.array) and told["grid_shape"] == record["grid_shape"]
    assert {model.name for model in list_models(server)} >= {"small"}


def test_a_model_that_reads_the_scan_once_more_gives_the_same_labels(
    start: Callable[..., Any],
    small_model: Model,
    rng: np.random.Generator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the model's file here, the grid is sent and the fusion made here; without it, the scan where allowed."""
    fusion = Fusion(rng.integers(-900, 901, (5, 5, 5)).astype(np.int16), 7, 400, 64, 0, (4, 2, 1))
    write_model(tmp_path / "models" / "fused.lowresseg", dataclasses.replace(small_model, fusion=fusion))
    volume, server = scan(rng), Server(start().server.address)
    expected, _ = pipeline.segment(volume, "fused")
    assert not np.array_equal(expected.array, pipeline.segment(volume, "small")[0].array)
    labelmap, told, _ = segment_remotely(volume, "fused", server)
    assert np.array_equal(labelmap.array, expected.array) and told["remote"]["sent"] == "grid"
    monkeypatch.setattr(segmenting, "available_models", lambda: {})
    with pytest.raises(InputError, match="install its file here, too, or let the whole scan be sent"):
        segment_remotely(volume, "fused", server)
    labelmap, told, _ = segment_remotely(volume, "fused", server, full_volume=True)
    assert np.array_equal(labelmap.array, expected.array) and told["remote"]["sent"] == "volume"


def test_a_model_of_the_server_alone_needs_nothing_of_it_here(
    start: Callable[..., Any], small_model: Model, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, server = scan(rng), Server(start().server.address)
    expected, record = pipeline.segment(volume, "small")
    described = {model.name: model for model in list_models(server)}["small"]
    monkeypatch.setattr(segmenting, "available_models", lambda: {})
    monkeypatch.setattr(segmenting, "load_model", lambda name: pytest.fail("there is no file of it"))
    labelmap, told, _ = segment_remotely(volume, "small", server)
    assert np.array_equal(labelmap.array, expected.array) and told["remote"]["sent"] == "grid"
    assert told["labels"] == record["labels"] and told["model_sha256"] == record["model_sha256"]
    assert described.card == small_model.card and described.labels == small_model.labels


def test_what_is_no_scan_gets_the_same_sentence_from_there(
    start: Callable[..., Any], small_model: Model, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = scan(rng)
    labels = volume.with_array((volume.array > 100).astype(np.uint8))
    with pytest.raises(InputError) as here:
        pipeline.segment(labels, "small")
    monkeypatch.setattr(segmenting, "check_scan", lambda *given: None)
    with pytest.raises(InputError) as there:
        segment_remotely(labels, "small", Server(start().server.address), full_volume=True)
    assert str(there.value) == str(here.value)


def test_a_real_scan_is_the_same_as_from_the_command_line(start: Callable[..., Any]) -> None:
    from data import brain_scan

    from LowResSegLib.volume import read_volume

    volume = read_volume(brain_scan("seg3D_MR"))
    server = Server(start().server.address)
    expected, record = pipeline.segment(volume, "brain", passes=1)
    grid, told, _ = segment_remotely(volume, "brain", server, passes=1)
    whole, _, _ = segment_remotely(volume, "brain", server, passes=1, full_volume=True)
    assert np.array_equal(grid.array, expected.array) and np.array_equal(whole.array, expected.array)
    assert told["labels"] == record["labels"]


def test_with_tls_and_a_token(serving: Serving, rng: np.random.Generator) -> None:
    host = "127.0.0.1"
    token = serving.token("create", "console")
    serving.start("--host", "0.0.0.0")
    url = f"https://{host}:{serving.port}"
    check = check_server(Server(url, token))
    assert check.first_use and check.fingerprint == serving.fingerprint.replace(":", "").lower()
    assert check_server(Server(url, token, fingerprint=serving.fingerprint)).models
    volume = scan(rng)
    expected, _ = pipeline.segment(volume, "small")
    with Remote(server=Server(url, token)) as remote:
        labelmap, record = remote.submit(volume, "small").result(60)
        assert np.array_equal(labelmap.array, expected.array) and not record["warnings"]
        serving.token("revoke", "console")
        with pytest.raises(RemoteError, match="has been revoked"):
            remote.submit(volume, "small").result(60)
    with pytest.raises(RemoteError, match="needs a token"):
        check_server(Server(url))
    with pytest.raises(RemoteError, match="does not know this token"):
        check_server(Server(url, "nonsense"))
    with pytest.raises(RemoteError, match="write https://"):
        check_server(Server(f"http://{host}:{serving.port}", token))
    token = serving.token("create", "again")
    serving.end()
    for name in ("certificate.pem", "key.pem"):
        (serving.folder / name).unlink()
    serving.start()
    with pytest.raises(RemoteError, match="shows another certificate than before"):
        check_server(Server(url, token))
    assert forget_pin(Server(url).address) and check_server(Server(url, token)).first_use


def test_a_server_that_is_killed_in_the_middle_goes_on_and_runs_the_job_once(
    serving: Serving, rng: np.random.Generator
) -> None:
    serving.start()
    volume = scan(rng, (120, 130, 140))
    expected, _ = pipeline.segment(volume, "small")
    killed = []

    def heard(step: str, share: float) -> None:
        if step in ("waiting", "network") and not killed:
            killed.append(step)
            serving.end(signal.SIGKILL)
            serving.start()

    labelmap, record, _ = segment_remotely(volume, "small", Server(serving.url, patience=60), heard)
    assert killed and np.array_equal(labelmap.array, expected.array) and not record["warnings"]
    jobs = serving.folder / "jobs"
    deadline = time.monotonic() + 5
    while jobs.is_dir() and any(jobs.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not jobs.is_dir() or not any(jobs.iterdir())


def test_cancelling_ends_the_job_there(serving: Serving, rng: np.random.Generator) -> None:
    serving.start()
    seen: list[str] = []
    with pytest.raises(Cancelled):
        segment_remotely(
            scan(rng, (120, 130, 140)),
            "small",
            Server(serving.url),
            lambda step, share: seen.append(step),
            lambda: "waiting" in seen,
        )
    check = check_server(Server(serving.url))
    assert check.models and os.path.isdir(serving.folder)
