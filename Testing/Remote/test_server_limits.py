"""What a server takes, and how it says no: size, time, number of jobs, disk, memory, age."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plans import random_volume
from workers import wait_until

pytest.importorskip("fastapi")

from minimal_client import big_grid, small_grid, volume_job

from LowResSegLib.remote.protocol import CODES
from LowResSegLib.remote.server import job_queue, transfer
from LowResSegLib.remote.server.job import ServerJob
from LowResSegLib.remote.server.settings import Settings
from LowResSegLib.remote.server.tokens import Tokens


def test_size(start: Any, small_model: Any, rng: np.random.Generator) -> None:
    client = start(body_bytes=1000, voxels=9000).client()
    request, _ = small_grid(small_model)
    for change in ({"bytes": 1001}, {"bytes": 500, "shape": [2, 16, 24, 32]}):
        answer = client.ask("POST", "/v1/jobs", {**request.to_dict(), **change})
        assert (answer.status, answer.code) == (413, "too_large")
    fits = {"bytes": 500, "shape": [2, 16, 16, 24], "size": [9, 9, 9]}
    assert client.ask("POST", "/v1/jobs", {**request.to_dict(), **fits}).status == 201
    assert client.ask("POST", "/v1/jobs", {"key": "x" * 100_000}).code == "too_large"


def test_memory(start: Any, small_model: Any) -> None:
    client = start(max_memory=30.0).client()
    assert client.ask("POST", "/v1/jobs", small_grid(small_model)[0].to_dict()).status == 201
    answer = client.ask("POST", "/v1/jobs", big_grid(small_model, 128)[0].to_dict())
    assert answer.code == "too_large" and "memory" in answer.json["message"]


def test_a_volume_that_takes_too_much_memory_fails_with_the_sentence(
    start: Any, small_model: Any, rng: np.random.Generator
) -> None:
    client = start(max_memory=1.0).client()
    request, body = volume_job(small_model, "small", random_volume(rng, (21, 22, 23)))
    job = client.create(request)
    client.put(job.id, body)
    status = client.status(job.id, 20)
    assert status.state == "failed" and status.error is not None
    assert status.error[0] == "LowResSegError" and "MB" in status.error[1]
    assert client.ask("GET", f"/v1/jobs/{job.id}/result").json["message"] == status.error[1]


def test_volumes_only_where_they_are_wanted(start: Any, small_model: Any, rng: np.random.Generator) -> None:
    client = start(volumes=False).client()
    request, _ = volume_job(small_model, "small", random_volume(rng))
    assert "no full volumes" in client.ask("POST", "/v1/jobs", request.to_dict()).json["message"]


def test_time(start: Any, small_model: Any) -> None:
    client = start(seconds=0.3).client()
    request, body = big_grid(small_model)
    job = client.create(request)
    client.put(job.id, body)
    status = client.status(job.id, 20)
    assert status.state == "failed" and status.error is not None and "more than the 0.3 seconds" in status.error[1]
    # The worker is free again, and a quick job does well.
    assert client.run(*small_grid(small_model))


def test_jobs_in_total_and_of_a_client(start: Any, small_model: Any, tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "server")
    one, two, three = (tokens.create(name) for name in "abc")
    running = start(queued=3, queued_per_client=2)

    def ask(token: str) -> Any:
        fresh, _ = small_grid(small_model)
        return running.client(token).ask("POST", "/v1/jobs", fresh.to_dict())

    first = ask(one)
    assert first.status == 201 and ask(one).status == 201
    refused = ask(one)
    assert (refused.status, refused.code) == (429, "too_many") and int(refused.headers["retry-after"]) > 0
    assert ask(two).status == 201
    refused = ask(three)
    assert (refused.status, refused.code) == (503, "full") and refused.json["retry_after"] > 0
    assert running.client(one).ask("DELETE", f"/v1/jobs/{first.json['id']}").status == 204
    assert ask(three).status == 201


def test_the_queue_is_in_order_and_tells_the_place(start: Any, small_model: Any) -> None:
    running = start()
    client = running.client()
    jobs = []
    for request, body in (big_grid(small_model), *(small_grid(small_model, seed) for seed in range(3))):
        jobs.append(client.create(request))
        client.put(jobs[-1].id, body)
    wait_until(lambda: client.status(jobs[0].id).state == "running")
    assert [client.status(job.id).place for job in jobs] == [None, 0, 1, 2]
    client.ask("DELETE", f"/v1/jobs/{jobs[1].id}")
    assert client.status(jobs[3].id).place == 1
    client.ask("DELETE", f"/v1/jobs/{jobs[0].id}")
    assert client.status(jobs[3].id, 30).state == "done" and client.status(jobs[2].id).state == "done"


def test_age(start: Any, small_model: Any) -> None:
    running = start(keep_seconds=50.0, upload_seconds=20.0)
    queue, client = running.server.service.queue, running.client()
    request, body = small_grid(small_model)
    client.run(request, body)
    done, resting = client.create(request), client.create(small_grid(small_model)[0])
    client.put(resting.id, body, 0, 10)
    folder = running.server.service.settings.folder / "jobs"
    assert {"result", "record.json"} <= set(os.listdir(folder / done.id))
    queue.sweep(time.time() + 25)
    assert client.status(done.id).state == "done" and client.status(resting.id).state == "expired"
    queue.sweep(time.time() + 60)
    assert client.status(done.id).state == "expired" and os.listdir(folder / done.id) == ["states.jsonl"]
    answer = client.ask("GET", f"/v1/jobs/{done.id}/result")
    assert (answer.status, answer.code) == (410, "expired")
    queue.sweep(time.time() + 120)
    assert client.ask("GET", f"/v1/jobs/{done.id}").code == "not_found" and not list(folder.iterdir())


def test_a_full_disk_before_and_during_an_upload(start: Any, small_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start(spare_bytes=1 << 20).client()
    request, body = small_grid(small_model)
    usage = shutil.disk_usage("/")
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 20))
        answer = client.ask("POST", "/v1/jobs", request.to_dict())
        assert (answer.status, answer.code) == (507, "no_disk")
    job = client.create(request)
    with monkeypatch.context() as full:

        def write(write: Any, chunk: bytes) -> None:
            write(chunk[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        full.setattr(transfer, "_write", write)
        answer = client.put(job.id, body)
        assert (answer.status, answer.code) == (507, "no_disk") and answer.json["retry_after"] > 0
    assert client.status(job.id).upload == 100
    assert client.put(job.id, body, 100).status == 200 and client.result(job.id)


def test_jobs_that_do_not_fit_the_model_are_refused_before_anything_travels(start: Any, small_model: Any) -> None:
    client = start().client()
    request, _ = small_grid(small_model)
    for change, code in (
        ({"model": "nothing"}, "not_found"),
        ({"model": "../small"}, "not_found"),
        ({"digest": "0" * 64}, "other_model"),
        ({"passes": 4}, "bad_job"),
        ({"passes": 1}, "bad_job"),
        ({"shape": (2, 16, 24, 23)}, "bad_job"),
    ):
        given = dataclasses.replace(request, **change)  # type: ignore[arg-type]
        given = dataclasses.replace(given, size=(9, 9, 9))
        answer = client.ask("POST", "/v1/jobs", given.to_dict())
        assert (answer.status, answer.code) == (CODES[code], code), change


def test_intensities_beyond_the_networks_fail(start: Any, small_model: Any) -> None:
    from minimal_client import grid_job

    client = start().client()
    request, body = grid_job(small_model, "small", [np.full((8, 8, 8), 128, np.uint8)] * 2, (8, 8, 8))
    job = client.create(request)
    client.put(job.id, body)
    status = client.status(job.id, 20)
    assert status.error is not None and "above 127" in status.error[1]


def test_results_wait_to_be_fetched_until_there_are_too_many(
    tmp_path: Path, small_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_queue, "_MOST_ENDED", 4)
    queue = job_queue.JobQueue(Settings(folder=tmp_path))
    made = []
    for number in range(6):
        job, _ = queue.create("", dataclasses.replace(small_grid(small_model)[0], key=f"key-{number}"))
        made.append(job.id)
        left = [identity for identity in made if identity in queue._jobs]
        assert left == made[-5:]  # four that have ended, and the new one
        queue.cancel(job)
    queue.close()


def test_an_unexpected_error_is_told_counted_and_logged_once(
    start: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = start()
    monkeypatch.setattr(running.server.service, "describe_models", lambda: 1 / 0)
    client = running.client()
    assert client.ask("GET", "/v1/models").code == "failed"
    assert 'lowresseg_errors_total{code="failed"} 1\n' in client.ask("GET", "/v1/metrics").body.decode()
    assert [record.message for record in caplog.records].count("a request failed") == 1


def test_metrics_count(start: Any, small_model: Any) -> None:
    client = start().client()
    request, body = small_grid(small_model)
    result = client.run(request, body)
    client.ask("GET", "/v1/nothing")
    text = client.ask("GET", "/v1/metrics").body.decode()
    values = dict(re.findall(r"^(lowresseg_\S+) (\S+)$", text, re.MULTILINE))
    assert float(values["lowresseg_received_bytes_total"]) >= len(body)
    assert float(values["lowresseg_sent_bytes_total"]) >= len(result)
    assert values['lowresseg_errors_total{code="not_found"}'] == "1"
    assert values['lowresseg_jobs{state="done"}'] == "1" and values["lowresseg_job_seconds_count"] == "1"
    assert text.count("# TYPE") == len(set(re.findall(r"^lowresseg_[a-z_]+", text, re.MULTILINE)))


def test_of_a_job_s_states_the_last_whole_one_counts(tmp_path: Path, small_model: Any) -> None:
    job = ServerJob("0" * 32, "", small_grid(small_model)[0], tmp_path / ("0" * 32), "waiting", 1.0, 2.0)
    job.folder.mkdir()
    job.save()
    job.state, job.attempts = "running", 1
    job.save()
    log = job.folder / "states.jsonl"
    whole = log.read_bytes()
    for end in range(len(whole) // 2 + 10, len(whole)):  # the second line breaks off, and a third one comes behind it
        log.write_bytes(whole[:end])
        assert ServerJob.load(job.folder).state == "waiting"
        job.save()
        assert (ServerJob.load(job.folder).state, ServerJob.load(job.folder).attempts) == ("running", 1)
    log.write_bytes(whole[:20])
    with pytest.raises(KeyError):
        ServerJob.load(job.folder)
