"""Sequences, frame by frame: a result is a sequence of the same index values in the same browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional

import slicer
from slicer.i18n import tr as _

from LowResSegLib.errors import BackendError, Cancelled, InputError, LowResSegError, ModelError
from LowResSegLib.volume import Label, Volume
from LowResSegSlicer.labelmaps import loose_labelmap, set_color_table
from LowResSegSlicer.nodes import SOURCE_ROLE, hardened, in_scene, new_node, place_beside, volume_from_node
from LowResSegSlicer.results import SEGMENTATION, Output, tell_of_hardening
from LowResSegSlicer.run import Progress, Run
from LowResSegSlicer.segmentations import loose_segmentation

_KIND = "vtkMRMLSequenceNode"


@dataclass(frozen=True, eq=False)
class Frames:
    """A sequence of volumes.

    Attributes:
        sequence: the vtkMRMLSequenceNode.
        browser: a browser node that shows it, or None.
        proxy: the node of the scene that shows the browser's present frame, or None.
    """

    sequence: Any
    browser: Optional[Any]
    proxy: Optional[Any]

    @property
    def count(self) -> int:
        """How many."""
        return int(self.sequence.GetNumberOfDataNodes())

    def grid(self, index: int) -> Any:
        """The volume node of a frame, outside the scene; a non-linear transform of the proxy is hardened on a copy."""
        frame = self.sequence.GetNthDataNode(index)
        return hardened(frame, self.transform(), frame.GetName()) if self.bent() else frame

    def transform(self) -> Optional[Any]:
        """The transform node that the frames are shown under, or None."""
        return self.proxy.GetParentTransformNode() if self.proxy is not None else None

    def bent(self) -> bool:
        """Whether that is a transform that is hardened on copies."""
        transform = self.transform()
        return transform is not None and not transform.IsTransformToWorldLinear()


def frames_of(node: Optional[Any]) -> Optional[Frames]:
    """The sequence that a node is, or that a browser node shows in it; None for any other node.

    Raises:
        InputError: a sequence without frames, or of something else than volumes.
    """
    if node is None:
        return None
    browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    if node.IsA(_KIND):
        browser = next((each for each in browsers if each.IsSynchronizedSequenceNode(node, True)), None)
        frames = Frames(node, browser, browser.GetProxyNode(node) if browser is not None else None)
    else:
        browser = next((each for each in browsers if each.GetSequenceNode(node) is not None), None)
        if browser is None:
            return None
        frames = Frames(browser.GetSequenceNode(node), browser, node)
    if frames.count == 0:
        raise InputError(_("The sequence {name} has no frames; load it again.").format(name=node.GetName()))
    return frames


class SequenceRun(Run):
    """The segmentation of a sequence. A frame that fails is told of and left out; the others go on.

    Attributes:
        node: the sequence node of the results.
        segmentation: the node of the scene that shows the result of the browser's present frame.
        records: run records by frame, counted from 0.
        failed: sentences by frame, counted from 0.
    """

    def __init__(
        self,
        frames: Frames,
        output: Output,
        submit: Callable[[Volume], Any],
        progress: Optional[Progress] = None,
        finished: Optional[Callable[[Any], None]] = None,
    ) -> None:
        """Prepare; the arguments are those of `SegmentRun`, with a sequence as the source."""
        super().__init__([frames.sequence], progress, finished)
        self.gone = _("The sequence was removed from the scene, so its segmentation was stopped.")
        self.segmentation: Optional[Any] = None
        self.records: dict[int, dict[str, Any]] = {}
        self.failed: dict[int, str] = {}
        self._frames, self._output, self._send = frames, output, submit
        self._target = _earlier_result(output)
        self._index, self._count = 0, frames.count
        self._results: dict[int, Any] = {}
        self._grid: Optional[Any] = None

    def _submit(self) -> Any:
        return self._next_job()

    def _overall(self, step: str, fraction: float) -> tuple[str, float]:
        text = _("Frame {number} of {count}").format(number=self._index + 1, count=self._count)
        return text, (self._index + fraction) / self._count

    def _take(self, job: Any) -> Optional[Any]:
        try:
            self._keep(*job.result())
        except (Cancelled, ModelError, BackendError):
            raise  # no frame can do better
        except LowResSegError as error:
            self._fail(error)
        else:
            self._index += 1
        return self._next_job()

    def _next_job(self) -> Optional[Any]:
        """The job of the next frame that can be given to the runner; None at the end, with the results in the scene."""
        while self._index < min(self._count, self._frames.count):
            try:
                self._grid = self._frames.grid(self._index)
                volume = volume_from_node(self._grid)
            except InputError as error:
                self._fail(error)
                continue
            try:
                return self._send(volume)
            except LowResSegError as error:
                if not self._results:
                    raise
                self._fail(error)
        self._finish()
        return None

    def _fail(self, error: Exception) -> None:
        self.failed[self._index] = self._sentence(error)
        self._index += 1

    def _keep(self, labelmap: Volume, record: dict[str, Any]) -> None:
        if self._frames.bent():
            record = tell_of_hardening(record)
        make = loose_segmentation if self._output.kind == SEGMENTATION else loose_labelmap
        self._results[self._index] = make(labelmap.array, record, self._grid)
        self.records[self._index] = record

    def _sentence(self, error: Exception) -> str:
        sequence = self._frames.sequence
        text = _("Frame {number} of {count} ({index} {value}) was not segmented: {reason}")
        value = sequence.GetNthIndexValue(self._index)
        return text.format(
            number=self._index + 1, count=self._count, index=sequence.GetIndexName(), value=value, reason=error
        )

    def _finish(self) -> None:
        self.notices = list(self.failed.values())
        if not self._results:
            raise InputError(self.notices[0])
        self.notices += list(dict.fromkeys(text for record in self.records.values() for text in record["warnings"]))
        source = self._frames
        if not in_scene(self._target):
            kind = _("{sequence} segmentation") if self._output.kind == SEGMENTATION else _("{sequence} labels")
            self._target = new_node(_KIND, kind.format(sequence=source.sequence.GetName()))
        target = self._target
        assert target is not None
        target.RemoveAllDataNodes()
        target.SetIndexName(source.sequence.GetIndexName())
        target.SetIndexUnit(source.sequence.GetIndexUnit())
        target.SetIndexType(source.sequence.GetIndexType())
        for index, result in self._results.items():
            target.SetDataNodeAtValue(result, source.sequence.GetNthIndexValue(index))
        self.node, self.segmentation = target, self._show(target)

    def _show(self, target: Any) -> Any:
        """Put the results into the browser of the source, or a new one; returns the node that shows them."""
        source, browser = self._frames, self._frames.browser
        if not in_scene(browser):
            name = _("{sequence} browser").format(sequence=source.sequence.GetName())
            browser = new_node("vtkMRMLSequenceBrowserNode", name)
            browser.SetAndObserveMasterSequenceNodeID(source.sequence.GetID())
        assert browser is not None
        transform = source.transform()
        if not browser.IsSynchronizedSequenceNode(target, True):
            browser.AddSynchronizedSequenceNode(target)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        proxy, volume = browser.GetProxyNode(target), browser.GetProxyNode(source.sequence)
        proxy.SetAndObserveTransformNodeID(None if transform is None or source.bent() else transform.GetID())
        proxy.SetNodeReferenceID(SOURCE_ROLE, volume.GetID())
        if self._output.kind == SEGMENTATION:
            proxy.SetNodeReferenceID(proxy.GetReferenceImageGeometryReferenceRole(), volume.GetID())
        else:
            record = next(iter(self.records.values()))
            set_color_table(proxy, [Label.from_dict(entry) for entry in record["labels"]])
        place_beside(proxy, volume)
        return proxy

    def _release(self) -> None:
        self._results, self._grid = {}, None
        self._frames = self._output = self._send = self._target = None  # type: ignore[assignment]


def _earlier_result(output: Output) -> Optional[Any]:
    """The sequence node whose content the result replaces, or None for a new one.

    Raises:
        InputError: the chosen node belongs to no sequence, or something is asked that sequences do not have.
    """
    if output.keep_original:
        raise InputError(_("The network's own result is kept beside single segmentations only, not in sequences."))
    if output.node is None:
        return None
    frames = frames_of(output.node)
    if frames is None:
        message = _("{name} belongs to no sequence; choose a new node for the result of a sequence.")
        raise InputError(message.format(name=output.node.GetName()))
    return frames.sequence
