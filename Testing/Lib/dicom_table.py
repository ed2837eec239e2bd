"""What `lowresseg segment` does with all sorts of DICOM: the cases of test_dicom_table.py, and tables in docs/dicom.md.

python Testing/Lib/dicom_table.py       puts them into the page
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
from case_tables import Case, tables
from ct_scans import ct, thresholded
from dicom_folders import (
    CT,
    MR,
    SHAPE,
    SPACING,
    STORED,
    UNSIGNED,
    added,
    changed,
    colour,
    copied,
    ct_of_two_slopes,
    ct_slices,
    doubled,
    edited,
    enhanced_echoes,
    inside,
    lossless,
    mr_slices,
    multi_frame,
    pet_slices,
    placed,
    removed,
    renamed,
    scout,
    screenshot,
    series,
    tilted,
    together,
    with_all,
    with_others,
    without_pixels,
    without_places,
    without_preamble,
)
from dicom_series import position
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)
from scan_files import Writer, empty_folder, in_folder, of

from LowResSegLib import Volume

PAGE = Path(__file__).resolve().parents[2] / "docs" / "dicom.md"


@dataclass(frozen=True)
class DicomCase(Case):
    """A case of DICOM.

    Attributes:
        volume: What is to be read, in HU where it is CT; None where it is refused.
    """

    volume: Optional[Volume] = None


def _ct(what: str, make: Writer, *arguments: str, volume: Volume = CT, **more: Any) -> DicomCase:
    return DicomCase(f"CT, {what}", make, arguments, volume=volume, **{"model": "CT", **more})


def _mr(what: str, make: Writer, *arguments: str, volume: Volume = MR, **more: Any) -> DicomCase:
    return DicomCase(what, make, arguments, volume=volume, **more)


def _no(what: str, make: Writer, refusal: str, *arguments: str) -> DicomCase:
    return DicomCase(what, make, arguments, refusal, model="CT")


def _turned(*columns: int) -> Volume:
    """A CT whose axes x, y and z go along these axes of the patient, counted from 1; backwards below 0."""
    return ct(SHAPE, SPACING, np.transpose([np.sign(axis) * np.eye(3)[abs(axis) - 1] for axis in columns]))


def _oblique() -> Volume:
    matrix = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    matrix[:, 2] = np.cross(matrix[:, 0], matrix[:, 1])
    return ct(SHAPE, (0.3, 0.3, 8.0), matrix)


_TABLE = re.compile(r"(\|.*\n)+")
_PADDED = ct(SHAPE, SPACING, padding=-3024)
_PHANTOM = CT.with_array(1000 * thresholded(CT.array).astype(np.int16) - 1000)
_SERIES = generate_uid()
_TWO_SLICES = Volume(CT.array[2:4], CT.spacing, (*CT.origin[:2], CT.origin[2] + 2 * CT.spacing[2]))
_ROUNDED = dataclasses.replace(CT, origin=tuple(round(x, 1) for x in CT.origin))
_LATE = MR.with_array(MR.array[::-1].copy())
_TWO = together(ct_slices(SeriesDescription="Head"), mr_slices(SeriesDescription="Neck"))
_ECHOES = together(mr_slices(series=_SERIES, EchoTime=5), mr_slices(_LATE, series=_SERIES, EchoTime=30))
_OVERLAID = UNSIGNED.with_array(UNSIGNED.array | 0xF000)
_NAMES = ("z/y/x", "10", "9.dcm", "a.IMA", "Übung 1/b c", "1.2.3")
_RESCALE = [(1, -1024)] * len(CT.array)

TAKEN = [
    _ct("int16", series(ct_slices())),
    _ct("uint16 with an intercept of -1024", series(ct_slices(UNSIGNED, intercept=-1024)), volume=STORED),
    _ct(
        "12 of 16 bits, the others in use",
        series(ct_slices(_OVERLAID, intercept=-1024, BitsStored=12, HighBit=11)),
        volume=STORED,
    ),
    _ct("slope of 2", series(ct_slices(slope=2)), volume=CT.with_array(2 * CT.array)),
    _ct("slope of 0.25", series(ct_slices(CT.with_array(4 * CT.array), slope=0.25))),
    _ct("one slice with a slope of its own", series(ct_of_two_slopes)),
    _ct(
        "padding of -2000 (PixelPaddingValue), which is -3024 HU",
        series(ct_slices(_PADDED.with_array(_PADDED.array + 1024), intercept=-1024, PixelPaddingValue=-2000)),
        volume=_PADDED,
    ),
    _ct("enhanced multi-frame", series(multi_frame("2.1", "CT", UNSIGNED, rescale=_RESCALE)), volume=STORED),
    _ct("converted to enhanced", series(multi_frame("2.2", "CT", CT))),
    _ct("sagittal slices", series(ct_slices(_turned(2, -3, -1))), volume=_turned(2, -3, -1)),
    _ct("coronal slices", series(ct_slices(_turned(1, -3, 2))), volume=_turned(1, -3, 2)),
    _ct("slices from head to feet", series(ct_slices(_turned(1, -2, -3))), volume=_turned(1, -2, -3)),
    _ct("oblique slices, 0.3 x 0.3 x 8 mm", series(ct_slices(_oblique())), volume=_oblique()),
    _ct("a file: one slice", inside(series(ct_slices()), "IM0000"), volume=Volume(CT.array[:1], **CT.geometry)),
    _ct("two slices", series(ct_slices(), None, removed("IM0000", "IM0001", "IM0004", "IM0005")), volume=_TWO_SLICES),
    _ct(
        "places rounded to 0.1 mm", series(placed(ct_slices(), lambda i: np.round(position(CT, i), 1))), volume=_ROUNDED
    ),
    _ct("files of any names in folders, in no order", series(ct_slices(), None, renamed(*_NAMES))),
    _ct("folder with spaces and letters of all sorts", in_folder("Über 頭 é", series(ct_slices()))),
    _ct("the same file twice", series(ct_slices(), None, copied)),
    _ct("files without the preamble", series(ct_slices(), None, without_preamble)),
    _ct("DICOMDIR", inside(series(ct_slices(), None, added("DICOMDIR", bytes(200))), "DICOMDIR")),
    _ct("text, a picture, a hidden file and a screenshot beside it", series(ct_slices(), None, with_others)),
    _ct("a scout view beside it", together(scout, ct_slices())),
    _ct("one of two series", _TWO, "--series", "1"),
    *(
        _ct(syntax.name, series(ct_slices(UNSIGNED, intercept=-1024), syntax), volume=STORED)
        for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless)
    ),
    *(_ct(f"lossless {compressor}", lossless(compressor), volume=STORED) for compressor in ("JPEG", "JPEG2000")),
    _ct("DICOM SEG as well", series(ct_slices()), "--dicom-seg"),
    _ct("of few values, as of a phantom", series(ct_slices(_PHANTOM)), "--not-a-labelmap", volume=_PHANTOM),
    _ct(
        "uint16 without its intercept",
        series(with_all(ct_slices(UNSIGNED), RescaleIntercept=None)),
        volume=UNSIGNED,
        warning="too high for a CT",
    ),
    _ct("for the model for MR", series(ct_slices()), model="MR", warning="is CT by its DICOM header"),
    _mr("MR", series(mr_slices())),
    _mr("MR, for the model for CT", series(mr_slices()), model="CT", warning="is MR by its DICOM header"),
    _mr("MR, one of two echoes in one series", _ECHOES, "--series", "1"),
    _mr("MR, enhanced multi-frame", series(multi_frame("4.1", "MR", MR))),
    _mr("MR, converted to enhanced", series(multi_frame("4.4", "MR", MR))),
    _mr("MR, enhanced multi-frame, RLE", series(multi_frame("4.1", "MR", MR), RLELossless)),
    _mr("MR, enhanced multi-frame, one of two echoes", series(enhanced_echoes), "--series", "2"),
    _mr(
        "PET, each slice with a slope of its own",
        series(pet_slices),
        volume=MR.with_array(MR.array * np.arange(1, 7)[:, None, None]),
        warning="is PT",
    ),
    _mr("PET, enhanced multi-frame", series(multi_frame("130", "PT", MR)), warning="is PT"),
    _mr("X-ray 3D (cone beam)", series(multi_frame("13.1.2", "DX", STORED)), volume=STORED, model="CT"),
]

REFUSED = [
    _no("a folder without scans", empty_folder, "holds no scan"),
    _no("a DICOM object of another kind", screenshot, "no CT, MR or PET"),
    _no("an empty file among the slices", series(ct_slices(), None, edited("IM0002", lambda all: b"")), "IM0002"),
    _no("a file that is cut off", series(ct_slices(), None, edited("IM0002", lambda all: all[:-99])), "IM0002"),
    _no("a file without pixels", series(changed(ct_slices(), without_pixels)), "IM0002"),
    _no("text under the name of a slice", series(ct_slices(), None, added("notes.dcm", b"Hello.")), "notes.dcm"),
    _no(
        "a compression that is not known",
        series(ct_slices(), None, edited("IM0002", lambda all: all.replace(b"10008.1.2.1", b"10008.1.2.9"))),
        "compressed in a way",
    ),
    _no("a slice is missing", series(ct_slices(), None, removed("IM0002")), "as if 1 were missing"),
    _no("uneven distances", series(placed(ct_slices(), lambda i: position(CT, i + 0.3 * (i > 2)))), "even distances"),
    _no("a tilted gantry", series(placed(ct_slices(), tilted)), "gantry tilt of 12.0 degrees"),
    _no("another slice at the place of one", series(changed(ct_slices(), doubled)), "at the place of another"),
    *(
        _no(f"no {name}", series(with_all(ct_slices(), **{name: None})), f"lack the {word}")
        for name, word in (
            ("ImagePositionPatient", "position"),
            ("ImageOrientationPatient", "orientation"),
            ("PixelSpacing", "spacing"),
        )
    ),
    _no("a spacing of zero", series(ct_slices(PixelSpacing=[0, 1])), "not positive"),
    _no("sheared axes", series(ct_slices(ImageOrientationPatient=[1, 0, 0, 0.1, 1, 0])), "right angles"),
    _no(
        "one slice of unknown thickness",
        inside(series(with_all(ct_slices(), SliceThickness=None)), "IM0000"),
        "unknown thickness",
    ),
    _no("colour", series(changed(ct_slices(), colour)), "colour"),
    _no("MONOCHROME1", series(ct_slices(PhotometricInterpretation="MONOCHROME1")), "MONOCHROME1"),
    _no("slope of zero", series(ct_slices(slope=0)), "rescale slope"),
    _no("several frames without places", series(changed(multi_frame("4.1", "MR", MR), without_places)), "places"),
    _no("two series", _TWO, "--series"),
    _no("two series, and a number that is not there", _TWO, "no series 3", "--series", "3"),
    _no("a frame of a series", series(ct_slices()), "no frame 1", "--frame", "1"),
    _no("constant image", series(ct_slices(CT.with_array(CT.array * 0 + 5))), "the value 5"),
    _no("labelmap", series(ct_slices(_PHANTOM)), "--not-a-labelmap"),
    _no("values beyond the window of the model", series(ct_slices(UNSIGNED, intercept=2000)), "beyond the model's"),
    _no("NIfTI", of("a.nii.gz"), "--series", "--series", "1"),
    _no("NIfTI", of("a.nii.gz"), "--dicom-seg", "--dicom-seg"),
]


def page(folder: Path) -> str:
    """Run all cases and return docs/dicom.md with what happened in its tables."""
    text = PAGE.read_text(encoding="utf-8")
    for title, table in tables([*TAKEN, *REFUSED], folder).items():
        before, heading, after = text.partition(f"## {title}\n\n")
        assert after.startswith("| input "), f"docs/dicom.md has no table {title}"
        text = f"{before}{heading}{table}\n{_TABLE.sub('', after, count=1)}"
    return text


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        PAGE.write_text(page(Path(name)), encoding="utf-8")
