"""Reading a scan from a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from LowResSegLib.errors import InputError
from LowResSegLib.volume.dicom import read_dicom
from LowResSegLib.volume.dicom_header import files_in, is_dicom
from LowResSegLib.volume.integrity import (
    NOT_ORTHOGONAL,
    check_finite,
    check_memory,
    check_metaimage,
    check_nifti,
    check_nrrd,
)
from LowResSegLib.volume.itk import quiet, reason
from LowResSegLib.volume.volume import Volume

# ITK's readers and our checks of what those readers let pass, which tell the places of what is not finite.
_FORMATS: dict[str, tuple[str, Callable[[Path, bool], np.ndarray]]] = {
    ".nii.gz": ("NiftiImageIO", check_nifti),
    ".nii": ("NiftiImageIO", check_nifti),
    ".nrrd": ("NrrdImageIO", check_nrrd),
    ".nhdr": ("NrrdImageIO", check_nrrd),
    ".mha": ("MetaImageIO", check_metaimage),
    ".mhd": ("MetaImageIO", check_metaimage),
}
IMAGE_SUFFIXES = tuple(_FORMATS)
LABELMAP_ADVICE = (
    "give the scan that it was drawn on, or, if it is a scan itself, --not-a-labelmap (in Python not_a_labelmap=True)"
)
_NIFTI_INTENT_LABEL = "1002"


def image_suffix(path: Union[str, Path]) -> str:
    """Return which of IMAGE_SUFFIXES, in lower case, the name ends with; empty where none."""
    name = Path(path).name.lower()
    return next((suffix for suffix in IMAGE_SUFFIXES if name.endswith(suffix)), "")


def read_volume(
    path: Union[str, Path], frame: Optional[int] = None, finite: bool = True, labels: bool = True
) -> Volume:
    """Read a scan: NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd) or DICOM (as `read_dicom`).

    Args:
        path: The file, or a folder of DICOM files.
        frame: Which volume of a series of volumes (a 4-D file), counted from 0; None where there is but one.
        finite: Whether voxels that are not finite numbers are refused; else NaN is in their places.
        labels: Whether a file is taken whose header says that its values are labels (Slicer's segments, or the
            intent in NIfTI).

    Returns:
        The volume with the file's own number type (after NIfTI's slope and intercept, if it has them) and with the
        geometry as SimpleITK gives it.

    Raises:
        InputError: The file is missing, unreadable, truncated, damaged or not one 3-D volume of finite numbers on
            a regular grid, or has no such frame. One sentence that names the file.
    """
    path = Path(path)
    if holds_dicom(path):
        if frame:
            raise InputError(f"{path} has no frame {frame}, because a DICOM series is one volume.")
        return read_dicom(path)
    with naming(path):
        return _read(path, frame, finite, labels)


def holds_dicom(path: Path) -> bool:
    """Return whether it is a DICOM file or a DICOMDIR, or a folder with a DICOM file somewhere in it."""
    with suppress(OSError):
        if path.is_dir() or path.name.upper() == "DICOMDIR":
            return any(is_dicom(file) for file in files_in(path if path.is_dir() else path.parent))
        return path.is_file() and not image_suffix(path) and is_dicom(path)
    return False


def count_frames(path: Union[str, Path]) -> int:
    """Return how many volumes a file holds, by its header: 1 but for a series of volumes (a 4-D file).

    Raises:
        InputError: As `read_volume`, as far as the header tells.
    """
    path = Path(path)
    if holds_dicom(path):
        return 1
    with naming(path):
        reader, _ = _header(path, voxels=False)
        return math.prod(reader.GetSize()[3:])


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Put a path into the sentence of what is refused in the block.

    Raises:
        InputError: One sentence that names the path.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{path} cannot be used: {str(error)[:1].lower()}{str(error)[1:].rstrip('.')}.") from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Refuse a path that is missing or empty, and put it into the sentence of what is refused in the block.

    Raises:
        InputError: One sentence that names the file.
    """
    try:
        path.stat()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give the path of a scan.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error
    try:
        with refusing(path):
            if path.is_file() and path.stat().st_size == 0:
                raise InputError("it is empty (zero bytes)")
            yield
    except InputError as error:
        if not path.exists():
            raise InputError(f"{path} disappeared while it was read; put it back and run again.") from error
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error


def header_volume(path: Union[str, Path]) -> Volume:
    """Return one volume of a file as its header describes it; all its voxels are one and the same zero in memory.

    Raises:
        InputError: As `read_volume`, as far as the header tells.
    """
    path = Path(path)
    import SimpleITK as sitk

    with naming(path):
        reader, _ = _header(path, voxels=False)
        voxel = sitk.GetArrayFromImage(sitk.Image([1, 1], reader.GetPixelID()))[0, 0]
        shape = [*reader.GetSize()[:3], 1][:3][::-1]
        spacing = tuple([*reader.GetSpacing()[:3], 1.0][:3])
        return Volume(np.broadcast_to(voxel, shape), spacing)


def _read(path: Path, frame: Optional[int], finite: bool, labels: bool) -> Volume:
    import SimpleITK as sitk

    reader, not_finite = _header(path)
    if not labels and _has_labels(reader):
        raise InputError(f"its header says that it is a labelmap, not a scan; {LABELMAP_ADVICE}")
    try:
        with quiet():
            image = _only_volume(reader, frame)
    except RuntimeError as error:
        raise _refusal(error) from error
    array = sitk.GetArrayFromImage(image)
    if array.dtype.kind == "f":
        first = (frame or 0) * array.size
        places = not_finite[(not_finite >= first) & (not_finite < first + array.size)] - first
        array.reshape(-1)[places] = np.nan
    volume = Volume(array, image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    if finite:
        check_finite(array)
    return volume


def _header(path: Path, voxels: bool = True) -> tuple[Any, np.ndarray]:
    """Check the file; return ITK's reader after it has read the header, and the places of what is not finite."""
    suffix = image_suffix(path)
    if not path.is_file():
        raise InputError("it is not a file; give the path of a scan")
    if not suffix:
        raise InputError(f"its name ends with none of {', '.join(IMAGE_SUFFIXES)}")
    import SimpleITK as sitk

    io_name, check = _FORMATS[suffix]
    not_finite = check(path, voxels)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(io_name)
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise _refusal(error) from error
    return reader, not_finite


def _has_labels(reader: Any) -> bool:
    keys = reader.GetMetaDataKeys()
    if "intent_code" in keys:
        return str(reader.GetMetaData("intent_code")) == _NIFTI_INTENT_LABEL
    return "Segmentation_MasterRepresentation" in keys or "Segment0_ID" in keys


def _only_volume(reader: Any, frame: Optional[int]) -> Any:
    """Execute the reader for the scalar volume, or for one of a series; dimensions of one voxel are dropped."""
    import SimpleITK as sitk

    size, spacing = reader.GetSize(), reader.GetSpacing()[:3]
    if any(not step > 0 for step in spacing):  # a negative one would become a flipped axis
        raise InputError(f"its spacing {spacing} is not positive in every direction; repair its header")
    kind = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    if reader.GetNumberOfComponents() != 1 or "complex" in kind:
        raise InputError("it has several numbers a voxel (colour, vector or complex); give a scan of single numbers")
    if len(size) < 3:
        raise InputError(f"it is a picture of {len(size)} dimensions; give a volume of three")
    check_memory(math.prod(size) * int(kind.split("-")[0]) // 8)  # "16-bit signed integer"
    frames = math.prod(size[3:])
    if frame is None and frames > 1:
        raise InputError(
            f"it is a series of {frames} volumes ({' x '.join(map(str, size))} voxels); choose one with --frame 0 to "
            f"{frames - 1}, or --frame all"
        )
    if frame is not None and not 0 <= frame < frames:
        raise InputError(f"it has no frame {frame}; it has {frames}, counted from 0")
    if len(size) > 3:
        place = np.unravel_index(frame or 0, size[3:], order="F")
        reader.SetExtractIndex([0, 0, 0, *(int(index) for index in place)])
        reader.SetExtractSize([*size[:3], *(0 for _ in size[3:])])
    return reader.Execute()


def _refusal(error: RuntimeError) -> InputError:
    """Return what ITK's reader complains about as a sentence without the file's name."""
    text = reason(error)
    if "orthonormal" in text:
        return InputError(NOT_ORTHOGONAL)
    return InputError(f"it is truncated, damaged or not an image ({text})")
