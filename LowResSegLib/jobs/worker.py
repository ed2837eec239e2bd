"""Jobs that run in a warm child process.

A child process, not a thread: a host such as Slicer keeps Python's lock while it is idle, so that threads starve,
and a fault in native code must not take the host with it.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from LowResSegLib.errors import LowResSegError
from LowResSegLib.jobs import work
from LowResSegLib.jobs.exchange import put, put_labelled, take_labelled
from LowResSegLib.jobs.process import ChildProcess
from LowResSegLib.jobs.worker_job import WorkerJob, WorkerSegmentation
from LowResSegLib.model import available_models
from LowResSegLib.volume import Volume

if TYPE_CHECKING:
    from LowResSegLib.comparison import Comparison, LabelledVolume
    from LowResSegLib.estimate import Speed

_POLL_SECONDS = 0.005
_GIVES_WAY = "measurement"
_SETTLE_SECONDS = 0.25  # how long a job waits for the child to confirm that the one before was cancelled

AnyJob = TypeVar("AnyJob", bound=WorkerJob[Any])
AnyResult = TypeVar("AnyResult")


class Worker:
    """Does jobs, one at a time, in a child process that is kept for the next job; see `Runner` for their arguments.

    A second job while one runs is refused, not queued: its user would wait without knowing why. Only a measurement
    gives way. Where a job was cancelled just before and the child does not confirm that soon, the child is replaced.

    The child is started by `start` or by the first job, ends with `close`, at the end of the `with` block, when
    this object is forgotten, or when this process ends, however that comes about. Use it from one thread.

    Args:
        command: What starts a Python with numpy; by default this one. In Slicer, ["PythonSlicer"].
    """

    def __init__(self, command: Optional[Sequence[str]] = None) -> None:
        self._command = command
        self._child: Optional[ChildProcess] = None
        self._job: Optional[WorkerJob[Any]] = None
        self._doing = ""
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
        max_memory: Optional[float] = None,
        passes: Optional[int] = None,
        confidence: bool = False,
    ) -> WorkerSegmentation:
        """Begin to segment a volume, see `Runner.submit`.

        Raises:
            LowResSegError: A job is running, or no child can be started, or the disk is full.
        """
        request = {
            "task": "segment",
            "model": _in_full(model),
            "confidence": confidence,
            "options": work.options(backend, threads, not_a_labelmap, max_memory, passes),
        }
        return self._begin(
            "segmentation",
            request,
            lambda child, number: WorkerSegmentation(child, number, volume),
            lambda folder: {"volume": put(folder / "volume.npy", volume)},
        )

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
    ) -> WorkerJob[dict[str, Any]]:
        """Begin to segment a file and to write its results, see `Runner.submit_file`.

        Raises:
            LowResSegError: As `submit`.
        """
        base = os.path.abspath(output_base)  # the child is in another folder
        staging = Path(base).parent / f".lowresseg-{uuid.uuid4().hex}"
        request = {
            "task": "segment_file",
            "path": os.path.abspath(path),
            "output_base": base,
            "staging": str(staging),
            "model": _in_full(model),
            "formats": list(formats),
            "overwrite": overwrite,
            "frame": frame,
            "confidence": confidence,
            "options": work.options(backend, threads, not_a_labelmap, max_memory, passes),
        }
        return self._begin(
            "segmentation",
            request,
            lambda child, number: WorkerJob(child, number, lambda result: dict(result["record"])),
            staging=staging,
        )

    def submit_measure(
        self, model: str = "brain", backend: str = "auto", threads: Optional[int] = None
    ) -> WorkerJob[Speed]:
        """Begin to measure a model here, see `Runner.submit_measure`.

        Raises:
            LowResSegError: As `submit`.
        """

        def collect(result: dict[str, Any]) -> Speed:
            from LowResSegLib.estimate import Speed

            return Speed(**result["speed"])

        request = {"task": "measure", "model": _in_full(model), "backend": backend, "threads": threads}
        return self._begin(_GIVES_WAY, request, lambda child, number: WorkerJob(child, number, collect))

    def submit_comparison(
        self,
        first: Sequence[LabelledVolume],
        second: Sequence[LabelledVolume],
        names: tuple[str, str] = ("A", "B"),
    ) -> WorkerJob[tuple[Comparison, LabelledVolume]]:
        """Begin to compare two segmentations, see `Runner.submit_comparison`.

        Raises:
            LowResSegError: As `submit`.
        """

        def collect(result: dict[str, Any]) -> tuple[Comparison, LabelledVolume]:
            from LowResSegLib.comparison import Comparison

            (difference,) = take_labelled(result["difference"])
            return Comparison.from_dict(result["comparison"]), difference

        return self._begin(
            "comparison",
            {"task": "compare", "names": list(names)},
            lambda child, number: WorkerJob(child, number, collect),
            lambda folder: {
                "first": put_labelled(folder, "first", first),
                "second": put_labelled(folder, "second", second),
            },
        )

    def submit_task(
        self, what: str, task: str, request: dict[str, Any], collect: Callable[[dict[str, Any]], AnyResult]
    ) -> WorkerJob[AnyResult]:
        """Begin a task of a room that comes after this one.

        Args:
            what: What the job is called.
            task: Its name among the further ones of `child.main`.
            request: For JSON; `id`, `task` and `folder`, a temporary folder of the job, are added.
            collect: Makes the job's result of what the task returned.

        Raises:
            LowResSegError: As `submit`.
        """
        return self._begin(what, {**request, "task": task}, lambda child, number: WorkerJob(child, number, collect))

    def alive(self) -> bool:
        """Say whether the child runs; one that ended by itself is replaced for the next job."""
        return self._child is not None and self._child.alive()

    def log(self) -> str:
        """Return what the child has written to standard error: tracebacks and what libraries print."""
        return self._child.log() if self._child is not None else ""

    def close(self) -> None:
        """Cancel what is running, end the child and remove its files. Another job starts a new one."""
        if self._job is not None:
            self._job.cancel()
        self._drop_child()

    def _begin(
        self,
        what: str,
        request: dict[str, Any],
        make: Callable[[ChildProcess, int], AnyJob],
        fill: Optional[Callable[[Path], dict[str, Any]]] = None,
        staging: Optional[Path] = None,
    ) -> AnyJob:
        """Send a request to the child, and return the job that waits for the answer.

        Args:
            what: What the job is called.
            request: Without `id` and `folder`.
            make: Makes the job.
            fill: Writes arrays into the job's folder and returns what the request says of them.
            staging: A folder that the child may leave behind.
        """
        self._make_way()
        self.start()
        child = self._child
        assert child is not None
        self._count += 1
        folder = child.folder / f"job-{self._count}"
        child.keep(folder, *([] if staging is None else [staging]))
        try:
            folder.mkdir()
            described = {} if fill is None else fill(folder)
        except OSError as error:
            child.forget()
            raise LowResSegError(f"No room for a temporary folder ({error}); free some disk.") from error
        except BaseException:
            child.forget()
            raise
        child.send({**request, **described, "id": self._count, "folder": str(folder)})
        job = make(child, self._count)
        self._job, self._doing = job, what
        return job

    def _make_way(self) -> None:
        """Cancel a measurement that runs, refuse where another job does, and wait a moment for one that is ending."""
        if self._job is not None and not self._job.done():
            if self._doing != _GIVES_WAY:
                raise LowResSegError(f"A {self._doing} is already running; wait for it or cancel it.")
            self._job.cancel()
        deadline = time.monotonic() + _SETTLE_SECONDS
        while self._child is not None and self._child.stopping() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

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


def _in_full(model: str) -> str:
    """A model as the child finds it: a file is named in full, because the child is in another folder."""
    named = str(model) in available_models() or not Path(model).is_file()
    return str(model) if named else str(Path(model).resolve())
