"""Reading a scan from a file."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Union

import numpy as np

from LowResSegLib.errors import InputError
from LowResSegLib.volume.integrity import NOT_FINITE, check_metaimage, check_nifti, check_nrrd
from LowResSegLib.volume.volume import Volume

# ITK's readers and our checks of what those readers let pass.
_FORMATS = {
    ".nii.gz": ("NiftiImageIO", check_nifti),
    ".nii": ("NiftiImageIO", check_nifti),
    ".nrrd": ("NrrdImageIO", check_nrrd),
    ".nhdr": ("NrrdImageIO", check_nrrd),
    ".mha": ("MetaImageIO", check_metaimage),
    ".mhd": ("MetaImageIO", check_metaimage),
}
IMAGE_SUFFIXES = tuple(_FORMATS)

_stderr_lock = threading.Lock()


def image_suffix(path: Union[str, Path]) -> str:
    """Return which of IMAGE_SUFFIXES, in lower case, the name ends with; empty where none."""
    name = Path(path).name.lower()
    return next((suffix for suffix in IMAGE_SUFFIXES if name.endswith(suffix)), "")


def read_volume(path: Union[str, Path]) -> Volume:
    """Read a scan: NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr) or MetaImage (.mha, .mhd).

    Returns:
        The volume with the file's own number type (after NIfTI's slope and intercept, if it has them) and with the
        geometry as SimpleITK gives it.

    Raises:
        InputError: The file is missing, unreadable, truncated, damaged or not one 3-D volume of finite numbers on
            a regular grid. One sentence that names the file.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; give the path of a scan.")
    if not path.is_file():
        raise InputError(f"{path} is not a file; give the path of a scan.")
    try:
        if path.stat().st_size == 0:
            raise InputError("it is empty (zero bytes)")
        return _read(path)
    except InputError as error:
        raise InputError(f"{path} cannot be used: {str(error)[:1].lower()}{str(error)[1:].rstrip('.')}.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error


def _read(path: Path) -> Volume:
    suffix = image_suffix(path)
    if not suffix:
        raise InputError(f"its name ends with none of {', '.join(IMAGE_SUFFIXES)}")
    import SimpleITK as sitk

    io_name, check = _FORMATS[suffix]
    check(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(io_name)
    reader.SetFileName(str(path))
    try:
        with _quiet():
            reader.ReadImageInformation()
            image = _only_volume(reader)
    except RuntimeError as error:
        raise InputError(f"it is truncated, damaged or not an image ({_reason(error)})") from error
    array = sitk.GetArrayFromImage(image)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(NOT_FINITE)
    return Volume(array, image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def _only_volume(reader: Any) -> Any:
    """Execute the reader if the file holds one scalar volume; a fourth dimension of one volume is dropped."""
    import SimpleITK as sitk

    size = reader.GetSize()
    if any(spacing <= 0 for spacing in reader.GetSpacing()):  # a negative one would become a flipped axis
        raise InputError(f"its spacing {reader.GetSpacing()} is not positive in every direction; repair its header")
    if reader.GetNumberOfComponents() != 1 or "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelID()):
        raise InputError("it has several numbers a voxel (colour, vector or complex); give a scan of single numbers")
    if len(size) < 3:
        raise InputError(f"it is a picture of {len(size)} dimensions; give a volume of three")
    if len(size) > 3 and any(length != 1 for length in size[3:]):
        raise InputError(f"it is a series of volumes ({' x '.join(map(str, size))} voxels); extract one of them first")
    if len(size) > 3:
        reader.SetExtractSize([*size[:3], *(0 for _ in size[3:])])
    return reader.Execute()


def _reason(error: RuntimeError) -> str:
    """Return the last line of an ITK message, which says what happened, without where in ITK's sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[-1] if lines else "unknown reason"
    for prefix in ("sitk::ERROR:", "ITK ERROR:", "Reason:"):
        line = line.split(prefix)[-1].strip()
    return line.rstrip(".!")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ITK's file readers, which print from C and C++, from writing to standard error."""
    with _stderr_lock:  # two overlapping redirections would restore each other's
        try:
            saved = os.dup(2)
        except OSError:  # no standard error, as under pythonw
            yield
            return
        try:
            with open(os.devnull, "w") as sink:
                os.dup2(sink.fileno(), 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
