"""The module's logic: segmentation of volume nodes, with or without the panel."""

# No "from __future__ import annotations": parameterNodeWrapper reads the annotations of the class below.

import shutil
import sys
from pathlib import Path
from typing import Any, Callable, Optional

import qt
import slicer
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from LowResSegLib import available_models, segment
from LowResSegLib.jobs import Worker
from LowResSegSlicer.nodes import segmentation_from_labelmap, volume_from_node
from LowResSegSlicer.run import Progress, Run

_POLL_MS = 100


@parameterNodeWrapper
class LowResSegParameterNode:
    """What the panel keeps in the scene: the chosen volume, model and segmentation."""

    inputVolume: slicer.vtkMRMLScalarVolumeNode
    model: str = "brain"
    outputSegmentation: slicer.vtkMRMLSegmentationNode


class LowResSegLogic(ScriptedLoadableModuleLogic):
    """Segmentation of volume nodes, with or without the panel.

    Example:
        from LowResSeg import LowResSegLogic
        segmentation = LowResSegLogic().process(slicer.util.getNode("MRHead"))
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self._worker = Worker([_python()])
        self._run: Optional[Run] = None

    def getParameterNode(self) -> Any:
        """The module's parameter node, with named and typed parameters."""
        return LowResSegParameterNode(super().getParameterNode())  # type: ignore[call-arg]  # the wrapper's

    def models(self) -> list[str]:
        """Names of the installed models."""
        return list(available_models())

    def process(
        self,
        volumeNode: Any,
        model: str = "brain",
        outputNode: Optional[Any] = None,
        wait: bool = True,
        progress: Optional[Progress] = None,
        finished: Optional[Callable[[Run], None]] = None,
        backend: str = "auto",
        threads: Optional[int] = None,
        not_a_labelmap: bool = False,
    ) -> Any:
        """Segment a volume node into a segmentation node.

        Args:
            volumeNode: vtkMRMLScalarVolumeNode; a linear parent transform is passed on to the result.
            model: name of an installed model, or a model file.
            outputNode: segmentation node whose segments are replaced when all went well; None makes a new one.
            wait: True runs in this process and returns the vtkMRMLSegmentationNode. False runs in the worker process
                and returns a `Run` at once; the application's event loop brings the result into the scene. One
                logic has one such run at a time.
            progress: called with the name of the step and the share of the run that is done, 0 to 1.
            finished: called with the `Run` when it has ended; not used with wait.
            backend: as in `LowResSegLib.segment`.
            threads: at most so many for the network; None means all cores.
            not_a_labelmap: the volume is a scan, although it looks like a labelmap, as pictures of phantoms do.

        Raises:
            LowResSegError: the volume, the model or the backend cannot be used; the text says what to do.
        """
        volume = volume_from_node(volumeNode)
        options: dict[str, Any] = {"backend": backend, "threads": threads, "not_a_labelmap": not_a_labelmap}
        if wait:
            labelmap, record = segment(volume, model, progress, **options)
            return segmentation_from_labelmap(labelmap.array, record, volumeNode, outputNode)
        job = self._worker.submit(volume, model=model, **options)
        run = self._run = Run(job, volumeNode, outputNode, progress, finished)
        self._follow(run)
        return run

    def close(self) -> None:
        """Cancel what runs and end the worker process; the logic can be used again."""
        self._worker.close()  # first, so that it is closed whatever the run's callback does
        if self._run is not None:
            self._run.cancel()

    def _follow(self, run: Run) -> None:
        """Look after a run until it ends. Until then its timer holds this logic, and with it the worker process."""
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
                    self._run = None if self._run is run else self._run
                    timer.deleteLater()

        timer.connect("timeout()", look)
        timer.start(_POLL_MS)


def _python() -> str:
    """Slicer's Python, for the worker: the application itself runs no modules of Python."""
    home = str(Path(slicer.app.slicerHome) / "bin")
    return shutil.which("PythonSlicer") or shutil.which("PythonSlicer", path=home) or sys.executable
