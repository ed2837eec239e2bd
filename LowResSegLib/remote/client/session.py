"""The requests of the protocol, each repeated for a while where the connection breaks or the server is full."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Optional, TypeVar, Union

from LowResSegLib.errors import InputError, RemoteError
from LowResSegLib.jobs.protocol import error_from
from LowResSegLib.remote.client.connection import Answer, Connection, Interrupted
from LowResSegLib.remote.client.server import Server
from LowResSegLib.remote.protocol import (
    DIGEST_HEADER,
    ENDED,
    OFFSET_HEADER,
    PREFIX,
    AnswerError,
    Capabilities,
    Health,
    JobRequest,
    JobStatus,
    ModelDescription,
    ProtocolError,
    check_versions,
    content_range,
)

_PIECE = 1 << 18  # bytes that are sent at a time
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_WAIT = 0.25  # seconds that the server may hold an answer back until the job ends
_SPACING = 0.05  # least seconds between two questions, of a server that does not hold answers back
_UPLOADS = 3  # how often a body is sent that arrives damaged
_RESULTS = 3  # how often a result is fetched that arrives damaged
_GOODBYE_SECONDS = 0.7  # for the request that ends a job; the worker process is ended a second after a cancel

Result = TypeVar("Result")
Heard = Callable[[], None]


class _Received(bytearray):
    """Bytes as they arrive, with their SHA-256, which is made while the next ones are on their way."""

    def __init__(self) -> None:
        super().__init__()
        self.digest = hashlib.sha256()

    def __iadd__(self, piece: Any) -> _Received:  # type: ignore[misc]
        self.digest.update(piece)
        super().__iadd__(piece)
        return self

    def clear(self) -> None:
        super().clear()
        self.digest = hashlib.sha256()


class Session:
    """A server, spoken to for one job or one question; give it back with `close` or a `with` block.

    Args:
        server: Which one.
        heard: Called again and again, also while the session waits; may raise to stop.
        timeout: Seconds without a byte after which a connection is taken for broken.
    """

    def __init__(self, server: Server, heard: Heard = lambda: None, timeout: float = 30.0) -> None:
        self.server = server
        self.connection = Connection(server, timeout)
        self._heard = heard
        self._known = False  # whether the server has answered anything yet
        self._reached = 0  # bytes of what is sent or fetched that had arrived when the present try began

    def __enter__(self) -> Session:
        """Return itself; nothing is sent yet."""
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], where: Optional[TracebackType]
    ) -> None:
        """Close the connection."""
        self.connection.close()

    def health(self) -> Health:
        """What the server is; raises RemoteError where it does not speak this version of the protocol."""
        health = self._ask("GET", "/healthz", Health.from_dict)
        with told():
            check_versions(health.least, health.protocol)
        return health

    def capabilities(self) -> Capabilities:
        """What the server takes, which it tells only to those whom it lets in."""
        return self._ask("GET", f"{PREFIX}/capabilities", Capabilities.from_dict)

    def models(self) -> list[ModelDescription]:
        """The models of the server."""

        def taken(answer: object) -> list[ModelDescription]:
            entries = answer.get("models") if isinstance(answer, dict) else None
            if not isinstance(entries, list):
                raise ProtocolError("The server's list of models cannot be understood; update LowResSeg here.")
            return [ModelDescription.from_dict(entry) for entry in entries]

        return self._ask("GET", f"{PREFIX}/models", taken)

    def create(self, request: JobRequest) -> JobStatus:
        """Make the job of a request, or find the one that was made of its key before."""
        return self._ask("POST", f"{PREFIX}/jobs", JobStatus.from_dict, request.to_dict())

    def upload(self, job: JobStatus, body: Union[bytes, memoryview], progress: Callable[[float], None]) -> None:
        """Send the body, from where the server has it; `progress` gets the share that is sent.

        Raises:
            RemoteError: The server refuses it, or is away for too long.
        """
        path = f"{PREFIX}/jobs/{job.id}/input"
        offset: Optional[int] = job.upload
        damaged = 0

        def pieces(first: int) -> Iterator[memoryview]:
            view = memoryview(body)
            for place in range(first, len(body), _PIECE):
                self._heard()
                piece = view[place : place + _PIECE]
                self.connection.sent += len(piece)
                yield piece
                progress((place + len(piece)) / len(body))

        def send() -> None:
            nonlocal offset, damaged
            if offset is None:  # it is not known how far the last try came
                text = self._once("HEAD", path).headers.get(OFFSET_HEADER.lower(), "")
                offset = int(text) if text.isdecimal() else 0
            first, offset = min(offset, len(body)), None
            self._reached = first
            if first == len(body):
                return
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(len(body) - first),
                "Content-Range": content_range(first, len(body), len(body)),
            }
            try:
                self._once("PUT", path, pieces(first), headers)
            except AnswerError as error:
                if error.code == "damaged" and damaged + 1 < _UPLOADS:
                    damaged += 1
                    raise Interrupted("What was sent arrived damaged, again and again; check the network.") from error
                if error.code == "wrong_state":  # the body is whole, or the job has ended, which its result will tell
                    return
                if error.code == "wrong_offset":
                    raise Interrupted(str(error)) from error
                raise

        self._persist(send)

    def result(self, job: JobStatus, limit: int, progress: Callable[[JobStatus], None]) -> bytearray:
        """Wait for the job to end and fetch its result, which is checked by its SHA-256.

        Args:
            job: Of which everything was sent.
            limit: Most bytes that the result can have.
            progress: Called with what the server tells of the job.

        Raises:
            RemoteError: The server could not do the job, or the result is damaged each time it is fetched.
            InputError: What is wrong with the scan.
        """
        path = f"{PREFIX}/jobs/{job.id}/result"
        result = _Received()
        damaged = 0

        def fetch() -> Optional[JobStatus]:
            nonlocal damaged
            headers = {"Range": f"bytes={len(result)}-"} if result else {}
            self._reached = len(result)
            began = time.monotonic()
            try:
                answer = self._once("GET", f"{path}?wait={_WAIT}", None, headers, result, limit)
            except AnswerError as error:
                if error.code == "wrong_state":  # it ended, but not well
                    return JobStatus.from_dict(self._once("GET", f"{PREFIX}/jobs/{job.id}").json())
                if error.status == 416:  # more of it is here than there is
                    result.clear()
                    raise Interrupted("The server's result changed while it was fetched.") from error
                raise
            if answer.status == 202:
                result.clear()
                self._pause(began + _SPACING - time.monotonic())
                return JobStatus.from_dict(answer.json())
            stated = answer.headers.get(DIGEST_HEADER.lower(), "")
            if result.digest.hexdigest() == stated:
                return None
            result.clear()
            damaged += 1
            if damaged < _RESULTS:
                raise Interrupted("The server's answer arrived damaged.")
            raise RemoteError(
                "The server's answer arrived damaged, again and again, and was thrown away; check the network, or let "
                "this computer do the work."
            )

        while True:
            status = self._persist(fetch)
            if status is None:
                return result
            progress(status)
            if status.state in ENDED and status.state != "done":
                raise_ended(status)

    def record(self, job: JobStatus) -> dict[str, Any]:
        """The run record of a job that is done."""

        def taken(answer: object) -> dict[str, Any]:
            if not isinstance(answer, dict):
                raise ProtocolError("The server's run record cannot be understood; update LowResSeg.")
            return answer

        return self._ask("GET", f"{PREFIX}/jobs/{job.id}/record", taken)

    def drop(self, job: JobStatus) -> None:
        """Cancel the job if it runs and remove its files; a server that is away removes them by itself, later."""
        with suppress(RemoteError, AnswerError, OSError):
            self.connection.request("DELETE", f"{PREFIX}/jobs/{job.id}")

    def abandon(self, job: JobStatus) -> None:
        """As `drop`, without waiting long, and on another connection: this one may be in the middle of something."""
        self.connection.close()
        other = Connection(self.server, _GOODBYE_SECONDS)
        with suppress(RemoteError, AnswerError, OSError):
            other.request("DELETE", f"{PREFIX}/jobs/{job.id}")
        other.close()

    def _ask(
        self, method: str, path: str, taken: Callable[[object], Result], content: Optional[dict[str, Any]] = None
    ) -> Result:
        """Send a request with JSON, and take the answer's."""
        body = None if content is None else json.dumps(content).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        return self._persist(lambda: taken(self._once(method, path, body, headers).json()))

    def _once(
        self,
        method: str,
        path: str,
        body: Union[bytes, Iterator[memoryview], None] = None,
        headers: Optional[dict[str, str]] = None,
        into: Optional[bytearray] = None,
        limit: Optional[int] = None,
    ) -> Answer:
        self._heard()
        more = {} if limit is None else {"limit": limit}
        answer = self.connection.request(method, path, body, headers, into, heard=self._heard, **more)
        self._known = True
        return answer

    def _persist(self, do: Callable[[], Result]) -> Result:
        """Do something until it goes well, is refused for good, or fails for longer than the server's patience.

        Patience counts from the first failure, and anew where bytes arrived since. Whoever is not there the first time
        is not waited for: the address is probably wrong.
        """
        began, pause = 0.0, _FIRST_PAUSE
        self._reached, before = 0, -1
        while True:
            try:
                with told():
                    return do()
            except Interrupted as error:
                full = error.retry_after is not None
                if self._reached > before:
                    began, pause, before = time.monotonic(), _FIRST_PAUSE, self._reached
                left = began + self.server.patience - time.monotonic()
                if not (self._known or full) or left <= 0:
                    raise RemoteError(str(error)) from error  # a class that the worker process's parent knows
                wanted = error.retry_after if error.retry_after is not None else pause * random.uniform(0.75, 1.25)
                pause = min(2 * pause, _LONGEST_PAUSE)
                self._pause(min(max(wanted, 0.0), left))

    def _pause(self, seconds: float) -> None:
        """Wait, and go on asking whether to stop."""
        end = time.monotonic() + seconds
        while True:
            self._heard()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.05))


class told:
    """Turns what the protocol refuses into sentences for the client's user, as RemoteError."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], where: Optional[TracebackType]
    ) -> None:
        if isinstance(error, AnswerError):
            raise RemoteError(_sentence(error)) from error
        if isinstance(error, ProtocolError):
            raise RemoteError(str(error)) from error


def raise_ended(status: JobStatus) -> None:
    """Raise what became of a job that ended, but not well; an error of the scan's as it is."""
    if status.error is not None:
        error = error_from({"error": status.error[0], "message": status.error[1]})
        if isinstance(error, InputError):
            raise error
        raise RemoteError(str(error))  # the server's own fault: no time, no memory, its worker process or model
    how = {"cancelled": "cancelled the job", "expired": "has thrown the job away"}.get(status.state, "gave the job up")
    raise RemoteError(f"The server {how} before it was done; run it again, or let this computer do the work.")


def _sentence(error: AnswerError) -> str:
    """What a user reads of an error of the server's."""
    if error.code == "wrong_version" and error.protocol is not None:
        try:
            check_versions(*error.protocol)
        except ProtocolError as told:
            return str(told)
    return str(error)
