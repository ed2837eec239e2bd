"""Runs the server: what must hold before it listens, the connections' time limits, and its log."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import uvicorn

from LowResSegLib.errors import InputError
from LowResSegLib.remote.server.api import create_app
from LowResSegLib.remote.server.connections import timed_protocol
from LowResSegLib.remote.server.service import Service
from LowResSegLib.remote.server.settings import Settings
from LowResSegLib.remote.server.tokens import Tokens

_IDLE_SECONDS = 75  # a connection between two requests
_STOP_SECONDS = 3  # what requests get to end when the server does
_SWITCH_SECONDS = 0.0005  # after which a thread lets another one go on; Python's own 5 ms are long beside a request


def check(settings: Settings, tls: bool) -> None:
    """Raise InputError where a server would be open to those who must not use it."""
    tokens = [token for token in Tokens(settings.folder).all() if token.revoked is None]
    if (not settings.loopback or settings.behind_proxy) and not tokens:
        raise InputError(
            "The server would be open to everybody who can reach it; make a token first: lowresseg serve token create "
            "NAME."
        )
    if not settings.loopback and not tls and not settings.behind_proxy:
        raise InputError(
            "Without TLS scans and tokens would travel openly; leave --tls at auto, give a certificate and its key, "
            "or say --behind-proxy where a reverse proxy has the TLS."
        )


class Server(uvicorn.Server):
    """A server that listens from the beginning, and serves in `serve_forever`.

    Args:
        settings: of the server.
        certificate: files of the certificate and its key, in PEM; None serves without TLS.

    Raises:
        InputError: the server may not or cannot listen, or its folder cannot be used.
    """

    def __init__(self, settings: Settings, certificate: Optional[tuple[Path, Path]] = None) -> None:
        check(settings, certificate is not None)
        self._connection = _listen(settings)
        try:
            self.service = Service(settings)
        except BaseException:
            self._connection.close()
            raise
        self._told: Callable[[], None] = lambda: None
        host, port = self._connection.getsockname()[:2]
        self.address = f"{'http' if certificate is None else 'https'}://{f'[{host}]' if ':' in host else host}:{port}"
        app: Any = create_app(self.service)
        super().__init__(
            uvicorn.Config(
                app,
                http=timed_protocol(settings.body_seconds),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=settings.connections,
                backlog=max(settings.connections, 128),
                timeout_keep_alive=_IDLE_SECONDS,
                timeout_graceful_shutdown=_STOP_SECONDS,
                ssl_certfile=None if certificate is None else certificate[0],
                ssl_keyfile=None if certificate is None else str(certificate[1]),
            )
        )

    def serve_forever(self, listening: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGINT or SIGTERM, or until `should_exit` is set; `listening` is called once it listens."""
        self._told = listening
        try:
            self.service.start()
            sys.setswitchinterval(_SWITCH_SECONDS)
            asyncio.run(self.serve(sockets=[self._connection]))
        finally:
            self.service.stop()
            self._connection.close()

    async def startup(self, sockets: Optional[list[socket.socket]] = None) -> None:
        """Begin to listen; see uvicorn."""
        await super().startup(sockets)
        self._told()


def _listen(settings: Settings) -> socket.socket:
    """The socket that the server listens on; raises InputError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        # Only where the protocol is named, asyncio switches Nagle's algorithm off, which costs 40 ms an answer.
        connection = socket.socket(family, kind, protocol)
        if sys.platform != "win32":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            connection.bind(address)
        except BaseException:
            connection.close()
            raise
        return connection
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"The server cannot listen at {settings.host}, port {settings.port} "
            f"({getattr(error, 'strerror', None) or error}); choose another --host or --port."
        ) from error


def log_to_stderr() -> None:
    """Print what the server logs: neither names nor addresses nor pixels nor tokens are in it."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    for name in ("lowresseg.server", "lowresseg.access", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.WARNING if name == "uvicorn.error" else logging.INFO)
        logger.propagate = False
