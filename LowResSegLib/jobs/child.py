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
from typing import Any, Optional, TextIO

import numpy as np

from LowResSegLib.errors import Cancelled
from LowResSegLib.jobs.protocol import CANCEL_SECONDS, error_message, send
from LowResSegLib.volume import Volume

_LEAST_SECONDS_BETWEEN_REPORTS = 0.03


def main() -> int:
    """Serve requests until standard input closes, which it does when the parent closes it or dies."""
    # Libraries print to file descriptor 1; what is not an answer must not get among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    from LowResSegLib import pipeline  # what takes time to import is imported before the first request

    requests = _Requests(sys.stdin)
    threading.Thread(target=requests.listen, daemon=True).start()
    send(answers, {"ready": os.getpid()})
    while True:
        request = requests.next()
        answer = _run(pipeline.segment, request, requests, answers)
        requests.finished()
        send(answers, {"id": request["id"], **answer})


class _Requests:
    """The requests that wait, and whether the one that runs was cancelled."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._running: Optional[int] = None

    def next(self) -> dict[str, Any]:
        request = self._waiting.get()
        self._running = request["id"]
        return request

    def finished(self) -> None:
        self._running = None

    def cancelled(self, number: int) -> bool:
        return number in self._cancelled

    def listen(self) -> None:
        """Take requests, in a thread, until there can be no more; then end the process, whatever it is doing."""
        folder = None
        for line in self._stream:
            message = json.loads(line)
            if "folder" in message:
                folder = message["folder"]
            elif message.get("cancel"):
                self._cancelled.add(message["id"])
                timer = threading.Timer(CANCEL_SECONDS, self._end_if_running, [message["id"]])
                timer.daemon = True
                timer.start()
            else:
                self._waiting.put(message)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    def _end_if_running(self, number: int) -> None:
        # The parent ends a process that does not stop as well, but only when it next looks.
        if self._running == number:
            os._exit(1)


def _run(segment: Any, request: dict[str, Any], requests: _Requests, answers: TextIO) -> dict[str, Any]:
    """Run one request and return its answer."""
    number = request["id"]
    last_report = 0.0

    def progress(step: str, fraction: float) -> None:
        nonlocal last_report
        now = time.monotonic()
        if now - last_report >= _LEAST_SECONDS_BETWEEN_REPORTS:
            last_report = now
            send(answers, {"id": number, "step": step, "fraction": fraction})

    def cancel() -> bool:
        return requests.cancelled(number)

    try:
        if cancel():
            raise Cancelled("The run was cancelled.")
        array = np.load(request["input"], mmap_mode="r", allow_pickle=False)
        volume = Volume(array, **{key: request[key] for key in ("spacing", "origin", "direction", "modality")})
        options = {key: request[key] for key in ("model", "backend", "threads", "not_a_labelmap")}
        labelmap, record = segment(volume, **options, progress=progress, cancel=cancel)
        np.save(request["output"], labelmap.array, allow_pickle=False)
        return {"record": record}
    except Exception as error:
        traceback.print_exc()  # standard error is a file that the parent can show
        return error_message(error)
