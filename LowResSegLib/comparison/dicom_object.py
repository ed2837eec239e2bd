"""DICOM segmentation objects (SEG), read through highdicom."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Optional

import numpy as np

from LowResSegLib.comparison.label_tables import joined_code
from LowResSegLib.comparison.labelled import LabelledVolume
from LowResSegLib.errors import InputError
from LowResSegLib.volume import Code, Label, Volume
from LowResSegLib.volume.dicom_header import files_in, is_dicom
from LowResSegLib.volume.reading import naming

_GRAY = (128, 128, 128)


def read_dicom_object(path: Path) -> tuple[LabelledVolume, ...]:
    """Read a DICOM segmentation object; segments that overlap come in several layers.

    Args:
        path: The file, or a folder with this one DICOM file in it.

    Raises:
        InputError: highdicom is not installed, it is another kind of object, or its planes are not evenly spaced. One
            sentence that names the file.
    """
    try:
        import highdicom
        import pydicom
    except ImportError as error:
        raise InputError(
            f"{path} cannot be read: DICOM SEG needs the package {error.name}, which is not installed: "
            "pip install lowresseg[dicom]."
        ) from error
    with naming(path):
        file = _only_file(path)
        if str(pydicom.dcmread(file, specific_tags=["Modality"]).get("Modality")) != "SEG":
            raise InputError("it is not a DICOM segmentation object; give one, or a labelmap")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _layers(highdicom.seg.segread(file))
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            text = " ".join(str(error).split()).rstrip(".")
            raise InputError(f"no volume can be made of its planes ({text}); convert it in Slicer") from error


def _only_file(path: Path) -> Path:
    files = [path] if path.is_file() else [file for file in files_in(path) if is_dicom(file)]
    if len(files) != 1:
        raise InputError(f"it is a folder of {len(files)} DICOM files; give the file of the segmentation object")
    return files[0]


def _layers(segmentation: Any) -> tuple[LabelledVolume, ...]:
    """The segments, each in the first layer where its place is free."""
    if not hasattr(segmentation, "get_volume"):
        raise InputError("DICOM SEG needs highdicom 0.24 or newer, and that Python 3.10; convert it in Slicer")
    layers: list[tuple[np.ndarray, list[Label]]] = []
    grid: Optional[Volume] = None
    for number in segmentation.segment_numbers:
        part = segmentation.get_volume(segment_numbers=[number], combine_segments=True)
        if grid is None:
            grid = _grid(part)
        mask = np.asarray(part.array) > 0
        kind = np.uint8 if segmentation.number_of_segments < 256 else np.uint16
        free = next((layer for layer in layers if not layer[0][mask].any()), None)
        if free is None:
            free = (np.zeros(mask.shape, kind), [])
            layers.append(free)
        array, labels = free
        array[mask] = number
        labels.append(_label(segmentation.get_segment_description(number)))
    if grid is None:
        raise ValueError("it has no segments")
    return tuple(LabelledVolume(grid.with_array(array), tuple(labels)) for array, labels in layers)


def _grid(volume: Any) -> Volume:
    """The geometry; highdicom's index runs over planes, rows and columns, which are z, y and x here."""
    matrix = np.asarray(volume.affine)[:3, :3][:, ::-1]
    spacing = np.sqrt((matrix**2).sum(axis=0))
    x, y, z = np.asarray(volume.affine)[:3, 3].tolist()
    sx, sy, sz = spacing.tolist()
    return Volume(
        np.broadcast_to(np.uint8(0), volume.spatial_shape), (sx, sy, sz), (x, y, z), tuple((matrix / spacing).ravel())
    )


def _label(description: Any) -> Label:
    kind = description.SegmentedPropertyTypeCodeSequence[0]
    codes = [_code(kind), *(_code(each) for each in kind.get("SegmentedPropertyTypeModifierCodeSequence", ()))]
    for region in description.get("AnatomicRegionSequence", ()):
        codes += [_code(region), *(_code(each) for each in region.get("AnatomicRegionModifierSequence", ()))]
    category = _code(description.SegmentedPropertyCategoryCodeSequence[0])
    number = int(description.SegmentNumber)
    return Label(number, str(description.SegmentLabel), _color(description), category, joined_code(codes))


def _code(item: Any) -> Code:
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue") or ""
    return Code(str(value), str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeMeaning", "")))


def _color(description: Any) -> tuple[int, int, int]:
    """The recommended colour, CIELab with the white of daylight (D65) as Slicer writes it, for a screen (sRGB)."""
    value = description.get("RecommendedDisplayCIELabValue")
    if value is None:
        return _GRAY
    lightness, red, yellow = (float(part) for part in value)
    y = (lightness / 65535 * 100 + 16) / 116
    x, z = y + (red / 65535 * 255 - 128) / 500, y - (yellow / 65535 * 255 - 128) / 200
    parts = np.array([part**3 if part > 6 / 29 else (part - 4 / 29) * 3 * (6 / 29) ** 2 for part in (x, y, z)])
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    linear = np.clip(np.linalg.solve(to_xyz, parts * to_xyz.sum(axis=1)), 0, 1)
    screen = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    r, g, b = np.rint(255 * screen).astype(int).tolist()
    return r, g, b
