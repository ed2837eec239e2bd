"""Case after case: a failure is told, and does not stop the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from slicer.i18n import tr as _

from LowResSegLib.errors import InputError, LowResSegError
from LowResSegSlicer.cases import (
    CANCELLED,
    DONE,
    FAILED,
    RUNNING,
    WAITING,
    Case,
    FileRun,
    cases_from_folder,
    cases_from_nodes,
    check_formats,
    export_case,
    output_stems,
)
from LowResSegSlicer.log import log_fault
from LowResSegSlicer.nodes import source_of
from LowResSegSlicer.results import Output
from LowResSegSlicer.run import Progress, Run, SegmentRun
from LowResSegSlicer.sequences import SequenceRun, frames_of

__all__ = ["BatchRun", "Case", "Work", "cases_from_folder", "cases_from_nodes"]


@dataclass(frozen=True)
class Work:
    """What is done for every case of a batch.

    Attributes:
        runner: the worker.
        folder: where files go; None puts those of a file beside it, and writes none of a node.
        formats: of the files, as `Worker.submit_file` has them.
        overwrite: whether files of before may be replaced.
        nodes: what becomes of nodes: `kind` and `keep_original` of `Output`.
        options: of each job: model, confidence and what else `Worker.submit` takes.
    """

    runner: Any
    folder: Optional[Path]
    formats: tuple[str, ...]
    overwrite: bool
    nodes: dict[str, Any]
    options: dict[str, Any]

    def start(self, case: Case, stem: str, heard: Progress) -> Run:
        """Begin a case.

        Args:
            case: which.
            stem: what the names of its files begin with.
            heard: called with step and share.
        """
        run = self._file_run(case, stem, heard) if case.is_file else self._node_run(case, heard)
        run.begin()
        return run

    def finish(self, case: Case, stem: str) -> None:
        """Do what is left for a case whose run has ended well."""
        if self.folder is not None and not case.is_file:
            case.files = export_case(case, self.folder, stem, self.formats, self.overwrite)

    def _file_run(self, case: Case, stem: str, heard: Progress) -> Run:
        base = (self.folder or case.source.parent) / stem

        def submit() -> Any:
            kinds, options = self.formats, self.options
            return self.runner.submit_file(case.source, base, formats=kinds, overwrite=self.overwrite, **options)

        return FileRun(submit, heard)

    def _node_run(self, case: Case, heard: Progress) -> Run:
        def submit(volume: Any) -> Any:
            return self.runner.submit(volume, **self.options)

        frames, target = frames_of(case.source), Output(**self.nodes)
        if frames is not None:
            return SequenceRun(frames, target, submit, heard)
        return SegmentRun(source_of(case.source), target, submit, heard)


class BatchRun:
    """A batch on its way. It is polled as a `Run` is.

    Attributes:
        cases: all cases with their status, in their order.
        cancelled: whether `cancel` ended the batch.
        error: None; a batch has none of its own.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        work: Work,
        changed: Optional[Callable[[Case], None]] = None,
        finished: Optional[Callable[[BatchRun], None]] = None,
    ) -> None:
        """Prepare.

        Args:
            cases: what to do; each is reset to waiting.
            work: what is done for each.
            changed: called with a case whenever something of it has changed.
            finished: called once, with this run, however it ends.

        Raises:
            InputError: there is no case, or there is no such format of files.
        """
        check_formats(work.formats)
        if not cases:
            raise InputError(_("There is nothing to do; choose volumes, or a folder with scans."))
        self.cases = list(cases)
        self.cancelled = False
        self.error: Optional[BaseException] = None
        self._work, self._changed, self._finished = work, changed, finished
        self._stems = dict(zip(map(id, self.cases), output_stems(self.cases)))
        self._waiting = list(self.cases)
        self._case: Optional[Case] = None
        self._run: Optional[Run] = None
        self._began = 0.0
        self._over = False
        for case in self.cases:
            case.status, case.message, case.fraction, case.seconds = WAITING, "", 0.0, 0.0
            case.node, case.files, case.record = None, [], None

    @property
    def running(self) -> bool:
        """Whether there is something left to do."""
        return not self._over

    def begin(self) -> None:
        """Start the first case."""
        self.poll()

    def poll(self) -> bool:
        """Look after the present case, or start the next; returns whether the batch goes on."""
        if self._run is not None:
            self._run.poll()
            if self._run is not None and not self._run.running:
                self._end_case()
        elif self._waiting:
            self._next()
        elif not self._over:
            self._end()
        return self.running

    def cancel(self) -> None:
        """End the present case and mark the rest; what is done stays."""
        if self._over:
            return
        self.cancelled = True
        run, self._run = self._run, None
        if run is not None:
            run.cancel()
        left = [self._case, *self._waiting] if self._case is not None else list(self._waiting)
        self._case, self._waiting = None, []
        for case in left:
            self._set(case, CANCELLED, _("Cancelled."))
        self._end()

    def _next(self) -> None:
        case = self._case = self._waiting.pop(0)
        self._began = time.perf_counter()
        self._set(case, RUNNING)
        try:
            self._run = self._work.start(case, self._stems[id(case)], lambda step, share: self._heard(case, share))
        except Exception as error:
            self._fail(case, error)

    def _heard(self, case: Case, fraction: float) -> None:
        case.fraction = fraction
        self._tell(case)

    def _end_case(self) -> None:
        case, run = self._case, self._run
        assert case is not None and run is not None
        self._run = None
        if run.error is not None:
            self._fail(case, run.error)
        elif run.cancelled:
            self._case = None
            self._set(case, CANCELLED, _("Cancelled."))
        else:
            case.node, case.record = run.node, getattr(run, "record", None)
            case.files = list(getattr(run, "files", ()))
            try:
                self._work.finish(case, self._stems[id(case)])
            except Exception as error:
                self._fail(case, error)
                return
            self._case, case.fraction = None, 1.0
            self._set(case, DONE, " ".join(run.notices))

    def _fail(self, case: Case, error: BaseException) -> None:
        self._case = self._run = None
        if not isinstance(error, LowResSegError):
            log_fault("A case of the batch failed.", error)
        self._set(case, FAILED, str(error) or type(error).__name__)

    def _set(self, case: Case, status: str, message: str = "") -> None:
        case.status, case.message = status, message
        if status != WAITING and self._began:
            case.seconds = time.perf_counter() - self._began
        self._tell(case)

    def _tell(self, case: Case) -> None:
        try:
            if self._changed is not None:
                self._changed(case)
        except Exception as error:  # the caller's table is broken; the cases are not
            log_fault("The callback of a batch failed.", error)

    def _end(self) -> None:
        self._over = True
        finished, self._finished, self._changed = self._finished, None, None
        if finished is not None:
            finished(self)
