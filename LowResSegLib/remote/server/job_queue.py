"""The queue of jobs: in memory, with all that must outlive the process in a folder a job.

A job's state is written, a line behind the ones before, before anybody is told of it. After the process was killed,
jobs that ran wait again, in their old order, uploads go on where they were, and results are still there.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Optional

from LowResSegLib.errors import InputError, LowResSegError
from LowResSegLib.remote.protocol import (
    CANCELLED,
    DONE,
    EXPIRED,
    FAILED,
    RUNNING,
    UPLOADING,
    WAITING,
    AnswerError,
    JobRequest,
    JobStatus,
)
from LowResSegLib.remote.server.job import ServerJob
from LowResSegLib.remote.server.settings import Settings

_log = logging.getLogger("lowresseg.server")
_ID = re.compile(r"[0-9a-f]{32}")
_RETRY_SECONDS = 5.0  # what a client that finds the queue full is told, at least
_MOST_ENDED = 4096  # jobs that are kept; the oldest go before their time
MAX_ATTEMPTS = 2  # a job in which a worker process died is tried so often


class JobQueue:
    """Jobs of the folder `jobs`. Its methods may be called from any thread.

    Args:
        settings: of the server.
        on_end: called with a job that has just ended, whatever way.

    Raises:
        InputError: the folder cannot be used, or another server uses it.
    """

    def __init__(self, settings: Settings, on_end: Callable[[ServerJob], None] = lambda job: None) -> None:
        self._settings = settings
        self._on_end = on_end
        self._folder = Path(settings.folder) / "jobs"
        self._jobs: dict[str, ServerJob] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._lock = threading.RLock()
        self._ready = threading.Condition(self._lock)
        self._number = 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._held = _hold(Path(settings.folder) / "lock")
            self._load()
        except OSError as error:
            raise InputError(
                f"{settings.folder} cannot be used ({error.strerror}); choose another --folder."
            ) from error

    def close(self) -> None:
        """Let the folder go."""
        self._held.close()

    def create(self, owner: str, request: JobRequest) -> tuple[ServerJob, bool]:
        """The job of a request's key: a new one, or the one that it has made before, which the second value tells.

        Raises:
            AnswerError: the queue is full, the disk is, or the key belongs to another request.
        """
        with self._lock:
            known = self._jobs.get(self._keys.get((owner, request.key), ""))
            if known is not None:
                if known.request != request:
                    raise AnswerError("key_in_use", "The key belongs to another job; make a new one.")
                return known, False
            self._refuse_more(owner, request)
            identity = secrets.token_hex(16)
            now = time.time()
            job = ServerJob(identity, owner, request, self._folder / identity, UPLOADING, now, now)
            try:
                job.folder.mkdir(mode=0o700)
                job.save()
            except OSError as error:
                shutil.rmtree(job.folder, ignore_errors=True)
                raise no_disk(error) from error
            self._jobs[identity], self._keys[owner, request.key] = job, identity
            return job, True

    def _refuse_more(self, owner: str, request: JobRequest) -> None:
        settings = self._settings
        open_jobs = [job for job in self._jobs.values() if not job.ended]
        if sum(job.owner == owner for job in open_jobs) >= settings.queued_per_client:
            raise AnswerError(
                "too_many",
                f"You have {settings.queued_per_client} jobs on the server already; wait until one has ended.",
                _RETRY_SECONDS,
            )
        if len(open_jobs) >= settings.queued:
            raise AnswerError("full", "The server has as many jobs as it takes; try again later.", _RETRY_SECONDS)
        ended = sorted((job for job in self._jobs.values() if job.ended), key=lambda job: job.changed)
        for job in ended[: max(0, len(ended) - _MOST_ENDED)]:
            self.remove(job)
        promised = sum(job.request.bytes - job.uploaded() for job in open_jobs if job.state == UPLOADING)
        if shutil.disk_usage(self._folder).free < settings.spare_bytes + promised + request.bytes:
            raise AnswerError("no_disk", "The server's disk is full; ask its keeper to make room.", 60.0)

    def get(self, owner: str, identity: str) -> ServerJob:
        """A client's job; raises AnswerError where the client has none of this id."""
        job = self._jobs.get(identity) if _ID.fullmatch(identity) else None
        if job is None or job.owner != owner:
            raise AnswerError("not_found", "The server has no such job; it may have been removed after its time.")
        return job

    def status(self, job: ServerJob) -> JobStatus:
        """What clients are told of a job."""
        with self._lock:
            place = None
            if job.state == WAITING:
                place = sum(other.state == WAITING and other.number < job.number for other in self._jobs.values())
            return job.status(place)

    def uploaded(self, job: ServerJob) -> None:
        """The body of a job is whole: it waits for a worker; raises AnswerError where the disk is full."""
        with self._ready:
            if job.state != UPLOADING:
                return
            self._number += 1
            job.number = self._number
            self._change(job, WAITING)
            self._ready.notify()

    def take(self, seconds: float) -> Optional[ServerJob]:
        """The next job to run, which is running then; None where there is none for so many seconds."""
        with self._ready:
            job = self._first() or (self._ready.wait(seconds) and self._first()) or None
            if job is not None:
                job.attempts += 1
                job.step, job.fraction = "starting", 0.0
                self._change(job, RUNNING)
            return job

    def _first(self) -> Optional[ServerJob]:
        waiting = [job for job in self._jobs.values() if job.state == WAITING]
        return min(waiting, key=lambda job: job.number, default=None)

    def progress(self, job: ServerJob, step: str, fraction: float) -> None:
        """A running job is so far."""
        with self._lock:
            if (step, fraction) != (job.step, job.fraction):
                job.step, job.fraction = step, fraction
                _tell(job)

    def done(self, job: ServerJob, result: Mapping[str, Any]) -> None:
        """A running job has its result and its record, as files of its folder."""
        with self._lock:
            if job.state == RUNNING:
                job.result = dict(result)
                self._change(job, DONE)

    def failed(self, job: ServerJob, error: LowResSegError) -> None:
        """A job went wrong."""
        with self._lock:
            if not job.ended:
                job.error = (type(error).__name__, str(error))
                self._change(job, FAILED)

    def again(self, job: ServerJob, counts: bool = True) -> None:
        """A running job waits again, in its old place; `counts` tells whether that was an attempt."""
        with self._ready:
            if job.state == RUNNING:
                job.attempts -= not counts
                self._change(job, WAITING)
                self._ready.notify()

    def cancel(self, job: ServerJob) -> None:
        """End a job; its worker stops soon."""
        with self._lock:
            if not job.ended:
                job.cancel = True
                self._change(job, CANCELLED)

    def remove(self, job: ServerJob) -> None:
        """Forget a job that has ended, with all its files."""
        with self._lock:
            self._jobs.pop(job.id, None)
            if self._keys.get((job.owner, job.request.key)) == job.id:
                del self._keys[job.owner, job.request.key]
            shutil.rmtree(job.folder, ignore_errors=True)

    def sweep(self, now: float) -> None:
        """Give up uploads that rest, remove results that are old, and forget jobs that were over long ago."""
        settings = self._settings
        with self._lock:
            for job in list(self._jobs.values()):
                age = now - job.changed
                resting = job.state == UPLOADING and job.writer is None and age > settings.upload_seconds
                old = job.ended and age > settings.keep_seconds
                if old and job.state == EXPIRED:
                    self.remove(job)
                elif old or resting:
                    self._change(job, EXPIRED)

    def counts(self) -> dict[str, int]:
        """How many jobs there are of each state."""
        with self._lock:
            counts: dict[str, int] = {}
            for job in self._jobs.values():
                counts[job.state] = counts.get(job.state, 0) + 1
            return counts

    def _change(self, job: ServerJob, state: str) -> None:
        """Write a new state and tell it; raises AnswerError, the job as it was, where a new job cannot be written."""
        before, job.state = job.state, state
        job.changed = time.time()
        try:
            job.save()
        except OSError as error:
            if state == WAITING and before == UPLOADING:
                job.state = before
                raise no_disk(error) from error
            # The disk still has the state before, from which the job would be run again after a restart.
            _log.error("job %s: its state cannot be written (%s)", job.id, error.strerror)
        _tell(job)  # first, as somebody may wait
        with contextlib.suppress(OSError):
            job.clear()
        if job.ended and state != EXPIRED:
            self._on_end(job)

    def _load(self) -> None:
        """Take up what a process before this one left."""
        for folder in sorted(self._folder.iterdir()):
            try:
                job = ServerJob.load(folder)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, LowResSegError):
                _log.warning("removing %s, which is no whole job", folder.name)
                shutil.rmtree(folder, ignore_errors=True)
                continue
            self._jobs[job.id], self._keys[job.owner, job.request.key] = job, job.id
            self._number = max(self._number, job.number)
            if job.state == RUNNING:
                job.state = WAITING
            if job.state == WAITING and job.uploaded() != job.request.bytes:
                job.state = UPLOADING
            if job.state == WAITING and job.attempts >= MAX_ATTEMPTS:
                self.failed(job, LowResSegError("The server ended several times while it ran this job."))
            with contextlib.suppress(OSError):
                job.clear()


def no_disk(error: OSError) -> AnswerError:
    """What a client is told where the server could not write."""
    _log.error("cannot write: %s", error.strerror)
    return AnswerError("no_disk", "The server cannot write to its disk; ask its keeper to make room.", 60.0)


def _tell(job: ServerJob) -> None:
    for watcher in list(job.watchers):
        watcher()


def _hold(path: Path) -> IO[bytes]:
    """Hold a folder's lock as long as the file is open; raises InputError where another process has it."""
    stream = path.open("ab")
    try:
        if sys.platform == "win32":
            import msvcrt

            stream.seek(0)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        stream.close()
        raise InputError(f"Another server uses {path.parent}; end it, or give this one another --folder.") from error
    return stream
