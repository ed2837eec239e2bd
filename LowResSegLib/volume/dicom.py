"""Reading a DICOM series as a volume.

A series whose pictures do not make one regular grid is refused; nothing is interpolated or left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import numpy as np

from LowResSegLib.errors import InputError
from LowResSegLib.volume.dicom_frame import Frame
from LowResSegLib.volume.dicom_grid import grid
from LowResSegLib.volume.dicom_header import decoding_problem
from LowResSegLib.volume.dicom_series import Paths, Series, find_series, subject
from LowResSegLib.volume.integrity import check_memory
from LowResSegLib.volume.itk import quiet
from LowResSegLib.volume.volume import Volume

_LARGEST_VOXEL = 4  # bytes


def read_dicom(paths: Paths, series: Optional[str] = None) -> Volume:
    """Read one series as a volume. A single file is read alone, not with those beside it.

    Slices are sorted by their place along the normal, which is the cross product of the directions of a row and of a
    column. Each slice's rescale slope and intercept are applied: CT is in Hounsfield units. Padding
    (PixelPaddingValue) is not touched: outside the field of view stands what the scanner wrote, such as -3024.
    A single slice is as thick as its SliceThickness says.

    Returns:
        The volume, with the geometry and the modality that the headers give: origin and directions are the header's
        own numbers.
        Voxels are int16 where they fit, else larger whole numbers, or float32 where a slope is a fraction.

    Raises:
        InputError: As `find_series`; or the series' pictures do not make one regular grid of single numbers.
    """
    chosen = find_series(paths, series)
    try:
        return read_series(chosen)
    except InputError as error:
        raise InputError(f"{subject(paths)} cannot be used: {str(error).rstrip('.')}.") from error
    except OSError as error:
        raise InputError(f"{subject(paths)} cannot be read ({error.strerror or error}).") from error


def read_series(series: Series) -> Volume:
    """Read what `list_series` or `find_series` gave; see `read_dicom`. The errors do not name the folder.

    Raises:
        InputError: The series has a problem, or a file cannot be decoded.
    """
    if series.problem:
        raise InputError(series.problem)
    geometry = grid(series.frames)
    columns, rows = series.matrix
    check_memory(series.slices * rows * columns * _LARGEST_VOXEL)
    array = np.empty((0, rows, columns), np.int16)
    indices: dict[Path, list[int]] = {}
    for index, frame in enumerate(geometry.frames):
        indices.setdefault(frame.path, []).append(index)
    for path, planes in indices.items():
        pixels = _pixels(path)
        for index in planes:
            plane = _rescaled(pixels, geometry.frames[index], (rows, columns))
            if not array.size:
                array = np.empty((series.slices, rows, columns), plane.dtype)
            elif not np.can_cast(plane.dtype, array.dtype):
                array = array.astype(_storage(np.result_type(plane.dtype, array.dtype)))
            array[index] = plane
    return Volume(_narrowed(array), geometry.spacing, geometry.origin, geometry.direction, series.modality)


def _pixels(path: Path) -> np.ndarray:
    """Decode a file: (frame, row, column), with the rescale of its first frame applied."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        with quiet():
            return sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise InputError(decoding_problem(path)) from error


def _rescaled(pixels: np.ndarray, frame: Frame, shape: tuple[int, int]) -> np.ndarray:
    """Return one picture with its own rescale, in a type that can hold it."""
    if pixels.shape[1:] != shape or frame.index >= len(pixels):
        raise InputError(f"its file {frame.path.name} has not the voxels that its header announces")
    plane = pixels[frame.index]
    if frame.rescale != frame.applied:
        stored = np.rint((plane.astype(np.float64) - frame.applied[1]) / frame.applied[0])
        plane = stored * frame.rescale[0] + frame.rescale[1]
    return plane.astype(_storage(plane.dtype), copy=False)


def _storage(kind: Any) -> Any:
    return np.float32 if np.dtype(kind).kind == "f" else kind


def _narrowed(array: np.ndarray) -> np.ndarray:
    """Return whole numbers as int16 where they fit: GDCM plans for all that could be, which takes twice the memory."""
    limits = np.iinfo(np.int16)
    if array.dtype.kind in "iu" and array.min() >= limits.min and array.max() <= limits.max:
        return array.astype(np.int16, copy=False)
    return array
