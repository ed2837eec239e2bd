"""The worker process: reads requests, runs them one after the other, and tells how they go."""

from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Optional, TextIO

from LowResSegLib.errors import Cancelled
from LowResSegLib.jobs.protocol import CANCEL_SECONDS, CANNOT_ANSWER, error_message, send

if TYPE_CHECKING:
    from LowResSegLib.jobs.tasks import Task

_LEAST_SECONDS_BETWEEN_REPORTS = 0.03


def main(further: Optional[Mapping[str, Task]] = None) -> int:
    """Serve requests until standard input closes, which it does when the parent closes it or dies.

    Args:
        further: Tasks of rooms behind this one, by their names.
    """
    # Libraries print to file descriptor 1; what is not an answer must not get among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # What takes time to import is imported before the first request.
    from LowResSegLib import case  # noqa: F401
    from LowResSegLib.jobs.tasks import TASKS

    tasks = {**TASKS, **(further or {})}
    requests = _Requests(sys.stdin)
    threading.Thread(target=requests.listen, daemon=True).start()
    try:
        send(answers, {"ready": os.getpid()})
        while True:
            request = requests.next()
            answer = _run(tasks[request["task"]], request, requests, answers)
            requests.finished()
            send(answers, {"id": request["id"], **answer})
    except OSError:  # the disk is full: nothing can be told but by the exit status
        _log()
        os._exit(CANNOT_ANSWER)  # not held up by what the answers' stream has not written


class _Requests:
    """The requests that wait, and whether the one that runs was cancelled."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._running: Optional[int] = None
        self._staging = ""

    def next(self) -> dict[str, Any]:
        request = self._waiting.get()
        self._running, self._staging = request["id"], request.get("staging", "")
        return request

    def finished(self) -> None:
        self._running, self._staging = None, ""

    def cancelled(self, number: int) -> bool:
        return number in self._cancelled

    def listen(self) -> None:
        """Take requests, in a thread, until there can be no more; then end the process, whatever it is doing."""
        folder = None
        for line in self._stream:
            message = json.loads(line)
            if "task" in message:
                self._waiting.put(message)
            elif message.get("cancel"):
                self._cancelled.add(message["id"])
                timer = threading.Timer(CANCEL_SECONDS, self._end_if_running, [message["id"]])
                timer.daemon = True
                timer.start()
            else:
                folder = message["folder"]
        for place in filter(None, (folder, self._staging)):
            shutil.rmtree(place, ignore_errors=True)
        os._exit(0)

    def _end_if_running(self, number: int) -> None:
        # The parent ends a process that does not stop as well, but only when it next looks.
        if self._running == number:
            if self._staging:
                shutil.rmtree(self._staging, ignore_errors=True)
            os._exit(1)


class _CannotAnswer(Exception):
    """The answers' file cannot be written."""


def _run(task: Any, request: dict[str, Any], requests: _Requests, answers: TextIO) -> dict[str, Any]:
    """Do one task and return the rest of its answer; raises OSError where it cannot tell of progress."""
    number = request["id"]
    last_report, last_step = 0.0, ""

    def progress(step: str, fraction: float) -> None:
        nonlocal last_report, last_step
        now = time.monotonic()
        if step != last_step or now - last_report >= _LEAST_SECONDS_BETWEEN_REPORTS:
            last_report, last_step = now, step
            try:
                send(answers, {"id": number, "step": step, "fraction": fraction})
            except OSError as error:  # not one of the task's own, which are told
                raise _CannotAnswer from error

    def cancel() -> bool:
        return requests.cancelled(number)

    try:
        if cancel():
            raise Cancelled("The run was cancelled.")
        return {"result": task(request, progress, cancel)}
    except _CannotAnswer as error:
        raise OSError(str(error.__cause__)) from error
    except Exception as error:
        _log()
        return error_message(error)


def _log() -> None:
    """Print the traceback on standard error, which is a file that the parent can show; not on a disk that is full."""
    with suppress(OSError):
        traceback.print_exc()
