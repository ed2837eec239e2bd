"""Jobs that run in a warm child process.

A child process, not a thread: a host such as Slicer keeps Python's lock while it is idle, so that threads starve,
and a fault in native code must not take the host with it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

import numpy as np

from LowResSegLib.errors import Cancelled, LowResSegError
from LowResSegLib.jobs.interface import Progress
from LowResSegLib.jobs.process import ChildProcess
from LowResSegLib.jobs.protocol import CANCEL_SECONDS, error_from
from LowResSegLib.model import available_models
from LowResSegLib.volume import Volume

_POLL_SECONDS = 0.01


class Worker:
    """Runs jobs, one at a time, in a child process that is kept for the next job.

    The child is started by `start` or by the first `submit`, ends with `close`, at the end of the `with` block, when
    this object is forgotten, or when this process ends, however that comes about. Use it from one thread.

    Args:
        command: What starts a Python with numpy; by default this one. In Slicer, ["PythonSlicer"].
    """

    def __init__(self, command: Optional[Sequence[str]] = None) -> None:
        self._command = command
        self._child: Optional[ChildProcess] = None
        self._job: Optional[WorkerJob] = None
        self._count = 0

    def start(self) -> None:
        """Start the child if none is there, without waiting for it, so that the first job finds it warm.

        Raises:
            LowResSegError: The command cannot be started.
        """
        if self._child is None or not self._child.usable():
            self._drop_child()
            self._child = ChildProcess(self._command)

    def submit(
        self,
        volume: Volume,
        model: str = "brain",
        backend: str = "auto",
        threads: Optional[int] = None,
        not_a_labelmap: bool = False,
    ) -> WorkerJob:
        """Begin a run; the arguments are those of `LowResSegLib.segment`, with the model's name or file.

        A second job while one runs is refused, not queued: its user would wait without knowing why. Right after
        a cancel that the child has not confirmed yet, the child is replaced at once.

        Raises:
            LowResSegError: A job is running, or no child can be started.
        """
        if self._job is not None and not self._job.done():
            raise LowResSegError("A segmentation is already running; wait for it or cancel it.")
        self.start()
        assert self._child is not None
        self._count += 1
        # A file is named in full, because the child may be in another folder.
        named = str(model) in available_models() or not Path(model).is_file()
        request = {
            "id": self._count,
            "input": str(self._child.folder / f"input-{self._count}.npy"),
            "output": str(self._child.folder / f"output-{self._count}.npy"),
            **volume.geometry,
            "modality": volume.modality,
            "model": str(model) if named else str(Path(model).resolve()),
            "backend": backend,
            "threads": threads,
            "not_a_labelmap": not_a_labelmap,
        }
        try:
            np.save(request["input"], volume.array, allow_pickle=False)
        except OSError as error:
            self._child.forget(request["input"])
            raise LowResSegError(f"No room for a temporary copy of the scan ({error}); free some disk.") from error
        self._child.send(request)
        self._job = WorkerJob(self._child, request, volume)
        return self._job

    def log(self) -> str:
        """Return what the child has written to standard error: tracebacks and what libraries print."""
        return self._child.log() if self._child is not None else ""

    def close(self) -> None:
        """Cancel what is running, end the child and remove its files. Another `submit` starts a new one."""
        if self._job is not None:
            self._job.cancel()
        self._drop_child()

    def _drop_child(self) -> None:
        if self._child is not None:
            self._child.end()
        self._child = None

    def __enter__(self) -> Worker:
        """Return itself; the child starts with the first job."""
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], where: Optional[TracebackType]
    ) -> None:
        """Close."""
        self.close()


class WorkerJob:
    """One run in the child; see `Job` for what its methods promise."""

    def __init__(self, child: ChildProcess, request: dict[str, Any], volume: Volume) -> None:
        self._child = child
        self._request = request
        self._volume: Optional[Volume] = volume
        self._progress = Progress("starting", 0.0)
        self._outcome: Optional[tuple[Volume, dict[str, Any]]] = None
        self._error: Optional[LowResSegError] = None

    def progress(self) -> Progress:
        """Return the last step and fraction heard from the child."""
        self._poll()
        return self._progress

    def done(self) -> bool:
        """Say whether the run has ended."""
        self._poll()
        return self._outcome is not None or self._error is not None

    def cancel(self) -> None:
        """End the run at once; a child that has not stopped a second later is ended."""
        if self.done():
            return
        self._error = Cancelled("The run was cancelled.")
        self._volume = None
        self._child.cancel(self._request["id"], self._request["input"], self._request["output"], CANCEL_SECONDS)

    def result(self, timeout: Optional[float] = None) -> tuple[Volume, dict[str, Any]]:
        """Wait, at most `timeout` seconds, and return the labelmap and the record or raise what went wrong."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.done():
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"The segmentation has not ended within {timeout} seconds.")
            time.sleep(_POLL_SECONDS)
        if self._error is not None:
            raise self._error
        assert self._outcome is not None
        return self._outcome

    def _poll(self) -> None:
        """Take in what the child has written since the last time."""
        if self._outcome is not None:
            return
        if self._error is not None:
            self._child.usable()  # ends a child that should have stopped by now
            return
        alive = self._child.alive()  # asked before reading: what it wrote before it died still counts
        for answer in self._child.answers():
            if answer.get("id") == self._request["id"]:
                self._take(answer)
        if not alive and self._outcome is None and self._error is None:
            self._error = LowResSegError(self._child.obituary())
        if self._outcome is not None or self._error is not None:
            self._volume = None
            self._child.forget(self._request["input"], self._request["output"])

    def _take(self, answer: dict[str, Any]) -> None:
        if "fraction" in answer:
            self._progress = Progress(str(answer["step"]), float(answer["fraction"]))
        elif "record" in answer:
            assert self._volume is not None
            try:
                array = np.load(self._request["output"], allow_pickle=False)
            except (OSError, ValueError) as error:
                self._error = LowResSegError(f"The worker's labelmap cannot be read ({error}); run it again.")
                return
            self._outcome = (self._volume.with_array(array), answer["record"])
            self._progress = Progress("done", 1.0)
        else:
            self._error = error_from(answer)
