"""Work on its way through the worker process, one job after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

from slicer.i18n import tr as _

from LowResSegLib.errors import Cancelled, InputError, LowResSegError
from LowResSegSlicer.log import log_fault
from LowResSegSlicer.nodes import in_scene

Progress = Callable[[str, float], None]


class Run:
    """One or more jobs and what becomes of their results.

    Nothing happens by itself: each `poll` reports progress and, when a job is done, takes its result. So there is no
    thread, and whoever has an event loop decides how often to look. Subclasses say what is done in `_submit` and
    `_take`.

    Attributes:
        node: the result's node, once there is one.
        error: what went wrong, if something did; its text is a sentence.
        cancelled: whether `cancel` ended the run.
        notices: sentences that the user should read, once the run has ended.
    """

    gone = ""  # the sentence for a run whose nodes have left the scene

    def __init__(
        self,
        nodes: Sequence[Any] = (),
        progress: Optional[Progress] = None,
        finished: Optional[Callable[[Any], None]] = None,
    ) -> None:
        """Prepare; `begin` starts the work.

        Args:
            nodes: if one of them leaves the scene, the run ends.
            progress: called with the name of the step and the share of the run that is done, 0 to 1.
            finished: called once, with this run, however it ends.
        """
        self.node: Optional[Any] = None
        self.error: Optional[BaseException] = None
        self.cancelled = False
        self.notices: list[str] = []
        self._job: Optional[Any] = None
        self._nodes = tuple(nodes)
        self._progress = progress
        self._finished = finished

    @property
    def running(self) -> bool:
        """Whether the run has yet to end."""
        return self._job is not None

    def begin(self) -> None:
        """Submit the first job; what is wrong from the start is raised."""
        self._job = self._submit()

    def poll(self) -> bool:
        """Look after the job; returns whether the run goes on."""
        job = self._job
        if job is None:
            return False
        if not all(in_scene(node) for node in self._nodes):
            job.cancel()
            self._end(InputError(self.gone))
        elif job.done():
            self._go_on(job)
        else:
            now = job.progress()
            try:
                self.heard(now.step, now.fraction)
            except Exception as error:  # as where nobody waits: a callback that raises ends the run
                job.cancel()
                self._end(error)
        return self.running

    def cancel(self) -> None:
        """End the run now; the scene stays as it is. Nothing happens where it has ended already."""
        if self._job is not None:
            self._job.cancel()
            self.cancelled = True
            self._end(None)

    def wait(self) -> Any:
        """Go on to the end, for jobs that run in this process; returns the node or raises what went wrong."""
        while self.poll():
            pass
        if self.error is not None:
            raise self.error
        return self.node

    def heard(self, step: str, fraction: float) -> None:
        """Tell the caller how far the run is."""
        if self._progress is not None:
            self._progress(*self._overall(step, fraction))

    def _submit(self) -> Any:
        """Begin the work; returns the first job."""
        raise NotImplementedError

    def _take(self, job: Any) -> Optional[Any]:
        """Take the result of a job that is done; returns the next job, or None at the end."""
        raise NotImplementedError

    def _overall(self, step: str, fraction: float) -> tuple[str, float]:
        """What the present job's step and fraction mean for the whole run."""
        return step, fraction

    def _go_on(self, job: Any) -> None:
        try:
            following = self._take(job)
        except Cancelled:  # the worker gave the job up for another one
            self.cancelled = True
            self._end(None)
        except LowResSegError as error:
            self._end(error)
        except Exception as error:  # poll is called by a timer: nobody else would see it
            log_fault("A result could not be brought into the scene.", error)
            self._end(error)
        else:
            self._job = following
            if following is None:
                self._end(None)

    def _end(self, error: Optional[BaseException]) -> None:
        self.error = error
        finished, self._finished, self._progress, self._job = self._finished, None, None, None
        self._nodes = ()  # they may leave the scene; keep nothing of them alive
        self._release()
        if finished is not None:
            finished(self)

    def _release(self) -> None:
        """Let go of nodes and arrays that are of no use after the end."""


class SegmentRun(Run):
    """The segmentation of one volume node.

    Attributes:
        record: the run record, once there is one.
        confidence: the confidence map's volume node, where it was asked for.
    """

    def __init__(
        self,
        source: Any,
        output: Any,
        submit: Callable[[Any], Any],
        progress: Optional[Progress] = None,
        finished: Optional[Callable[[Any], None]] = None,
    ) -> None:
        """Prepare.

        Args:
            source: `nodes.Source`, the volume to be segmented.
            output: `results.Output`, what becomes of the labels.
            submit: gives a volume to a runner and returns the job.
            progress: see `Run`.
            finished: see `Run`.
        """
        super().__init__([source.node], progress, finished)
        self.gone = _("The input volume was removed from the scene, so its segmentation was stopped.")
        self.record: Optional[dict[str, Any]] = None
        self.confidence: Optional[Any] = None
        self._source, self._output, self._send = source, output, submit

    @property
    def segmentation(self) -> Optional[Any]:
        """The result's node, once there is one."""
        return self.node

    def _submit(self) -> Any:
        return self._send(self._source.volume)

    def _take(self, job: Any) -> None:
        labelmap, record = job.result()
        result = self._output.put(labelmap, record, getattr(job, "confidence", None), self._source)
        self.node, self.confidence, self.record = result.node, result.confidence, result.record
        self.notices = list(result.notices)

    def _release(self) -> None:
        self._source = self._output = self._send = None  # type: ignore[assignment]


class AnswerRun(Run):
    """A job that finds something out and leaves the scene as it is.

    Attributes:
        answer: what was found; None until then, and where there is none.
        gives_way: whether another run may begin meanwhile. The worker then gives this job up, and it ends as cancelled.
    """

    def __init__(
        self,
        submit: Callable[[], Any],
        finished: Optional[Callable[[Any], None]] = None,
        gives_way: bool = False,
    ) -> None:
        """Prepare.

        Args:
            submit: gives the question to a runner and returns the job, whose result is the answer.
            finished: see `Run`.
            gives_way: see the class.
        """
        super().__init__((), None, finished)
        self.answer: Optional[Any] = None
        self.gives_way = gives_way
        self._send = submit

    def _submit(self) -> Any:
        return self._send()

    def _take(self, job: Any) -> None:
        self.answer = job.result()

    def _release(self) -> None:
        self._send = None  # type: ignore[assignment]
