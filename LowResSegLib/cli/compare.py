"""`lowresseg compare`: how two or more segmentations differ."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from LowResSegLib.cli.progress import progress_printer
from LowResSegLib.comparison import Comparison, LabelledVolume, read_segmentation
from LowResSegLib.comparison.compare import measured
from LowResSegLib.comparison.difference import difference_of, named
from LowResSegLib.comparison.label_tables import read_label_table
from LowResSegLib.comparison.pairing import Pairing, pair
from LowResSegLib.comparison.tables import comparison_table, write_csv
from LowResSegLib.errors import InputError
from LowResSegLib.pipeline import Progress
from LowResSegLib.volume import write_segmentation

_READ, _MEASURED = 0.3, 0.9  # the parts of one comparison's progress


def add(commands: Any) -> None:
    """Add the sub-command."""
    command = commands.add_parser(
        "compare",
        help="compare segmentations",
        description="Compare segmentations with the first of them, structure by structure: Dice, surface Dice, HD95, "
        "mean surface distance and volumes. Structures are matched by their codes, then by their names. A "
        "segmentation is a .seg.nrrd, a labelmap (NIfTI, NRRD or MetaImage) or a DICOM segmentation object. They are "
        "called A, B and so on in all that is printed and written, as names of files often name patients.",
    )
    command.add_argument("first", metavar="A", type=Path, help="what the others are compared with")
    command.add_argument("others", metavar="B", type=Path, nargs="+", help="one or more")
    command.add_argument("--json", action="store_true", help="print a JSON object; of more than two a list")
    command.add_argument("--csv", metavar="FILE", type=Path, help="write the figures as CSV too")
    command.add_argument("--picture", metavar="FILE", type=Path, help="draw the figures and the worst slices, as PNG")
    command.add_argument(
        "--difference", metavar="FILE.seg.nrrd", type=Path, help="write where the two differ, on the grid of A"
    )
    command.add_argument(
        "--labels",
        metavar="TABLE",
        type=Path,
        help="names of the values of labelmaps: CSV, TSV, .ctbl, dataset.json or a run record; default: the run record "
        "beside a labelmap",
    )
    command.add_argument("--structure", metavar="NAME", help="this structure alone")
    command.add_argument("--names", metavar="NAME,NAME", help="what to call them instead of A,B")
    command.add_argument("--overwrite", action="store_true", help="replace files that are there already")
    command.add_argument(
        "--progress",
        choices=("auto", "none", "json"),
        default="auto",
        help="on standard error: a line if that is a terminal (auto, the default), nothing, or JSON lines",
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do it."""
    names = _names(args)
    _check_outputs(args)
    if args.labels:
        read_label_table(args.labels)  # which is told if it is none, also where no file needs it
    comparisons: list[Comparison] = []
    pairings: list[Pairing] = []
    with progress_printer(args.progress) as progress:
        progress("reading", 0.0)
        first = read_segmentation(args.first, args.labels)
        for number, path in enumerate(args.others):
            part = _part(progress, number, len(args.others))
            comparison, pairing = _compare(args, first, path, (names[0], names[number + 1]), part)
            comparisons.append(comparison)
            pairings += [pairing] if args.picture else []
        progress("writing", _MEASURED)
        if args.csv:
            write_csv(args.csv, comparisons)
        if args.picture:
            from LowResSegLib.comparison.picture import write_picture

            write_picture(args.picture, comparisons, pairings)
        progress("done", 1.0)
    if args.json:
        found = [comparison.to_dict() for comparison in comparisons]
        print(json.dumps(found if len(found) > 1 else found[0], indent=1))
    else:
        print("\n\n".join(comparison_table(comparison) for comparison in comparisons))
    return 0


def _compare(
    args: argparse.Namespace,
    first: Sequence[LabelledVolume],
    path: Path,
    names: tuple[str, str],
    progress: Progress,
) -> tuple[Comparison, Pairing]:
    second = read_segmentation(path, args.labels)
    progress("matching", _READ)
    try:
        pairing = pair(first, second, names)
    except InputError as error:
        raise InputError(f"{args.first} and {path} cannot be compared: {error}") from error
    if args.labels:  # a table may name hundreds of structures that are not in these files
        pairing = dataclasses.replace(
            pairing,
            pairs=tuple(each for each in pairing.pairs if each.first.volume_ml or each.second.volume_ml),
            only_first=tuple(each for each in pairing.only_first if each.volume_ml),
            only_second=tuple(each for each in pairing.only_second if each.volume_ml),
        )
    if args.structure is not None:
        pairing = dataclasses.replace(pairing, pairs=(named(pairing, args.structure),), only_first=(), only_second=())
    comparison = measured(pairing, lambda step, part: progress(step, _READ + (_MEASURED - _READ) * part))
    if args.difference:
        found = difference_of(pairing, first[0].volume)
        write_segmentation(args.difference, found.volume, found.labels)
    return comparison, pairing


def _part(progress: Progress, number: int, count: int) -> Progress:
    """The progress of one comparison of several as a part of the whole; writing comes after all."""
    return lambda step, part: progress(step, _MEASURED * (number + part) / count)


def _names(args: argparse.Namespace) -> list[str]:
    count = 1 + len(args.others)
    if args.names is None:
        return [string.ascii_uppercase[n] if n < len(string.ascii_uppercase) else f"{n + 1}" for n in range(count)]
    names = [name.strip() for name in args.names.split(",")]
    if len(names) != count or len(set(names)) != count or not all(names):
        raise InputError(f"--names {args.names} does not give {count} different names, with commas between them.")
    return names


def _check_outputs(args: argparse.Namespace) -> None:
    """Refuse before the work what could not be written after it."""
    if args.difference and len(args.others) > 1:
        raise InputError("--difference is for two segmentations; compare them two by two.")
    if args.difference and not args.difference.name.lower().endswith(".seg.nrrd"):
        raise InputError(f"--difference {args.difference} cannot be written; give it a name that ends with .seg.nrrd.")
    if args.picture and importlib.util.find_spec("matplotlib") is None:
        raise InputError(
            "--picture needs the package matplotlib, which is not installed: pip install lowresseg[picture]."
        )
    inputs = {os.path.abspath(path) for path in (args.first, *args.others, args.labels) if path is not None}
    outputs = [path for path in (args.csv, args.picture, args.difference) if path is not None]
    for path in outputs:
        if os.path.abspath(path) in inputs:
            raise InputError(f"{path} would be written over an input; choose another name.")
        if path.exists() and not args.overwrite:
            raise InputError(f"{path} is there already; give --overwrite to replace it, or another name.")
        if not path.parent.is_dir():
            raise InputError(f"{path} cannot be written, because there is no folder {path.parent}; make it first.")
    if len({os.path.abspath(path) for path in outputs}) < len(outputs):
        raise InputError("Two outputs have the same name; give each one of its own.")
