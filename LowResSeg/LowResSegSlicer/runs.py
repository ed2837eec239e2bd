"""The runs of a logic and the worker process that they go through."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import qt
import slicer
from slicer.i18n import tr as _

from LowResSegLib.errors import InputError, LowResSegError
from LowResSegLib.jobs import InProcess
from LowResSegLib.remote.client import Server
from LowResSegLib.remote.runner import Remote
from LowResSegSlicer.run import AnswerRun, Run
from LowResSegSlicer.servers import HereOverThere

_POLL_MS = 100
Finished = Callable[[Any], None]


class Runs:
    """Does runs, in this process or in a worker process that is kept for the next one.

    Attributes:
        worker: the worker process, which speaks to a server where a run is given one.
    """

    def __init__(self) -> None:
        self.worker = Remote([slicer_python()])
        self._active: list[Any] = []

    def do(self, prepare: Callable[[Any, Optional[Finished]], Run], wait: bool, finished: Optional[Finished]) -> Any:
        """Do a run here to its end, or begin it in the worker process.

        Args:
            prepare: makes the run, given a function that returns the runner of a server, or of this computer for None,
                and what to call at the end.
            wait: whether here.
            finished: called with the run at its end, where nobody waits.

        Returns:
            The run. What goes wrong is raised where it is waited for, and otherwise the run's `error`.
        """
        if wait:
            return self._do_here(prepare)
        run = prepare(self.runner, finished)
        self.refuse_second()
        self.begin(run)
        return run

    def runner(self, server: Optional[Server] = None) -> Remote:
        """The worker process, whose next jobs a server does; None means this computer."""
        self.worker.server = server
        return self.worker

    @staticmethod
    def _do_here(prepare: Callable[[Any, Optional[Finished]], Run]) -> Run:
        raised: list[BaseException] = []

        def heard(step: str, fraction: float) -> None:
            try:
                run.heard(step, fraction)
            except BaseException as error:
                raised.append(error)
                raise

        def runner(server: Optional[Server] = None) -> InProcess:
            return InProcess(heard) if server is None else HereOverThere(server, heard)

        run = prepare(runner, None)
        try:
            run.begin()
            run.wait()
        except LowResSegError:
            if raised:  # the caller's own callback, which the job takes for a fault of ours
                raise raised[0] from None
            raise
        return run

    def busy(self) -> bool:
        """Whether something runs that a new run would disturb, or have to wait for."""
        active = [run for run in self._active if not (isinstance(run, AnswerRun) and run.gives_way)]
        return any(run.running for run in active)

    def refuse_second(self) -> None:
        """Raise a sentence if something runs: between the jobs of a sequence the worker itself would take another."""
        if self.busy():
            raise InputError(_("Something is already running; wait for it or cancel it."))

    def begin(self, run: Any) -> None:
        """Begin a run and look after it until it ends.

        Until then its timer holds this object, and with it the worker process.
        """
        run.begin()
        self._active.append(run)
        # With a parent, Qt deletes the timer, and not within the timer's own signal. It fires once and is started
        # again, so that it does not fire while a callback shows a dialog.
        timer = qt.QTimer(slicer.app.moduleManager())
        timer.setSingleShot(True)

        def look() -> None:
            try:
                run.poll()
            finally:  # callbacks are the caller's and may raise
                if run.running:
                    timer.start(_POLL_MS)
                else:
                    if run in self._active:
                        self._active.remove(run)
                    timer.deleteLater()

        timer.connect("timeout()", look)
        timer.start(_POLL_MS)

    def close(self) -> None:
        """Cancel what runs and end the worker process, which the next run starts again."""
        self.worker.close()  # first, so that it is closed whatever the runs' callbacks do
        for run in tuple(self._active):
            run.cancel()


def slicer_python() -> str:
    """Slicer's Python, for the worker: the application itself runs no modules of Python."""
    home = str(Path(slicer.app.slicerHome) / "bin")
    return shutil.which("PythonSlicer") or shutil.which("PythonSlicer", path=home) or sys.executable
