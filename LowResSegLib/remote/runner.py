"""Jobs that a server does, behind the interface of all jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from LowResSegLib.jobs import Runner, Worker
from LowResSegLib.jobs.process import ChildProcess
from LowResSegLib.jobs.worker import AnyJob
from LowResSegLib.jobs.worker_job import WorkerJob
from LowResSegLib.remote.client import Check, Server

_REMOTE = {"segment": "remote_segment", "segment_file": "remote_segment_file"}


class Remote(Worker):
    """A worker whose segmentations a server does, while there is one; measurements and comparisons are made here.

    The child process speaks to the server, so that nothing here waits for the network. The choice holds for jobs that
    are submitted after it.

    Attributes:
        server: None means that this computer does the work.
        full_volume: As in `client.segment_remotely`.
        fallback: As in `client.segment_remotely`.

    Args:
        command: As of `Worker`.
        server: The attribute.
        full_volume: The attribute.
        fallback: The attribute.
    """

    def __init__(
        self,
        command: Optional[Sequence[str]] = None,
        server: Optional[Server] = None,
        full_volume: bool = False,
        fallback: bool = False,
    ) -> None:
        super().__init__(command)
        self.server, self.full_volume, self.fallback = server, full_volume, fallback

    def submit_check(self, server: Server) -> WorkerJob[Check]:
        """Begin to look whether a server can be used; the job's result says what it is, its error what is wrong.

        Raises:
            LowResSegError: As `submit`.
        """
        return self.submit_task(
            "test of a server",
            "remote_check",
            {"server": server.to_dict()},
            lambda result: Check.from_dict(result["check"]),
        )

    def _begin(
        self,
        what: str,
        request: dict[str, Any],
        make: Callable[[ChildProcess, int], AnyJob],
        fill: Optional[Callable[[Path], dict[str, Any]]] = None,
        staging: Optional[Path] = None,
    ) -> AnyJob:
        """As of `Worker`; a segmentation becomes the task that goes to the server."""
        if self.server is not None and request["task"] in _REMOTE:
            request = {
                **request,
                "task": _REMOTE[request["task"]],
                "server": self.server.to_dict(),
                "full_volume": self.full_volume,
                "fallback": self.fallback,
            }
        return super()._begin(what, request, make, fill, staging)


if TYPE_CHECKING:  # mypy sees that it keeps the interface
    _runner: Runner = Remote()
