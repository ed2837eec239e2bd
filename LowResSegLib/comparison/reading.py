"""Reading what is compared: Slicer's segmentations, labelmaps, DICOM segmentation objects."""

from __future__ import annotations

import colorsys
import dataclasses
import json
from pathlib import Path
from typing import Optional, Union

import numpy as np

from LowResSegLib.comparison.dicom_object import read_dicom_object
from LowResSegLib.comparison.label_tables import labels_of_json, read_label_table
from LowResSegLib.comparison.labelled import LabelledVolume
from LowResSegLib.comparison.segmentation_file import has_segments, read_segmentation_file
from LowResSegLib.errors import InputError
from LowResSegLib.volume import Label, Volume, count_frames, image_suffix, read_volume
from LowResSegLib.volume.reading import holds_dicom, refusing

_RESULT_ENDING = "_labels"  # STEM_labels.nii.gz lies beside STEM.json
_MOST_VALUES = 1000  # FreeSurfer's finest parcellations have some 200


def read_segmentation(path: Union[str, Path], table: Optional[Union[str, Path]] = None) -> tuple[LabelledVolume, ...]:
    """Read a segmentation: .seg.nrrd, a labelmap (NIfTI, NRRD or MetaImage), or DICOM SEG with the extra `dicom`.

    Names, colours and codes come from the file, of a labelmap from a run record beside it (STEM.json beside
    STEM_labels.nii.gz or STEM.nii.gz), else from the table. A value without a name is called "label" and its number; a
    name without voxels is an empty structure.

    Args:
        path: The file.
        table: Names of a labelmap's values, in a file that `read_label_table` takes; goes before a run record.

    Returns:
        The layers; of a labelmap it is one.

    Raises:
        InputError: The file, or the table, cannot be read, or holds a scan. One sentence that names the file.
    """
    path = Path(path)
    if holds_dicom(path):
        return read_dicom_object(path)
    if image_suffix(path) in (".nrrd", ".nhdr") and has_segments(path):
        return read_segmentation_file(path)
    named = _labels_beside(path) if table is None else read_label_table(table)
    if path.is_file() and image_suffix(path) and count_frames(path) > 1:
        raise InputError(f"{path} cannot be used: it is a series of several volumes; extract the one to compare.")
    volume = read_volume(path)
    with refusing(path):
        volume = _whole(volume)
        values = np.flatnonzero(np.bincount(volume.array.ravel())).tolist()
        if len(values) > _MOST_VALUES:
            raise InputError(f"it has {len(values)} different values, so it is a scan; give a labelmap of it")
    labels = [named.get(value, Label(value, f"label {value}")) for value in sorted({*values, *named} - {0})]
    return (LabelledVolume(volume, tuple(_colored(label) for label in labels)),)


def _whole(volume: Volume) -> Volume:
    """The volume with an unsigned type as small as its values allow."""
    array = volume.array
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise InputError(f"its values reach from {low:g} to {high:g}, those of a labelmap from 0 to 65535")
    whole = array.astype(np.uint8 if high < 256 else np.uint16)
    if array.dtype.kind == "f" and not (whole == array).all():
        raise InputError("its values are not whole numbers, so it is a scan; give a labelmap of it")
    return volume.with_array(whole)


def _colored(label: Label) -> Label:
    """The label; one without a colour gets one of its own, by its value around the circle of hues."""
    if label.color != Label(0, "").color:
        return label
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(label.value * 0.618034 % 1.0, 0.65, 0.95))
    return dataclasses.replace(label, color=(red, green, blue))


def _labels_beside(path: Path) -> dict[int, Label]:
    """The labels by the run record that lies beside a labelmap; none where there is no such record."""
    stem = path.name[: -len(image_suffix(path))] if image_suffix(path) else path.name
    for name in (stem, stem[: -len(_RESULT_ENDING)] if stem.endswith(_RESULT_ENDING) else ""):
        record = path.with_name(f"{name}.json")
        if not name or not record.is_file():
            continue
        try:
            found = json.loads(record.read_text(encoding="utf-8"))
            if isinstance(found, dict) and isinstance(found.get("labels"), list):
                return labels_of_json(found)
        except (OSError, ValueError, InputError):  # some other file that has this name
            continue
    return {}
