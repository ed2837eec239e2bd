"""DICOM segmentation objects: by Slicer's own exporter where it is installed, else by the library."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from LowResSegLib.errors import InputError
from LowResSegLib.version import __version__
from LowResSegLib.volume import Volume, find_series, write_dicom_seg
from LowResSegSlicer.conversions import segment_labels, temporary_labelmap
from LowResSegSlicer.labelmaps import labels_of_labelmap
from LowResSegSlicer.nodes import geometry_of, run_record, source_volume, subject_hierarchy

_PLUGIN = "DICOMSegmentationPlugin"  # of the extensions QuantitativeReporting and DCMQI


def write_dicom(node: Any, path: Path) -> None:
    """Write a result as a DICOM segmentation object.

    Args:
        node: segmentation or labelmap node whose volume was loaded from DICOM.
        path: the file.

    Raises:
        InputError: the volume does not come from DICOM, its files are not in Slicer's database any more, or nothing
            here can write such objects.
    """
    volumeNode = source_volume(node)
    instances = (volumeNode.GetAttribute("DICOM.instanceUIDs") or "").split() if volumeNode is not None else []
    if not instances:
        text = _("{name} was not made of a volume that was loaded from DICOM; leave DICOM out.")
        raise InputError(text.format(name=node.GetName()))
    if node.IsA("vtkMRMLSegmentationNode") and _PLUGIN in (getattr(slicer.modules, "dicomPlugins", None) or {}):
        _by_slicer(node, path)
    else:
        _by_library(node, volumeNode, instances, path)


def _by_slicer(node: Any, path: Path) -> None:
    plugin = slicer.modules.dicomPlugins[_PLUGIN]()
    hierarchy = subject_hierarchy()
    assert hierarchy is not None
    exportables = plugin.examineForExport(hierarchy.GetItemByDataNode(node))
    if not exportables:
        text = _("Slicer's DICOM exporter cannot export {name}; see that its volume is in a DICOM study.")
        raise InputError(text.format(name=node.GetName()))
    with tempfile.TemporaryDirectory(prefix=".dicom-", dir=path.parent) as folder:
        for exportable in exportables:
            exportable.directory = folder
        problem = plugin.export(exportables)
        written = sorted(Path(folder).rglob("*.dcm"))
        if problem or not written:
            text = _("Slicer's DICOM exporter failed on {name}: {problem}")
            raise InputError(text.format(name=node.GetName(), problem=problem or _("it wrote no file.")))
        written[0].replace(path)


def _by_library(node: Any, volumeNode: Any, instances: list[str], path: Path) -> None:
    database = getattr(slicer, "dicomDatabase", None)
    files = [database.fileForInstance(instance) for instance in instances] if database is not None else []
    if not files or not all(file and Path(file).is_file() for file in files):
        text = _("The DICOM files of {name} are not in Slicer's database any more; import them again.")
        raise InputError(text.format(name=volumeNode.GetName()))
    if importlib.util.find_spec("highdicom") is None:
        raise InputError(
            _(
                "Nothing here can write DICOM segmentations. Install Slicer's extension QuantitativeReporting, or, in"
                ' the Python console, the package highdicom: slicer.util.pip_install("highdicom").'
            )
        )
    series = find_series(files)
    model = str((run_record(node) or {}).get("model", "LowResSeg"))
    labels = list(segment_labels(node).values()) if node.IsA("vtkMRMLSegmentationNode") else labels_of_labelmap(node)
    with temporary_labelmap(node) as labelmap:
        volume = Volume(slicer.util.arrayFromVolume(labelmap), **geometry_of(labelmap))
        write_dicom_seg(path, volume, labels, series, model, __version__)
