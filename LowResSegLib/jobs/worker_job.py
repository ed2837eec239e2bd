"""A job in the child process of a worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Generic, Optional, TypeVar

from LowResSegLib.errors import Cancelled, LowResSegError
from LowResSegLib.jobs.exchange import take
from LowResSegLib.jobs.interface import Progress
from LowResSegLib.jobs.process import ChildProcess
from LowResSegLib.jobs.protocol import CANCEL_SECONDS, error_from
from LowResSegLib.volume import Volume

_POLL_SECONDS = 0.01

Result = TypeVar("Result")


class WorkerJob(Generic[Result]):
    """One job in the child; see `Job` for what its methods promise.

    Args:
        child: Where it runs.
        number: Of its request.
        collect: Makes the job's result of the answer's, while the files of the job are still there.
    """

    def __init__(self, child: ChildProcess, number: int, collect: Callable[[dict[str, Any]], Result]) -> None:
        self._child = child
        self._number = number
        self._collect: Optional[Callable[[dict[str, Any]], Result]] = collect
        self._progress = Progress("starting", 0.0)
        self._outcome: Optional[Result] = None
        self._error: Optional[LowResSegError] = None

    def progress(self) -> Progress:
        """Return the last step and fraction heard from the child."""
        self._poll()
        return self._progress

    def done(self) -> bool:
        """Say whether the job has ended."""
        self._poll()
        return self._collect is None

    def cancel(self) -> None:
        """End the job at once; a child that has not stopped a second later is ended."""
        if self.done():
            return
        self._error = Cancelled("The run was cancelled.")
        self._collect = None
        self._child.cancel(self._number, CANCEL_SECONDS)

    def result(self, timeout: Optional[float] = None) -> Result:
        """Wait, at most `timeout` seconds, and return what the job was for or raise what went wrong."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.done():
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"The job has not ended within {timeout} seconds.")
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
            if answer.get("id") == self._number:
                self._take(answer)
        if self._collect is not None:
            if self._child.damaged():
                self._end(LowResSegError("The worker's answer cannot be understood; run it again."))
                self._child.end(seconds=0.0)
            elif not alive:
                self._end(LowResSegError(self._child.obituary()))

    def _take(self, answer: dict[str, Any]) -> None:
        """Take in one answer to this job's request."""
        if self._collect is None:
            return
        if "fraction" in answer:
            self._progress = Progress(str(answer.get("step", "")), float(answer["fraction"]))
        elif "result" in answer:
            try:
                self._outcome = self._collect(answer["result"])
            except (OSError, KeyError, TypeError, ValueError, AttributeError, LowResSegError) as error:
                reason = f"{type(error).__name__}: {error}".rstrip(".")
                self._end(LowResSegError(f"The worker's result cannot be read ({reason}); run it again."))
                return
            self._progress = Progress("done", 1.0)
            self._end(None)
        else:
            self._end(error_from(answer))

    def _end(self, error: Optional[LowResSegError]) -> None:
        """The job has ended; let go what is held for it."""
        self._error, self._collect = error, None
        self._child.forget()


class WorkerSegmentation(WorkerJob[tuple[Volume, dict[str, Any]]]):
    """A segmentation in the child; see `SegmentationJob`.

    Args:
        child: Where it runs.
        number: Of its request.
        volume: The scan, whose own geometry the labelmap gets.
    """

    def __init__(self, child: ChildProcess, number: int, volume: Volume) -> None:
        self.confidence: Optional[Volume] = None

        def collect(result: dict[str, Any]) -> tuple[Volume, dict[str, Any]]:
            labelmap = volume.with_array(take(result["labelmap"]).array)
            confidence = result["confidence"]
            self.confidence = None if confidence is None else take(confidence)
            return labelmap, dict(result["record"])

        super().__init__(child, number, collect)
