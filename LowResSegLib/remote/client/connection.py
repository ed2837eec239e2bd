"""One HTTP connection to a server, kept from request to request, and sentences for what goes wrong with it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Optional, Union

from LowResSegLib.errors import RemoteError
from LowResSegLib.remote.client import trust
from LowResSegLib.remote.client.server import Server
from LowResSegLib.remote.protocol import AnswerError
from LowResSegLib.version import __version__

_CONNECT_SECONDS = 10.0
_PIECE = 1 << 18  # bytes that are read at a time
MAX_ANSWER = 16 << 20  # bytes of an answer that is no result


class Interrupted(RemoteError):
    """What may go well the next time: the connection broke, or the server is full.

    Attributes:
        retry_after: seconds that the server asks to wait; None where it does not say.
    """

    def __init__(self, sentence: str, retry_after: Optional[float] = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class Answer(NamedTuple):
    """Status, headers by their names in small letters, and the body where it was not put elsewhere."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's JSON; raises RemoteError where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise RemoteError(
                "The server's answer cannot be understood; check that the address is a LowResSeg server's."
            ) from error


class Connection:
    """A connection that is opened when it is needed, and again after it broke. Used from one thread.

    Args:
        server: The other side.
        timeout: Seconds without a byte after which a connection is taken for broken.
    """

    def __init__(self, server: Server, timeout: float = 30.0) -> None:
        self.server = server
        self.pin: Optional[trust.Pin] = None
        self.sent = self.received = 0  # bytes of bodies
        self._timeout = timeout
        self._connection: Optional[http.client.HTTPConnection] = None

    def request(
        self,
        method: str,
        path: str,
        body: Union[bytes, Iterable[memoryview], None] = None,
        headers: Optional[Mapping[str, str]] = None,
        into: Optional[bytearray] = None,
        limit: int = MAX_ANSWER,
        heard: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Send a request and take its answer.

        Args:
            method: of HTTP.
            path: of the protocol, with `/v1`.
            body: bytes, or pieces whose length the headers state.
            headers: beside those that every request has.
            into: the body of an answer with status 200 or 206 is put here, even if it breaks off, as far as it came;
                what was in it goes if the answer is the whole (200).
            limit: most bytes of the body.
            heard: called after each piece of the body; may raise to stop.

        Raises:
            Interrupted: the connection broke, or the server asks to come back later.
            AnswerError: the server answers with an error.
            RemoteError: the server is not to be trusted, or its answer is no HTTP.
        """
        kept = self._connection is not None
        try:
            return self._request(method, path, body, headers or {}, into, limit, heard)
        except (http.client.RemoteDisconnected, ConnectionError) as error:
            self.close()
            # A server ends connections that rest; what it has not begun to answer is sent again at once.
            if kept and (body is None or isinstance(body, bytes)):
                return self.request(method, path, body, headers, into, limit, heard)
            raise Interrupted(self._broken(error)) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._told(error) from error
        except BaseException:
            self.close()  # half of an answer may be left in it
            raise

    def close(self) -> None:
        """End the connection; the next request opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.close()

    def _request(
        self,
        method: str,
        path: str,
        body: Union[bytes, Iterable[memoryview], None],
        headers: Mapping[str, str],
        into: Optional[bytearray],
        limit: int,
        heard: Callable[[], None],
    ) -> Answer:
        if self._connection is None:
            self._connection = self._open()
        connection = self._connection
        common = {"User-Agent": f"lowresseg/{__version__}", "Accept-Encoding": "identity"}
        if self.server.token:
            common["Authorization"] = f"Bearer {self.server.token}"
        try:
            connection.request(method, self.server.path + path, body, {**common, **headers})
        except ConnectionError:
            # A server that refuses a body answers before it has read it, and closes.
            if body is None or isinstance(body, bytes):
                raise
            with suppress(OSError, http.client.HTTPException):
                response = http.client.HTTPResponse(connection.sock, method=method)
                response.begin()
                self._take(response, None, MAX_ANSWER, heard)
            raise
        response = connection.getresponse()
        answer = self._take(response, into, limit, heard)
        if response.will_close:
            self.close()
        return answer

    def _take(
        self, response: http.client.HTTPResponse, into: Optional[bytearray], limit: int, heard: Callable[[], None]
    ) -> Answer:
        """Read an answer to its end; raises what it tells if that is an error."""
        headers = {name.lower(): value for name, value in response.getheaders()}
        keep = into is not None and response.status in (200, 206)
        target = into if keep and into is not None else bytearray()
        if response.status == 200:
            target.clear()
        expected = response.length
        if expected is not None and len(target) + expected > limit:
            raise RemoteError("The server's answer is far larger than it can be; nothing of it was used.")
        while True:
            piece = response.read1(_PIECE)
            if not piece:
                break
            target += piece
            self.received += len(piece)
            if len(target) > limit:
                raise RemoteError("The server's answer is far larger than it can be; nothing of it was used.")
            heard()
        if response.length:  # read1 does not complain of an end that comes too early
            raise http.client.IncompleteRead(b"", response.length)
        response.close()  # nor does it always notice the end, without which the connection takes no other request
        answer = Answer(response.status, headers, b"" if keep else bytes(target))
        if not 200 <= answer.status < 300:
            raise _error_of(answer)
        return answer

    def _open(self) -> http.client.HTTPConnection:
        """A new connection whose other side is known to be the right one."""
        server = self.server
        context, self.pin = trust.context_for(server, _CONNECT_SECONDS)
        if context is None:
            plain = http.client.HTTPConnection(server.host, server.port, timeout=_CONNECT_SECONDS)
            plain.connect()
            plain.sock.settimeout(self._timeout)
            return plain
        connection = http.client.HTTPSConnection(server.host, server.port, timeout=_CONNECT_SECONDS, context=context)
        try:
            connection.connect()
            sock = connection.sock
            assert isinstance(sock, ssl.SSLSocket)
            trust.check_shown(server, sock.getpeercert(binary_form=True), self.pin)
            if self.pin is not None and self.pin.fresh:
                trust.remember_pin(server.address, self.pin.certificate)
            sock.settimeout(self._timeout)
        except BaseException:
            connection.close()
            raise
        return connection

    def _told(self, error: Exception) -> RemoteError:
        """The error that a user reads, which says whether another try is of use."""
        address = self.server.address
        if isinstance(error, RemoteError):
            return error
        if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            if isinstance(error, socket.timeout) or "timed out" in str(error):
                return Interrupted(f"{address} does not answer; check that it is on and on this network.")
            return RemoteError(trust.refusal(self.server, error, _CONNECT_SECONDS))
        if isinstance(error, socket.gaierror):
            return Interrupted(f"There is no computer named {self.server.host}; check the address.")
        if isinstance(error, (socket.timeout, TimeoutError)):
            return Interrupted(f"{address} does not answer; check the address, and that it is on and on this network.")
        if isinstance(error, http.client.BadStatusLine):
            return RemoteError(f"What answers at {address} does not speak HTTP; check the port, and http or https.")
        return Interrupted(self._broken(error))

    def _broken(self, error: Exception) -> str:
        address = self.server.address
        if isinstance(error, ConnectionRefusedError):
            return (
                f"Nothing listens at {address}; check the port, and that `lowresseg serve` runs there and listens "
                "beyond its own loopback (--host)."
            )
        if isinstance(error, http.client.RemoteDisconnected) and not self.server.secure:
            return f"{address} closed the connection without an answer; if it speaks TLS, write https://."
        if isinstance(error, OSError) and error.strerror and not isinstance(error, ConnectionError):
            return f"{address} cannot be reached ({error.strerror}); check the address and the network."
        return f"The connection to {address} broke off."


def _error_of(answer: Answer) -> Exception:
    """The error that an answer tells: AnswerError, or Interrupted where another try is of use."""
    try:
        told = AnswerError.from_dict(json.loads(answer.body), answer.status)
    except (ValueError, RecursionError):
        told = AnswerError.from_dict(None, answer.status)
    if 300 <= answer.status < 400:
        return RemoteError("The address leads to another one, where the token is not sent; give that one.")
    if answer.status in (408, 429, 502, 503, 504):
        retry = told.retry_after
        with suppress(ValueError):
            retry = float(answer.headers.get("retry-after", "")) if retry is None else retry
        return Interrupted(str(told), retry)
    return told
