"""The module's logic: what the panel does, for scripts and the console too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from LowResSegLib import model as library_models
from LowResSegLib.estimate import Speed
from LowResSegLib.model import Described
from LowResSegLib.remote.client import Check, Server
from LowResSegSlicer import batching, conversions, estimates, models, segmentations, servers
from LowResSegSlicer.comparisons import ComparisonRun
from LowResSegSlicer.confidence import CONFIDENCE_ROLE
from LowResSegSlicer.export import DEFAULT_FORMATS, export
from LowResSegSlicer.nodes import source_of
from LowResSegSlicer.parameters import LowResSegParameterNode
from LowResSegSlicer.results import Output, Review, review
from LowResSegSlicer.run import AnswerRun, Progress, Run, SegmentRun
from LowResSegSlicer.runs import Runs
from LowResSegSlicer.sequences import SequenceRun, frames_of

Finished = Callable[[Any], None]


class LowResSegLogic(ScriptedLoadableModuleLogic):
    """Segmentation, comparison and export of nodes, with or without the panel.

    What takes time has two ways. With `wait=True` it runs in this process, and the method returns the result. With
    `wait=False` it runs in the worker process, and the method returns a `Run` at once; the application's event loop
    brings the result into the scene. One logic has one such run at a time.

    Errors that a user can do something about are `LowResSegError`s, whose text says what to do.

    Example:
        >>> from LowResSeg import LowResSegLogic
        >>> logic = LowResSegLogic()
        >>> segmentation = logic.process(volumeNode, keep_original=True, confidence=True)
        >>> segmentation.GetName()
        'MRHead segmentation'
        >>> for row in logic.review(segmentation):
        ...     print(f"{row.structure}: {row.volume_ml:.1f} ml, {row.confidence} %, look again: {row.needs_review}")
        Cerebral white matter: ... ml, ... %, look again: ...
        Cerebral cortex: ... ml, ... %, look again: ...
        ...
        >>> faster = logic.process(volumeNode, passes=1, progress=lambda step, share: None)
        >>> result = logic.compare(segmentation, faster)
        >>> [row.name for row in result.comparison.rows][:2]
        ['Cerebral white matter', 'Cerebral cortex']
        >>> result.table.GetTable().GetColumnName(1)
        'Dice'
        >>> [file.name for file in logic.export(segmentation, folder, formats=("seg.nrrd", "record"))]
        ['MRHead segmentation.json', 'MRHead segmentation.seg.nrrd']
        >>> logic.restore(segmentation) is segmentation  # after editing
        True
        >>> logic.process(volumeNode, output="labelmap").GetClassName()
        'vtkMRMLLabelMapVolumeNode'
        >>> run = logic.process(volumeNode, wait=False, finished=lambda run: print("cancelled:", run.cancelled))
        >>> run.cancel()
        cancelled: True
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self._runs = Runs()
        self._speeds: dict[tuple[str, Optional[int]], Speed] = {}  # by model and threads

    def getParameterNode(self) -> Any:
        """The module's parameter node, with named and typed parameters."""
        return LowResSegParameterNode(super().getParameterNode())  # type: ignore[call-arg]  # the wrapper's

    # Models

    def models(self) -> list[models.ModelEntry]:
        """The model files of this computer, with those that are refused or need something, and why."""
        return models.models()

    def served_models(self, check: Check) -> list[models.ModelEntry]:
        """The models that a server has and this computer has not; `process` takes their names along with the server.

        Args:
            check: the answer of `test_server`.
        """
        return models.served(check.models)

    def why_not(self, model_name: Union[str, Path], volumeNode: Optional[Any] = None) -> Optional[str]:
        """What speaks against segmenting this volume with this model, as a sentence, or None."""
        return models.why_not(model_name, volumeNode)

    def models_folder(self) -> Path:
        """The user's own folder for installed models; it need not exist."""
        return Path(library_models.user_folder())

    def install_model(self, path: Union[str, Path], overwrite: bool = False) -> Path:
        """Check a model file and copy it to the user's folder; returns the copy's path."""
        return Path(library_models.install_model(Path(path), overwrite=overwrite))

    def remove_model(self, name: str) -> None:
        """Remove a model from the user's folder."""
        library_models.remove_model(name)

    # Segmentation

    def process(
        self,
        volumeNode: Any,
        model: str = "brain",
        outputNode: Optional[Any] = None,
        wait: bool = True,
        progress: Optional[Progress] = None,
        finished: Optional[Finished] = None,
        backend: str = "auto",
        threads: Optional[int] = None,
        not_a_labelmap: bool = False,
        max_memory: Optional[float] = None,
        passes: Optional[int] = None,
        confidence: bool = False,
        output: Optional[str] = None,
        keep_original: bool = False,
        every_frame: bool = True,
        server: Optional[Server] = None,
    ) -> Any:
        """Segment a volume node, or a sequence frame by frame.

        Args:
            volumeNode: vtkMRMLScalarVolumeNode, vtkMRMLSequenceNode, or the node that shows a sequence's present frame.
                A linear parent transform is passed on to the result; a non-linear one is hardened on a copy, of which
                the record's warnings tell.
            model: name of an installed model, or a model file; with a server also the name of one that it alone has.
            outputNode: node whose content is replaced when all went well; None makes a new one.
            wait: see the class.
            progress: called with the name of the step and the share of the run that is done, 0 to 1.
            finished: called with the `Run` when it has ended; not used with wait.
            backend: as in `LowResSegLib.segment`, like the next ones.
            threads: at most so many for the network; None means all cores.
            not_a_labelmap: the volume is a scan, although it looks like a labelmap, as pictures of phantoms do.
            max_memory: MB that the process may hold; None means no limit.
            passes: how often the network looks at the scan; None means as often as the model asks for.
            confidence: makes a confidence map (see `confidence_node`) and marks structures for review. Of a sequence
                there are the marks alone.
            output: "segmentation", or "labelmap" for a labelmap volume with a colour table; None goes by outputNode,
                and without one means a segmentation.
            keep_original: a hidden copy of the segmentation stays, for `restore` after editing.
            every_frame: False segments only the present frame of a sequence, as a volume.
            server: a `LowResSegLib.remote.client.Server` that runs the network; None means this computer. Whoever gives
                one agrees that the low-resolution grid of the scan is sent there, and nothing else of it. The labels
                are the same. `max_memory` and `backend` are for this computer and are refused with it.

        Returns:
            The node of the result (of a sequence, the sequence node of the results), or a `Run`.

        Raises:
            LowResSegError: the volume, the model or the backend cannot be used; the text says what to do.
            RemoteError: so is the server.
        """
        options: dict[str, Any] = {"model": model, "backend": backend, "threads": threads}
        options.update(not_a_labelmap=not_a_labelmap, max_memory=max_memory, passes=passes, confidence=confidence)
        target = Output(output, outputNode, keep_original)
        frames = frames_of(volumeNode) if every_frame else None

        def prepare(runner: Any, heard: Optional[Finished]) -> Run:
            def submit(volume: Any) -> Any:
                return runner(server).submit(volume, **options)

            if frames is not None:
                return SequenceRun(frames, target, submit, progress, heard)
            return SegmentRun(source_of(volumeNode), target, submit, progress, heard)

        run = self._runs.do(prepare, wait, finished)
        return run.node if wait else run

    def has_original(self, node: Optional[Any]) -> bool:
        """Whether the network's own result was kept for a node."""
        return segmentations.has_original(node)

    def restore(self, segmentationNode: Any) -> Any:
        """Put the network's own result back into an edited segmentation node, and return the node."""
        return segmentations.restore(segmentationNode)

    def review(self, node: Any) -> list[Review]:
        """Of each structure of a result: name, volume in ml, confidence in percent, and whether to look again."""
        return review(node)

    def confidence_node(self, node: Any) -> Optional[Any]:
        """The volume node of a result's confidence map, in percent; None where it was not asked for."""
        return node.GetNodeReference(CONFIDENCE_ROLE) if node is not None else None

    # Estimates

    def estimate(
        self,
        volumeNode: Any,
        model: str = "brain",
        finished: Optional[Finished] = None,
        threads: Optional[int] = None,
    ) -> Optional[AnswerRun]:
        """Have `estimate_text` know this computer: measure the model in the worker process, if need be.

        Args:
            volumeNode: not looked at while the model is measured; its estimate is asked for afterwards.
            model: name of an installed model, or a file.
            finished: called when `estimate_text` has an answer or there will be none: with the run, or with None where
                nothing is measured.
            threads: as in `process`.

        Returns:
            The run; it ends as cancelled if a segmentation begins. None where nothing is measured: the model is known
            already, or something else runs, after which to ask again.
        """
        if (model, threads) in self._speeds or self._runs.busy():
            if finished is not None:
                finished(None)
            return None

        def ended(run: Any) -> None:
            if run.answer is not None:
                self._speeds[model, threads] = run.answer
            if finished is not None:
                finished(run)

        def submit() -> Any:
            return self._runs.worker.submit_measure(model=model, threads=threads)

        run = AnswerRun(submit, ended, gives_way=True)
        self._runs.begin(run)
        return run

    def estimate_text(
        self,
        volumeNode: Any,
        model: str = "brain",
        threads: Optional[int] = None,
        passes: Optional[int] = None,
        confidence: bool = False,
    ) -> str:
        """What segmenting a volume takes here, such as "about 1.2 s and 310 MB on this computer".

        Args:
            volumeNode: a volume or a sequence.
            model: name of an installed model, or a file.
            threads: as in `process`, like the next ones.
            passes: how often the network looks at the scan.
            confidence: whether a confidence map is made too.

        Returns:
            The phrase; empty until `estimate` has measured the model with so many threads, or where there is nothing
            to estimate.
        """
        speed = self._speeds.get((model, threads))
        if speed is None or volumeNode is None:
            return ""
        return estimates.estimate_text(volumeNode, model, speed, passes, confidence)

    # Another computer

    def test_server(self, server: Server, finished: Optional[Finished] = None) -> AnswerRun:
        """Ask in the worker process whether a server can be used. No scan is sent, but its token is.

        Args:
            server: which one; its certificate is remembered where none was.
            finished: called with the run, whose `answer` has what the server says of itself, or `error` what is wrong.

        Raises:
            InputError: something runs.
        """
        self._runs.refuse_second()
        run = AnswerRun(lambda: self._runs.worker.submit_check(server), finished)
        self._runs.begin(run)
        return run

    def upload_bytes(
        self, volumeNode: Any, model: Union[str, Described] = "brain", passes: Optional[int] = None
    ) -> int:
        """How much of a volume or of a sequence is sent to a server, in bytes before compression; 0 without voxels."""
        return servers.upload_bytes(volumeNode, model, passes)

    # Comparison, conversion, export

    def compare(
        self,
        a: Any,
        b: Any,
        wait: bool = True,
        progress: Optional[Progress] = None,
        finished: Optional[Finished] = None,
        difference: bool = True,
    ) -> Any:
        """Compare two segmentations or labelmaps, in any mix, structure by structure.

        Args:
            a: segmentation or labelmap node; what differs is shown on its voxels.
            b: the other. Grids that differ are resampled, which the result's notices tell. A parent transform that
                both are under does not matter.
            wait: see the class.
            progress: called with the name of the step and the share of the run that is done, 0 to 1.
            finished: called with the `Run` when it has ended; not used with wait.
            difference: whether a segmentation node is made of what only one of both has.

        Returns:
            `ComparisonResult`, or a `Run` whose `results` has it at the end.

        Raises:
            LowResSegError: a node cannot be compared; the text says what to do.
        """
        found = self.compare_all(a, [b], wait, progress, finished, difference)
        return found[0] if wait else found

    def compare_all(
        self,
        reference: Any,
        others: Sequence[Any],
        wait: bool = True,
        progress: Optional[Progress] = None,
        finished: Optional[Finished] = None,
        difference: bool = True,
    ) -> Any:
        """Compare a node with several others; returns a list of `ComparisonResult`, or a `Run`. See `compare`."""

        def prepare(runner: Any, heard: Optional[Finished]) -> Run:
            def submit(first: Any, second: Any, names: tuple[str, str]) -> Any:
                return runner().submit_comparison(first, second, names=names)

            return ComparisonRun(reference, others, submit, difference, progress, heard)

        run = self._runs.do(prepare, wait, finished)
        return run.results if wait else run

    def import_labelmap(self, labelmapNode: Any) -> Any:
        """Make a segmentation node of a labelmap volume node, with the names of its colour table."""
        return conversions.import_labelmap(labelmapNode)

    def export_labelmap(
        self, segmentationNode: Any, volumeNode: Optional[Any] = None, outputNode: Optional[Any] = None
    ) -> Any:
        """Make a labelmap volume node of a segmentation node, on the voxels of a volume, with a colour table."""
        return conversions.export_labelmap(segmentationNode, volumeNode, outputNode)

    def export(
        self,
        node: Any,
        folder: Union[str, Path],
        formats: Sequence[str] = DEFAULT_FORMATS,
        overwrite: bool = False,
    ) -> list[Path]:
        """Write a result to a folder, all files or none: seg.nrrd, labelmap, record, dicom; see `export.export`."""
        return export(node, folder, formats, overwrite)

    # Batch

    def batch_cases_from_folder(self, folder: Union[str, Path]) -> list[batching.Case]:
        """The scans of a folder as cases of a batch."""
        return batching.cases_from_folder(folder)

    def batch_cases_from_nodes(self, nodes: Sequence[Any]) -> list[batching.Case]:
        """Volume nodes as cases of a batch."""
        return batching.cases_from_nodes(nodes)

    def batch(
        self,
        cases: Sequence[batching.Case],
        outputFolder: Optional[Union[str, Path]] = None,
        model: str = "brain",
        formats: Sequence[str] = ("seg.nrrd", "nii.gz", "json"),
        overwrite: bool = False,
        changed: Optional[Callable[[batching.Case], None]] = None,
        finished: Optional[Callable[[batching.BatchRun], None]] = None,
        output: Optional[str] = None,
        keep_original: bool = False,
        confidence: bool = False,
        server: Optional[Server] = None,
        **options: Any,
    ) -> batching.BatchRun:
        """Segment case after case in the worker process; a failure does not stop the rest.

        Args:
            cases: from `batch_cases_from_nodes` or `batch_cases_from_folder`, or both.
            outputFolder: where files go. Files without it go beside their scan; nodes without it stay in the scene
                alone.
            model: name of an installed model, or a file.
            formats: of the files, as `Worker.submit_file` has them: seg.nrrd, nii.gz, json, dcm.
            overwrite: whether files of before may be replaced.
            changed: called with a case whenever its status, progress or message has changed.
            finished: called with the batch when it has ended.
            output: of nodes, as in `process`.
            keep_original: of nodes, as in `process`.
            confidence: as in `process`.
            server: as in `process`.
            options: backend, threads, not_a_labelmap, max_memory, passes, as in `process`.

        Raises:
            InputError: there is no case, or a run is already on its way.

        Example:
            >>> from LowResSeg import LowResSegLogic
            >>> logic = LowResSegLogic()
            >>> run = logic.batch(logic.batch_cases_from_folder(scans), folder)
            >>> while run.poll():  # in a script; where there is an event loop, `finished` is called
            ...     time.sleep(0.05)
            >>> [(case.name, case.status) for case in run.cases]
            [('MRHead', 'done')]
        """
        self._runs.refuse_second()
        folder = Path(outputFolder) if outputFolder is not None else None
        asked = {"model": model, "confidence": confidence, **options}
        nodes = {"kind": output, "keep_original": keep_original}
        work = batching.Work(self._runs.runner(server), folder, tuple(formats), overwrite, nodes, asked)
        run = batching.BatchRun(cases, work, changed, finished)
        self._runs.begin(run)
        return run

    def close(self) -> None:
        """Cancel what runs and end the worker process; the logic can be used again."""
        self._runs.close()
