"""The series of scans among DICOM files.

What belongs together is told from the headers, never from names of files or instance numbers.
"""

from __future__ import annotations

import filecmp
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from LowResSegLib.errors import InputError
from LowResSegLib.volume.dicom_frame import Frame
from LowResSegLib.volume.dicom_grid import Grid, grid
from LowResSegLib.volume.dicom_header import Found, is_dicom, read_headers, search

Paths = Union[str, Path, Sequence[Union[str, Path]]]

_LISTED = 10  # series that a refusal names
_SAME_DIRECTION = 1e-4  # how far the directions of pictures of one volume may differ


@dataclass(frozen=True)
class Series:
    """A series, or the part of one that makes a volume. Nothing in it says whose it is.

    Attributes:
        uid: The series' UID.
        modality: Such as CT.
        description: What the series is called.
        part: What tells it from other parts of the series, such as its echo time; empty where there are none.
        slices: How many.
        matrix: Columns and rows of a slice.
        spacing: x, y, z in mm; None where there is a problem.
        localizer: Whether it is a scout view.
        problem: Why it cannot be read, without a full stop; empty where it can.
        frames: Its pictures, in order along the normal where there is no problem.
    """

    uid: str
    modality: str
    description: str
    part: str
    slices: int
    matrix: tuple[int, int]
    spacing: Optional[tuple[float, float, float]]
    localizer: bool
    problem: str
    frames: tuple[Frame, ...] = field(repr=False)

    @property
    def files(self) -> list[Path]:
        """The files that it is in, each once."""
        return list(dict.fromkeys(frame.path for frame in self.frames))

    def to_dict(self) -> dict[str, Any]:
        """Return what describes it, for JSON; not the files, whose names may be those of patients."""
        return {
            "uid": self.uid,
            "modality": self.modality,
            "description": self.description,
            "part": self.part,
            "slices": self.slices,
            "matrix": list(self.matrix),
            "spacing_mm": list(self.spacing) if self.spacing else None,
            "localizer": self.localizer,
            "problem": self.problem,
        }

    def __str__(self) -> str:
        """Say in a few words what it is."""
        name = " ".join(word for word in (self.modality, self.description) if word)
        part = f" ({self.part})" if self.part else ""
        return f"{name}{part}, {self.slices} of {self.matrix[0]} x {self.matrix[1]}"


def list_series(paths: Paths) -> list[Series]:
    """Return the series of CT, MR and PET scans in a folder and the folders in it, in a list of files, or in one file.

    A DICOMDIR stands for the folder that it is in. A series of which several pictures lie at each place (echoes,
    times, b-values), or that has several orientations or sizes, is given as its parts. The order, by series number
    and UID, is the same wherever the files lie. Other DICOM objects and files are passed over.

    Raises:
        InputError: Something is missing, is not DICOM, cannot be read, is truncated or damaged, or there is no scan.
    """
    name = subject(paths)
    try:
        found = _find(paths)
    except InputError as error:
        raise InputError(f"{name} cannot be used: {error}.") from error
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror or error}).") from error
    if not found.frames:
        others = f", only DICOM objects of other kinds ({found.others})" if found.others else ""
        raise InputError(f"{name} holds no CT, MR or PET images{others}; give a scan.")
    frames = sorted(_without_copies(found.frames), key=lambda frame: (frame.position or (), frame.instance))
    groups: list[list[Frame]] = []
    for frame in frames:
        alike = next((group for group in groups if _alike(group[0], frame)), None)
        if alike is None:
            groups.append([frame])
        else:
            alike.append(frame)
    counts = [group[0].series for group in groups]
    parts: list[Series] = []
    for group in groups:
        plane = _plane(group[0]) if counts.count(group[0].series) > 1 else ""
        parts.extend(_series(part, ", ".join(filter(None, (plane, what)))) for what, part in _split(group))
    return sorted(parts, key=lambda each: (each.frames[0].number, each.uid, each.part, each.frames[0].position or ()))


def find_series(paths: Paths, series: Optional[str] = None) -> Series:
    """Return one of the series that `list_series` gives.

    Args:
        paths: A folder, a list of files, or a file.
        series: The UID, or the number in the list, from 1. None takes the only one; scout views do not count
            beside others.

    Raises:
        InputError: As `list_series`; there is no such series; there are several, which it names.
    """
    found = list_series(paths)
    if series is None:
        chosen = found
    elif series.isdecimal() and len(series) < 9:
        chosen = found[int(series) - 1 : int(series)] if int(series) else []
    else:
        chosen = [each for each in found if each.uid == series]
    if len(chosen) > 1:
        chosen = [each for each in chosen if not each.localizer] or chosen
    if len(chosen) == 1:
        return chosen[0]
    listed = [f"{number}: {each}" for number, each in enumerate(found, 1) if not chosen or each in chosen]
    more = f"; and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    has = f"has no series {series}" if not chosen else f"has {len(chosen)} series"
    raise InputError(
        f"{subject(paths)} {has}; choose one with --series and its number{'' if chosen else ' or UID'}: "
        f"{'; '.join(listed[:_LISTED])}{more}."
    )


def subject(paths: Paths) -> str:
    """Return what a sentence calls the input."""
    return str(paths) if isinstance(paths, (str, Path)) else f"The list of {len(paths)} files"


def _find(paths: Paths) -> Found:
    if not isinstance(paths, (str, Path)):
        files = [Path(path) for path in paths]
        return read_headers(_checked(files))
    path = Path(paths)
    if not path.exists():
        raise InputError("it does not exist; give a folder of DICOM files")
    if path.is_dir():
        return read_headers(search(path))
    return read_headers(search(path.parent) if path.name.upper() == "DICOMDIR" else _checked([path]))


def _checked(files: list[Path]) -> Iterable[Path]:
    for path in files:
        if not path.is_file() or not is_dicom(path):
            raise InputError(f"{path.name} is not a DICOM file")
    return files


def _without_copies(frames: list[Frame]) -> list[Frame]:
    """Leave out copies of files: the same object once more, byte for byte."""
    first: dict[str, Path] = {}
    copies = set()
    for frame in frames:
        original = first.setdefault(frame.instance, frame.path) if frame.instance else frame.path
        new = original != frame.path and frame.path not in copies
        if new and filecmp.cmp(original, frame.path, shallow=False):
            copies.add(frame.path)
    return [frame for frame in frames if frame.path not in copies]


def _alike(one: Frame, other: Frame) -> bool:
    """Whether two pictures may belong to one volume."""
    same = ("series", "place", "matrix", "pixels", "localizer", "problem")
    if any(getattr(one, name) != getattr(other, name) for name in same):
        return False
    return _near(one.orientation, other.orientation) and _near(one.spacing, other.spacing)


def _near(one: Optional[tuple[float, ...]], other: Optional[tuple[float, ...]]) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= _SAME_DIRECTION for a, b in zip(one, other))


def _plane(frame: Frame) -> str:
    """Name the plane that a picture is nearest to."""
    if frame.orientation is None:
        return "without orientation"
    normal = np.cross(frame.orientation[:3], frame.orientation[3:])
    return ("sagittal", "coronal", "axial")[int(np.abs(normal).argmax())]


def _split(frames: list[Frame], skip: int = 0) -> list[tuple[str, list[Frame]]]:
    """Split pictures of which several lie at each place into volumes, by the first attribute that does so evenly."""
    places = len({frame.position and tuple(np.round(frame.position, 3)) for frame in frames})
    if places == len(frames) or any(frame.position is None for frame in frames):
        return [("", frames)]
    for number, (name, _) in enumerate(frames[0].differences[skip:], skip):
        ordered = sorted(frames, key=lambda frame: frame.differences[number][1])
        groups = [list(group) for _, group in groupby(ordered, key=lambda frame: frame.differences[number][1])]
        sizes = {len(group) for group in groups}
        if len(groups) > 1 and len(sizes) == 1 and sizes.pop() % places == 0:
            return [
                (f"{name} {group[0].differences[number][1]}{', ' if rest else ''}{rest}", part)
                for group in groups
                for rest, part in _split(group, number + 1)
            ]
    return [("", frames)]


def _series(frames: list[Frame], part: str) -> Series:
    first = frames[0]
    geometry: Optional[Grid] = None
    problem = ""
    try:
        geometry = grid(frames)
    except InputError as error:
        problem = str(error)
    return Series(
        first.series,
        first.modality,
        first.description,
        part,
        len(frames),
        first.matrix,
        geometry.spacing if geometry else None,
        first.localizer,
        problem,
        geometry.frames if geometry else tuple(frames),
    )
