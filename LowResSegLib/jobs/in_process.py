"""Jobs that run in this process, for scripts and tests that wait anyway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Optional, TypeVar, Union

from LowResSegLib.errors import Cancelled, LowResSegError
from LowResSegLib.jobs import work
from LowResSegLib.jobs.interface import Progress
from LowResSegLib.jobs.protocol import error_from, error_message
from LowResSegLib.volume import Volume

if TYPE_CHECKING:
    from LowResSegLib.comparison import Comparison, LabelledVolume
    from LowResSegLib.estimate import Speed

Result = TypeVar("Result")


class InProcess:
    """Does a job inside `submit` and its like, which return when it has ended; see `Runner` for the arguments.

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
        max_memory: Optional[float] = None,
        passes: Optional[int] = None,
        confidence: bool = False,
    ) -> EndedSegmentation:
        """Segment a volume and return the job that has ended, well or with an error."""
        options = work.options(backend, threads, not_a_labelmap, max_memory, passes)
        job = EndedSegmentation()

        def do(progress: work.Report, cancel: work.Cancel) -> tuple[Volume, dict[str, Any]]:
            labelmap, record, job.confidence = work.segment(volume, model, confidence, options, progress, cancel)
            return labelmap, record

        self._do(job, do)
        return job

    def submit_file(
        self,
        path: Union[str, Path],
        output_base: Union[str, Path],
        model: str = "brain",
        formats: Sequence[str] = ("seg.nrrd",),
        overwrite: bool = False,
        frame: Optional[int] = None,
        backend: str = "auto",
        threads: Optional[int] = None,
        not_a_labelmap: bool = False,
        max_memory: Optional[float] = None,
        passes: Optional[int] = None,
        confidence: bool = False,
    ) -> EndedJob[dict[str, Any]]:
        """Segment a file, write its results, and return the job that has ended."""
        options = work.options(backend, threads, not_a_labelmap, max_memory, passes)
        files = Path(path), Path(output_base)
        return self._do(
            EndedJob(),
            lambda progress, cancel: work.segment_file(
                *files, model, formats, overwrite, frame, confidence, options, progress, cancel
            ),
        )

    def submit_measure(
        self, model: str = "brain", backend: str = "auto", threads: Optional[int] = None
    ) -> EndedJob[Speed]:
        """Measure a model here, and return the job that has ended."""
        return self._do(EndedJob(), lambda progress, cancel: work.measure(model, backend, threads, progress, cancel))

    def submit_comparison(
        self,
        first: Sequence[LabelledVolume],
        second: Sequence[LabelledVolume],
        names: tuple[str, str] = ("A", "B"),
    ) -> EndedJob[tuple[Comparison, LabelledVolume]]:
        """Compare two segmentations, and return the job that has ended."""
        return self._do(EndedJob(), lambda progress, cancel: work.compare(first, second, names, progress, cancel))

    def _do(self, job: EndedJob[Result], do: Callable[[work.Report, work.Cancel], Result]) -> EndedJob[Result]:
        """Do a job, with the progress and the questions of whether it is cancelled."""
        cancel = self._cancel or (lambda: False)

        def progress(step: str, fraction: float) -> None:
            job.last = Progress(step, fraction)
            if self._progress is not None:
                self._progress(step, fraction)

        try:
            if cancel():
                raise Cancelled("The run was cancelled.")
            job.outcome = do(progress, cancel)
            job.last = Progress("done", 1.0)
        except Exception as error:
            job.error = error_from(error_message(error))
        return job

    def close(self) -> None:
        """Do nothing: nothing is held."""


class EndedJob(Generic[Result]):
    """A job that has ended when its user first sees it; see `Job`."""

    def __init__(self) -> None:
        self.last = Progress("", 0.0)
        self.outcome: Optional[Result] = None
        self.error: Optional[LowResSegError] = None

    def progress(self) -> Progress:
        """Return the last thing heard."""
        return self.last

    def done(self) -> bool:
        """Return true."""
        return True

    def cancel(self) -> None:
        """Do nothing."""

    def result(self, timeout: Optional[float] = None) -> Result:
        """Return what the job was for, or raise what went wrong."""
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return self.outcome


class EndedSegmentation(EndedJob[tuple[Volume, dict[str, Any]]]):
    """A segmentation that has ended; see `SegmentationJob`."""

    confidence: Optional[Volume] = None
