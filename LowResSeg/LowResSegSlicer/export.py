"""Results as files: segmentation, labelmap, run record and DICOM SEG, all of them or none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import slicer
from slicer.i18n import tr as _

from LowResSegLib.case import OutputFolder
from LowResSegLib.errors import InputError
from LowResSegSlicer.conversions import temporary_labelmap
from LowResSegSlicer.dicom import write_dicom
from LowResSegSlicer.labelmaps import check_labelmap, color_table
from LowResSegSlicer.nodes import run_record

FORMATS = ("seg.nrrd", "labelmap", "record", "dicom")
DEFAULT_FORMATS = ("seg.nrrd", "labelmap", "record")


def export(
    node: Any,
    folder: Union[str, Path],
    formats: Sequence[str] = DEFAULT_FORMATS,
    overwrite: bool = False,
    stem: Optional[str] = None,
) -> list[Path]:
    """Write a result to a folder, in the coordinates of its volume, that is, before parent transforms.

    Args:
        node: segmentation or labelmap node.
        folder: made if it is missing.
        formats: of FORMATS: NAME.seg.nrrd; NAME_labels.nii.gz with the colour table NAME_labels.ctbl; NAME.json, the
            record of the run that made the node; NAME_seg.dcm, a DICOM segmentation object.
        overwrite: whether files of before may be replaced.
        stem: what the files' names begin with; None takes the node's name.

    Returns:
        The files, in the order of their names. Either all are written or none is.

    Raises:
        InputError: a format is unknown or not possible for this node, or the folder cannot be written to.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        text = _("Choose the formats of an export from {known}, not {names}.")
        raise InputError(text.format(known=", ".join(FORMATS), names=", ".join(unknown) or _("none")))
    _check(node)
    stem = stem or file_stem(node.GetName())
    writers: dict[str, Callable[[Any, OutputFolder, str], None]] = {
        "seg.nrrd": _write_segmentation,
        "labelmap": _write_labelmap,
        "record": _write_record,
        "dicom": _write_dicom,
    }
    advice = _("choose another folder, or allow it to be replaced")
    with OutputFolder(Path(folder), overwrite, advice) as output:
        try:
            for name in dict.fromkeys(formats):
                writers[name](node, output, stem)
        except OSError as error:
            text = _("The export to {folder} failed ({reason}); make room, or choose another folder.")
            raise InputError(text.format(folder=folder, reason=error.strerror or error)) from error
        return [Path(folder) / name for name in output.publish()]


def file_stem(name: str) -> str:
    """A node's name as the beginning of file names."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]+', "_", name).strip(" .") or "result"


def _check(node: Any) -> None:
    if node is None:
        raise InputError(_("Nothing is chosen to export; choose a segmentation or a labelmap."))
    if node.IsA("vtkMRMLSegmentationNode"):
        if node.GetSegmentation().GetNumberOfSegments() == 0:
            raise InputError(_("{name} has no segments, so there is nothing to export.").format(name=node.GetName()))
    else:
        check_labelmap(node)


def _store(storage: Any, node: Any, path: Path) -> None:
    """Write a node by a storage node that is used for this alone, so that the node's own file stays as it is."""
    storage.SetFileName(str(path))
    if not storage.WriteData(node) or not path.is_file():
        text = _("{file} cannot be written; make room, or choose a folder that you can write to.")
        raise InputError(text.format(file=path))


def _write_segmentation(node: Any, output: OutputFolder, stem: str) -> None:
    if not node.IsA("vtkMRMLSegmentationNode"):
        text = _("{name} is a labelmap; import it as a segmentation first, or export it as a labelmap.")
        raise InputError(text.format(name=node.GetName()))
    _store(slicer.vtkMRMLSegmentationStorageNode(), node, output.new(f"{stem}.seg.nrrd"))


def _write_labelmap(node: Any, output: OutputFolder, stem: str) -> None:
    labels, colours = output.new(f"{stem}_labels.nii.gz"), output.new(f"{stem}_labels.ctbl")
    with temporary_labelmap(node) as labelmap:
        _store(slicer.vtkMRMLVolumeArchetypeStorageNode(), labelmap, labels)
        table = color_table(labelmap)
        if table is not None and table.IsA("vtkMRMLColorTableNode"):
            _store(slicer.vtkMRMLColorTableStorageNode(), table, colours)
            _leave_path_out(colours)


def _leave_path_out(colours: Path) -> None:
    """Take the path that Slicer writes into a colour table's first line away: folders may be called after patients."""
    first, end, rest = colours.read_bytes().partition(b"\n")
    if first.startswith(b"#"):
        colours.write_bytes(b"# Color table file " + colours.name.encode() + end + rest)


def _write_record(node: Any, output: OutputFolder, stem: str) -> None:
    record = run_record(node)
    if record is None:
        text = _("{name} was not made by LowResSeg, so it has no run record; leave the record out.")
        raise InputError(text.format(name=node.GetName()))
    output.new(f"{stem}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _write_dicom(node: Any, output: OutputFolder, stem: str) -> None:
    write_dicom(node, output.new(f"{stem}_seg.dcm"))
