"""What every runner and every job of one can do."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Protocol

from LowResSegLib.volume import Volume


class Progress(NamedTuple):
    """How far a job is: the name of its step, and the share of the whole run that is done, 0 to 1."""

    step: str
    fraction: float


class Job(Protocol):
    """One run of `segment`. A job is used from one thread; none of its methods but `result` waits."""

    def progress(self) -> Progress:
        """Return the last thing heard."""
        ...

    def done(self) -> bool:
        """Say whether the run has ended: well, with an error, or because it was cancelled."""
        ...

    def cancel(self) -> None:
        """End the run; the job is done at once. Does nothing to a job that is done."""
        ...

    def result(self, timeout: Optional[float] = None) -> tuple[Volume, dict[str, Any]]:
        """Wait for the end, at most `timeout` seconds, and return the labelmap (z, y, x) and the run record.

        Raises:
            LowResSegError: What went wrong in the run, as the subclass that it was there.
            Cancelled: The job was cancelled.
            TimeoutError: The run has not ended in time; it goes on.
        """
        ...


class Runner(Protocol):
    """Something that runs jobs, here or elsewhere."""

    def submit(
        self,
        volume: Volume,
        model: str = "brain",
        backend: str = "auto",
        threads: Optional[int] = None,
        not_a_labelmap: bool = False,
    ) -> Job:
        """Begin a run; the arguments are those of `LowResSegLib.segment`."""
        ...

    def close(self) -> None:
        """End what is running and give back all that is held."""
        ...
