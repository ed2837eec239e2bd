"""Threads that take jobs from the queue and have worker processes do them."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path

from LowResSegLib.errors import LowResSegError
from LowResSegLib.jobs import Worker
from LowResSegLib.remote.server.bell import Bell
from LowResSegLib.remote.server.job import ServerJob
from LowResSegLib.remote.server.job_queue import MAX_ATTEMPTS, JobQueue
from LowResSegLib.remote.server.settings import Settings

_log = logging.getLogger("lowresseg.server")
_IDLE_SECONDS = 0.5
_LOOK = 0.02  # seconds between two looks at a job, unless the worker rings
_SOON, _LOOKS = 0.0002, 50  # seconds between the looks after that, until the answer is there, and how many
_START_SECONDS = 60.0  # what a worker process may take to start, at most
_JOBS_OF_A_PROCESS = 500  # then it gets a fresh one: what it has written of its jobs is removed with it


class Runner(threading.Thread):
    """One worker process and the thread that feeds it.

    Args:
        queue: where jobs come from.
        settings: of the server.
        number: of this one among the server's.
    """

    def __init__(self, queue: JobQueue, settings: Settings, number: int = 0) -> None:
        super().__init__(name="lowresseg-runner", daemon=True)
        self._queue = queue
        self._settings = settings
        self._ending = threading.Event()
        self._worker = Worker()
        self._number = number
        self._jobs = 0
        self.busy = False

    def stop(self) -> None:
        """Ask for the end; a job that runs waits again, for the next server."""
        self._ending.set()

    def run(self) -> None:
        """Do jobs until `stop`."""
        bell = Bell(Path(self._settings.folder) / f"bell-{self._number}")
        try:
            while not self._ending.is_set():
                with contextlib.suppress(LowResSegError):  # told by the job that needs it
                    self._worker.start()
                job = self._queue.take(_IDLE_SECONDS)
                if job is None:
                    continue
                self.busy = True
                try:
                    self._do(job, bell)
                except Exception as error:
                    _log.exception("job %s", job.id)
                    self._queue.failed(job, LowResSegError(f"The server failed ({type(error).__name__})."))
                self.busy = False
                self._jobs += 1
                if self._jobs % _JOBS_OF_A_PROCESS == 0:
                    self._worker.close()
        finally:
            self._worker.close()
            bell.close()

    def _do(self, job: ServerJob, bell: Bell) -> None:
        began = time.monotonic()
        request = {
            "work": job.request.to_dict(),
            "input": str(job.input.absolute()),
            "output": str(job.output.absolute()),
            "record": str(job.record.absolute()),
            "threads": min(job.request.threads or self._settings.worker_threads, self._settings.worker_threads),
            "max_memory": self._settings.worker_memory,
            "bell": bell.path,
        }
        try:
            running = self._worker.submit_task("job", f"remote_{job.request.kind}", request, dict)
        except LowResSegError as error:
            self._queue.failed(job, error)
            return
        started, rung = False, 0
        while not running.done():
            step, fraction = running.progress()
            if not started and step != "starting":  # a fresh process takes a moment, which is not the job's
                started, began = True, time.monotonic()
            passed = time.monotonic() - began
            if self._ending.is_set():
                self._queue.again(job, counts=False)
                return
            if job.cancel:
                running.cancel()
                return
            if passed > self._settings.seconds + (0 if started else _START_SECONDS):
                running.cancel()
                self._queue.failed(
                    job,
                    LowResSegError(
                        f"The job has taken more than the {self._settings.seconds:g} seconds that the server allows."
                    ),
                )
                return
            self._queue.progress(job, step, fraction)
            if rung:  # the answer comes right behind
                rung -= 1
                time.sleep(_SOON)
            else:
                rung = _LOOKS if bell.wait(_LOOK) else 0
        try:
            answer = running.result(0)
            self._queue.done(job, answer)
        except LowResSegError as error:
            if self._worker.alive():
                self._queue.failed(job, error)
                return
            _log.error("job %s: %s", job.id, error)
            if job.attempts < MAX_ATTEMPTS:
                self._queue.again(job)
                return
            self._queue.failed(
                job,
                LowResSegError(
                    "The server's worker process ended unexpectedly while it ran this job, perhaps for lack of memory; "
                    "try a smaller scan, or ask the server's keeper, whose log says more."
                ),
            )
