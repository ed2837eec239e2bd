"""The frames of enhanced multi-frame objects, whose geometry is in nested sequences; read with pydicom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from LowResSegLib.volume.dicom_frame import Frame, number, numbers, swapped

NO_PLACES = "it holds several frames without their places; export it as one file a slice"
_NO_PYDICOM = "it is an enhanced multi-frame object, which needs pydicom: pip install lowresseg[dicom]"
_RESCALE = "PixelValueTransformationSequence"
_FRAME_TYPES = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")


def enhanced_frames(path: Path, common: dict[str, Any]) -> list[Frame]:
    """Return the frames of a multi-frame object with functional groups; `common` are the fields that all have."""
    try:
        import pydicom
    except ImportError:
        return [Frame(**common, problem=_NO_PYDICOM)]
    try:
        data = pydicom.dcmread(path, stop_before_pixels=True)
        shared = data.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()]
        frames = [
            _frame(index, groups, shared[0], data, common)
            for index, groups in enumerate(data.PerFrameFunctionalGroupsSequence)
        ]
        if _RESCALE in shared[0] and any(_RESCALE in groups for groups in data.PerFrameFunctionalGroupsSequence):
            return [Frame(**common, problem="it has two rescale slopes for one frame; export it again from its source")]
        return [replace(frame, multi_frame=True, applied=frames[0].rescale) for frame in frames]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return [Frame(**common, problem=NO_PLACES)]


def _frame(index: int, groups: Any, shared: Any, data: Any, common: dict[str, Any]) -> Frame:
    def get(group: str, keyword: str) -> Any:
        """A value from the frame's own functional groups, or from those that all frames share."""
        sequence = groups.get(group) or shared.get(group)
        return sequence[0].get(keyword) if sequence else None

    image_type = next(
        (kind for group in _FRAME_TYPES if (kind := get(group, "FrameType")) is not None), data.get("ImageType", "")
    )
    differences = {
        "stack": get("FrameContentSequence", "StackID"),
        "image type": "\\".join(image_type),
        "echo time": get("MREchoSequence", "EffectiveEchoTime"),
        "b-value": get("MRDiffusionSequence", "DiffusionBValue"),
        "time": get("FrameContentSequence", "TemporalPositionIndex"),
        "trigger time": get("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    }
    return Frame(
        **common,
        index=index,
        position=numbers(get("PlanePositionSequence", "ImagePositionPatient"), 3),
        orientation=numbers(get("PlaneOrientationSequence", "ImageOrientationPatient"), 6),
        spacing=swapped(numbers(get("PixelMeasuresSequence", "PixelSpacing"), 2)),
        thickness=(numbers(get("PixelMeasuresSequence", "SliceThickness"), 1) or (None,))[0],
        rescale=(
            number(get(_RESCALE, "RescaleSlope"), 1.0),
            number(get(_RESCALE, "RescaleIntercept"), 0.0),
        ),
        localizer="LOCALIZER" in image_type,
        differences=tuple((name, "" if value is None else str(value)) for name, value in differences.items()),
    )
