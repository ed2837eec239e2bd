"""One picture of a DICOM file, and the numbers and texts of its header."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional


@dataclass(frozen=True)
class Frame:
    """One picture.

    Attributes:
        path: The file that it is in.
        instance: UID of the object (the file).
        series: UID of the series.
        place: UID of the frame of reference.
        modality: Such as CT.
        description: What the series is called.
        number: The series' number; 0 where it has none.
        matrix: Columns and rows.
        pixels: Samples a voxel and the photometric interpretation.
        index: Its place among the pictures in the file, from 0.
        multi_frame: Whether the file is an enhanced multi-frame object.
        position: Centre of the first voxel, mm, LPS; None where the header lacks it.
        orientation: Directions of a row and of a column; None where the header lacks them.
        spacing: Distance of neighbouring voxels in a row and in a column, mm; None where the header lacks it.
        thickness: Of the slice, mm; None where the header lacks it.
        rescale: Slope and intercept.
        applied: The slope and intercept that GDCM applies: those of the first picture in the file.
        localizer: Whether it is a scout view.
        differences: What tells it from other pictures of the same place: names and values.
        problem: Why it cannot be used; empty where it can.
    """

    path: Path
    instance: str
    series: str
    place: str
    modality: str
    description: str
    number: int
    matrix: tuple[int, int]
    pixels: tuple[str, str]
    index: int = 0
    multi_frame: bool = False
    position: Optional[tuple[float, ...]] = None
    orientation: Optional[tuple[float, ...]] = None
    spacing: Optional[tuple[float, ...]] = None
    thickness: Optional[float] = None
    rescale: tuple[float, float] = (1.0, 0.0)
    applied: tuple[float, float] = (1.0, 0.0)
    localizer: bool = False
    differences: tuple[tuple[str, str], ...] = ()
    problem: str = ""


def text(value: str) -> str:
    """Return an element's text on one line; SimpleITK gives bytes that are not UTF-8 as surrogates."""
    content = value.encode("utf-8", "surrogateescape")
    try:
        letters = content.decode("utf-8")
    except UnicodeDecodeError:
        letters = content.decode("latin-1")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in letters).split())


def numbers(values: Any, count: int) -> Optional[tuple[float, ...]]:
    """Return the numbers of an element, as DICOM's text or pydicom's sequence; None if they are not so many."""
    if values is None:
        return None
    if isinstance(values, str):
        values = values.split("\\")
    elif not hasattr(values, "__len__"):
        values = [values]
    try:
        parsed = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        return None
    return parsed if len(parsed) == count and all(map(math.isfinite, parsed)) else None


def number(value: Any, default: float) -> float:
    """Return a number, `default` where there is none, NaN where there is something else."""
    return default if value in (None, "") else (numbers(value, 1) or (math.nan,))[0]


def swapped(spacing: Optional[tuple[float, ...]]) -> Optional[tuple[float, ...]]:
    """Return DICOM's spacing, which has the distance of the rows first, with that along a row first."""
    return spacing and spacing[::-1]
