"""`lowresseg train` and `lowresseg export`: from labelmaps to a model file. Both need the extra `train`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from LowResSegLib.cli.progress import progress_printer, say
from LowResSegLib.errors import InputError, LowResSegError


def add_train(commands: Any) -> None:
    """Add `train`."""
    command = commands.add_parser(
        "train",
        help="train a network on scans with labelmaps, or on synthetic scans",
        description="Train a network as a YAML file says, on a data set of the Medical Segmentation Decathlon, of "
        "nnU-Net v2 (raw), or of the folders images and labels. The run's folder gets last.ckpt (everything), "
        "weights.pt (small), scores.jsonl, validation.json (Dice of each case), splits.json and a copy of the YAML "
        "file. Under torchrun several processes share the work.",
    )
    command.add_argument("config", metavar="CONFIG", type=Path, help="YAML file of the run")
    command.add_argument("--data", metavar="FOLDER", type=Path, required=True, help="data set, or a list of cases")
    command.add_argument("-o", "--output", metavar="FOLDER", type=Path, required=True, help="folder of the run")
    command.add_argument("--resume", action="store_true", help="go on from the folder's last checkpoint")
    command.add_argument("--max-minutes", metavar="N", type=float, default=0, help="stop after this time, resumable")
    command.add_argument("--fold", metavar="N", type=int, help="which fold, in place of the file's")
    command.add_argument("--teacher", metavar="FILE", type=Path, help="weights.pt of a network to learn from")
    command.add_argument("--start-from", metavar="FILE", type=Path, help="weights.pt of a network to begin with")
    command.add_argument("--progress", choices=("auto", "json", "none"), default="auto", help="on standard error")
    command.set_defaults(run=_train)


def add_export(commands: Any) -> None:
    """Add `export`."""
    command = commands.add_parser(
        "export",
        help="make a model file or an ONNX file of a trained network",
        description="Make a model file of a run's weights.pt (a ternary network becomes a plan, a float one an ONNX "
        "graph), an ONNX file, or both. What is written is compared with the trained network at once.",
    )
    command.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="a run's weights.pt")
    command.add_argument(
        "--card", metavar="FILE", type=Path, help="YAML: name, labels, card (and grid, for a run on synthetic scans)"
    )
    command.add_argument("-o", "--output", metavar="FILE", type=Path, help="the model file")
    command.add_argument("--onnx", metavar="FILE", type=Path, help="an ONNX file")
    command.set_defaults(run=_export)


def _missing(error: ImportError) -> LowResSegError:
    return LowResSegError(f"This needs the package {error.name}, which is not installed: pip install lowresseg[train].")


def _train(args: argparse.Namespace) -> int:
    try:
        from LowResSegLib.training.run import train
    except ImportError as error:
        raise _missing(error) from error
    first = int(os.environ.get("RANK", "0")) == 0  # of several processes one talks
    try:
        # On a terminal Lightning draws its own bar, with the loss; it does so where nobody is told.
        with progress_printer(args.progress) as printer:
            telling = {} if args.progress == "auto" else {"progress": printer}
            weights = train(
                args.config, args.data, args.output, args.resume, args.max_minutes, say if first else _silent,
                teacher=args.teacher, start_from=args.start_from, fold=args.fold, **telling,
            )  # fmt: skip
    except (OSError, ValueError) as error:
        raise InputError(f"The run cannot start: {error}") from error
    if first:
        print(weights)
    return 0


def _silent(sentence: object) -> None:
    """Say nothing."""


def _export(args: argparse.Namespace) -> int:
    try:
        from LowResSegLib.training.export import export, holds_cases

        if holds_cases(args.checkpoint):
            from LowResSegLib.training.case_export import export_run
    except ImportError as error:
        raise _missing(error) from error
    try:
        if holds_cases(args.checkpoint):
            model = export_run(args.checkpoint, args.output, args.card, args.onnx)
        else:
            if args.card is None or args.output is None:
                raise InputError("A run on synthetic scans is exported with --card and --output.")
            model = export(args.checkpoint, args.card, args.output, args.onnx)
    except (OSError, ValueError) as error:
        raise InputError(f"The model cannot be exported: {error}") from error
    if args.onnx:
        print(f"{args.onnx}: {args.onnx.stat().st_size / 1000:.0f} kB")
    if model is not None:
        size = args.output.stat().st_size / 1000
        work = model.network.operations_per_voxel() / 1000
        print(f"{args.output}: {model.name}, {size:.0f} kB, {work:.1f} kMAC a grid voxel")
    return 0
