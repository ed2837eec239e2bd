"""`lowresseg series`: what is in a folder of DICOM files; and what `lowresseg segment` does with one of them."""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Any, Optional

from LowResSegLib.cli.models import print_table
from LowResSegLib.errors import InputError
from LowResSegLib.volume import (
    Label,
    Series,
    Volume,
    find_series,
    list_series,
    read_series,
    write_dicom_seg,
)
from LowResSegLib.volume.reading import holds_dicom, naming

SEG_ENDING = "_seg.dcm"


def add(commands: Any) -> None:
    """Add `series`."""
    command = commands.add_parser(
        "series",
        help="list the series in a folder of DICOM files",
        description="List the CT, MR and PET series in a folder of DICOM files and the folders in it, with the numbers "
        "that `lowresseg segment --series` takes. What is listed does not name a patient, unless descriptions do.",
    )
    command.add_argument("folder", metavar="FOLDER", type=Path, help="a folder, or a DICOM file")
    command.add_argument("--json", action="store_true", help="print a JSON list")
    command.set_defaults(run=_list)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what `lowresseg segment` takes for DICOM."""
    command.add_argument(
        "--series",
        metavar="N|UID",
        help="which series of a folder of DICOM files: a number that `lowresseg series` lists, or its UID",
    )
    command.add_argument(
        "--dicom-seg",
        action="store_true",
        help=f"also write STEM{SEG_ENDING}, a DICOM segmentation object of the DICOM series, which names the patient "
        "as the series does (needs lowresseg[dicom])",
    )


def source(args: argparse.Namespace, path: Path) -> Optional[Series]:
    """Return the DICOM series that a path and `--series` mean; None where the path is not DICOM.

    Raises:
        InputError: There is no such series, or several; an option is given that cannot be followed.
    """
    if holds_dicom(path):
        if args.dicom_seg and importlib.util.find_spec("highdicom") is None:
            raise InputError("--dicom-seg needs the package highdicom: pip install lowresseg[dicom].")
        if isinstance(args.frame, int) and args.frame > 0:
            raise InputError(f"{path} has no frame {args.frame}, because a DICOM series is one volume.")
        return find_series(path, args.series)
    for option in ("series", "dicom_seg"):
        if getattr(args, option) and path.exists():
            name = option.replace("_", "-")
            raise InputError(f"{path} is not DICOM, which --{name} is for; leave the option out, or give DICOM files.")
    return None


def read(series: Series, path: Path) -> Volume:
    """Read a series that `source` gave, as `read_scan` does files.

    Raises:
        InputError: One sentence that names the path.
    """
    with naming(path):
        return read_series(series)


def write_segmentation_object(path: Path, labelmap: Volume, record: dict[str, Any], series: Series) -> None:
    """Write a labelmap as DICOM SEG, with the labels, the model and the version of a run record.

    Raises:
        InputError: As `write_dicom_seg`.
    """
    labels = [Label.from_dict(entry) for entry in record["labels"]]
    write_dicom_seg(path, labelmap, labels, series, record["model"], record["lowresseg"])


def _list(args: argparse.Namespace) -> int:
    found = list_series(args.folder)
    if args.json:
        print(json.dumps([{"number": number, **each.to_dict()} for number, each in enumerate(found, 1)], indent=1))
        return 0
    rows: list[tuple[str, ...]] = [("number", "modality", "slices", "matrix", "spacing in mm", "UID", "description")]
    for number, each in enumerate(found, 1):
        spacing = " x ".join(f"{length:.4g}" for length in each.spacing) if each.spacing else "-"
        notes = (each.description, each.part, "scout view" if each.localizer else "", each.problem)
        matrix = f"{each.matrix[0]} x {each.matrix[1]}"
        description = "; ".join(filter(None, notes))
        rows.append((str(number), each.modality, str(each.slices), matrix, spacing, each.uid, description))
    print_table(rows)
    return 0
