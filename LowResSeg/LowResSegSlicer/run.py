"""One segmentation on its way through the worker process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Optional

import slicer
from slicer.i18n import tr as _

from LowResSegLib.errors import InputError, LowResSegError
from LowResSegSlicer.nodes import segmentation_from_labelmap

Progress = Callable[[str, float], None]


class Run:
    """A job in the worker process and the nodes it belongs to.

    Nothing happens by itself: each `poll` reports progress and, when the job is done, brings its result into the
    scene. So there is no thread, and whoever has an event loop decides how often to look.

    Attributes:
        segmentation: the result's vtkMRMLSegmentationNode, once there is one.
        error: what went wrong, if something did; its text is a sentence.
        cancelled: whether `cancel` ended the run.
    """

    def __init__(
        self,
        job: Any,
        volumeNode: Any,
        outputNode: Optional[Any] = None,
        progress: Optional[Progress] = None,
        finished: Optional[Callable[[Run], None]] = None,
    ) -> None:
        """Follow a job.

        Args:
            job: as `LowResSegLib.jobs` makes it.
            volumeNode: the volume being segmented; if it leaves the scene, the run ends.
            outputNode: segmentation node to replace the segments of; None makes a new one.
            progress: called with the name of the step and the share of the run that is done, 0 to 1.
            finished: called once, with this run, however it ends.
        """
        self.segmentation: Optional[Any] = None
        self.error: Optional[Exception] = None
        self.cancelled = False
        self._job: Optional[Any] = job
        self._volumeNode = volumeNode
        self._outputNode = outputNode
        self._progress = progress
        self._finished = finished

    @property
    def running(self) -> bool:
        """Whether the run has yet to end."""
        return self._job is not None

    def poll(self) -> bool:
        """Look after the job; returns whether the run goes on."""
        job = self._job
        if job is None:
            return False
        if not slicer.mrmlScene.IsNodePresent(self._volumeNode):
            job.cancel()
            self._end(InputError(_("The input volume was removed from the scene, so its segmentation was stopped.")))
        elif job.done():
            self._end(self._collect(job))
        elif self._progress is not None:
            now = job.progress()
            try:
                self._progress(now.step, now.fraction)
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

    def _collect(self, job: Any) -> Optional[Exception]:
        try:
            labelmap, record = job.result()
            self.segmentation = segmentation_from_labelmap(labelmap.array, record, self._volumeNode, self._outputNode)
        except LowResSegError as error:
            return error
        except Exception as error:  # poll is called by a timer: nobody else would see it
            logging.exception("LowResSeg could not bring a result into the scene.")
            return error
        return None

    def _end(self, error: Optional[Exception]) -> None:
        self.error = error
        finished, self._finished, self._progress, self._job = self._finished, None, None, None
        self._volumeNode = self._outputNode = None  # they may leave the scene; keep nothing of them alive
        if finished is not None:
            finished(self)
