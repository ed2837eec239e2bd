"""A labelmap as a DICOM segmentation object, which viewers and archives put over the scan that it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Union

import numpy as np

from LowResSegLib.errors import InputError
from LowResSegLib.volume.dicom_frame import Frame
from LowResSegLib.volume.dicom_grid import grid
from LowResSegLib.volume.dicom_series import Series
from LowResSegLib.volume.files import replacing
from LowResSegLib.volume.label import Code, Label
from LowResSegLib.volume.volume import Volume

_TISSUE = Code("85756007", "SCT", "Tissue")  # the category where a label has none, as in Slicer
_OWN_SCHEME = "99LOWRESSEG"  # the standard leaves names that begin with 99 to everyone
_SERIES_NUMBER = 900  # behind the numbers that scanners give
_TOLERANCE = 1e-5
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_LONGEST = 64  # letters in a label or a meaning
# What the standard requires in every object, empty where it is not known; scans lack it only if they are damaged.
_REQUIRED = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName"),
)


def write_dicom_seg(
    path: Union[str, Path], labelmap: Volume, labels: Sequence[Label], source: Series, model: str, version: str
) -> None:
    """Write a labelmap (z, y, x) as a DICOM segmentation object (SEG, binary), with the extra `dicom`.

    The file identifies the patient as its source does: the standard requires that patient and study are those of the
    scan, and copies them from there. It refers to the source's slices, and lies in its frame of reference.

    Args:
        path: The file, .dcm by custom.
        labelmap: On the source's grid, as `read_series` gives it.
        labels: What the values mean. Each but the background (0) becomes a segment in the order given, with its
            SNOMED CT codes and its colour. A label without a type gets a code of a private scheme, with its name.
        source: The series that was segmented.
        model: Name of the model, which becomes the name of the algorithm.
        version: Version of the software.

    Raises:
        InputError: highdicom is not installed, the labelmap does not lie on the source's grid, a value has no label,
            the source's headers lack what the standard requires, or the file cannot be written.
    """
    try:
        import highdicom
        import pydicom
    except ImportError as error:
        raise InputError(
            f"DICOM SEG needs the package {error.name}, which is not installed: pip install lowresseg[dicom]."
        ) from error
    labels = [label for label in labels if label.value != 0]
    planes = _numbered(labelmap.array, labels)
    frames = _source_frames(labelmap, source)
    try:
        headers = (pydicom.dcmread(file, stop_before_pixels=True) for file in source.files)
        images = [_header(header, frames, labelmap.spacing[2]) for header in headers]
        segmentation = highdicom.seg.Segmentation(
            source_images=images,
            pixel_array=planes,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=_descriptions(labels, model, version),
            series_instance_uid=highdicom.UID(),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="LowResSeg",
            manufacturer_model_name=model,
            software_versions=version,
            device_serial_number="0",
            content_label="SEGMENTATION",
            content_description="Automatic, for research use only",
            series_description=f"LowResSeg {model}"[:_LONGEST],
        )
        if frames[0].multi_frame:
            _refer_to(segmentation, frames)
        # Empty frames are left out, so a reader cannot take the distance of the slices from the frames.
        measures = segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        measures.SpacingBetweenSlices = pydicom.valuerep.DSfloat(labelmap.spacing[2], auto_format=True)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"No DICOM SEG can be made of this series ({reason}); write .seg.nrrd only.") from error
    with replacing(path) as temporary:
        segmentation.save_as(temporary)


def _numbered(array: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    """Return the labelmap with the numbers of the segments, from 1, as its values."""
    if not labels or len({label.value for label in labels}) != len(labels):
        raise InputError("A segmentation needs at least one label, and for each structure a value of its own.")
    if array.dtype.kind not in "iub" or int(array.min()) < 0:
        raise InputError(f"The values of a labelmap are whole numbers from 0, not {array.dtype} from {array.min()}.")
    numbers = np.zeros(max(int(array.max()), *(label.value for label in labels)) + 1, np.uint16)
    for number, label in enumerate(labels, 1):
        numbers[label.value] = number
    numbered = numbers[array]
    unknown = np.unique(array[(numbered == 0) & (array != 0)]).tolist()
    if unknown:
        raise InputError(f"The labelmap has the values {unknown}, which no label names.")
    return numbered


def _source_frames(labelmap: Volume, source: Series) -> tuple[Frame, ...]:
    """Return the pictures that the labelmap's planes lie on, in their order."""
    geometry = grid(source.frames)
    same = labelmap.array.shape == (source.slices, *source.matrix[::-1]) and all(
        np.allclose(mine, its, rtol=0, atol=_TOLERANCE)
        for mine, its in zip(
            (labelmap.spacing, labelmap.origin, labelmap.direction),
            (geometry.spacing, geometry.origin, geometry.direction),
        )
    )
    if not same:
        raise InputError("The labelmap does not lie on the grid of this DICOM series; give the series it was made of.")
    if geometry.frames[0].multi_frame and len(source.files) > 1:
        raise InputError("A series of several multi-frame objects cannot be referred to; write .seg.nrrd only.")
    return geometry.frames


def _header(image: Any, frames: tuple[Frame, ...], thickness: float) -> Any:
    """Prepare a source's header, in memory, for highdicom."""
    import pydicom

    for name in _REQUIRED:
        if name not in image:
            setattr(image, name, "")
    if frames[0].multi_frame:  # highdicom takes all frames, in their order, and each place once
        groups = image.PerFrameFunctionalGroupsSequence
        image.PerFrameFunctionalGroupsSequence = [groups[frame.index] for frame in frames]
        image.NumberOfFrames = len(frames)
    elif not image.get("SliceThickness"):
        image.SliceThickness = pydicom.valuerep.DSfloat(thickness, auto_format=True)
    return image


def _refer_to(segmentation: Any, frames: tuple[Frame, ...]) -> None:
    """Turn the numbers of the frames that `_header` chose into those of the source's frames."""
    references = {  # highdicom gives several segments the same object
        id(referenced): referenced
        for groups in segmentation.PerFrameFunctionalGroupsSequence
        for derivation in groups.get("DerivationImageSequence", ())
        for referenced in derivation.SourceImageSequence
    }
    for referenced in references.values():
        referenced.ReferencedFrameNumber = frames[int(referenced.ReferencedFrameNumber) - 1].index + 1


def _descriptions(labels: Sequence[Label], model: str, version: str) -> list[Any]:
    """Return what the segments are, in highdicom's form."""
    import highdicom

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=model, version=version, family=highdicom.sr.CodedConcept("123110", "DCM", "Artificial Intelligence")
    )
    descriptions = []
    for number, label in enumerate(labels, 1):
        category = label.category or _TISSUE
        kind = label.type or Code(str(label.value), _OWN_SCHEME, label.name[:_LONGEST])
        descriptions.append(
            highdicom.seg.SegmentDescription(
                segment_number=number,
                segment_label=label.name[:_LONGEST],
                segmented_property_category=highdicom.sr.CodedConcept(*category),
                segmented_property_type=highdicom.sr.CodedConcept(*kind),
                algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
            )
        )
        descriptions[-1].RecommendedDisplayCIELabValue = _cielab(label.color)
    return descriptions


def _cielab(color: tuple[int, int, int]) -> list[int]:
    """Return a colour of a screen (sRGB) as DICOM's CIELab, for the white of daylight (D65) as Slicer reads it."""
    part = np.array(color) / 255
    linear = np.where(part > 0.04045, ((part + 0.055) / 1.055) ** 2.4, part / 12.92)
    relative = _XYZ @ linear / _XYZ.sum(axis=1)
    x, y, z = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative * (29 / 6) ** 2 / 3 + 4 / 29)
    lightness, red, yellow = 116 * y - 16, 500 * (x - y), 200 * (y - z)
    scaled = (lightness / 100, (red + 128) / 255, (yellow + 128) / 255)
    return [round(min(max(float(value), 0.0), 1.0) * 65535) for value in scaled]
