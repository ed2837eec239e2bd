"""The server end to end: the same labelmap as here, over real connections and worker processes."""

from __future__ import annotations

import dataclasses
import io
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import brain_scan
from plans import random_volume
from workers import wait_until

pytest.importorskip("fastapi")

from minimal_client import big_grid, grid_job, small_grid, unpack_labels, unpack_logits, volume_job

from LowResSegLib import load_model, segment
from LowResSegLib.cli import main
from LowResSegLib.inference import logits_of, sample_grids
from LowResSegLib.pipeline import segment_with_confidence
from LowResSegLib.reconstruction import reconstruct
from LowResSegLib.remote.packed import read_body
from LowResSegLib.remote.protocol import Capabilities, Health, JobStatus, ModelDescription, check_versions
from LowResSegLib.volume import read_volume, write_labelmap


@pytest.mark.parametrize("answer", ["zlib", "raw"])
@pytest.mark.parametrize("passes", [1, 2])
def test_local_and_remote_labelmaps_are_identical(start: Any, small_model: Any, passes: int, answer: str) -> None:
    scan = random_volume(np.random.default_rng(1), (23, 30, 19))
    grids = sample_grids(scan, small_model, passes, lambda share: None)
    request, body = grid_job(
        small_model, "small", [low.grid for low in grids], grids[0].size, passes=passes, answer=answer, encoding=answer
    )
    content = start().client().run(request, body)
    logits, confidence = unpack_logits(content, len(small_model.labels), grids[0].size)
    assert confidence is None
    wanted, _ = segment(scan, small_model, passes=passes)
    assert len(np.unique(wanted.array)) > 2
    np.testing.assert_array_equal(reconstruct(logits, grids[0]), wanted.array)


def test_the_brain_model_over_a_server_gives_its_labelmap(start: Any) -> None:
    scan, brain = read_volume(brain_scan("example_brain_t1")), load_model("brain")
    grids = sample_grids(scan, brain, 1, lambda share: None)
    request, body = grid_job(brain, "brain", [grids[0].grid], grids[0].size, passes=1)
    content = start().client().run(request, body)
    logits, _ = unpack_logits(content, len(brain.labels), grids[0].size)
    wanted, _ = segment(scan, brain, passes=1)
    np.testing.assert_array_equal(reconstruct(logits, grids[0]), wanted.array)
    # Both ways together take less than the scan, and the answer far less than its logits.
    assert len(body) + len(content) < scan.array.nbytes and len(content) < logits.nbytes / 20


def test_the_confidence_comes_along(start: Any, small_model: Any, rng: np.random.Generator) -> None:
    scan = random_volume(rng, (21, 22, 23))
    grids = sample_grids(scan, small_model, 2, lambda share: None)
    request, body = grid_job(small_model, "small", [low.grid for low in grids], grids[0].size, confidence=True)
    content = start().client().run(request, body)
    _, percent = unpack_logits(content, len(small_model.labels), grids[0].size)
    np.testing.assert_array_equal(percent, segment_with_confidence(scan, small_model)[2].array)


def test_a_full_volume_gives_the_command_lines_labelmap(
    start: Any, small_model: Any, rng: np.random.Generator, tmp_path: Path
) -> None:
    scan = random_volume(rng, (21, 22, 23))
    write_labelmap(tmp_path / "scan.nii.gz", scan)
    scan = read_volume(tmp_path / "scan.nii.gz")
    client = start().client()
    request, body = volume_job(small_model, "small", scan)
    labels = unpack_labels(client.run(request, body), scan.array.shape)
    assert main(["segment", str(tmp_path / "scan.nii.gz"), "-o", str(tmp_path), "--model", "small"]) == 0
    np.testing.assert_array_equal(labels, read_volume(tmp_path / "scan_labels.nii.gz").array)
    record = client.ask("GET", f"/v1/jobs/{client.create(request).id}/record").json
    written = json.loads((tmp_path / "scan.json").read_text())
    assert record["labels"] == written["labels"] and record["passes"] == 2


def test_health_capabilities_and_models(start: Any, small_model: Any) -> None:
    running = start(queued=7, volumes=False)
    client = running.client()
    health = Health.from_dict(client.ask("GET", "/healthz").json)
    check_versions(health.least, health.protocol)
    capabilities = Capabilities.from_dict(client.ask("GET", "/v1/capabilities").json)
    assert capabilities.kinds == ("grid",) and capabilities.limits == running.server.service.settings.limits
    assert capabilities.limits.queued == 7 and "numpy" in capabilities.backends
    models = {each["name"]: ModelDescription.from_dict(each) for each in client.ask("GET", "/v1/models").json["models"]}
    assert {"small", "brain"} <= set(models)
    assert models["small"] == ModelDescription.of("small", small_model)
    assert models["brain"].grid == load_model("brain").grid


def test_events_tell_of_a_job_until_it_ends(start: Any, small_model: Any) -> None:
    running = start()
    client = running.client()
    request, body = small_grid(small_model)
    job = client.create(request)
    seen: list[JobStatus] = []

    def listen() -> None:
        text = running.client().ask("GET", f"/v1/jobs/{job.id}/events").body.decode()
        events = [line for line in text.split("\n\n") if line.startswith("data: ")]
        seen.extend(JobStatus.from_dict(json.loads(event[6:])) for event in events)

    listener = threading.Thread(target=listen)
    listener.start()
    wait_until(lambda: bool(running.server.service.queue.get("", job.id).watchers))
    assert client.put(job.id, body).status == 200
    listener.join(20)
    assert seen[0].state == "uploading" and seen[-1].state == "done" and seen[-1].fraction == 1
    assert seen[-1] == client.status(job.id)
    assert not running.server.service.queue.get("", job.id).watchers


def test_one_key_makes_one_job(start: Any, small_model: Any) -> None:
    running = start()
    client = running.client()
    request, body = small_grid(small_model)
    assert client.ask("POST", "/v1/jobs", request.to_dict()).status == 201
    again = client.ask("POST", "/v1/jobs", request.to_dict())
    assert again.status == 200
    identity = again.json["id"]
    first = client.run(request, body)
    assert client.create(request).state == "done" and client.create(request).id == identity
    assert client.result(identity) == first
    assert 'jobs_ended_total{kind="grid",state="done"} 1\n' in client.ask("GET", "/v1/metrics").body.decode()
    other = dataclasses.replace(request, passes=1)
    assert client.ask("POST", "/v1/jobs", other.to_dict()).status == 422  # two grids for one pass
    other = dataclasses.replace(request, answer="raw")
    assert client.ask("POST", "/v1/jobs", other.to_dict()).code == "key_in_use"


def test_an_upload_goes_on_where_it_broke_off(start: Any, small_model: Any) -> None:
    client = start().client()
    request, body = small_grid(small_model)
    job, third = client.create(request), len(body) // 3
    assert client.put(job.id, body, 0, third).json["state"] == "uploading"
    assert client.ask("HEAD", f"/v1/jobs/{job.id}/input").headers["upload-offset"] == str(third)
    wrong = client.put(job.id, body, 2 * third)
    assert (wrong.status, wrong.code, wrong.headers["upload-offset"]) == (409, "wrong_offset", str(third))
    assert client.put(job.id, body, third, 2 * third).json["upload"] == 2 * third
    assert client.put(job.id, body, 2 * third).status == 200
    logits, _ = unpack_logits(client.result(job.id), len(small_model.labels), request.size)
    assert logits.shape[1:] == request.size


def test_a_connection_that_breaks_leaves_what_came(start: Any, small_model: Any) -> None:
    running = start()
    client = running.client()
    request, body = small_grid(small_model)
    job = client.create(request)
    with socket.create_connection(("127.0.0.1", int(running.address.rpartition(":")[2]))) as raw:
        head = f"PUT /v1/jobs/{job.id}/input HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        raw.sendall(f"{head}Content-Range: bytes 0-{len(body) - 1}/{len(body)}\r\n\r\n".encode() + body[:500])
    wait_until(lambda: client.status(job.id).upload == 500)
    assert client.put(job.id, body, 500).status == 200
    assert client.result(job.id)


def test_a_damaged_body_begins_again(start: Any, small_model: Any) -> None:
    client = start().client()
    request, body = small_grid(small_model)
    job = client.create(request)
    answer = client.put(job.id, body[:-1] + bytes([body[-1] ^ 1]))
    assert (answer.status, answer.code) == (422, "damaged")
    assert client.status(job.id).upload == 0
    half = len(body) // 2
    client.put(job.id, b"x" * len(body), 0, half)
    assert client.put(job.id, body, half).code == "damaged"  # the parts of several requests are checked together
    assert client.put(job.id, body).status == 200
    assert client.result(job.id)


def test_parts_of_a_result(start: Any, small_model: Any) -> None:
    client = start().client()
    request, body = small_grid(small_model)
    whole = client.run(request, body)
    path = f"/v1/jobs/{client.create(request).id}/result"
    part = client.ask("GET", path, headers={"Range": "bytes=100-"})
    assert (part.status, part.body) == (206, whole[100:])
    assert part.headers["content-range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
    assert client.ask("GET", path, headers={"Range": f"bytes={len(whole)}-"}).code == "wrong_range"


def test_a_cancelled_job_ends_at_once_and_leaves_nothing(start: Any, small_model: Any) -> None:
    running = start()
    client = running.client()
    request, body = big_grid(small_model)
    job = client.create(request)
    client.put(job.id, body)
    wait_until(lambda: client.status(job.id).state == "running")
    assert client.ask("GET", f"/v1/jobs/{job.id}/result").status == 202
    began = time.monotonic()
    assert client.ask("DELETE", f"/v1/jobs/{job.id}").status == 204
    assert client.status(job.id).state == "cancelled" and time.monotonic() - began < 1
    assert client.ask("GET", f"/v1/jobs/{job.id}/result").code == "wrong_state"
    assert client.run(*small_grid(small_model))  # the worker is free again
    assert client.ask("DELETE", f"/v1/jobs/{job.id}").status == 204
    assert client.ask("GET", f"/v1/jobs/{job.id}").code == "not_found"
    assert not (running.server.service.settings.folder / "jobs" / job.id).exists()


def test_two_workers_do_two_jobs_and_do_not_mix_them_up(start: Any, small_model: Any) -> None:
    running = start(workers=2)
    jobs = [small_grid(small_model, seed, (16, 8 * (1 + seed % 3), 24)) for seed in range(12)]
    found: dict[int, np.ndarray] = {}

    def work(first: int) -> None:
        client = running.client()
        for number in range(first, len(jobs), 4):
            request, body = jobs[number]
            found[number] = unpack_logits(client.run(request, body), len(small_model.labels), request.size)[0]

    threads = [threading.Thread(target=work, args=[first]) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number, (request, body) in enumerate(jobs):
        grids = read_body(io.BytesIO(body), request.shape, "uint8", "zlib")
        full = logits_of(small_model, list(grids), 2, "numpy", None, lambda share: None)
        used = tuple(slice(0, n) for n in request.size)
        np.testing.assert_array_equal(found[number].argmax(0), full.argmax(0)[used])
