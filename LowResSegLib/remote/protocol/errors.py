"""What goes wrong between client and server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from LowResSegLib.errors import LowResSegError
from LowResSegLib.remote.protocol.checks import is_number
from LowResSegLib.remote.protocol.words import CODES, VERSION


class ProtocolError(LowResSegError):
    """What the other side sent is not what the protocol says."""


class AnswerError(LowResSegError):
    """An error that a server answers.

    Attributes:
        code: one of CODES; another one of a newer server is kept as it is.
        status: HTTP status.
        retry_after: seconds after which it is worth another try; None where it is not known.
        protocol: least and most version that the server speaks, where the version was wrong.
    """

    def __init__(
        self,
        code: str,
        message: str,
        retry_after: Optional[float] = None,
        protocol: Optional[tuple[int, int]] = None,
        status: Optional[int] = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = CODES.get(code, 500) if status is None else status
        self.retry_after = retry_after
        self.protocol = protocol

    def to_dict(self) -> dict[str, Any]:
        """The body of the answer."""
        answer: dict[str, Any] = {"error": self.code, "message": str(self)}
        if self.retry_after is not None:
            answer["retry_after"] = self.retry_after
        if self.protocol is not None:
            answer["protocol"] = list(self.protocol)
        return answer

    @classmethod
    def from_dict(cls, answer: object, status: int) -> AnswerError:
        """The error of an answer's body; one that is no such body, as of a proxy, gets a sentence of its own."""
        if not isinstance(answer, Mapping) or not isinstance(answer.get("message"), str):
            return cls("failed", f"The server answered with HTTP status {status} and nothing more.", status=status)
        retry, protocol = answer.get("retry_after"), answer.get("protocol")
        versions = None
        if isinstance(protocol, list) and len(protocol) == 2 and all(isinstance(v, int) for v in protocol):
            versions = (protocol[0], protocol[1])
        return cls(
            str(answer.get("error")),
            answer["message"],
            float(retry) if isinstance(retry, (int, float)) and is_number(retry) else None,
            versions,
            status,
        )


def check_versions(least: int, most: int) -> None:
    """Raise ProtocolError, with a sentence for the client's user, where a server does not speak this version."""
    if most < VERSION:
        raise ProtocolError(
            f"The server speaks version {most} of the protocol and this LowResSeg needs {VERSION}; update LowResSeg on "
            "the server."
        )
    if least > VERSION:
        raise ProtocolError(
            f"The server speaks version {least} of the protocol or newer and this LowResSeg only {VERSION}; update "
            "LowResSeg here."
        )


def entries_of(answer: object, what: str) -> Mapping[str, Any]:
    """The entries of a JSON object; raises ProtocolError, whose sentence begins with `what`, where it is none."""
    if not isinstance(answer, Mapping):
        raise ProtocolError(f"{what} cannot be understood: it is no JSON object.")
    return answer
