"""`lowresseg series`: what is in a folder of DICOM files; and what `lowresseg segment` does with one of them."""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Any, Optional

from LowResSegLib.case import DICOM_SEG
from LowResSegLib.cli.models import print_table
from LowResSegLib.errors import InputError
from LowResSegLib.volume import Series, find_series, list_series
from LowResSegLib.volume.reading import holds_dicom


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
        help=f"also write STEM{DICOM_SEG}, a DICOM segmentation object of the DICOM series, which names the patient "
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
        return find_series(path, args.series)
    for option in ("series", "dicom_seg"):
        if getattr(args, option) and path.exists():
            name = option.replace("_", "-")
            raise InputError(f"{path} is not DICOM, which --{name} is for; leave the option out, or give DICOM files.")
    return None


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
