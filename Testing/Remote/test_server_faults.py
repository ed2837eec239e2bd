"""What goes wrong: killed servers and workers, clients that go or rest, garbage, tricks with paths; and the log."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workers import posix, wait_until

pytest.importorskip("fastapi")

from minimal_client import MinimalClient, big_grid, small_grid, unpack_logits

from LowResSegLib.errors import InputError
from LowResSegLib.remote.server.job import ServerJob
from LowResSegLib.remote.server.job_queue import MAX_ATTEMPTS, JobQueue
from LowResSegLib.remote.server.settings import Settings
from LowResSegLib.remote.server.tokens import Tokens

CHECKOUT = Path(__file__).resolve().parents[2]


class Process:
    """`lowresseg serve` in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder.parent / f"log-{time.monotonic_ns()}.txt"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "LowResSegLib", "serve", "--port", "0", "--folder", str(folder), *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=CHECKOUT,
            )
        assert self.process.stdout is not None
        match = re.search(rb"serves at (\S+)", self.process.stdout.readline())
        assert match, self.log.read_text()
        self.address = match[1].decode()

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


def connect(address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=20)


@posix
def test_a_server_that_was_killed_goes_on_where_it_was(tmp_path: Path, small_model: Any) -> None:
    folder = tmp_path / "server"
    first = Process(folder, "--threads", "1")
    client = MinimalClient(first.address)
    (done, body), (running, big), (uploading, _), (waiting, late) = (
        small_grid(small_model, 1),
        big_grid(small_model, 192),
        small_grid(small_model, 1),
        small_grid(small_model, 2),
    )
    result = client.run(done, body)
    jobs = {"done": client.create(done)}
    for name, request, content in (("running", running, big), ("waiting", waiting, late)):
        jobs[name] = client.create(request)
        client.put(jobs[name].id, content)
    jobs["uploading"] = client.create(uploading)
    client.put(jobs["uploading"].id, body, 0, 700)
    wait_until(lambda: client.status(jobs["running"].id).state == "running")
    first.end(signal.SIGKILL)
    (folder / "jobs" / ("0" * 32)).mkdir()  # as if it had been killed while it made a job
    second = Process(folder, "--threads", "1")
    try:
        client = MinimalClient(second.address)
        assert client.result(jobs["done"].id) == result
        assert client.status(jobs["uploading"].id).upload == 700
        assert client.put(jobs["uploading"].id, body, 700).status == 200
        assert client.result(jobs["uploading"].id) == result
        assert unpack_logits(client.result(jobs["running"].id), len(small_model.labels), running.size)[0].any()
        assert client.result(jobs["waiting"].id) != result
        assert client.create(running).id == jobs["running"].id  # the key is known, too
        assert not (folder / "jobs" / ("0" * 32)).exists()
        job = ServerJob.load(folder / "jobs" / jobs["running"].id)
        assert job.attempts == 2 and not job.input.exists()
    finally:
        second.end(signal.SIGKILL)


@posix
def test_a_server_that_is_asked_to_end_gives_running_jobs_back(tmp_path: Path, small_model: Any) -> None:
    folder = tmp_path / "server"
    server = Process(folder)
    client = MinimalClient(server.address)
    request, body = big_grid(small_model)
    job = client.create(request)
    client.put(job.id, body)
    wait_until(lambda: client.status(job.id).state == "running")
    client.close()
    began = time.monotonic()
    assert server.end(signal.SIGTERM) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    assert time.monotonic() - began < 10
    left = ServerJob.load(folder / "jobs" / job.id)
    assert left.state == "waiting" and left.attempts == 0


@posix
def test_a_job_that_kills_servers_again_and_again_is_given_up(tmp_path: Path, small_model: Any) -> None:
    settings = Settings(folder=tmp_path)
    queue = JobQueue(settings)
    request, body = small_grid(small_model)
    job, _ = queue.create("", request)
    job.input.write_bytes(body)
    queue.uploaded(job)
    for _ in range(MAX_ATTEMPTS):
        assert queue.take(0) is not None
        queue.close()  # as a kill does: the state on disk stays `running`
        queue = JobQueue(settings)
    again = queue.get("", job.id)
    assert again.state == "failed" and again.error is not None and "several times" in again.error[1]
    assert queue.take(0) is None
    queue.close()


def test_one_folder_has_one_server(tmp_path: Path) -> None:
    queue = JobQueue(Settings(folder=tmp_path))
    with pytest.raises(InputError, match="Another server uses"):
        JobQueue(Settings(folder=tmp_path))
    queue.close()
    JobQueue(Settings(folder=tmp_path)).close()


@posix
def test_a_worker_that_is_killed_is_replaced_and_the_job_run_again(start: Any, small_model: Any) -> None:
    running = start()
    client = running.client()
    request, body = big_grid(small_model, 192)
    job = client.create(request)
    client.put(job.id, body)
    kill_worker(running, client, job.id)
    assert client.status(job.id, 30).state == "done"
    assert running.server.service.queue.get("", job.id).attempts == 2


@posix
def test_a_job_in_which_workers_die_fails_with_a_sentence(start: Any, small_model: Any) -> None:
    running = start()
    client = running.client()
    request, body = big_grid(small_model)
    job = client.create(request)
    client.put(job.id, body)
    for attempt in (1, 2):
        wait_until(lambda attempt=attempt: running.server.service.queue.get("", job.id).attempts == attempt)
        kill_worker(running, client, job.id)
    status = client.status(job.id, 30)
    assert status.state == "failed" and status.error is not None and "ended unexpectedly" in status.error[1]
    assert client.run(*small_grid(small_model))


def kill_worker(running: Any, client: MinimalClient, job: str) -> None:
    wait_until(lambda: client.status(job).step == "network")
    (runner,) = running.server.service._runners
    os.kill(runner._worker._child._process.pid, signal.SIGKILL)


def test_a_client_that_goes_does_not_disturb_the_others(start: Any, small_model: Any) -> None:
    running = start()
    client = running.client()
    request, body = small_grid(small_model)
    job = client.create(request)
    for path in (f"/v1/jobs/{job.id}/events", f"/v1/jobs/{job.id}?wait=30", f"/v1/jobs/{job.id}/result?wait=30"):
        with connect(running.address) as gone:
            gone.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            time.sleep(0.05)
    assert client.put(job.id, body).status == 200
    assert client.result(job.id)


def test_clients_that_rest_are_sent_away(start: Any, small_model: Any) -> None:
    running = start(body_seconds=0.5)
    client = running.client()
    request, body = small_grid(small_model)
    job = client.create(request)
    head = f"PUT /v1/jobs/{job.id}/input HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Range: bytes 0-{len(body) - 1}/{len(body)}\r\n\r\n"
    for sent in (b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", head.encode() + body[:300]):
        with connect(running.address) as resting:
            resting.sendall(sent)
            began = time.monotonic()
            answer = b"".join(iter(lambda: resting.recv(4096), b""))
            assert time.monotonic() - began < 5
            assert (b" 408 " in answer) == sent.startswith(b"PUT"), (sent, answer)
    assert client.status(job.id).upload == 300
    assert client.put(job.id, body, 300).status == 200
    assert client.status(job.id, 20).state == "done"  # who waits for us does not rest


def test_a_client_that_sends_slowly_but_steadily_is_served(start: Any, small_model: Any) -> None:
    running = start(body_seconds=0.6)
    request, body = small_grid(small_model)
    job = running.client().create(request)
    with connect(running.address) as slow:
        head = f"PUT /v1/jobs/{job.id}/input HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        slow.sendall(f"{head}Content-Range: bytes 0-{len(body) - 1}/{len(body)}\r\n\r\n".encode())
        for place in range(0, len(body), len(body) // 8):
            slow.sendall(body[place : place + len(body) // 8])
            time.sleep(0.15)
        assert slow.recv(100).startswith(b"HTTP/1.1 200")


def test_a_client_that_comes_back_takes_its_upload_over(start: Any, small_model: Any) -> None:
    running = start()
    client = running.client()
    request, body = small_grid(small_model)
    job = client.create(request)
    with connect(running.address) as old:  # which the server does not know to be gone
        head = f"PUT /v1/jobs/{job.id}/input HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        old.sendall(f"{head}Content-Range: bytes 0-{len(body) - 1}/{len(body)}\r\n\r\n".encode() + body[:500])
        wait_until(lambda: client.status(job.id).upload == 500)
        assert client.put(job.id, body, 500, 900).status == 200
        old.sendall(b"late" * 10)
        assert b" 409 " in old.recv(4096)
        assert client.status(job.id).upload == 900
        assert client.put(job.id, body, 900).status == 200
        assert client.result(job.id)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs/../../../etc/passwd",
        "/v1/jobs/..%2f..%2fstates.jsonl",
        "/v1/jobs/%2e%2e/tokens.json",
        "/v1/jobs/%00",
        "/v1/jobs/" + "0" * 32,
        "/v1/jobs/" + "A" * 32,
        "/v1/jobs/" + "0" * 32 + "%0a",
        "/v1/jobs/" + "0" * 20_000,
        "/v1/jobs//result",
        "//v1/jobs",
        "/v1/jobs/{id}/../{id}/states.jsonl",
        "/v1/jobs/{id}/states.jsonl",
    ],
)
def test_tricks_with_paths_find_nothing(start: Any, small_model: Any, path: str) -> None:
    client = start().client()
    job = client.create(small_grid(small_model)[0])
    for method in ("GET", "DELETE", "PUT"):
        answer = client.ask(method, path.replace("{id}", job.id))
        assert answer.status in (400, 404, 405, 416), (answer, method)
        assert b"tokens" not in answer.body and b"digest" not in answer.body
    assert client.status(job.id).state == "uploading"


def test_garbage_gets_an_answer_and_changes_nothing(start: Any, small_model: Any) -> None:
    running = start()
    client = running.client()
    request, body = small_grid(small_model)
    job = client.create(request)
    rng = np.random.default_rng(5)
    text = json.dumps(request.to_dict()).encode()
    for number in range(150):
        damaged = bytearray(text)
        for place in rng.integers(0, len(text), 1 + number % 5):
            damaged[place] = rng.integers(256)
        answer = client.ask("POST", "/v1/jobs", bytes(damaged), {"Content-Type": "application/json"})
        # A digit of the key, or of an optional number, makes another good request.
        assert answer.status in (200, 201, 400, 404, 409, 413, 422, 429), answer
        if answer.status == 201:
            client.ask("DELETE", f"/v1/jobs/{answer.json['id']}")
    for content in (b"[" * 60_000, b'{"key": NaN}', b"null", b"", b"\xff\xfe", b'{"key": 1e999}'):
        answer = client.ask("POST", "/v1/jobs", content, {"Content-Type": "application/json"})
        assert answer.status in (400, 422) and answer.code
    assert client.ask("POST", "/v1/jobs", text, {"Content-Type": "text/plain"}).code == "bad_request"
    for query in ("wait=-1", "wait=nan", "wait=x", "wait=inf"):
        assert client.ask("GET", f"/v1/jobs/{job.id}?{query}").code == "bad_request"
    for place in ("bytes 5-2/9", "", f"bytes 0-{len(body)}/{len(body) + 1}", "bytes 0-0/1"):
        answer = client.ask("PUT", f"/v1/jobs/{job.id}/input", body, {"Content-Range": place})
        assert (answer.status, answer.code) == (416, "wrong_range")
    longer = client.ask("PUT", f"/v1/jobs/{job.id}/input", body, {"Content-Range": f"bytes 0-9/{len(body)}"})
    assert longer.code == "wrong_range"
    for _ in range(30):
        with connect(running.address) as raw:
            raw.sendall(rng.bytes(200) + b"\r\n\r\n")
    assert client.status(job.id).upload == 0
    assert client.put(job.id, body).status == 200 and client.result(job.id)


def test_a_body_that_is_no_array_fails_with_a_sentence(start: Any, small_model: Any) -> None:
    import dataclasses
    import hashlib

    client = start().client()
    request, _ = small_grid(small_model)
    for body in (b"no zlib at all", b"\x78\x01"):
        digest = hashlib.sha256(body).hexdigest()
        key = f"{hash(body) % 10**12:012d}"
        given = dataclasses.replace(request, key=f"00000000-0000-0000-0000-{key}", bytes=len(body), sha256=digest)
        job = client.create(given)
        assert client.put(job.id, body).status == 200
        status = client.status(job.id, 20)
        assert status.state == "failed" and status.error is not None and status.error[1].endswith(".")


def test_the_log_names_nobody(start: Any, small_model: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = Tokens(tmp_path / "server").create("Doctor Smith")
    running = start()
    client = running.client(token)
    client.run(*small_grid(small_model))
    client.ask("GET", "/v1/jobs/Mustermann%5EErika?name=Mustermann", headers={"X-Name": "Mustermann"})
    client.ask("GET", f"/v1/models?token={token}")
    running.client("lrs_" + "a" * 16 + "_" + "B" * 43).ask("GET", "/v1/models")

    def logged() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name.startswith("lowresseg")]

    done = re.compile(r"job [0-9a-f]{32} grid done in=\d+ out=\d+ seconds=")
    wait_until(lambda: any(done.search(line) for line in logged()))  # the client hears of it before the log does
    lines = logged()
    assert any("PUT /v1/jobs/" in line and re.search("client=[0-9a-f]{8} ", line) for line in lines)
    for secret in ("Mustermann", "Smith", token, token.split("_")[1], token.split("_", 2)[2], "127.0.0.1"):
        assert not any(secret in line for line in lines), secret
