"""What every runner and every job of one can do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Protocol, TypeVar, Union

from LowResSegLib.volume import Volume

if TYPE_CHECKING:
    from LowResSegLib.comparison import Comparison, LabelledVolume
    from LowResSegLib.estimate import Speed

Result = TypeVar("Result", covariant=True)


class Progress(NamedTuple):
    """How far a job is: the name of its step, and the share of the whole job that is done, 0 to 1."""

    step: str
    fraction: float


class Job(Protocol[Result]):
    """One piece of work. A job is used from one thread; none of its methods but `result` waits."""

    def progress(self) -> Progress:
        """Return the last thing heard."""
        ...

    def done(self) -> bool:
        """Say whether the job has ended: well, with an error, or because it was cancelled."""
        ...

    def cancel(self) -> None:
        """End the job; it is done at once. Does nothing to a job that is done."""
        ...

    def result(self, timeout: Optional[float] = None) -> Result:
        """Wait for the end, at most `timeout` seconds, and return what the job was for.

        Raises:
            LowResSegError: What went wrong, as the subclass that it was there.
            Cancelled: The job was cancelled.
            TimeoutError: The job has not ended in time; it goes on.
        """
        ...


class SegmentationJob(Job[tuple[Volume, dict[str, Any]]], Protocol):
    """A job of `Runner.submit`; its result is the labelmap (z, y, x) and the run record."""

    @property
    def confidence(self) -> Optional[Volume]:
        """What `segment_with_confidence` gives, once a job that was asked for it is done."""
        ...


class Runner(Protocol):
    """Something that does jobs, here or elsewhere."""

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
    ) -> SegmentationJob:
        """Begin to segment a volume; the arguments are those of `LowResSegLib.segment`.

        Args:
            volume: The scan.
            model: Name of an installed model, or a model file.
            backend: As in `segment`.
            threads: As in `segment`.
            not_a_labelmap: As in `segment`.
            max_memory: As in `segment`.
            passes: As in `segment`.
            confidence: Whether the job has a `confidence`, and the record the mean of each structure.
        """
        ...

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
    ) -> Job[dict[str, Any]]:
        """Begin to segment a file as the command line does, and to write its results, all of them or none.

        Args:
            path: A scan, or a folder of DICOM files.
            output_base: Folder, and what the names of the results begin with.
            model: Name of an installed model, or a model file.
            formats: Of `case.FORMATS`: `seg.nrrd`, `nii.gz` (NAME_labels.nii.gz), `json` (the run record), `dcm` (DICOM
                SEG as NAME_seg.dcm, of DICOM alone), `png`.
            overwrite: Whether results of before may be replaced.
            frame: Which volume of a series of volumes, counted from 0.
            backend: As in `segment`.
            threads: As in `segment`.
            not_a_labelmap: As in `segment`.
            max_memory: As in `segment`.
            passes: As in `segment`.
            confidence: Whether NAME_confidence.nii.gz is written too, and the record has the mean of each structure.

        Returns:
            A job whose result is the run record, with the paths of the written files as `files`.
        """
        ...

    def submit_measure(self, model: str = "brain", backend: str = "auto", threads: Optional[int] = None) -> Job[Speed]:
        """Begin to measure the speed of a model here, or to look up what was measured before.

        Being an estimate, it gives way: the next job that is submitted cancels it.

        Args:
            model: Name of an installed model, or a model file.
            backend: As in `segment`.
            threads: As in `segment`.
        """
        ...

    def submit_comparison(
        self,
        first: Sequence[LabelledVolume],
        second: Sequence[LabelledVolume],
        names: tuple[str, str] = ("A", "B"),
    ) -> Job[tuple[Comparison, LabelledVolume]]:
        """Begin to compare two segmentations; the result is the comparison and where they differ.

        Args:
            first: One segmentation, a labelled volume a layer.
            second: The other.
            names: What the two are called in the comparison.
        """
        ...

    def close(self) -> None:
        """End what is running and give back all that is held."""
        ...
