"""Jobs of a server behind the interface of all jobs: in a child process, with progress and cancelling."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from stand_in import StandIn, certificate, scan, serving, slowly

from LowResSegLib import pipeline
from LowResSegLib.errors import Cancelled, InputError, LowResSegError, RemoteError
from LowResSegLib.model import Model
from LowResSegLib.remote.client import Server
from LowResSegLib.remote.runner import Remote

TOKEN = "a-token-of-this-test"


@pytest.fixture
def server(small_model: Model) -> Iterator[StandIn]:
    with serving(TOKEN) as server:
        yield server


@pytest.fixture
def remote(server: StandIn) -> Iterator[Remote]:
    with Remote(server=Server(server.url, TOKEN)) as runner:
        yield runner


def test_a_server_and_the_worker_give_the_same(remote: Remote, server: StandIn, rng: np.random.Generator) -> None:
    volume = scan(rng)
    job = remote.submit(volume, "small", confidence=True)
    labelmap, record = job.result(60)
    assert server.runs == 1 and job.progress().step == "done"
    remote.server = None
    here = remote.submit(volume, "small", confidence=True)
    expected, told = here.result(60)
    assert server.runs == 1
    assert np.array_equal(labelmap.array, expected.array) and labelmap.geometry == volume.geometry
    assert job.confidence is not None and here.confidence is not None
    assert np.array_equal(job.confidence.array, here.confidence.array)
    assert record["labels"] == told["labels"] and "remote" in record and "remote" not in told


def test_a_file_is_segmented_and_written(remote: Remote, server: StandIn, tmp_path: Path) -> None:
    import SimpleITK as sitk

    volume = scan(np.random.default_rng(1))
    sitk.WriteImage(sitk.GetImageFromArray(volume.array), str(tmp_path / "scan.nii.gz"))
    formats = ("seg.nrrd", "nii.gz", "json")
    job = remote.submit_file(tmp_path / "scan.nii.gz", tmp_path / "out" / "a", "small", formats, confidence=True)
    record = job.result(60)
    assert server.runs == 1 and record["remote"]["sent"] == "grid"
    names = ["a.json", "a.seg.nrrd", "a_confidence.nii.gz", "a_labels.nii.gz"]
    assert sorted(Path(name).name for name in record["files"]) == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "a_labels.nii.gz")))
    from LowResSegLib.volume import read_volume

    expected, _ = pipeline.segment(read_volume(tmp_path / "scan.nii.gz"), "small")
    assert np.array_equal(labels, expected.array)
    written = (tmp_path / "out" / "a.json").read_text()
    assert json.loads(written)["remote"]["sent"] == "grid" and TOKEN not in written


def test_the_token_is_in_no_file_of_the_worker(remote: Remote, server: StandIn, rng: np.random.Generator) -> None:
    remote.submit(scan(rng), "small").result(60)
    server.token = "changed"
    with pytest.raises(RemoteError, match="token"):
        remote.submit(scan(rng), "small").result(60)
    assert remote._child is not None
    files = [path for path in remote._child.folder.rglob("*") if path.is_file()]
    assert files and all(TOKEN.encode() not in path.read_bytes() for path in files)


def test_cancelling_is_at_once_here_and_soon_there(remote: Remote, server: StandIn, rng: np.random.Generator) -> None:
    server.lock.acquire()  # the job does not begin
    try:
        job = remote.submit(scan(rng), "small")
        deadline = time.monotonic() + 60
        while not server.asked("GET", "/result") and time.monotonic() < deadline:
            job.progress()
            time.sleep(0.01)
        began = time.monotonic()
        job.cancel()
        assert job.done() and time.monotonic() - began < 0.2
        with pytest.raises(Cancelled):
            job.result()
        while server.jobs and time.monotonic() < deadline:
            job.progress()
            time.sleep(0.01)
        assert not server.jobs and not server.runs
    finally:
        server.lock.release()


def test_after_a_failure_the_worker_goes_on(remote: Remote, server: StandIn, rng: np.random.Generator) -> None:
    chosen = remote.server
    remote.server = Server("http://127.0.0.1:9", patience=0.1)
    with pytest.raises(RemoteError, match="Nothing listens"):
        remote.submit(scan(rng), "small").result(60)
    remote.fallback = True
    _, record = remote.submit(scan(rng), "small").result(60)
    assert "This computer did the work" in record["warnings"][0]
    remote.server = chosen
    _, record = remote.submit(scan(rng), "small").result(60)
    assert not record["warnings"] and record["remote"]["sent"] == "grid"


def test_a_server_is_tested_without_waiting(remote: Remote, tmp_path: Path) -> None:
    files = certificate(tmp_path, "own")
    with serving("other", files) as other:
        check = remote.submit_check(Server(other.url, "other")).result(60)
        assert [model.name for model in check.models][:2] == ["small", "brain"] and check.secure and check.first_use
        assert len(check.fingerprint) == 64
        with pytest.raises(RemoteError, match="token"):
            remote.submit_check(Server(other.url, "wrong")).result(60)
    with pytest.raises(RemoteError, match="Nothing listens"):
        remote.submit_check(Server(other.url, "other")).result(60)


def test_a_second_job_is_refused(remote: Remote, server: StandIn, rng: np.random.Generator) -> None:
    server.faults.append(slowly(0.5, "POST", "/jobs"))
    job = remote.submit(scan(rng), "small")
    with pytest.raises(LowResSegError, match="already running"):
        remote.submit_check(Server(server.url, TOKEN))
    job.result(60)


def test_what_was_wrong_with_the_scan_keeps_its_class(remote: Remote, rng: np.random.Generator) -> None:
    volume = scan(rng)
    with pytest.raises(InputError):
        remote.submit(volume.with_array(np.zeros_like(volume.array)), "small").result(60)
