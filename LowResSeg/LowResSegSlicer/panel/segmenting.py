"""Sections "Input" and "Segment": a scan and a model in, a run, its result."""

from __future__ import annotations

import time
from typing import Any, Optional

import qt
import slicer
from slicer.i18n import tr as _

from LowResSegLib import kernels
from LowResSegSlicer.nodes import map_ids, modality_of, run_record
from LowResSegSlicer.panel import settings, words
from LowResSegSlicer.panel.expectation import Expectation
from LowResSegSlicer.panel.model_choice import ModelChoice
from LowResSegSlicer.panel.remote import helped_here
from LowResSegSlicer.panel.section import Context, Section, say, sentence
from LowResSegSlicer.sequences import frames_of

_HELP = "https://slicer.readthedocs.io/en/latest/user_guide/data_loading_and_saving.html"
_PASSES = (None, 1, 2, 4)  # as they are listed
_KINDS = ("segmentation", "labelmap")  # as they are listed


class Segmenting(Section):
    """What is segmented, with which model, into what; the run and how it goes on."""

    ui_file = "LowResSeg.ui"

    def __init__(self, context: Context) -> None:
        """Wire the widgets."""
        Section.__init__(self, context)
        self.models = ModelChoice(context, self.ui, self._say)
        self._expectation = Expectation(context, self.ui.estimateLabel)
        self._began = 0.0
        self._server: Optional[Any] = None  # of the present run; None means this computer
        self._server_failed = False  # whether the last run ended because of it
        self._restore_options()
        self.ui.modelCardBrowser.setFixedHeight(180)
        self.ui.inputSection.connect("contentsCollapsed(bool)", self.on_collapsed)
        self.ui.segmentSection.connect("contentsCollapsed(bool)", self.on_collapsed)
        self.ui.segmentButton.connect("clicked(bool)", self._on_segment)
        self.ui.localButton.connect("clicked(bool)", self._on_local)
        self.ui.sampleButton.connect("clicked(bool)", self._on_sample)
        self.ui.inputInfoLabel.connect("linkActivated(QString)", self._on_link)
        self.ui.outputKindSelector.connect("activated(int)", self._on_kind)
        self.ui.confidenceCheckBox.connect("toggled(bool)", self._on_option)
        self.ui.keepOriginalCheckBox.connect("toggled(bool)", self._on_option)
        self.ui.passesSelector.connect("activated(int)", self._on_option)
        self.ui.threadsSpinBox.connect("valueChanged(int)", self._on_option)
        self.ui.memorySpinBox.connect("valueChanged(int)", self._on_option)
        reason = kernels.why_not()
        self.ui.kernelsLabel.text = _(
            "The fast kernels cannot be used here: {reason}. Everything works, but slower."
        ).format(reason=reason)
        self.ui.kernelsLabel.visible = not kernels.available()
        self.models.read()

    def options(self) -> dict[str, Any]:
        """The chosen options, as `process` and `batch` of the logic take them."""
        return {
            "confidence": self.ui.confidenceCheckBox.checked,
            "keep_original": self.ui.keepOriginalCheckBox.checked and self._kind() == _KINDS[0],
            "not_a_labelmap": self.ui.scanCheckBox.checked,
            "passes": _PASSES[max(0, self.ui.passesSelector.currentIndex)],
            "max_memory": self.ui.memorySpinBox.value or None,
            "threads": self.ui.threadsSpinBox.value or None,
            "output": self._kind(),
        }

    def refresh(self) -> None:
        """Show the volume, the model, what the run will take, and whether there is one."""
        chosen = self.context.chosen
        volume = chosen.inputVolume if chosen is not None else None
        labelmap = self._kind() == _KINDS[1]
        self.ui.outputSelector.visible = not labelmap
        self.ui.outputLabelmapSelector.visible = labelmap
        self.ui.keepOriginalCheckBox.enabled = not labelmap
        if chosen is not None:
            self.context.result = chosen.outputLabelmap if labelmap else chosen.outputSegmentation
        self._show_volume(volume)
        self.models.refresh()
        entry = self.models.chosen()
        usable = entry is not None and entry.problem is None
        here = usable and entry.described is None
        self._expectation.show(volume, chosen.model if chosen is not None and here else None, self.options())
        ready = volume is not None and usable and self.context.run is None
        button = self.ui.segmentButton
        self.ui.progressBar.visible = self.runs
        button.text = _("Cancel") if self.runs else _("Segment")
        button.enabled = self.runs or ready
        button.toolTip = self._hint(volume, usable)
        self.ui.localButton.visible = self._server_failed and ready and here and self.context.remote.wanted()

    def scene_closing(self) -> None:
        """End the run: its nodes go away."""
        if self.runs:
            self.context.run.cancel()

    def _hint(self, volume: Optional[Any], usable: bool) -> str:
        if self.runs:
            return _("End the run; the scene stays as it is.")
        if self.context.run is not None:
            return _("Something else is running; wait for it or cancel it.")
        if volume is None:
            return _("Choose a volume.")
        return _("Segment the chosen volume.") if usable else _("Choose a model that can be used here.")

    def _kind(self) -> str:
        return _KINDS[max(0, self.ui.outputKindSelector.currentIndex)]

    def _say(self, text: str) -> None:
        say(self.ui.statusLabel, text)

    # The volume

    def _show_volume(self, volume: Optional[Any]) -> None:
        offered, maps = self.ui.inputSelector.sortFilterProxyModel(), map_ids()
        if list(offered.hiddenNodeIDs) != maps:  # which are no scans
            offered.hiddenNodeIDs = maps
        self.ui.sampleButton.visible = volume is None
        if volume is None:
            self.ui.inputInfoLabel.text = _(
                'No scan is loaded. Load one from <a href="dicom">DICOM</a> or from <a href="file">files</a>;'
                ' see <a href="help">how to load a scan</a>.'
            )
            return
        frames = frames_of(volume)
        count = frames.count if frames is not None else 1
        self.ui.inputInfoLabel.text = words.volume_text(volume, modality_of(volume), count)

    def _on_link(self, link: str) -> None:
        if link == "dicom":
            slicer.util.selectModule("DICOM")
        elif link == "file":
            slicer.util.openAddVolumeDialog()
        else:
            qt.QDesktopServices.openUrl(qt.QUrl(_HELP))

    def _on_sample(self, checked: bool = False) -> None:
        self._say(_("Loading the sample scan…"))
        try:
            import SampleData

            volume = SampleData.SampleDataLogic().downloadSample("MRHead")
        except Exception as error:
            self._say(_("The sample scan could not be loaded: {reason}").format(reason=sentence(error)))
            return
        if volume is None:
            self._say(_("The sample scan could not be loaded; is there a connection to the internet?"))
            return
        self._say("")
        if self.context.chosen is not None:
            self.context.chosen.inputVolume = volume
        self.context.refresh()

    # The run

    def _on_segment(self, checked: bool = False) -> None:
        if self.runs:
            self.context.run.cancel()
            return
        self._server_failed = False
        try:
            place = self.context.remote.place(self._upload_text)
        except Exception as error:
            self._say(sentence(error))
            self._server_failed = self.context.remote.wanted()
        else:
            if place is None:
                self._say(_("Nothing was sent, and nothing was segmented."))
            else:
                self._begin(place.server)
        self.context.refresh()

    def _upload_text(self) -> str:
        chosen, passes = self.context.chosen, self.options()["passes"]
        entry = self.models.chosen()
        model = chosen.model if entry is None or entry.described is None else entry.described
        size = words.size_text(self.context.logic.upload_bytes(chosen.inputVolume, model, passes))
        return _("the low-resolution grid of the scan, {size} at most").format(size=size)

    def _on_local(self, checked: bool = False) -> None:
        self._begin(None)
        self.context.refresh()

    def _begin(self, server: Optional[Any]) -> None:
        """Begin a run on a server, or on this computer."""
        chosen = self.context.chosen
        if chosen is None or self.context.run is not None:  # while the user was asked
            return
        options = self.options()
        node = chosen.outputSegmentation if options["output"] == _KINDS[0] else chosen.outputLabelmap
        if server is not None:
            options["max_memory"] = None  # it is about this computer's part, which is small then
        self._server, self._server_failed = server, False
        self.ui.progressBar.value = 0
        self._say(words.progress_text("", 0, 0))
        self._began = time.monotonic()
        try:
            if frames_of(chosen.inputVolume) is not None:
                options["keep_original"] = False  # sequences have none
            run = self.context.logic.process(
                chosen.inputVolume,
                chosen.model,
                node,
                wait=False,
                progress=self._on_progress,
                finished=self._on_finished,
                server=server,
                **options,
            )
        except Exception as error:
            self._say(sentence(error))
        else:
            self.started(run)

    def _on_progress(self, step: str, fraction: float) -> None:
        self.ui.progressBar.value = round(100 * fraction)
        self._say(words.progress_text(step, fraction, time.monotonic() - self._began))

    def _on_finished(self, run: Any) -> None:
        self.ended()
        if run.error is not None:
            self._say(sentence(run.error))
            self._server_failed = self._server is not None and helped_here(run.error)
        elif run.cancelled:
            self._say(_("Cancelled; the scene is unchanged."))
        else:
            self._take(run.segmentation)
            done = _("Done in {seconds:.1f} seconds.").format(seconds=time.monotonic() - self._began)
            self._say("\n".join([done, *run.notices]))
        self.context.refresh()

    def _take(self, node: Any) -> None:
        """Make the result the chosen one; a labelmap is shown in the views, as segmentations are by themselves."""
        chosen = self.context.chosen
        labelmap = node.IsA("vtkMRMLLabelMapVolumeNode")
        if chosen is not None and labelmap:
            chosen.outputLabelmap = node
        elif chosen is not None:
            chosen.outputSegmentation = node
        if labelmap:
            slicer.util.setSliceViewerLayers(label=node)
        if run_record(node) is not None and chosen is not None and chosen.inputVolume is not None:
            slicer.util.setSliceViewerLayers(background=chosen.inputVolume)

    # Options

    def _restore_options(self) -> None:
        self.ui.outputKindSelector.setCurrentIndex(1 if settings.text("outputKind") == _KINDS[1] else 0)
        self.ui.confidenceCheckBox.checked = settings.flag("confidence", False)
        self.ui.keepOriginalCheckBox.checked = settings.flag("keepOriginal", True)
        passes = settings.number("passes", 0)
        self.ui.passesSelector.setCurrentIndex(_PASSES.index(passes) if passes in _PASSES else 0)
        self.ui.threadsSpinBox.value = settings.number("threads", 0)
        self.ui.memorySpinBox.value = settings.number("maxMemory", 0)

    def _on_option(self) -> None:
        settings.remember("confidence", self.ui.confidenceCheckBox.checked)
        settings.remember("keepOriginal", self.ui.keepOriginalCheckBox.checked)
        settings.remember("passes", _PASSES[max(0, self.ui.passesSelector.currentIndex)] or 0)
        settings.remember("threads", self.ui.threadsSpinBox.value)
        settings.remember("maxMemory", self.ui.memorySpinBox.value)
        self.context.refresh()

    def _on_kind(self) -> None:
        settings.remember("outputKind", self._kind())
        self.context.refresh()
