"""What every request passes before the routes see it: version, token, host, time limits, the log."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Optional

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from LowResSegLib.errors import InputError, LowResSegError
from LowResSegLib.remote.protocol import LEAST_VERSION, VERSION, AnswerError, ProtocolError
from LowResSegLib.remote.server.service import Service

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_log = logging.getLogger("lowresseg.access")
_VERSIONED = re.compile(r"/v(\d{1,4})(/.*)?")
_JOB = re.compile(r"/v1/jobs/([0-9a-f]{32})(/input|/result|/record|/events)?")
_PLAIN = re.compile(r"/healthz|/v1/(?:jobs|models|capabilities|metrics)")
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_SEND_SECONDS = 2.0  # times the limit for receiving: a whole part of an answer is waited for


class Guard:
    """The outermost part of the application.

    Args:
        app: the routes.
        service: whose tokens, limits and counters it uses.
    """

    def __init__(self, app: App, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        began, exchange = time.monotonic(), _Exchange(receive, send, self._service.settings.body_seconds)
        try:
            answer = self._admitted(scope)
            if answer is None:
                with contextlib.suppress(Exception):  # the application has told, logged and counted it
                    await self._app(scope, exchange.receive, exchange.send)
            else:
                self._service.metrics.add("errors_total", code=answer.code)
                await exchange.answer(answer)
        finally:
            self._count(scope, exchange, time.monotonic() - began)

    def _admitted(self, scope: Message) -> Optional[AnswerError]:
        """Note whose request it is; what is told to those who are not let in."""
        try:
            scope["client_id"] = self._admit(scope)
        except InputError as error:  # of the file of tokens, which it names: that is for the server's keeper alone
            _log.error("%s", error)
            return AnswerError("failed", "The server cannot read its tokens; ask its keeper, whose log says more.")
        except Exception as error:
            return answer_of(error)
        return None

    def _admit(self, scope: Message) -> str:
        """The id of the client's token, empty where none is needed; raises AnswerError."""
        path = scope["path"]
        if path == "/healthz":
            return ""
        match = _VERSIONED.fullmatch(path)
        if match is None:
            raise AnswerError("not_found", "There is nothing at this address; LowResSeg's paths begin with /v1.")
        if not LEAST_VERSION <= int(match[1]) <= VERSION:
            raise AnswerError(
                "wrong_version",
                f"The server speaks version {VERSION} of the protocol, not {int(match[1])}; update LowResSeg on the "
                f"{'server' if int(match[1]) > VERSION else 'client'}.",
                protocol=(LEAST_VERSION, VERSION),
            )
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._service.needs_token:
            # A page of the web in a browser on this computer must not get here under a name of its own.
            host = headers.get(b"host", "").rpartition(":")[0] if _has_port(headers.get(b"host", "")) else ""
            if (host or headers.get(b"host", "")) not in _LOCAL_NAMES or b"origin" in headers:
                raise AnswerError("wrong_host", "Without a token the server answers to localhost alone.")
            return ""
        kind, _, token = headers.get(b"authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise AnswerError("no_token", "The server needs a token; ask its keeper for one and enter it.")
        return self._service.tokens.check(token.strip()).id

    def _count(self, scope: Message, exchange: _Exchange, seconds: float) -> None:
        metrics = self._service.metrics
        metrics.add("requests_total", status=str(exchange.status))
        metrics.add("received_bytes_total", exchange.received)
        metrics.add("sent_bytes_total", exchange.sent)
        # A path that is none of ours may say anything, also what must not be kept.
        path = scope["path"] if _PLAIN.fullmatch(scope["path"]) or _JOB.fullmatch(scope["path"]) else "-"
        client = scope.get("client_id") or ""
        _log.info(
            "%s %s %s client=%s in=%d out=%d seconds=%.3f",
            scope["method"] if scope["method"].isalpha() and len(scope["method"]) < 8 else "-",
            path,
            exchange.status,
            hashlib.sha256(client.encode()).hexdigest()[:8] if client else "-",
            exchange.received,
            exchange.sent,
            seconds,
        )


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdigit() and not host.endswith("]")


async def _within(awaited: Awaitable[Any], seconds: float) -> Any:
    """What is awaited; raises asyncio.TimeoutError where it takes longer.

    Before Python 3.12 `wait_for` makes a task of everything, which takes long beside a part of a body.
    """
    timeout = getattr(asyncio, "timeout", None)  # of Python 3.11 or newer
    if timeout is None:
        return await asyncio.wait_for(awaited, seconds)
    async with timeout(seconds):
        return await awaited


class _Exchange:
    """One request's two directions, counted, and each given its time."""

    def __init__(self, receive: Receive, send: Send, seconds: float) -> None:
        self._receive, self._send, self._seconds = receive, send, seconds
        self.status = 0
        self.received = self.sent = 0
        self._whole = False

    async def receive(self) -> Message:
        """The next message; a client that rests within its body gets an error, one that waits for us does not."""
        if self._whole:
            return await self._receive()
        try:
            message: Message = await _within(self._receive(), self._seconds)
        except asyncio.TimeoutError as error:
            raise AnswerError("too_slow", "The request did not go on for too long; send it again.") from error
        self._whole = not message.get("more_body", False)
        self.received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        """Send a message; one that is not taken in time ends the connection."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", []),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
            ]
        self.sent += len(message.get("body", b""))
        await _within(self._send(message), _SEND_SECONDS * self._seconds)

    async def answer(self, error: AnswerError) -> None:
        """Send an error as the whole answer."""
        body = json.dumps(error.to_dict()).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if error.retry_after is not None:
            headers.append((b"retry-after", str(round(error.retry_after)).encode()))
        if error.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if not self._whole:  # what is left of the body would be taken for the next request
            headers.append((b"connection", b"close"))
        await self.send({"type": "http.response.start", "status": error.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def answer_of(error: Exception) -> AnswerError:
    """What a client is told of an error."""
    if isinstance(error, AnswerError):
        return error
    if isinstance(error, ProtocolError):
        return AnswerError("bad_job", str(error))
    if isinstance(error, LowResSegError):
        return AnswerError("failed", str(error))
    if isinstance(error, HTTPException):
        allowed = error.status_code == 405
        return AnswerError(
            "not_allowed" if allowed else "not_found",
            "There is no such method here." if allowed else "There is nothing at this address.",
        )
    if isinstance(error, ClientDisconnect):
        return AnswerError("bad_request", "The client went away.")
    cause: Optional[BaseException] = error.__cause__
    if isinstance(error, asyncio.TimeoutError) or isinstance(cause, asyncio.TimeoutError):
        return AnswerError("too_slow", "The answer was not taken for too long.")
    logging.getLogger("lowresseg.server").exception("a request failed")
    return AnswerError("failed", f"The server failed unexpectedly ({type(error).__name__}); its log says more.")
