"""`lowresseg evaluate`: how well a model segments the cases of a data set."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from LowResSegLib.cli.models import print_table
from LowResSegLib.cli.progress import progress_printer
from LowResSegLib.errors import LowResSegError


def add(commands: Any) -> None:
    """Add `evaluate`."""
    command = commands.add_parser(
        "evaluate",
        help="compare a model's results with the labelmaps of a data set",
        description="Segment each case of a data set with a model, and compare with its labelmap at the scan's own "
        "resolution: Dice, HD95 and surface Dice at 1 mm. Read are data sets of the Medical Segmentation Decathlon, of "
        "nnU-Net v2 (raw), the folders images and labels, and lists of cases (CSV or JSON).",
    )
    command.add_argument(
        "--model", metavar="NAME|FILE", required=True, help="a name that `lowresseg models` lists, or a file"
    )
    command.add_argument("--data", metavar="FOLDER", type=Path, required=True, help="data set, or a list of cases")
    command.add_argument("--split", choices=("training", "validation", "test", "all"), default="all")
    command.add_argument(
        "--splits", metavar="FILE", type=Path, help="a run's splits.json, where not all cases are meant"
    )
    command.add_argument("--fold", metavar="N", type=int, default=0, help="which fold of it, counted from 0")
    command.add_argument("--channel", metavar="N", type=int, help="which channel the model gets, counted from 0")
    command.add_argument("--backend", default="auto", help="auto, native, onnxruntime or numpy")
    command.add_argument("--threads", metavar="N", type=int, help="at most so many")
    command.add_argument("--passes", metavar="N", type=int, help="how often the network looks at a scan")
    command.add_argument("--json", action="store_true", help="print a JSON object: cases, and mean")
    command.add_argument("--picture", metavar="FILE", type=Path, help="draw the Dice of all cases (needs matplotlib)")
    command.add_argument("--progress", choices=("auto", "json", "none"), default="auto", help="on standard error")
    command.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    try:
        from LowResSegLib.training.accuracy import MEASURES, draw, evaluate
    except ImportError as error:  # Slicer's copy of the library is without the room `training`
        raise LowResSegError(f"This needs {error.name}, which is not installed: pip install lowresseg.") from error

    with progress_printer(args.progress) as progress:
        found = evaluate(
            args.model, args.data, args.split, args.splits, fold=args.fold, channel=args.channel, backend=args.backend,
            threads=args.threads, passes=args.passes, progress=progress,
        )  # fmt: skip
    if args.picture:
        draw(found, args.picture)
    if args.json:
        print(json.dumps(found.to_dict(), indent=1))
        return 0
    names = {**{str(value): name for value, name in found.labels.items()}, "all": "mean"}
    means = {measure: found.mean(measure) for measure in MEASURES}
    rows = [(names[key], *(_text(means[measure][key]) for measure in MEASURES)) for key in names]
    print(f"{found.model}: mean of {len(found.cases)} cases ({found.split})")
    print_table([("structure", *MEASURES.values()), *rows])
    return 0


def _text(number: float) -> str:
    return "-" if math.isnan(number) else f"{number:.3f}"
