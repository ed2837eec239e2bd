"""LowResSeg: brain structures of an MRI, in seconds, on the computer that is already in the room.

From the console: `LowResSegLogic().process(volumeNode)` returns a segmentation node.
"""

import logging
import sys
from pathlib import Path
from typing import Any, Optional

import numpy as np
import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# Installed as an extension, the library lies beside this file. In a checkout it lies one folder up.
_CHECKOUT = Path(__file__).resolve().parent.parent
if (_CHECKOUT / "LowResSegLib" / "__init__.py").is_file() and str(_CHECKOUT) not in sys.path:
    sys.path.insert(0, str(_CHECKOUT))

from LowResSegSlicer.logic import LowResSegLogic, LowResSegParameterNode  # noqa: E402  (found through the path above)
from LowResSegSlicer.nodes import run_record  # noqa: E402
from LowResSegSlicer.run import Run  # noqa: E402

__all__ = ["LowResSeg", "LowResSegLogic", "LowResSegParameterNode", "LowResSegTest", "LowResSegWidget"]


class LowResSeg(ScriptedLoadableModule):
    """What Slicer lists: title, category, help, icon (Resources/Icons/LowResSeg.png)."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("LowResSeg")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["Segmentations"]
        self.parent.contributors = ["The LowResSeg contributors"]
        self.parent.helpText = _(
            "Segments a whole MRI volume on a low-resolution grid with a ternary network, and gives editable"
            " segments at the resolution of the scan. It needs no GPU and sends nothing anywhere."
            " For research use only."
        )
        self.parent.acknowledgementText = _("LowResSeg is open source under the Apache License 2.0.")


class LowResSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel. It starts runs, shows how they go on and what they give; the work is the logic's."""

    def __init__(self, parent: Optional[Any] = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = LowResSegLogic()
        self._parameterNode: Any = None
        self._guiTag: Optional[int] = None
        self._run: Optional[Run] = None

    def setup(self) -> None:
        """Build the panel when the module is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/LowResSeg.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.ui.modelSelector.addItems(self.logic.models())
        self.ui.progressBar.hide()

        self.ui.modelSelector.connect("currentTextChanged(QString)", self._onModelChosen)
        self.ui.segmentButton.connect("clicked(bool)", self._onSegmentButton)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self._onSceneEndClose)
        self._initializeParameterNode()

    def cleanup(self) -> None:
        """End the run and the worker process when the module is reloaded or Slicer quits."""
        self.logic.close()
        self._setParameterNode(None)
        self.removeObservers()

    def onReload(self) -> None:
        """Reload the whole module for developers, not only this file."""
        for name in list(sys.modules):
            if name.split(".")[0] in ("LowResSegLib", "LowResSegSlicer"):
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def enter(self) -> None:
        """Have a parameter node each time the module is opened."""
        self._initializeParameterNode()

    def _onSceneStartClose(self, caller: Any, event: Any) -> None:
        if self._run is not None:
            self._run.cancel()
        self._setParameterNode(None)

    def _onSceneEndClose(self, caller: Any, event: Any) -> None:
        if self.parent.isEntered:
            self._initializeParameterNode()

    def _initializeParameterNode(self) -> None:
        self._setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.inputVolume:
            volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")  # with labelmaps, which are of no use here
            scans = [node for node in volumes if node.GetClassName() == "vtkMRMLScalarVolumeNode"]
            if scans:
                self._parameterNode.inputVolume = scans[0]

    def _setParameterNode(self, parameterNode: Optional[Any]) -> None:
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._refresh)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            # The widgets that the .ui file binds by SlicerParameterName; connectGui would find them too, but in
            # Slicer 5.6 it gives no tag to disconnect with.
            named = ((widget.property("SlicerParameterName"), widget) for widget in vars(self.ui).values())
            bound = {parameter: widget for parameter, widget in named if parameter}
            self._guiTag = parameterNode.connectParametersToGui(bound)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._refresh)
        self._refresh()

    def _onModelChosen(self, name: str) -> None:
        if self._parameterNode is not None and name:
            self._parameterNode.model = name

    def _onSegmentButton(self, checked: bool = False) -> None:
        if self._run is not None:
            self._run.cancel()
            return
        chosen = self._parameterNode
        self.ui.progressBar.value = 0
        self.ui.statusLabel.text = _("Starting")
        try:
            self._run = self.logic.process(
                chosen.inputVolume,
                chosen.model,
                chosen.outputSegmentation,
                wait=False,
                progress=self._showProgress,
                finished=self._onFinished,
            )
        except Exception as error:
            self._showError(error)
        self._refresh()

    def _showProgress(self, step: str, fraction: float) -> None:
        steps = {
            "model": _("Reading the model"),
            "sampling": _("Resampling the volume"),
            "network": _("Running the network"),
            "reconstruction": _("Restoring the labels at full resolution"),
        }
        self.ui.progressBar.value = round(100 * fraction)
        self.ui.statusLabel.text = steps.get(step, self.ui.statusLabel.text)

    def _onFinished(self, run: Run) -> None:
        self._run = None
        if run.error is not None:
            self._showError(run.error)
        elif run.cancelled:
            self.ui.statusLabel.text = _("Cancelled; the scene is unchanged.")
        else:
            record = run_record(run.segmentation) or {}
            done = _("Done in {seconds:.1f} seconds.").format(seconds=record["seconds"]["total"])
            self.ui.statusLabel.text = " ".join([done, *record["warnings"]])
            if self._parameterNode is not None:
                self._parameterNode.outputSegmentation = run.segmentation
        self._refresh()

    def _showError(self, error: Exception) -> None:
        logging.error("LowResSeg: %s", error)
        self.ui.statusLabel.text = str(error)

    def _refresh(self, caller: Optional[Any] = None, event: Optional[Any] = None) -> None:
        """Make the panel show what is chosen and whether something runs."""
        chosen = self._parameterNode
        button = self.ui.segmentButton
        self.ui.progressBar.visible = self._run is not None
        # A model that is not installed here leaves the selector empty, so that any other can be chosen.
        position = self.ui.modelSelector.findText(chosen.model) if chosen is not None else -1
        self.ui.modelSelector.setCurrentIndex(position)
        button.text = _("Segment") if self._run is None else _("Cancel")
        button.enabled = self._run is not None or (position >= 0 and chosen.inputVolume is not None)
        button.toolTip = (
            _("Segment the chosen volume.") if button.enabled else _("Choose an input volume and an installed model.")
        )
        self._showVolumes(chosen.outputSegmentation if chosen is not None else None)

    def _showVolumes(self, segmentation: Optional[Any]) -> None:
        labels = (run_record(segmentation) or {}).get("labels", [])
        table = self.ui.volumesTable
        table.setRowCount(len(labels))
        for row, label in enumerate(labels):
            table.setItem(row, 0, qt.QTableWidgetItem(str(label["name"])))
            table.setItem(row, 1, qt.QTableWidgetItem("{:.1f}".format(label["volume_ml"])))


class LowResSegTest(ScriptedLoadableModuleTest):
    """Self test, run by Slicer's "Reload and Test" and by ctest."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests."""
        self.setUp()
        self.test_segments_a_volume()

    def test_segments_a_volume(self) -> None:
        """A made-up head in; out comes a segment for each structure of the model, with the volume that is stated."""
        z, y, x = np.mgrid[-1:1:20j, -1:1:24j, -1:1:22j]
        head = np.sqrt((z / 0.8) ** 2 + (y / 0.9) ** 2 + (x / 0.7) ** 2)
        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Head")
        volume.SetSpacing(4.0, 4.0, 4.0)
        slicer.util.updateVolumeFromArray(volume, np.where(head < 1, 900 - 500 * head, 0).astype(np.int16))

        segmentation = LowResSegLogic().process(volume)

        segments = segmentation.GetSegmentation()
        labels = (run_record(segmentation) or {})["labels"]
        self.assertGreater(len(labels), 0)
        self.assertEqual(segments.GetNumberOfSegments(), len(labels))
        for identifier, label in zip(segments.GetSegmentIDs(), labels):
            self.assertEqual(segments.GetSegment(identifier).GetName(), label["name"])
            voxels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, volume).sum()
            self.assertAlmostEqual(voxels * 4.0**3 / 1000, label["volume_ml"], places=3)
        self.assertEqual(
            segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole()).GetID(), volume.GetID()
        )
        self.delayDisplay("Test passed")
