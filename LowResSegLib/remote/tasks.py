"""The worker process's tasks that speak to a server; see `jobs.protocol` for requests and answers.

    {"id": 5, "task": "remote_segment", "server": SERVER, "full_volume": ..., "fallback": ..., ... as "segment"}
    {"id": 6, "task": "remote_segment_file", "server": SERVER, ... as "segment_file"}
    {"id": 7, "task": "remote_check", "server": SERVER}

SERVER is `Server.to_dict`. The token in it goes through the pipe to the child, and is written nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional, Union

from LowResSegLib.errors import Cancelled
from LowResSegLib.jobs import tasks, work
from LowResSegLib.jobs.tasks import Request, Task
from LowResSegLib.model import Model
from LowResSegLib.remote.client import Server, check_server, segment_remotely
from LowResSegLib.remote.server.tasks import TASKS as SERVER_TASKS
from LowResSegLib.volume import Volume


class Remotely:
    """A `case.Way` that leads over a server.

    Args:
        server: Which one.
        full_volume: As in `segment_remotely`.
        fallback: As in `segment_remotely`.
    """

    def __init__(self, server: Server, full_volume: bool = False, fallback: bool = False) -> None:
        self._server, self._full_volume, self._fallback = server, full_volume, fallback

    def __call__(
        self,
        volume: Volume,
        model: Union[str, Model],
        confidence: bool,
        options: Mapping[str, Any],
        progress: work.Report,
        cancel: work.Cancel,
    ) -> tuple[Volume, dict[str, Any], Optional[Volume]]:
        """Segment."""
        return segment_remotely(
            volume,
            model,
            self._server,
            progress,
            cancel,
            confidence=confidence,
            full_volume=self._full_volume,
            fallback=self._fallback,
            **options,
        )


def _way(request: Request) -> Remotely:
    return Remotely(Server(**request["server"]), request["full_volume"], request["fallback"])


def _segment(request: Request, progress: work.Report, cancel: work.Cancel) -> dict[str, Any]:
    return tasks.segment(request, progress, cancel, _way(request))


def _segment_file(request: Request, progress: work.Report, cancel: work.Cancel) -> dict[str, Any]:
    return tasks.segment_file(request, progress, cancel, _way(request))


def _check(request: Request, progress: work.Report, cancel: work.Cancel) -> dict[str, Any]:
    def heard() -> None:
        if cancel():
            raise Cancelled("The test was cancelled.")
        progress("connecting", 0.0)

    return {"check": check_server(Server(**request["server"]), heard).to_dict()}


TASKS: dict[str, Task] = {
    "remote_segment": _segment,
    "remote_segment_file": _segment_file,
    "remote_check": _check,
    **SERVER_TASKS,
}
