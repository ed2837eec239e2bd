"""uvicorn's HTTP protocol with a time limit for a request's head, which uvicorn has not."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_LOOK_SECONDS = 1.0


def timed_protocol(seconds: float) -> type[H11Protocol]:
    """The protocol's class.

    Args:
        seconds: after which a connection is closed whose request has begun, but whose head is not whole; and one on
            which no first request has come.
    """

    class TimedProtocol(H11Protocol):
        """Looks once a second at how long the head of a request has been on its way."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._since: Any = self.loop.time()
            self._timer = self.loop.call_later(_LOOK_SECONDS, self._look)

        def data_received(self, data: bytes) -> None:
            if self._since is None and self._between():
                self._since = self.loop.time()
            super().data_received(data)
            if not self._between():
                self._since = None

        def connection_lost(self, exc: Any) -> None:
            self._timer.cancel()
            super().connection_lost(exc)

        def _between(self) -> bool:
            """Whether the head of a request is awaited."""
            return self.conn.their_state is h11.IDLE

        def _look(self) -> None:
            if self.transport.is_closing():
                return
            if self._since is not None and self.loop.time() - self._since > seconds:
                self.transport.abort()
                return
            self._timer = self.loop.call_later(min(_LOOK_SECONDS, seconds / 4), self._look)

    return TimedProtocol
