"""The cases of a batch: volumes of the scene and files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from slicer.i18n import tr as _

from LowResSegLib.case import FORMATS
from LowResSegLib.errors import InputError
from LowResSegLib.volume import image_suffix, scans_in
from LowResSegSlicer.export import export, file_stem
from LowResSegSlicer.nodes import MAP_ATTRIBUTE
from LowResSegSlicer.run import Run

# The formats of files, in the words of the worker, and of nodes, in those of `export`.
_EXPORTED = {"seg.nrrd": "seg.nrrd", "nii.gz": "labelmap", "json": "record", "dcm": "dicom"}
WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"


@dataclass(eq=False)
class Case:
    """One volume of a batch: a node of the scene or a file.

    Attributes:
        name: of the node, or of the file without its ending.
        source: the volume node, or the path of the file or the folder of DICOM files.
        status: WAITING, RUNNING, DONE, FAILED or CANCELLED.
        message: what went wrong, or what the user should know; sentences.
        fraction: the share of the case that is done, 0 to 1.
        seconds: how long it took.
        node: the result of a node.
        files: what was written.
        record: the run record of one that is done.
    """

    name: str
    source: Any
    status: str = WAITING
    message: str = ""
    fraction: float = 0.0
    seconds: float = 0.0
    node: Optional[Any] = None
    files: list[Path] = field(default_factory=list)
    record: Optional[dict[str, Any]] = None

    @property
    def is_file(self) -> bool:
        """Whether it is a file, not a node."""
        return isinstance(self.source, Path)


def cases_from_folder(folder: Union[str, Path]) -> list[Case]:
    """The scans of a folder, as `lowresseg segment FOLDER` chooses them.

    Raises:
        InputError: it cannot be read or holds no scan.
    """
    cases = []
    for path in scans_in(folder):
        suffix = image_suffix(path.name)
        cases.append(Case(path.name[: len(path.name) - len(suffix)] or path.resolve().name or "scan", path))
    return cases


def cases_from_nodes(nodes: Sequence[Any]) -> list[Case]:
    """Volume nodes and sequences as cases, each once; confidence maps are left out."""
    return [Case(node.GetName(), node) for node in dict.fromkeys(nodes) if not node.GetAttribute(MAP_ATTRIBUTE)]


class FileRun(Run):
    """The segmentation of a file, from reading to writing, in the worker process.

    Attributes:
        record: the run record.
        files: what was written.
    """

    def __init__(
        self,
        submit: Callable[[], Any],
        progress: Optional[Callable[[str, float], None]] = None,
        finished: Optional[Callable[[Any], None]] = None,
    ) -> None:
        """Prepare; see `Run`."""
        super().__init__((), progress, finished)
        self.record: Optional[dict[str, Any]] = None
        self.files: list[Path] = []
        self._send = submit

    def _submit(self) -> Any:
        return self._send()

    def _take(self, job: Any) -> None:
        record = job.result()
        self.record, self.files = record, [Path(file) for file in record.get("files", ())]
        self.notices = list(record.get("warnings", ()))


def check_formats(formats: Sequence[str]) -> None:
    """Refuse, with a sentence, a format that the files of a batch cannot have, or no format."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        text = _("Choose the formats of a batch from {known}, not {names}.")
        raise InputError(text.format(known=", ".join(FORMATS), names=", ".join(unknown) or _("none")))


def export_case(case: Case, folder: Path, stem: str, formats: Sequence[str], overwrite: bool) -> list[Path]:
    """Write the result of a node's case, in the formats that files' cases have; returns the files."""
    if case.node is None or case.node.IsA("vtkMRMLSequenceNode"):
        raise InputError(_("The results of a sequence stay in the scene; save the scene to keep them."))
    names = [_EXPORTED[name] for name in formats if name in _EXPORTED]
    if case.node.IsA("vtkMRMLLabelMapVolumeNode"):
        names = [name for name in names if name != "seg.nrrd"]
    if not names:
        raise InputError(_("Of a node, none of these formats can be written; choose nii.gz, for one."))
    return export(case.node, folder, names, overwrite, stem)


def output_stems(cases: Sequence[Case]) -> list[str]:
    """What the names of each case's files begin with, in order; two of one name get numbers."""
    stems: list[str] = []
    taken: set[str] = set()
    for case in cases:
        stem = wanted = file_stem(case.name)
        number = 1
        while stem.casefold() in taken:  # some file systems do not tell A from a
            number += 1
            stem = f"{wanted}_{number}"
        taken.add(stem.casefold())
        stems.append(stem)
    return stems
