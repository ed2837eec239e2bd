"""What can be segmented: the scans in a folder, and whether a volume is a scan at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Optional, Union

import numpy as np

from LowResSegLib.errors import InputError
from LowResSegLib.volume.dicom_header import is_dicom
from LowResSegLib.volume.reading import holds_dicom, image_suffix, naming, read_volume
from LowResSegLib.volume.volume import Volume

# Noise makes at most a sixth of the neighbours in an 8-bit scan equal; in a labelmap of thin parts it is 0.87.
_UNIFORM = 0.8
_MOST_LABELS = 256
_LARGEST_RANGE = 1 << 16
_VOXELS_TO_LOOK_AT = 1 << 25
_SPACINGS = (0.001, 100.0)  # mm


def scans_in(folder: Union[str, Path]) -> list[Path]:
    """Return what `read_volume` takes of a folder: its image files, sorted by name, or itself if it holds DICOM files.

    Folders in it are not looked into, but for DICOM files where it holds no other images. Hidden files are left out,
    and labelmaps by their names: X.seg.nrrd, and X_labels.nii.gz beside it, so that results in the scans' own folder
    do not become scans.

    Raises:
        InputError: The folder cannot be read, or holds no scan, or images beside DICOM files.
    """
    folder = Path(folder)
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
        dicom = any(is_dicom(file) for file in files if not image_suffix(file))
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be read ({error.strerror}).") from error
    names = {file.name for file in files}
    images = [file for file in files if image_suffix(file) and not _is_result(file.name, names)]
    if images and dicom:
        raise InputError(f"{folder} holds both DICOM files and other images; put them into folders of their own.")
    if not images and not dicom and not holds_dicom(folder):
        raise InputError(f"{folder} holds no scan; give a folder of NIfTI, NRRD, MetaImage or DICOM files.")
    return images or [folder]


def _is_result(name: str, names: set[str]) -> bool:
    stem = name[: -len("_labels.nii.gz")]
    return name.endswith(".seg.nrrd") or (name.endswith("_labels.nii.gz") and f"{stem}.seg.nrrd" in names)


def read_scan(
    path: Union[str, Path], frame: Optional[int] = None, replace_nonfinite: bool = False
) -> tuple[Volume, int]:
    """Read what shall be segmented, as `read_volume`, and refuse what is no scan, as `check_scan`.

    Args:
        path: What `read_volume` takes.
        frame: Which volume of a series, counted from 0.
        replace_nonfinite: Put the lowest finite value in the places of NaN and infinity, which are mostly outside of
            the body, instead of refusing them.

    Returns:
        The volume, and how many voxels were replaced.

    Raises:
        InputError: One sentence that names the file.
    """
    path = Path(path)
    volume = read_volume(path, frame, finite=not replace_nonfinite, labels=False)
    with naming(path):
        replaced = _replace_nonfinite(volume.array) if replace_nonfinite else 0
        check_scan(volume)
    return volume, replaced


def _replace_nonfinite(array: np.ndarray) -> int:
    """Put the lowest finite value in the places of the others, and return how many they are."""
    if array.dtype.kind != "f":
        return 0
    finite = np.isfinite(array)
    count = array.size - int(np.count_nonzero(finite))
    if count == array.size:
        raise InputError("none of its voxels is a finite number")
    if count:
        array[~finite] = array.min(where=finite, initial=np.inf)
    return count


def check_scan(volume: Volume) -> None:
    """Check that a volume of finite numbers, (z, y, x), may be a scan.

    A labelmap is known by whole numbers of which there are few and whose neighbours are mostly equal where they are
    not the background.

    Raises:
        InputError: All voxels have the same value, it looks like a labelmap, or its spacing is beyond 0.001 to 100 mm.
    """
    if not all(_SPACINGS[0] <= step <= _SPACINGS[1] for step in volume.spacing):
        raise InputError(
            f"Its spacing {volume.spacing} is beyond {_SPACINGS[0]} to {_SPACINGS[1]:g} mm; repair its header."
        )
    low, high = volume.array.min(), volume.array.max()
    if low == high:
        raise InputError(f"All its voxels have the value {low:g}; there is nothing to segment.")
    if float(high) - float(low) >= _LARGEST_RANGE:
        return
    counts = np.zeros(int(high) - int(low) + 2, np.int64)
    for plane in _planes(volume.array):
        if plane.dtype.kind == "f" and not (plane == np.rint(plane)).all():
            return
        counts += np.bincount(plane.astype(np.intp).ravel() - int(low), minlength=len(counts))
    different = int(np.count_nonzero(counts))
    background = int(low) + int(counts.argmax())
    if different <= 2 or (different <= _MOST_LABELS and _uniform(volume.array, background) > _UNIFORM):
        raise InputError(
            f"It looks like a labelmap ({different} whole numbers, in areas), not a scan; give the scan that it was "
            "drawn on."
        )


def _planes(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the planes, or as many evenly spaced ones of a large volume as tell enough."""
    return iter(array[:: 1 + array.size // _VOXELS_TO_LOOK_AT])


def _uniform(array: np.ndarray, background: int) -> float:
    """Return which share of the neighbours in a plane, both not of the background, are equal."""
    pairs = equal = 0
    for plane in _planes(array):
        for one, other in ((plane[1:], plane[:-1]), (plane[:, 1:], plane[:, :-1])):
            both = (one != background) & (other != background)
            pairs += int(np.count_nonzero(both))
            equal += int(np.count_nonzero(both & (one == other)))
    return equal / pairs if pairs else 0.0
