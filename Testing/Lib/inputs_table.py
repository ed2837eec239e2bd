"""What `lowresseg segment` does with all sorts of input: the cases of test_inputs.py, and the page docs/inputs.md.

python Testing/Lib/inputs_table.py > docs/inputs.md
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from plans import random_model
from scan_files import (
    Writer,
    big_endian,
    bomb,
    colour,
    content,
    disappearing,
    edited,
    empty_folder,
    file,
    full_disk,
    itk,
    labels,
    of,
    put,
    read_only,
    replace,
    scan,
    segmentation,
    series,
    sheared,
    spaced,
    swapped,
    thin,
    vector,
    with_values,
)

from LowResSegLib.cli import main
from LowResSegLib.model import write_model

_OBLIQUE = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
_HEAD = """# What is read, and what is refused

Made by `python Testing/Lib/inputs_table.py > docs/inputs.md`; `Testing/Lib/test_inputs.py` runs the same cases and
holds this page to them. Each was given to `lowresseg segment` as a small file. What is refused ends with exit status 2,
one sentence on standard error, and no output. The words of ITK and sizes of memory are left out (`...`).
"""


@dataclass(frozen=True)
class Case:
    """An input and what is expected of it.

    Attributes:
        what: What the page calls it.
        make: Writes it into a folder and returns what the command is given.
        arguments: Further ones of the command.
        refusal: A part of the sentence; empty where it is segmented.
        same: Whether it is the same scan as that of all others with `same`, so that its labelmap is too.
        picture: Whether the picture is made, which takes a second.
        during: What goes on while the command runs; given the folder.
    """

    what: str
    make: Writer
    arguments: tuple[str, ...] = ()
    refusal: str = ""
    same: bool = False
    picture: bool = False
    during: Callable[[Path], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext


_SAGITTAL = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
_CORONAL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
_TERABYTES = b"30000 30000 30000"
_SPACING = b"Spacing = 1 0.80000000000000004 "


TAKEN = [
    Case("NIfTI, int16", of("a.nii"), same=True, picture=True),
    Case("NIfTI, int16, gzip", of("a.nii.gz"), same=True),
    *(
        Case(f"NIfTI, {kind}", of("a.nii.gz", kind=kind), same=True)
        for kind in ("uint8", "uint16", "int32", "uint32", "float32", "float64")
    ),
    Case("NIfTI, int16, big-endian", edited("a.nii", big_endian), same=True),
    Case("NIfTI, int16, big-endian, gzip", edited("a.nii.gz", big_endian), same=True),
    Case("NIfTI, slope 0.5 and intercept -7", edited("a.nii", put(112, "<2f", 0.5, -7.0))),
    *(
        Case(f"{name}, {kind}, {'gzip' if packed else 'not compressed'}", of(f"a{end}", packed, kind=kind), same=True)
        for name, end in (("NRRD", ".nrrd"), ("MetaImage", ".mha"))
        for kind in ("uint16", "float64")
        for packed in (False, True)
    ),
    Case("NRRD, header and data apart", of("a.nhdr"), same=True),
    Case("MetaImage, header and data apart", of("a.mhd"), same=True),
    Case("NRRD, int16, big-endian", edited("a.nrrd", swapped(b"endian: little", b"endian: big")), same=True),
    Case(
        "MetaImage, int16, big-endian",
        edited("a.mha", swapped(b"ByteOrderMSB = False", b"ByteOrderMSB = True")),
        same=True,
    ),
    Case("spacing 0.3 x 0.3 x 8 mm", file("a.nii.gz", spaced(0.3, 0.3, 8))),
    Case("spacing 8 x 0.5 x 0.3 mm", file("a.nii.gz", spaced(8, 0.5, 0.3))),
    *(
        Case(
            f"{'one slice' if count == 1 else 'two slices'}, {plane}", of("a.nii.gz", **thin(axis, count)), picture=True
        )
        for count in (1, 2)
        for axis, plane in enumerate(("axial", "coronal", "sagittal"))
    ),
    Case("sagittal slices", of("a.nii.gz", direction=_SAGITTAL)),
    Case("coronal slices", of("a.nii.gz", direction=_CORONAL)),
    Case("oblique slices", of("a.nii.gz", direction=_OBLIQUE), picture=True),
    Case("axes of a left hand (an axis stored the other way round)", of("a.nii.gz", direction=np.diag([1.0, -1, 1]))),
    Case("name with spaces and letters of all sorts", of("Kopf Ü ß 頭 scan.nii.gz"), same=True),
    Case("file and folder that cannot be written to", read_only, same=True),
    Case("4-D of one volume", file("a.nii.gz", lambda: series(1)), same=True),
    Case("4-D of three volumes", file("a.nii.gz", series), ("--frame", "1")),
    Case("4-D of three volumes, NRRD", file("a.nrrd", series), ("--frame", "2")),
    Case("NaN and infinity", file("a.nii.gz", with_values(np.nan, np.inf)), ("--replace-nonfinite",)),
    Case("NaN and infinity, MetaImage", file("a.mha", with_values(np.nan, -np.inf)), ("--replace-nonfinite",)),
]

REFUSED = [
    Case("a path that is not there", lambda folder: folder / "a.nii.gz", refusal="does not exist"),
    Case("a folder without scans", empty_folder, refusal="holds no scan"),
    Case("another ending", content("a.txt", b"Hello."), refusal=".nii.gz"),
    Case("zero bytes", content("a.nii.gz", b""), refusal="empty"),
    Case("text under the name of a scan", content("a.nii", b"Hello. " * 99), refusal="not a NIfTI"),
    Case("cut off", edited("a.nii.gz", lambda content: content[:-99]), refusal="truncated"),
    Case("2-D image", file("a.nii.gz", lambda: itk(scan())[:, :, 3]), refusal="2 dimensions"),
    Case("4-D of three volumes, without --frame", file("a.nii.gz", series), refusal="--frame"),
    Case("4-D, a frame that it lacks", file("a.nii.gz", series), ("--frame", "3"), "no frame 3"),
    Case("3-D, a frame that it lacks", of("a.nii.gz"), ("--frame", "1"), "no frame 1"),
    Case("colour", file("a.nrrd", colour), refusal="several numbers a voxel"),
    Case("vectors", file("a.mha", vector), refusal="several numbers a voxel"),
    Case("spacing of zero", edited("a.nii", put(84, "<f", 0)), refusal="spacing"),
    Case("negative spacing", edited("a.nii", put(84, "<f", -1)), refusal="spacing"),
    Case("spacing of zero, MetaImage", edited("a.mha", replace(_SPACING, b"Spacing = 1 0 ")), refusal="spacing"),
    Case("spacing of nearly zero", edited("a.mha", replace(_SPACING, b"Spacing = 1 1e-9 ")), refusal="spacing"),
    Case("spacing of a kilometre", edited("a.mha", replace(_SPACING, b"Spacing = 1 1e6 ")), refusal="spacing"),
    Case("sheared axes, NIfTI", edited("a.nii", put(280, "<8f", 1, 0.2, 0, 0, 0, 1, 0, 0)), refusal="right angles"),
    Case("sheared axes, NRRD", file("a.nrrd", sheared), refusal="right angles"),
    Case("sheared axes, MetaImage", file("a.mha", sheared), refusal="right angles"),
    Case("axes of length zero", edited("a.nii", put(280, "<12f", *[0] * 12)), refusal="right angles"),
    Case("NaN and infinity, NIfTI", file("a.nii.gz", with_values(np.nan, np.inf)), refusal="2 of its 2184 voxels"),
    Case("NaN and infinity, NRRD", file("a.nrrd", with_values(np.nan, np.inf)), refusal="--replace-nonfinite"),
    Case(
        "nothing but NaN",
        file("a.nii.gz", lambda: itk(scan("float32")) * float("nan")),
        ("--replace-nonfinite",),
        "none of its voxels",
    ),
    Case("constant image", file("a.nii.gz", lambda: itk(scan()) * 0 + 5), refusal="the value 5"),
    Case("labelmap", file("a.nii.gz", lambda: itk(labels())), refusal="looks like a labelmap"),
    Case("mask of two values", file("a.nrrd", lambda: itk(scan()) > 100), refusal="looks like a labelmap"),
    Case("segmentation of Slicer", segmentation, refusal="header says that it is a labelmap"),
    Case(
        "NIfTI with the intent of labels",
        edited("a.nii.gz", put(68, "<h", 1002)),
        refusal="header says that it is a labelmap",
    ),
    Case(
        "archive bomb, NIfTI",
        edited("a.nii.gz", lambda content: content + bytes(1 << 24)),
        refusal="unpacks to far more",
    ),
    Case(
        "999 dimensions, MetaImage", edited("a.mha", replace(b"NDims = 3", b"NDims = 999")), refusal="header is damaged"
    ),
    Case("archive bomb, NRRD", bomb("a.nrrd", b"\n\n"), refusal="unpacks to far more"),
    Case("archive bomb, MetaImage", bomb("a.mha", b"LOCAL\n"), refusal="unpacks to far more"),
    *(
        Case(f"header that promises terabytes, {name}", edited(f"a{end}", edit), refusal="promises")
        for name, end, edit in (
            ("NIfTI", ".nii", put(40, "<4h", 3, 30000, 30000, 30000)),
            ("NIfTI, gzip", ".nii.gz", put(40, "<4h", 3, 30000, 30000, 30000)),
            ("NRRD", ".nrrd", replace(b"12 13 14", _TERABYTES)),
            ("MetaImage", ".mha", replace(b"12 13 14", _TERABYTES)),
        )
    ),
    Case("a file that disappears during the run", of("a.nii.gz"), refusal="disappeared", during=disappearing),
]
if sys.platform != "win32":
    REFUSED.append(Case("a full disk", of("a.nii"), refusal="cannot be written", during=full_disk))


def attempt(case: Case, folder: Path, model: Path) -> tuple[int, str, Path]:
    """Run a case in an empty folder; returns the exit status, the sentence without paths, and where the outputs are."""
    (folder / "in").mkdir()
    path, out = case.make(folder / "in"), folder / "out"
    call = ["segment", str(path), "-o", str(out), "--model", str(model), "--backend", "numpy", *case.arguments]
    picture = contextlib.nullcontext() if case.picture else mock.patch("LowResSegLib.cli.segment.write_sheet")
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said), picture, case.during(folder / "in"):
        status = main(call)
    text = said.getvalue().replace(f"{folder / 'in'}/", "").replace(f"{folder}/", "")
    text = re.sub(r"memory is [0-9.]+ GB", "memory is ... GB", text)
    return status, re.sub(r"(not an image|lack of space): [^()]*", r"\1: ...", text), out


def page(folder: Path) -> str:
    """Run all cases and return the page about them."""
    model = folder / "small.lowresseg"
    write_model(model, random_model(np.random.default_rng(0)))
    rows = {True: [""], False: [""]}
    for number, case in enumerate([*TAKEN, *REFUSED]):
        (folder / str(number)).mkdir()
        status, said, _ = attempt(case, folder / str(number), model)
        options = f"`{' '.join(case.arguments)}`" if case.arguments else ""
        happened = "segmented" if status == 0 else said.removeprefix("lowresseg: ").strip()
        rows[status == 0].append(f"| {case.what} | {options} | {happened} |")
    parts = []
    for title, taken in (("Segmented", True), ("Refused", False)):
        parts.append(
            "\n".join([f"\n## {title}\n", "| input | options | what happened |", "|---|---|---|", *rows[taken][1:]])
        )
    return "\n".join([_HEAD.rstrip(), *parts])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(page(Path(name)))
