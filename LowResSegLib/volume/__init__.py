"""Volumes with their geometry, the labels of a labelmap, and reading and writing both as files."""

from __future__ import annotations

from LowResSegLib.volume.files import replacing
from LowResSegLib.volume.label import Code, Label
from LowResSegLib.volume.reading import IMAGE_SUFFIXES, image_suffix, read_volume
from LowResSegLib.volume.volume import Volume
from LowResSegLib.volume.writing import write_labelmap, write_segmentation

__all__ = [
    "IMAGE_SUFFIXES",
    "Code",
    "Label",
    "Volume",
    "image_suffix",
    "read_volume",
    "replacing",
    "write_labelmap",
    "write_segmentation",
]
