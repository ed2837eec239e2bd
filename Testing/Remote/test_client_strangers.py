"""Whatever answers that is not the server that was meant: a sentence, in good time."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
from faults import cut, half_an_answer, nonsense, times
from stand_in import Handler, StandIn, scan

from LowResSegLib import pipeline
from LowResSegLib.errors import LowResSegError, RemoteError
from LowResSegLib.remote.client import Server, check_server, segment_remotely
from LowResSegLib.remote.client.connection import Connection
from LowResSegLib.remote.protocol import AnswerError

pytestmark = pytest.mark.usefixtures("small_model", "quick")


@pytest.mark.parametrize(
    ("health", "sentence"),
    [
        ({"protocol": 3, "least": 2, "lowresseg": "9"}, "update LowResSeg here"),
        ({"protocol": 0, "least": 0, "lowresseg": "0"}, "update LowResSeg on the server"),
        ({"hello": "world"}, "no LowResSeg server"),
        ([], "no LowResSeg server"),
    ],
)
def test_a_server_of_another_version_is_told(server: StandIn, health: Any, sentence: str) -> None:
    server.health = health
    with pytest.raises(RemoteError, match=sentence):
        check_server(Server(server.url))


def test_a_wrong_version_in_the_middle_is_told(server: StandIn, rng: np.random.Generator) -> None:
    def do(handler: Handler) -> None:
        handler.close_connection = True
        error = AnswerError("wrong_version", "Speak 2 to 3.", protocol=(2, 3))
        handler.json(error.status, error.to_dict())

    server.faults.append(times(1, "POST", "/jobs", do))
    with pytest.raises(RemoteError, match="update LowResSeg here"):
        segment_remotely(scan(rng), "small", Server(server.url))


@pytest.mark.parametrize("do", [nonsense, half_an_answer, cut])
@pytest.mark.parametrize("ending", ["/healthz", "/capabilities", "/models"])
def test_whatever_answers_gets_a_sentence(server: StandIn, do: Any, ending: str) -> None:
    server.faults.append(times(1000, "GET", ending, do))
    with pytest.raises(RemoteError, match=r"does not speak HTTP|broke off|closed the connection"):
        check_server(Server(server.url, patience=0.1))


@pytest.mark.parametrize("body", [b"", b"nothing", b"[]", b"{}", b'{"models": 3}', b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("ending", ["/capabilities", "/models", "/jobs"])
def test_answers_that_are_not_the_protocol_s_get_a_sentence(
    server: StandIn, rng: np.random.Generator, ending: str, body: bytes
) -> None:
    method = "POST" if ending == "/jobs" else "GET"
    server.faults.append(times(1000, method, ending, lambda handler: handler.bytes(200, body)))
    with pytest.raises(RemoteError, match=r"cannot be understood"):
        if ending == "/jobs":
            segment_remotely(scan(rng), "small", Server(server.url))
        else:
            check_server(Server(server.url))


def test_an_answer_without_end_is_given_up(server: StandIn) -> None:
    def do(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        for _ in range(1000):
            handler.wfile.write(bytes(1 << 20))

    server.faults.append(times(1, "GET", "/healthz", do))
    with pytest.raises(RemoteError, match="far larger"):
        check_server(Server(server.url))


def test_a_redirection_is_not_followed(server: StandIn) -> None:
    def do(handler: Handler) -> None:
        handler.bytes(307, b"", {"Location": "http://127.0.0.1:9/"})

    server.faults.append(times(1, "GET", "/capabilities", do))
    with pytest.raises(RemoteError, match="leads to another one"):
        check_server(Server(server.url, "token"))


def test_a_proxy_s_error_page_is_told(server: StandIn) -> None:
    server.faults.append(times(1, "GET", "/capabilities", lambda handler: handler.bytes(500, b"<html>")))
    with pytest.raises(RemoteError, match="HTTP status 500"):
        check_server(Server(server.url))


def test_a_server_that_says_nothing_is_given_up(server: StandIn) -> None:
    server.faults.append(times(1, "GET", "/healthz", lambda handler: time.sleep(1)))
    connection = Connection(Server(server.url), timeout=0.2)
    with pytest.raises(RemoteError, match="does not answer"):
        connection.request("GET", "/healthz")
    connection.close()


def test_an_unknown_computer_is_told() -> None:
    with pytest.raises(RemoteError, match=r"There is no computer named no-such-host\.invalid"):
        check_server(Server("https://no-such-host.invalid"))


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_damaged_anywhere_ends_in_the_same_labelmap_or_a_sentence(server: StandIn, seed: int) -> None:
    """Answers lose bytes, or some are changed, at random, headers aside."""
    rng = np.random.default_rng(seed)
    volume = scan(np.random.default_rng(0), (10, 12, 14))
    expected, _ = pipeline.segment(volume, "small")

    def fault(handler: Handler) -> bool:
        if handler.command in ("PUT", "HEAD", "DELETE") or rng.random() < 0.5:
            return False
        real = handler.bytes

        def damaged(status: int, body: bytes, headers: Any = None) -> None:
            content = bytearray(body)
            if content and rng.random() < 0.7:
                content[rng.integers(len(content))] ^= 1 << rng.integers(8)
            elif content:
                del content[rng.integers(len(content)) :]
            real(status, bytes(content), headers)

        handler.bytes = damaged  # type: ignore[method-assign]
        try:
            handler._answer()
        except AnswerError as error:
            handler.json(error.status, error.to_dict())
        finally:
            del handler.bytes
        return True

    server.faults.append(fault)
    try:
        labelmap, record, _ = segment_remotely(volume, "small", Server(server.url, patience=0.2))
    except LowResSegError as error:
        text = str(error)
        assert text[:1].isupper() and text.rstrip().endswith((".", ")")) and "Traceback" not in text
    else:
        assert np.array_equal(labelmap.array, expected.array)
        json.dumps(record)
    assert server.runs <= 1
