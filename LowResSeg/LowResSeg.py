"""LowResSeg: brain structures of an MRI, in seconds, on the computer that is already in the room.

From the console: `LowResSegLogic().process(volumeNode)` returns a segmentation node.
"""

import sys
import tempfile
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
from LowResSegSlicer.nodes import run_record, scans  # noqa: E402
from LowResSegSlicer.panel.batch import Batch  # noqa: E402
from LowResSegSlicer.panel.comparing import Comparing  # noqa: E402
from LowResSegSlicer.panel.editing import Editing  # noqa: E402
from LowResSegSlicer.panel.exporting import Exporting  # noqa: E402
from LowResSegSlicer.panel.models import Models  # noqa: E402
from LowResSegSlicer.panel.remote import Remote  # noqa: E402
from LowResSegSlicer.panel.results import Results  # noqa: E402
from LowResSegSlicer.panel.section import Context, Section  # noqa: E402
from LowResSegSlicer.panel.segmenting import Segmenting  # noqa: E402
from LowResSegSlicer.startup import on_startup_completed  # noqa: E402

from LowResSegLib.errors import LowResSegError  # noqa: E402

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
            " segments at the resolution of the scan. It needs no GPU, and it sends nothing anywhere unless you"
            " choose another computer in the section Remote."
            " For research use only."
        )
        self.parent.acknowledgementText = _("LowResSeg is open source under the Apache License 2.0.")
        slicer.app.connect("startupCompleted()", on_startup_completed)  # other modules are there by then


class LowResSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: sections below each other, each with a controller of its own in LowResSegSlicer/panel."""

    def __init__(self, parent: Optional[Any] = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = LowResSegLogic()
        self.context = Context(self.logic, self.resourcePath, self.refresh)
        self.sections: list[Section] = []
        self._guiTag: Optional[int] = None
        self._refreshing = False

    def setup(self) -> None:
        """Build the panel when the module is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        context = self.context
        self.remote = context.remote = Remote(context)
        self.segmenting = Segmenting(context)
        self.results, self.editing = Results(context), Editing(context)
        self.comparing, self.exporting = Comparing(context), Exporting(context)
        self.batch = Batch(context, self.segmenting.options, self.segmenting.models.chosen)
        self.models = Models(context, self._onModelsChanged)
        self.sections = [
            self.segmenting, self.results, self.editing, self.comparing, self.exporting, self.batch, self.models,
            self.remote,
        ]  # fmt: skip
        for section in self.sections:
            self.layout.addWidget(section.widget)
        notice = qt.QLabel(_("For research use only. Not for diagnosis or treatment."))
        notice.wordWrap = True
        self.layout.addWidget(notice)
        self.layout.addStretch(1)
        context.entered = bool(self.parent.isEntered)  # true when the module is reloaded
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneEndClose)
        self.addObserver(scene, scene.NodeAddedEvent, self._onSceneChanged)
        self.addObserver(scene, scene.NodeRemovedEvent, self._onSceneChanged)
        self._initializeParameterNode()

    def cleanup(self) -> None:
        """End the run and the worker process when the module is reloaded or Slicer quits."""
        self.logic.close()
        for section in self.sections:
            section.close()
        self._setParameterNode(None)
        self.removeObservers()
        self.sections = []

    def onReload(self) -> None:
        """Reload the whole module for developers, not only this file."""
        for name in list(sys.modules):
            if name.split(".")[0] in ("LowResSegLib", "LowResSegSlicer"):
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def enter(self) -> None:
        """Have a parameter node each time the module is opened."""
        self.context.entered = True
        self._initializeParameterNode()
        for section in self.sections:
            section.enter()

    def exit(self) -> None:
        """Stop editing. What runs goes on, and its result comes into the scene."""
        self.context.entered = False
        for section in self.sections:
            section.exit()

    def refresh(self) -> None:
        """Make all sections show what is chosen and what runs."""
        if self._refreshing:  # a section's change of a selector, told again
            return
        self._refreshing = True
        try:
            for section in self.sections:
                section.refresh()
        finally:
            self._refreshing = False

    def _onModelsChanged(self) -> None:
        self.models.read()
        self.segmenting.models.read()
        self.refresh()

    def _onSceneStartClose(self, caller: Any, event: Any) -> None:
        for section in self.sections:
            section.scene_closing()
        self._setParameterNode(None)

    def _onSceneEndClose(self, caller: Any, event: Any) -> None:
        if self.context.entered:
            self._initializeParameterNode()

    def _onSceneChanged(self, caller: Any, event: Any) -> None:
        if self.context.entered and not slicer.mrmlScene.IsBatchProcessing():
            self.refresh()

    def _initializeParameterNode(self) -> None:
        self._setParameterNode(self.logic.getParameterNode())
        if not self.context.chosen.inputVolume:
            found = scans()
            if found:
                self.context.chosen.inputVolume = found[0]

    def _setParameterNode(self, parameterNode: Optional[Any]) -> None:
        if self.context.chosen is not None:
            self.context.chosen.disconnectGui(self._guiTag)
            self.removeObserver(self.context.chosen, vtk.vtkCommand.ModifiedEvent, self._onParameterNode)
        self.context.chosen = parameterNode
        self.context.result = None
        if parameterNode is not None:
            # The widgets that the .ui files bind by SlicerParameterName; connectGui would find them too, but in
            # Slicer 5.6 it gives no tag to disconnect with.
            widgets = [widget for section in self.sections for widget in vars(section.ui).values()]
            named = ((widget.property("SlicerParameterName"), widget) for widget in widgets)
            self._guiTag = parameterNode.connectParametersToGui({name: widget for name, widget in named if name})
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParameterNode)
        self.refresh()

    def _onParameterNode(self, caller: Any, event: Any) -> None:
        self.refresh()


class LowResSegTest(ScriptedLoadableModuleTest):
    """Self test, run by Slicer's "Reload and Test" and by ctest; it needs no window and no layout."""

    def setUp(self) -> None:
        """Begin with a scene that has nothing but a made-up head, of voxels of 4 mm."""
        slicer.mrmlScene.Clear()
        z, y, x = np.mgrid[-1:1:20j, -1:1:24j, -1:1:22j]
        head = np.sqrt((z / 0.8) ** 2 + (y / 0.9) ** 2 + (x / 0.7) ** 2)
        self.volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Head")
        self.volume.SetSpacing(4.0, 4.0, 4.0)
        slicer.util.updateVolumeFromArray(self.volume, np.where(head < 1, 900 - 500 * head, 0).astype(np.int16))
        self.logic = LowResSegLogic()

    def tearDown(self) -> None:
        """End the worker process, where one was started."""
        self.logic.close()

    def runTest(self) -> None:
        """Run all tests."""
        for name in sorted(name for name in dir(self) if name.startswith("test_")):
            self.setUp()
            getattr(self, name)()
            self.tearDown()
        self.delayDisplay("Test passed")

    def test_segments_a_volume(self) -> None:
        """Out comes a segment for each structure of the model, with the volume that is stated."""
        segmentation = self.logic.process(self.volume)

        segments = segmentation.GetSegmentation()
        labels = (run_record(segmentation) or {})["labels"]
        self.assertGreater(len(labels), 0)
        self.assertEqual(segments.GetNumberOfSegments(), len(labels))
        for identifier, label in zip(segments.GetSegmentIDs(), labels):
            self.assertEqual(segments.GetSegment(identifier).GetName(), label["name"])
            voxels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, self.volume).sum()
            self.assertAlmostEqual(voxels * 4.0**3 / 1000, label["volume_ml"], places=3)
        reference = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
        self.assertEqual(reference.GetID(), self.volume.GetID())

    def test_gives_a_labelmap_with_colours(self) -> None:
        """The labelmap has the labels of the segmentation, and a colour table with their names."""
        labelmap = self.logic.process(self.volume, output="labelmap", passes=1)

        array, table = slicer.util.arrayFromVolume(labelmap), labelmap.GetDisplayNode().GetColorNode()
        for label in (run_record(labelmap) or {})["labels"]:
            self.assertEqual(table.GetColorName(label["value"]), label["name"])
            voxels = int((array == label["value"]).sum())
            self.assertAlmostEqual(voxels * 4.0**3 / 1000, label["volume_ml"], places=3)

    def test_compares_two_results(self) -> None:
        """A result is like itself as a labelmap: Dice 1, no distance, and a row of a table for each structure."""
        segmentation = self.logic.process(self.volume, passes=1)
        labelmap = self.logic.export_labelmap(segmentation)

        result = self.logic.compare(segmentation, labelmap)
        rows = [row for row in result.comparison.rows if row.dice is not None]
        self.assertGreater(len(rows), 0)
        self.assertEqual({(row.dice, row.hd95_mm) for row in rows}, {(1.0, 0.0)})
        self.assertEqual(result.table.GetNumberOfRows(), len(result.comparison.rows))

    def test_restores_the_network_s_result(self) -> None:
        """What was erased comes back."""
        segmentation = self.logic.process(self.volume, keep_original=True, passes=1)
        segments = segmentation.GetSegmentation()
        count = segments.GetNumberOfSegments()
        segments.RemoveSegment(segments.GetNthSegmentID(0))
        self.logic.restore(segmentation)
        self.assertEqual(segmentation.GetSegmentation().GetNumberOfSegments(), count)

    def test_exports_files(self) -> None:
        """All files are written; a second time they are not written over."""
        segmentation = self.logic.process(self.volume, passes=1)
        with tempfile.TemporaryDirectory() as folder:
            files = self.logic.export(segmentation, folder)
            self.assertEqual(len(files), 4)
            self.assertTrue(all(file.stat().st_size > 0 for file in files))
            with self.assertRaises(LowResSegError):
                self.logic.export(segmentation, folder)
