"""Whatever goes wrong on the way: the same labelmap after another try, or one sentence; and never a second run."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import numpy as np
import pytest
from faults import JOB, cut, half_an_answer, hit, refuse, times
from stand_in import Handler, StandIn, scan, serving

from LowResSegLib import pipeline
from LowResSegLib.errors import InputError, RemoteError
from LowResSegLib.remote.client import Server, segment_remotely, segmenting, session
from LowResSegLib.remote.protocol import DIGEST_HEADER, AnswerError
from LowResSegLib.volume import Volume

pytestmark = pytest.mark.usefixtures("small_model", "quick")


def same(volume: Volume, server: StandIn, **more: Any) -> None:
    """The server's labelmap is the one made here, and the job ran once."""
    expected, _ = pipeline.segment(volume, "small")
    labelmap, record, _ = segment_remotely(volume, "small", Server(server.url), **more)
    assert np.array_equal(labelmap.array, expected.array)
    assert server.runs == 1 and not server.jobs and not record["warnings"]


@pytest.mark.parametrize(("method", "ending"), JOB)
@pytest.mark.parametrize("do", [cut, half_an_answer, refuse("full"), refuse("too_many")])
def test_what_fails_once_or_twice_goes_well(
    server: StandIn, rng: np.random.Generator, method: str, ending: str, do: Any
) -> None:
    if (method, ending) == ("POST", "/jobs") and do is half_an_answer:
        server.faults.append(times(1, "POST", "/jobs", do))  # nothing was known of the server before
        with pytest.raises(RemoteError):
            segment_remotely(scan(rng), "small", Server(server.url))
        return
    if (method, ending) == ("POST", "/jobs") and do is cut:
        server.faults.append(times(1, "POST", "/jobs", do))
        with pytest.raises(RemoteError):
            segment_remotely(scan(rng), "small", Server(server.url))
        return
    server.faults.append(times(2, method, ending, do))
    same(scan(rng), server)
    assert server.asked(method, ending) >= 3


def test_a_job_whose_answer_was_lost_is_not_made_twice(server: StandIn, rng: np.random.Generator) -> None:
    made: list[str] = []

    def fault(handler: Handler) -> bool:
        if not hit(handler, "POST", "/jobs") or made:
            return False
        kept, handler.wfile = handler.wfile, open("/dev/null", "wb")  # noqa: SIM115
        handler._answer()
        handler.wfile.close()
        handler.wfile = kept
        made.extend(server.jobs)
        handler.cut()
        return True

    server.faults.append(fault)
    client = Server(server.url)
    with session.Session(client) as talk:
        talk.health()  # from now on the server is known to be there
        from LowResSegLib.model import load_model
        from LowResSegLib.remote.protocol import JobRequest

        request = JobRequest(
            "11111111-2222-3333-4444-555555555555",
            "grid",
            "small",
            load_model("small").digest,
            (1, 8, 8, 8),
            "uint8",
            512,
            "0" * 64,
            size=(8, 8, 8),
        )
        job = talk.create(request)
    assert len(made) == 1 and job.id == made[0] and list(server.jobs) == made
    assert server.asked("POST", "/jobs") == 2


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_an_upload_that_breaks_off_goes_on_where_it_was(
    server: StandIn, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    monkeypatch.setattr(session, "_PIECE", 100)
    taken: list[int] = []

    def do(handler: Handler) -> None:
        (job,) = server.jobs.values()
        taken.append(int(share * job["request"].bytes))
        while len(job["body"]) < taken[0]:
            job["body"] += handler.rfile.read1(taken[0] - len(job["body"]))
        handler.cut()

    server.faults.append(times(1, "PUT", "/input", do))
    same(scan(rng), server)
    assert server.asked("HEAD", "/input") == 1 and server.asked("PUT", "/input") == 2


def test_patience_counts_from_the_failure_and_anew_where_something_arrived(
    server: StandIn, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three tries break off, each after longer than the patience, and each has brought a quarter of the body."""
    monkeypatch.setattr(session, "_PIECE", 100)
    volume = scan(rng)
    expected, _ = pipeline.segment(volume, "small")

    def do(handler: Handler) -> None:
        (job,) = server.jobs.values()
        wanted = len(job["body"]) + job["request"].bytes // 4
        while len(job["body"]) < wanted:
            job["body"] += handler.rfile.read1(wanted - len(job["body"]))
        time.sleep(0.4)
        handler.cut()

    server.faults.append(times(3, "PUT", "/input", do))
    labelmap, _, _ = segment_remotely(volume, "small", Server(server.url, patience=0.2))
    assert np.array_equal(labelmap.array, expected.array) and server.asked("PUT", "/input") == 4


@pytest.mark.parametrize("kind", ["LowResSegError", "BackendError", "ModelError", "InputError"])
def test_what_the_server_cannot_do_is_done_here_but_not_what_the_scan_is_at_fault_for(
    server: StandIn, rng: np.random.Generator, kind: str
) -> None:
    def fail(handler: Handler) -> None:
        (job,) = server.jobs.values()
        job["state"], job["error"] = "failed", (kind, "The job has taken more than the 5 seconds that are allowed.")

    fault = times(1, "GET", "/result", fail)
    server.faults.append(lambda handler: fault(handler) and False)  # what comes is answered as always
    volume = scan(rng)
    if kind == "InputError":
        with pytest.raises(InputError, match="more than the 5 seconds"):
            segment_remotely(volume, "small", Server(server.url), fallback=True)
        return
    labelmap, record, _ = segment_remotely(volume, "small", Server(server.url), fallback=True)
    expected, _ = pipeline.segment(volume, "small")
    assert np.array_equal(labelmap.array, expected.array) and "more than the 5 seconds" in record["warnings"][0]


def test_a_body_that_arrives_damaged_is_sent_again_but_not_for_ever(server: StandIn, rng: np.random.Generator) -> None:
    damage = [1]

    def fault(handler: Handler) -> bool:
        if hit(handler, "PUT", "/input") and damage[0]:
            damage[0] -= 1
            (job,) = server.jobs.values()
            handler.rfile.read(job["request"].bytes)
            raise AnswerError("damaged", "The body is damaged.")
        return False

    server.faults.append(fault)
    volume = scan(rng)
    same(volume, server)
    damage[0] = 100
    with pytest.raises(RemoteError, match="is damaged"):
        segment_remotely(volume, "small", Server(server.url))
    assert 100 - damage[0] == 3


def result_of(server: StandIn, handler: Handler) -> bytes:
    (job,) = server.jobs.values()
    handler.server.faults, kept = [], handler.server.faults
    written, handler.wfile = handler.wfile, open("/dev/null", "wb")  # noqa: SIM115
    handler._answer()  # which computes it
    handler.wfile.close()
    handler.wfile, handler.server.faults = written, kept
    return job["result"]


def test_a_result_that_breaks_off_goes_on_where_it_was(server: StandIn, rng: np.random.Generator) -> None:
    def do(handler: Handler) -> None:
        import hashlib

        content = result_of(server, handler)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.send_header(DIGEST_HEADER, hashlib.sha256(content).hexdigest())
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.cut()

    ranges: list[Any] = []

    def watch(handler: Handler) -> bool:
        if hit(handler, "GET", "/result"):
            ranges.append(handler.headers.get("Range"))
        return False

    server.faults += [watch, times(1, "GET", "/result", do)]
    same(scan(rng), server)
    assert ranges[0] is None and ranges[1].startswith("bytes=") and ranges[1] != "bytes=0-"


@pytest.mark.parametrize("count", [1, 2, 100])
def test_a_damaged_answer_is_fetched_again_and_at_last_thrown_away(
    server: StandIn, rng: np.random.Generator, count: int
) -> None:
    def do(handler: Handler) -> None:
        import hashlib

        content = bytearray(result_of(server, handler))
        digest = hashlib.sha256(content).hexdigest()
        content[len(content) // 2] ^= 1
        handler.bytes(200, bytes(content), {DIGEST_HEADER: digest})

    server.faults.append(times(count, "GET", "/result", do))
    if count < 3:
        same(scan(rng), server)
        return
    with pytest.raises(RemoteError, match="arrived damaged, again and again, and was thrown away"):
        segment_remotely(scan(rng), "small", Server(server.url))
    assert server.runs == 1 and not server.jobs


@pytest.mark.parametrize("kind", ["other size", "garbage", "too long", "no digest"])
def test_a_result_that_is_not_the_job_s_is_refused(server: StandIn, rng: np.random.Generator, kind: str) -> None:
    def do(handler: Handler) -> None:
        import hashlib

        content = result_of(server, handler)
        if kind == "other size":
            from LowResSegLib.remote.packed import pack_labels

            content = b"".join(pack_labels(np.zeros((3, 3, 3), np.uint8), "raw"))
        elif kind == "garbage":
            content = np.random.default_rng(1).bytes(1000)
        elif kind == "too long":
            content = bytes(64 << 20)
        digest = hashlib.sha256(content).hexdigest()
        handler.close_connection = True
        handler.bytes(200, content, {} if kind == "no digest" else {DIGEST_HEADER: digest})

    server.faults.append(times(100, "GET", "/result", do))
    with pytest.raises(RemoteError, match=r"damaged|far larger"):
        segment_remotely(scan(rng), "small", Server(server.url))


@pytest.mark.parametrize(("method", "ending"), JOB[1:])
def test_a_server_that_goes_away_is_waited_for_no_longer_than_is_said(
    rng: np.random.Generator, method: str, ending: str
) -> None:
    volume = scan(rng)
    expected, _ = pipeline.segment(volume, "small")
    with serving() as server:

        def vanish(handler: Handler) -> bool:
            if not hit(handler, method, ending):
                return False
            server.socket.close()
            server.faults[:] = [lambda handler: (handler.cut(), True)[1]]
            handler.cut()
            return True

        server.faults.append(vanish)
        began = time.monotonic()
        with pytest.raises(RemoteError, match=r"127\.0\.0\.1"):
            segment_remotely(volume, "small", Server(server.url, patience=0.3))
        assert time.monotonic() - began < 5
        labelmap, record, _ = segment_remotely(volume, "small", Server(server.url, patience=0.3), fallback=True)
    assert np.array_equal(labelmap.array, expected.array) and "This computer did the work" in record["warnings"][0]


def test_a_server_that_comes_back_is_found(rng: np.random.Generator) -> None:
    """It is gone for a while after the upload, and keeps its jobs, as the real one does on its disk."""
    with serving() as first:
        port = first.server_address[1]
        back: list[StandIn] = []

        def vanish(handler: Handler) -> bool:
            if not hit(handler, "GET", "/result") or back:
                return False
            first.socket.close()

            def return_later() -> None:
                time.sleep(0.3)
                StandIn.allow_reuse_address = True
                second = StandIn.__new__(StandIn)
                second.__dict__.update(first.__dict__)
                second.faults = []
                second.socket = socket.socket()
                second.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                second.socket.bind(("127.0.0.1", port))
                second.socket.listen()
                threading.Thread(target=lambda: second.serve_forever(0.01), daemon=True).start()

            back.append(first)
            threading.Thread(target=return_later, daemon=True).start()
            handler.cut()
            return True

        first.faults.append(vanish)
        volume = scan(rng)
        expected, _ = pipeline.segment(volume, "small")
        labelmap, _, _ = segment_remotely(volume, "small", Server(first.url, patience=10))
        assert np.array_equal(labelmap.array, expected.array)


def test_a_full_server_is_waited_for_as_it_says_and_then_told(server: StandIn, rng: np.random.Generator) -> None:
    server.faults.append(times(1000, "POST", "/jobs", refuse("full", 0.2)))
    began = time.monotonic()
    with pytest.raises(RemoteError, match="Come back later"):
        segment_remotely(scan(rng), "small", Server(server.url, patience=0.5))
    assert 0.4 < time.monotonic() - began < 3
    assert server.asked("POST", "/jobs") == 4


@pytest.mark.parametrize("code", ["wrong_token", "revoked_token", "too_large", "no_disk", "not_found"])
def test_a_refusal_is_told_at_once(server: StandIn, rng: np.random.Generator, code: str) -> None:
    server.faults.append(times(1000, "POST", "/jobs", refuse(code)))
    with pytest.raises(RemoteError, match="Come back later"):
        segment_remotely(scan(rng), "small", Server(server.url))
    assert server.asked("POST", "/jobs") == 1


def test_a_refusal_in_the_middle_of_an_upload_is_told(
    server: StandIn, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers before it has read the body, and closes."""
    monkeypatch.setattr(segmenting, "is_loopback", lambda host: True)
    volume = scan(rng, (220, 220, 220))

    def do(handler: Handler) -> None:
        handler.close_connection = True
        error = AnswerError("no_disk", "The server's disk is full.")
        handler.json(error.status, error.to_dict())

    server.faults.append(times(1000, "PUT", "/input", do))
    with pytest.raises(RemoteError, match=r"disk is full|broke off"):
        segment_remotely(volume, "small", Server(server.url, patience=0.5), full_volume=True)
