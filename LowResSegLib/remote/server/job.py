"""A job of the server: what is known of it, and its folder."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from LowResSegLib.remote.protocol import (
    CANCELLED,
    DONE,
    ENDED,
    EXPIRED,
    FAILED,
    RUNNING,
    STATES,
    WAITING,
    JobRequest,
    JobStatus,
)

_LOG = "states.jsonl"
_INPUT = "input"
_RESULT = "result"
_RECORD = "record.json"


@dataclass(eq=False)
class ServerJob:
    """One job. Whoever changes it holds the queue's lock.

    Attributes:
        id: name of its folder.
        owner: id of the token that it belongs to; empty where there are none.
        request: what was asked for.
        folder: of its files.
        state: one of STATES.
        created, changed: seconds since 1970; of its last change of state, or of its last byte.
        number: of its place in the order in which jobs became ready to run.
        attempts: how often a worker has begun it.
        error: class and sentence.
        result: bytes and sha256 of the result, where it is done.
        step, fraction: of a running job; not kept on disk.
        cancel: somebody wants it to end.
        writer: the request that is just sending a part of its body.
        watchers: called whenever it changes.
    """

    id: str
    owner: str
    request: JobRequest
    folder: Path
    state: str
    created: float
    changed: float
    number: int = 0
    attempts: int = 0
    error: Optional[tuple[str, str]] = None
    result: Optional[dict[str, Any]] = None
    step: str = ""
    fraction: float = 0.0
    cancel: bool = False
    writer: Optional[object] = None
    watchers: set[Callable[[], None]] = field(default_factory=set)

    @property
    def input(self) -> Path:
        """The file of its body."""
        return self.folder / _INPUT

    @property
    def output(self) -> Path:
        """The file of its result."""
        return self.folder / _RESULT

    @property
    def record(self) -> Path:
        """The file of its run record."""
        return self.folder / _RECORD

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in ENDED

    def uploaded(self) -> int:
        """Bytes of its body that are there."""
        try:
            return self.input.stat().st_size
        except OSError:
            return 0

    def status(self, place: Optional[int]) -> JobStatus:
        """What clients are told."""
        return JobStatus(
            id=self.id,
            key=self.request.key,
            state=self.state,
            place=place,
            step=self.step if self.state == RUNNING else self.state,
            fraction=1.0 if self.state == DONE else self.fraction if self.state == RUNNING else 0.0,
            upload=self.uploaded() if not self.ended and self.state not in (WAITING, RUNNING) else self.request.bytes,
            error=self.error,
            result_bytes=self.result["bytes"] if self.result and self.state == DONE else None,
        )

    def save(self) -> None:
        """Write the state behind the ones before; raises OSError.

        A line that breaks off, as on a full disk, ends with the next one's beginning and is not read. To replace a file
        takes a hundred times as long on some file systems, which then bring its content to the disk at once.
        """
        kept = ("id", "owner", "state", "created", "changed", "number", "attempts", "error", "result")
        content = {**{name: getattr(self, name) for name in kept}, "request": self.request.to_dict()}
        with (self.folder / _LOG).open("ab", buffering=0) as stream:
            line = f"\n{json.dumps(content)}\n".encode()
            if stream.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @classmethod
    def load(cls, folder: Path) -> ServerJob:
        """Read the last whole state of a folder; raises OSError, or ValueError and its like where there is none."""
        lines = (folder / _LOG).read_bytes().split(b"\n")[:-1]  # what lacks its end is not whole
        content: Mapping[str, Any] = next((entry for entry in map(_entries, reversed(lines)) if entry), {})
        error = content["error"]
        state = content["state"]
        if state not in STATES or content["id"] != folder.name:
            raise ValueError("It is no state of this job.")
        return cls(
            id=folder.name,
            owner=str(content["owner"]),
            request=JobRequest.from_dict(content["request"]),
            folder=folder,
            state=state,
            created=float(content["created"]),
            changed=float(content["changed"]),
            number=int(content["number"]),
            attempts=int(content["attempts"]),
            error=None if error is None else (str(error[0]), str(error[1])),
            result=content["result"],
        )

    def clear(self) -> None:
        """Remove the files that its state has no use for."""
        if self.ended:
            self.input.unlink(missing_ok=True)
        if self.state in (FAILED, CANCELLED, EXPIRED):
            self.output.unlink(missing_ok=True)
            self.record.unlink(missing_ok=True)


def _entries(line: bytes) -> dict[str, Any]:
    """What a line says; nothing where it broke off."""
    try:
        entries = json.loads(line)
    except ValueError:
        return {}
    return entries if isinstance(entries, dict) else {}
