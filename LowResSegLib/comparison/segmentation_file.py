"""Slicer's segmentations in NRRD files: segments in layers, with names, colours and terminology."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import numpy as np

from LowResSegLib.comparison.label_tables import joined_code
from LowResSegLib.comparison.labelled import LabelledVolume
from LowResSegLib.errors import InputError
from LowResSegLib.volume import Code, Label, Volume
from LowResSegLib.volume.integrity import check_memory, check_nrrd
from LowResSegLib.volume.itk import quiet, reason
from LowResSegLib.volume.reading import naming


def has_segments(path: Path) -> bool:
    """Whether the header of a NRRD file describes segments; of a file that cannot be read it says no."""
    try:
        with naming(path):
            reader = _header(path)
    except InputError:
        return False
    return any(key.startswith("Segment") and key.endswith("_ID") for key in reader.GetMetaDataKeys())


def read_segmentation_file(path: Path) -> tuple[LabelledVolume, ...]:
    """Read the layers of a segmentation, as Slicer 4.11 and later and `write_segmentation` write it, or as older ones.

    Older files have a layer for each segment. Slicer crops a file to where its segments are; the layers are as large
    as the file has them, and lie where they belong. Segments without voxels are kept.

    Raises:
        InputError: The file cannot be read, or is a segmentation of another kind. One sentence that names the file.
    """
    with naming(path):
        reader = _header(path)
        fields = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys() if key.startswith("Segment")}
        kind = fields.get("Segmentation_MasterRepresentation") or fields.get("Segmentation_SourceRepresentation")
        if kind and kind.strip().lower() != "binary labelmap":
            raise InputError(f"it holds a segmentation as {kind.strip()}; save it from Slicer as binary labelmap")
        check_nrrd(path, True)
        image = _voxels(reader)
        labels = _labels(fields, image.GetNumberOfComponentsPerPixel())
        return tuple(LabelledVolume(volume, tuple(labels.get(n, []))) for n, volume in enumerate(_layers(image)))


def _header(path: Path) -> Any:
    import SimpleITK as sitk

    check_nrrd(path, False)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NrrdImageIO")
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"it is truncated, damaged or not an image ({reason(error)})") from error
    return reader


def _voxels(reader: Any) -> Any:
    import SimpleITK as sitk

    if len(reader.GetSize()) != 3:
        raise InputError(f"it has {len(reader.GetSize())} dimensions; a segmentation has three")
    kind = sitk.GetPixelIDValueAsString(reader.GetPixelID())  # "vector of 8-bit unsigned integer"
    if "integer" not in kind:
        raise InputError(f"its voxels are {kind}s, those of a segmentation whole numbers")
    bits = int(kind.replace("vector of ", "").split("-")[0])
    check_memory(math.prod(reader.GetSize()) * reader.GetNumberOfComponents() * bits // 8)
    try:
        with quiet():
            return reader.Execute()
    except RuntimeError as error:
        raise InputError(f"it is truncated, damaged or not an image ({reason(error)})") from error


def _layers(image: Any) -> list[Volume]:
    import SimpleITK as sitk

    array = sitk.GetArrayFromImage(image)
    geometry = (image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    arrays = [array] if array.ndim == 3 else [np.ascontiguousarray(array[..., n]) for n in range(array.shape[3])]
    return [Volume(each, *geometry) for each in arrays]


def _labels(fields: Mapping[str, str], layers: int) -> dict[int, list[Label]]:
    """The segments of each layer."""
    labels: dict[int, list[Label]] = {}
    number = 0
    while f"Segment{number}_ID" in fields:
        segment = {
            key: fields.get(f"Segment{number}_{key}", "")
            for key in ("ID", "Name", "Color", "Tags", "LabelValue", "Layer")
        }
        try:
            layer = int(segment["Layer"] or number)
            value = int(segment["LabelValue"] or 1)
            red, green, blue = (round(255 * float(part)) for part in (segment["Color"] or "0.5 0.5 0.5").split()[:3])
        except ValueError as error:
            raise InputError(f"its header is damaged at segment {number} ({error})") from error
        if not 0 <= layer < layers or value < 1:
            raise InputError(f"its header is damaged: segment {number} lies in layer {layer} of {layers}")
        color = (min(max(red, 0), 255), min(max(green, 0), 255), min(max(blue, 0), 255))
        category, kind = _terminology(segment["Tags"])
        labels.setdefault(layer, []).append(Label(value, segment["Name"] or segment["ID"], color, category, kind))
        number += 1
    return labels


def _terminology(tags: str) -> tuple[Optional[Code], Optional[Code]]:
    """Category and type of a segment's tags; modifier and region stand behind the type, see `LabelledVolume`."""
    entry = next((tag.partition(":")[2] for tag in tags.split("|") if tag.startswith("TerminologyEntry:")), "")
    parts = entry.split("~")
    # context ~ category ~ type ~ modifier ~ context of regions ~ region ~ modifier of the region
    codes = [_code(parts[place]) if place < len(parts) else None for place in (1, 2, 3, 5, 6)]
    category, kind = codes[:2]
    if kind is None:
        return category, None
    return category, joined_code([kind, *(code for code in codes[2:] if code is not None)])


def _code(text: str) -> Optional[Code]:
    parts = text.split("^")
    return Code(parts[1], parts[0], parts[2]) if len(parts) == 3 and parts[1] else None
