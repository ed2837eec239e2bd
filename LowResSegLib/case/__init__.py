"""One scan of a file: read, segmented, and its results written together or not at all."""

from LowResSegLib.case.limits import check_memory
from LowResSegLib.case.outputs import OutputFolder
from LowResSegLib.case.run import (
    CONFIDENCE,
    DICOM_SEG,
    FORMATS,
    LABELMAP,
    PICTURE,
    RECORD,
    SEGMENTATION,
    Way,
    segment_case,
    spare,
)

__all__ = [
    "CONFIDENCE",
    "DICOM_SEG",
    "FORMATS",
    "LABELMAP",
    "PICTURE",
    "RECORD",
    "SEGMENTATION",
    "OutputFolder",
    "Way",
    "check_memory",
    "segment_case",
    "spare",
]
