"""Whether a server can be used: what "Test connection" tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from LowResSegLib.remote.client.server import Server
from LowResSegLib.remote.client.session import Heard, Session
from LowResSegLib.remote.protocol import ModelDescription

_SECONDS = 10.0


@dataclass(frozen=True)
class Check:
    """What a server that can be used says of itself.

    Attributes:
        lowresseg: its version.
        models: its models, as a client needs them.
        backend: that it prefers; empty if it says nothing.
        workers: jobs that it runs at a time.
        fingerprint: SHA-256 of the certificate that it is held to; empty without TLS or where authorities vouch for it.
        first_use: whether that certificate is trusted since just now.
        secure: whether TLS is spoken.
    """

    lowresseg: str
    models: tuple[ModelDescription, ...]
    backend: str
    workers: int
    fingerprint: str
    first_use: bool
    secure: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**vars(self), "models": [model.to_dict() for model in self.models]}

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> Check:
        """What `to_dict` gave."""
        return cls(**{**entries, "models": tuple(map(ModelDescription.from_dict, entries["models"]))})


def check_server(server: Server, heard: Heard = lambda: None) -> Check:
    """Ask a server, in this order, whether it is there, which protocol it speaks, and whether it lets us in.

    Args:
        server: Which one.
        heard: Called again and again; may raise to stop.

    Raises:
        RemoteError: What is wrong, and what to do.
        InputError: The file of remembered certificates is damaged.
    """
    with Session(server, heard, _SECONDS) as session:
        health = session.health()
        capabilities = session.capabilities()
        models = session.models()
        pin = session.connection.pin
        return Check(
            lowresseg=health.lowresseg,
            models=tuple(models),
            backend=capabilities.backends[0] if capabilities.backends else "",
            workers=capabilities.workers,
            fingerprint="" if pin is None else pin.fingerprint,
            first_use=pin is not None and pin.fresh,
            secure=server.secure,
        )


def list_models(server: Server, heard: Heard = lambda: None) -> list[ModelDescription]:
    """The models of a server; arguments and errors are those of `check_server`."""
    with Session(server, heard, _SECONDS) as session:
        session.health()
        return session.models()
