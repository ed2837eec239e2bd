"""`lowresseg segment`: a scan in, a folder of results out."""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

from LowResSegLib.cli.outputs import OutputFolder
from LowResSegLib.cli.progress import progress_printer, say
from LowResSegLib.pipeline import segment
from LowResSegLib.report import volume_table, write_sheet
from LowResSegLib.volume import (
    Label,
    Volume,
    image_suffix,
    read_volume,
    replacing,
    write_labelmap,
    write_segmentation,
)

# The part of the whole run that reading and the segmentation take, for the progress; the rest is writing.
_READ, _SEGMENTED = 0.05, 0.85


def add(commands: Any) -> None:
    """Add the sub-command."""
    command = commands.add_parser(
        "segment",
        help="segment a scan",
        description="Segment a scan and write STEM.seg.nrrd (for Slicer), STEM_labels.nii.gz, STEM.png (where "
        "matplotlib is installed) and STEM.json (the run record) into a folder, all of them or none; files of these "
        "names are replaced. STEM is the input's name without its ending. For research use only.",
    )
    command.add_argument("input", metavar="INPUT", type=Path, help="a scan: NIfTI, NRRD or MetaImage")
    command.add_argument("-o", "--output", metavar="FOLDER", type=Path, required=True, help="made if it is missing")
    command.add_argument("--model", metavar="NAME|FILE", default="brain", help="default: %(default)s")
    command.add_argument("--backend", metavar="NAME", default="auto", help="auto (default), onnxruntime or numpy")
    command.add_argument("--threads", metavar="N", type=_threads, help="at most so many; default: all cores")
    command.add_argument("--json", action="store_true", help="print the run record instead of the table")
    command.add_argument(
        "--progress",
        choices=("auto", "none", "json"),
        default="auto",
        help="on standard error: a line if that is a terminal (auto, the default), nothing, or JSON lines",
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do it."""
    began = time.perf_counter()
    name = args.input.name
    stem = name[: len(name) - len(image_suffix(name))] or "scan"
    with OutputFolder(args.output) as output, progress_printer(args.progress) as progress:
        progress("reading", 0.0)
        volume = read_volume(args.input)
        reading = time.perf_counter() - began
        labelmap, record = segment(
            volume,
            args.model,
            args.backend,
            args.threads,
            progress=lambda step, fraction: progress(step, _READ + (_SEGMENTED - _READ) * fraction),
        )
        progress("writing", _SEGMENTED)
        writing_began = time.perf_counter()
        _write(output, stem, volume, labelmap, record)
        now = time.perf_counter()
        steps = {step: duration for step, duration in record["seconds"].items() if step != "total"}
        seconds = {"reading": reading, **steps, "writing": now - writing_began, "total": now - began}
        record = {**record, "seconds": {step: round(duration, 4) for step, duration in seconds.items()}}
        with replacing(output.new(f"{stem}.json")) as path:
            path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        output.publish()
        progress("done", 1.0)
    if args.json:
        print(json.dumps(record, indent=1))
    else:
        print(f"{volume_table(record)}\n\n{record['notice']}\nwritten to {args.output}")
    return 0


def _write(output: OutputFolder, stem: str, volume: Volume, labelmap: Volume, record: dict[str, Any]) -> None:
    labels = [Label.from_dict(entry) for entry in record["labels"]]
    write_segmentation(output.new(f"{stem}.seg.nrrd"), labelmap, labels)
    write_labelmap(output.new(f"{stem}_labels.nii.gz"), labelmap)
    if importlib.util.find_spec("matplotlib") is None:
        say("No picture, because matplotlib is not installed (pip install lowresseg[picture]).")
        return
    title = f"{record['model']} on {stem}"
    write_sheet(output.new(f"{stem}.png"), volume, labelmap, labels, title)


def _threads(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)
