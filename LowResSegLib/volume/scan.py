"""What can be segmented: the scans in a folder, and whether a volume is a scan at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from LowResSegLib.errors import InputError
from LowResSegLib.volume.dicom_header import is_dicom
from LowResSegLib.volume.integrity import check_finite
from LowResSegLib.volume.reading import LABELMAP_ADVICE, holds_dicom, image_suffix, naming, read_volume
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
    and results by their names: X.seg.nrrd, and X_labels.nii.gz and X_confidence.nii.gz beside it, so that results in
    the scans' own folder do not become scans.

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
    ends = ("_labels.nii.gz", "_confidence.nii.gz")
    stems = [name[: -len(end)] for end in ends if name.endswith(end)]
    return name.endswith(".seg.nrrd") or any(f"{stem}.seg.nrrd" in names for stem in stems)


def read_scan(
    path: Union[str, Path], frame: Optional[int] = None, replace_nonfinite: bool = False, not_a_labelmap: bool = False
) -> tuple[Volume, int]:
    """Read what shall be segmented, as `read_volume`; `segment` then looks at its voxels, with `check_scan`.

    Args:
        path: What `read_volume` takes.
        frame: Which volume of a series, counted from 0.
        replace_nonfinite: Put the lowest finite value in the places of NaN and infinity, which are mostly outside of
            the body, instead of refusing them.
        not_a_labelmap: Take a file whose header says that its values are labels.

    Returns:
        The volume, and how many voxels were replaced.

    Raises:
        InputError: One sentence that names the file.
    """
    path = Path(path)
    volume = read_volume(path, frame, finite=not replace_nonfinite, labels=not_a_labelmap)
    with naming(path):
        replaced = _replace_nonfinite(volume.array) if replace_nonfinite else 0
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


def check_scan(volume: Volume, not_a_labelmap: bool = False) -> None:
    """Check that a volume may be a scan.

    A labelmap is known by whole numbers of which there are few and whose neighbours are mostly equal where they are
    not the background.

    Args:
        volume: (z, y, x); for 256 voxels along each axis it takes less than a tenth of a second.
        not_a_labelmap: It is none, whatever it looks like, such as the picture of a phantom.

    Raises:
        InputError: Some voxels are not finite numbers, all have the same value, it looks like a labelmap, or its
            spacing is beyond 0.001 to 100 mm.
    """
    if not all(_SPACINGS[0] <= step <= _SPACINGS[1] for step in volume.spacing):
        raise InputError(
            f"The spacing {volume.spacing} is beyond {_SPACINGS[0]} to {_SPACINGS[1]:g} mm; repair it in the header."
        )
    check_finite(volume.array)
    low, high = volume.array.min(), volume.array.max()
    if low == high:
        raise InputError(f"All voxels have the value {float(low):g}; there is nothing to segment.")
    if not not_a_labelmap and float(high) - float(low) < _LARGEST_RANGE:
        _check_values(volume.array, low, high)


def _check_values(array: np.ndarray, low: Any, high: Any) -> None:
    """Refuse what looks like a labelmap; `low` and `high` are its least and greatest value."""
    counts = np.zeros(int(high) - int(low) + 2, np.int64)
    for plane in _planes(array):
        if plane.dtype.kind == "f" and not (plane == np.rint(plane)).all():
            return
        # Whole numbers beyond 63 bits are wrapped by both casts, so that the difference is right again.
        kind = np.float64 if plane.dtype.kind == "f" else np.intp
        above = (plane.astype(kind) - low.astype(kind)).astype(np.intp, copy=False)
        counts += np.bincount(above.ravel(), minlength=len(counts))
        different = int(np.count_nonzero(counts))
        if different > _MOST_LABELS:  # mostly within the first planes of a scan
            return
    background = int(low) + int(counts.argmax())
    if different <= 2 or _uniform(array, background) > _UNIFORM:
        raise InputError(
            f"The image looks like a labelmap ({different} whole numbers, in areas), not a scan; {LABELMAP_ADVICE}."
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
