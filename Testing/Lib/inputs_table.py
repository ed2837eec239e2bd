"""What `lowresseg segment` does with all sorts of input: the cases of test_inputs.py, and the page docs/inputs.md.

python Testing/Lib/inputs_table.py > docs/inputs.md
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from case_tables import Case, tables
from ct_scans import ct
from scan_files import (
    big_endian,
    bomb,
    colour,
    content,
    disappearing,
    edited,
    empty_folder,
    file,
    full_disk,
    in_folder,
    itk,
    labels,
    metal_ct,
    of,
    padded_ct,
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
    unsigned_ct,
    vector,
    with_values,
)

_OBLIQUE = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
_HEAD = """# What is read, and what is refused

Made by `python Testing/Lib/inputs_table.py > docs/inputs.md`; `Testing/Lib/test_inputs.py` runs the same cases and
holds this page to them. Each was given to `lowresseg segment` as a small file. What is refused ends with exit status 2,
one sentence on standard error, and no output. A warning stands in the run record and on standard error. The words of
ITK and sizes of memory are left out (`...`). CT was given to a small model for CT, the rest to one for MR, but where it
says otherwise. [dicom.md](dicom.md) has the same of DICOM, [ct.md](ct.md) what holds of CT.
"""
_SAGITTAL = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
_CORONAL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
_PADDINGS = (-1024, -2000, -3024)
_PHANTOM = ("--not-a-labelmap",)
_TERABYTES = b"30000 30000 30000"
_SPACING = b"Spacing = 1 0.80000000000000004 "


TAKEN = [
    Case("NIfTI, int16", of("a.nii"), same="MR", picture=True),
    Case("NIfTI, int16, gzip", of("a.nii.gz"), same="MR"),
    *(
        Case(f"NIfTI, {kind}", of("a.nii.gz", kind=kind), same="MR")
        for kind in ("uint8", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
    ),
    Case("NIfTI, int16, big-endian", edited("a.nii", big_endian), same="MR"),
    Case("NIfTI, int16, big-endian, gzip", edited("a.nii.gz", big_endian), same="MR"),
    Case("NIfTI, float32, big-endian", edited("a.nii", partial(big_endian, kind="f4"), "float32"), same="MR"),
    Case("NIfTI, slope 0.5 and intercept -7", edited("a.nii", put(112, "<2f", 0.5, -7.0))),
    *(
        Case(f"{name}, {kind}, {'gzip' if packed else 'not compressed'}", of(f"a{end}", packed, kind=kind), same="MR")
        for name, end in (("NRRD", ".nrrd"), ("MetaImage", ".mha"))
        for kind in ("uint16", "float64")
        for packed in (False, True)
    ),
    Case("NRRD, header and data apart", of("a.nhdr"), same="MR"),
    Case("MetaImage, header and data apart", of("a.mhd"), same="MR"),
    Case("NRRD, int16, big-endian", edited("a.nrrd", swapped(b"endian: little", b"endian: big")), same="MR"),
    Case(
        "MetaImage, int16, big-endian",
        edited("a.mha", swapped(b"ByteOrderMSB = False", b"ByteOrderMSB = True")),
        same="MR",
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
    Case("oblique slices of 0.3 x 0.3 x 8 mm", file("a.nii.gz", spaced(0.3, 0.3, 8, direction=_OBLIQUE))),
    Case("sagittal slices", of("a.nii.gz", direction=_SAGITTAL)),
    Case("coronal slices", of("a.nii.gz", direction=_CORONAL)),
    Case("oblique slices", of("a.nii.gz", direction=_OBLIQUE), picture=True),
    Case("axes of a left hand (an axis stored the other way round)", of("a.nii.gz", direction=np.diag([1.0, -1, 1]))),
    Case("name with spaces and letters of all sorts", of("Kopf Ü ß 頭 scan.nii.gz"), same="MR"),
    Case("folder with spaces and letters of all sorts", in_folder("Über 頭 é", of("a b.nii.gz")), same="MR"),
    Case("file and folder that cannot be written to", read_only, same="MR"),
    Case("4-D of one volume", file("a.nii.gz", lambda: series(1)), same="MR"),
    Case("4-D of three volumes", file("a.nii.gz", series), ("--frame", "1")),
    Case("4-D of three volumes, NRRD", file("a.nrrd", series), ("--frame", "2")),
    Case("4-D of three volumes, MetaImage", file("a.mha", series), ("--frame", "0")),
    Case("4-D of three volumes, each", file("a.nii.gz", series), ("--frame", "all")),
    Case("NaN and infinity", file("a.nii.gz", with_values(np.nan, np.inf)), ("--replace-nonfinite",)),
    Case("NaN and infinity, MetaImage", file("a.mha", with_values(np.nan, -np.inf)), ("--replace-nonfinite",)),
    Case("phantom of few values", file("a.nii.gz", lambda: itk(labels())), _PHANTOM),
    Case("phantom of two values", file("a.nrrd", lambda: itk(scan()) > 100), _PHANTOM),
    Case("scan with the intent of labels, NIfTI", edited("a.nii.gz", put(68, "<h", 1002)), _PHANTOM, same="MR"),
    *(
        Case(f"CT, {what}", make, same="CT", model="CT")
        for what, make in (
            ("int16", file("a.nii.gz", lambda: itk(ct()))),
            ("float32, NRRD", file("a.nrrd", lambda: sitk.Cast(itk(ct()), sitk.sitkFloat32))),
            ("uint16 with an intercept of -1024", edited("a.nii", put(112, "<2f", 1, -1024), image=unsigned_ct)),
            *((f"{value} outside the scanner's circle", file("a.nii", padded_ct(value))) for value in _PADDINGS),
        )
    ),
    *(
        Case(f"CT, metal of {value} HU", file("a.nii", metal_ct(value)), same="CT with metal", model="CT")
        for value in (3071, 30000)
    ),
    Case("CT, with the table", file("a.nii.gz", lambda: itk(ct(table=True))), model="CT", picture=True),
    Case(
        "CT, oblique, 0.7 x 0.7 x 5 mm",
        file("a.nii.gz", lambda: itk(ct(spacing=(0.7, 0.7, 5.0), direction=_OBLIQUE))),
        model="CT",
    ),
    Case("CT, uint16 without its intercept", file("a.nii", unsigned_ct), warning="too high for a CT", model="CT"),
    Case("MR, for the model for CT", of("a.nii.gz"), warning="is for CT", model="CT"),
    Case("CT, for the model for MR", file("a.nii.gz", lambda: itk(ct())), warning="is for MR"),
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
    Case("NaN and infinity, NIfTI", file("a.nii.gz", with_values(np.nan, np.inf)), refusal="2 of 2184 voxels"),
    Case("NaN and infinity, NRRD", file("a.nrrd", with_values(np.nan, np.inf)), refusal="--replace-nonfinite"),
    Case(
        "nothing but NaN",
        file("a.nii.gz", lambda: itk(scan("float32")) * float("nan")),
        ("--replace-nonfinite",),
        "none of its voxels",
    ),
    Case("constant image", file("a.nii.gz", lambda: itk(scan()) * 0 + 5), refusal="the value 5"),
    Case("labelmap", file("a.nii.gz", lambda: itk(labels())), refusal="--not-a-labelmap"),
    Case("mask of two values", file("a.nrrd", lambda: itk(scan()) > 100), refusal="looks like a labelmap"),
    Case(
        "values beyond the window of the model for CT",
        file("a.nii", lambda: itk(scan()) + 5000),
        refusal="beyond the model's window",
        model="CT",
    ),
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


def page(folder: Path) -> str:
    """Run all cases and return the page about them."""
    found = tables([*TAKEN, *REFUSED], folder)
    return "\n\n".join([_HEAD.rstrip(), *(f"## {title}\n\n{table}" for title, table in found.items())])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(page(Path(name)))
