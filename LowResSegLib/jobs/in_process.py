"""Jobs that run in this process, for scripts and tests that wait anyway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional

from LowResSegLib.errors import LowResSegError
from LowResSegLib.jobs.interface import Job, Progress
from LowResSegLib.jobs.protocol import error_from, error_message
from LowResSegLib.volume import Volume


class InProcess:
    """Runs a job inside `submit`, which returns when it has ended.

    Args:
        progress: Called with each step and fraction (0 to 1) while `submit` runs.
        cancel: Asked while `submit` runs; where it answers true, the job ends with `Cancelled`.
    """

    def __init__(
        self, progress: Optional[Callable[[str, float], None]] = None, cancel: Optional[Callable[[], bool]] = None
    ) -> None:
        self._progress, self._cancel = progress, cancel

    def submit(
        self,
        volume: Volume,
        model: str = "brain",
        backend: str = "auto",
        threads: Optional[int] = None,
        not_a_labelmap: bool = False,
    ) -> Job:
        """Run the whole way and return the job that has ended, well or with an error."""
        from LowResSegLib.pipeline import segment

        job = _EndedJob()

        def progress(step: str, fraction: float) -> None:
            job.last = Progress(step, fraction)
            if self._progress is not None:
                self._progress(step, fraction)

        try:
            job.outcome = segment(
                volume,
                model,
                progress,
                self._cancel,
                backend=backend,
                threads=threads,
                not_a_labelmap=not_a_labelmap,
            )
        except Exception as error:
            job.error = error_from(error_message(error))
        return job

    def close(self) -> None:
        """Do nothing: nothing is held."""


class _EndedJob:
    def __init__(self) -> None:
        self.last = Progress("", 0.0)
        self.outcome: Optional[tuple[Volume, dict[str, Any]]] = None
        self.error: Optional[LowResSegError] = None

    def progress(self) -> Progress:
        return self.last

    def done(self) -> bool:
        return True

    def cancel(self) -> None:
        pass

    def result(self, timeout: Optional[float] = None) -> tuple[Volume, dict[str, Any]]:
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return self.outcome
