"""What one call of `lowresseg segment` has to do: a list of cases."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from LowResSegLib.errors import InputError
from LowResSegLib.volume import count_frames, image_suffix, scans_in

ALL = "all"


@dataclass(frozen=True)
class Case:
    """One volume to segment.

    Attributes:
        path: A file, or a folder of DICOM files.
        stem: What the names of its results begin with.
        frame: Which volume of a series, counted from 0; None where there is but one.
    """

    path: Path
    stem: str
    frame: Optional[int] = None


def plan_cases(inputs: Sequence[Path], frame: Union[int, str, None] = None) -> list[Case]:
    """Return the cases of the inputs in their order; a folder's images are cases sorted by name.

    Args:
        inputs: Files and folders; what is given twice is taken once.
        frame: Number of a frame, ALL, or None for files of one volume.

    Raises:
        InputError: A folder cannot be read or holds no scan, or the results of two cases would have the same names.
    """
    paths = [scan for path in inputs for scan in (scans_in(path) if os.path.isdir(path) else [path])]
    unique = {os.path.abspath(path): path for path in paths}
    cases = [case for path in unique.values() for case in _frames(path, frame)]
    taken: dict[str, Case] = {}
    for case in cases:
        other = taken.setdefault(case.stem.casefold(), case)  # some file systems do not tell A from a
        if other is not case:
            raise InputError(
                f"{other.path} and {case.path} would both be written as {case.stem}; rename one of them, or give them "
                "in calls of their own with other output folders."
            )
    return cases


def shared(cases: Sequence[Case], shard: Optional[tuple[int, int]]) -> Sequence[Case]:
    """Return, for a shard (k, N), every N-th case from the k-th on, counted from 1."""
    return cases if shard is None else cases[shard[0] - 1 :: shard[1]]


def _frames(path: Path, frame: Union[int, str, None]) -> list[Case]:
    """Return the cases of one path: one, or one for each frame."""
    name = os.path.basename(os.path.abspath(path))  # also of `.`
    suffix = image_suffix(name) or (".dcm" if name.lower().endswith(".dcm") else "")
    stem = name[: len(name) - len(suffix)] or "scan"
    try:
        count = 1 if frame is None else count_frames(path)
    except InputError:  # it will be told, and recorded, when its turn comes
        return [Case(path, stem)]
    if count == 1:
        return [Case(path, stem, frame if isinstance(frame, int) else None)]
    numbers = [frame] if isinstance(frame, int) else range(count)
    return [Case(path, f"{stem}_frame{number:0{len(str(count - 1))}d}", number) for number in numbers]


def frame_argument(text: str) -> Union[int, str]:
    """Parse `--frame`."""
    if text == ALL:
        return ALL
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text} is neither a whole number, counted from 0, nor {ALL}")
    return int(text)


def shard_argument(text: str) -> tuple[int, int]:
    """Parse `--shard`."""
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text} is not of the form k/N, such as 1/4")
    number, count = int(match[1]), int(match[2])
    if not 1 <= number <= count:
        raise argparse.ArgumentTypeError(f"{text} is out of range; the count begins at 1, so k/N is 1/N to N/N")
    return number, count
