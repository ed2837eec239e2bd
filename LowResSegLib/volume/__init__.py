"""Volumes with their geometry, the labels of a labelmap, and reading and writing both as files."""

from __future__ import annotations

from LowResSegLib.volume.dicom import read_dicom, read_series
from LowResSegLib.volume.dicom_seg import write_dicom_seg
from LowResSegLib.volume.dicom_series import Series, find_series, list_series
from LowResSegLib.volume.files import replacing
from LowResSegLib.volume.label import Code, Label
from LowResSegLib.volume.reading import IMAGE_SUFFIXES, count_frames, header_volume, image_suffix, read_volume
from LowResSegLib.volume.scan import check_scan, read_scan, scans_in
from LowResSegLib.volume.volume import Volume
from LowResSegLib.volume.writing import write_labelmap, write_segmentation

__all__ = [
    "IMAGE_SUFFIXES",
    "Code",
    "Label",
    "Series",
    "Volume",
    "check_scan",
    "count_frames",
    "find_series",
    "header_volume",
    "image_suffix",
    "list_series",
    "read_dicom",
    "read_scan",
    "read_series",
    "read_volume",
    "replacing",
    "scans_in",
    "write_dicom_seg",
    "write_labelmap",
    "write_segmentation",
]
