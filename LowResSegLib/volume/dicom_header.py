"""What the headers of DICOM files say about their pictures, one by one.

SimpleITK (GDCM) reads the headers of classic objects, one picture a file. The frames of enhanced multi-frame objects
have their geometry in nested sequences, which SimpleITK does not give; for these alone pydicom is needed.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from LowResSegLib.errors import InputError
from LowResSegLib.volume.dicom_enhanced import NO_PLACES, enhanced_frames
from LowResSegLib.volume.dicom_frame import Frame, number, numbers, swapped, text
from LowResSegLib.volume.itk import quiet

# Objects that are scans: SOP classes, and whether their frames are described in functional groups (enhanced).
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_SCANS = {
    f"{_STORAGE}{end}": enhanced
    for end, enhanced in (
        ("2", False),  # CT
        ("4", False),  # MR
        ("128", False),  # PET
        ("2.1", True),  # Enhanced CT, and converted from classic
        ("2.2", True),
        ("4.1", True),  # Enhanced MR
        ("4.4", True),
        ("130", True),  # Enhanced PET
        ("128.1", True),
        ("13.1.1", True),  # X-Ray 3D: angiographic and craniofacial (cone beam)
        ("13.1.2", True),
    )
}
# Transfer syntaxes that GDCM decodes: none, deflated, RLE, JPEG, lossless JPEG, JPEG-LS, JPEG 2000.
_DECODED = {
    f"1.2.840.10008.1.2{end}"
    for end in ("", ".1", ".1.99", ".2", ".5", *(f".4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91)))
}

# By which pictures of the same place may differ: the attribute, and what a reader calls it.
_DIFFERENCES = {
    "0008|0008": "image type",
    "0018|0081": "echo time",
    "0018|9087": "b-value",
    "0020|0100": "time",
    "0018|1060": "trigger time",
    "0020|0012": "acquisition",
    "0008|0032": "acquisition time",
}
_TAGS = {
    *("0008|0016", "0008|0018", "0008|0060", "0008|103e", "0018|0050", "0020|000e", "0020|0011", "0020|0032"),
    *("0020|0037", "0020|0052", "0028|0002", "0028|0004", "0028|0008", "0028|0010", "0028|0011", "0028|0030"),
    *("0028|1052", "0028|1053", *_DIFFERENCES),
}
_DAMAGED = "is truncated, damaged or without a picture; copy it again, or move it away if it is not of the scan"


class Found(NamedTuple):
    """What a search found: the pictures, and how many DICOM files hold other things."""

    frames: list[Frame]
    others: int


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM does; also without the preamble, as some old archives write it."""
    return _begins_as_dicom(_beginning(path))


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(132)


def _begins_as_dicom(head: bytes) -> bool:
    return head[128:] == b"DICM" or (head[:2] in (b"\x08\x00", b"\x02\x00") and head[3:4] == b"\x00")


def files_in(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and the folders in it, sorted, but for hidden ones and DICOMDIR."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and name.upper() != "DICOMDIR" and path.is_file():
                yield path


def search(folder: Path) -> list[Path]:
    """Return the DICOM files in a folder and the folders in it.

    Raises:
        InputError: A file is empty or begins with zeros, as what was not copied does, or has DICOM's name and not its
            content: a slice may be missing.
    """
    found = []
    for path in files_in(folder):
        head = _beginning(path)
        if _begins_as_dicom(head):
            found.append(path)
        elif not any(head[:128]) or path.suffix.lower() in (".dcm", ".ima"):
            raise InputError(f"its file {path.relative_to(folder)} {_DAMAGED}")
    return found


def read_headers(paths: Iterable[Path]) -> Found:
    """Read the headers of DICOM files; objects that are not scans are only counted.

    Raises:
        InputError: A scan cannot be read.
    """
    frames: list[Frame] = []
    others = 0
    with quiet():
        for path in paths:
            of_file = _frames(path)
            frames.extend(of_file)
            others += not of_file
    return Found(frames, others)


def decoding_problem(path: Path) -> str:
    """Say why a file that GDCM refuses is refused."""
    syntax = _meta(path).get((2, 0x10), "")
    if syntax and syntax not in _DECODED:
        return f"its file {path.name} is compressed in a way that is not known here ({syntax}); export it uncompressed"
    return f"its file {path.name} {_DAMAGED}"


def _meta(path: Path) -> dict[tuple[int, int], str]:
    """Return the short elements of group 2, which stand in front in a form of their own; none where it is missing."""
    elements = {}
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            return {}
        while len(head := file.read(8)) == 8 and head[:2] == b"\x02\x00":
            group, element, kind, length = struct.unpack("<HH2sH", head)
            if kind in (b"OB", b"UN", b"UT", b"SQ"):
                (length,) = struct.unpack("<I", file.read(4).ljust(4, b"\0"))
                file.seek(length, os.SEEK_CUR)
            else:
                elements[group, element] = file.read(length).decode("latin-1").rstrip("\0 ")
    return elements


def _frames(path: Path) -> list[Frame]:
    """Return the pictures in one file; none where it is not a scan."""
    import SimpleITK as sitk

    kind = _meta(path).get((2, 2), "")
    if kind and kind not in _SCANS:
        return []
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(decoding_problem(path)) from error
    keys = set(reader.GetMetaDataKeys())
    tags = {key: text(reader.GetMetaData(key)) for key in keys & _TAGS}
    kind = tags.get("0008|0016", kind)
    if kind not in _SCANS:
        return []
    common: dict[str, Any] = {
        "path": path,
        "instance": tags.get("0008|0018", ""),
        "series": tags.get("0020|000e", ""),
        "place": tags.get("0020|0052", ""),
        "modality": tags.get("0008|0060", ""),
        "description": tags.get("0008|103e", ""),
        "number": int((numbers(tags.get("0020|0011"), 1) or (0,))[0]),
        "matrix": (int(tags["0028|0011"]), int(tags["0028|0010"])),
        "pixels": (tags.get("0028|0002", "1"), tags.get("0028|0004", "")),
    }
    if _SCANS[kind]:
        return enhanced_frames(path, common)
    if tags.get("0028|0008", "1") not in ("0", "1"):
        return [Frame(**common, problem=NO_PLACES)]
    rescale = (number(tags.get("0028|1053"), 1.0), number(tags.get("0028|1052"), 0.0))
    return [
        Frame(
            **common,
            position=numbers(tags.get("0020|0032"), 3),
            orientation=numbers(tags.get("0020|0037"), 6),
            spacing=swapped(numbers(tags.get("0028|0030"), 2)),
            thickness=(numbers(tags.get("0018|0050"), 1) or (None,))[0],
            rescale=rescale,
            applied=rescale,
            localizer="LOCALIZER" in tags.get("0008|0008", ""),
            differences=tuple((name, tags.get(tag, "")) for tag, name in _DIFFERENCES.items()),
        )
    ]
