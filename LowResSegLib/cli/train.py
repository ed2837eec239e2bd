"""`lowresseg train` and `lowresseg export`: from label maps to a model file. Both need the extra `train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from LowResSegLib.errors import InputError, LowResSegError


def add_train(commands: Any) -> None:
    """Add `train`."""
    command = commands.add_parser(
        "train",
        help="train a network on synthetic scans",
        description="Train a network as a YAML file says. The run's folder gets last.ckpt (everything), weights.pt "
        "(small), scores.jsonl and a copy of the YAML file.",
    )
    command.add_argument("config", metavar="CONFIG", type=Path, help="YAML file of the run")
    command.add_argument("--data", metavar="FOLDER", type=Path, required=True, help="label maps and contrast priors")
    command.add_argument("-o", "--output", metavar="FOLDER", type=Path, required=True, help="folder of the run")
    command.add_argument("--resume", action="store_true", help="go on from the folder's last checkpoint")
    command.add_argument("--max-minutes", metavar="N", type=float, default=0, help="stop after this time, resumable")
    command.set_defaults(run=_train)


def add_export(commands: Any) -> None:
    """Add `export`."""
    command = commands.add_parser("export", help="make a model file of a trained network")
    command.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="a run's weights.pt")
    command.add_argument("--card", metavar="FILE", type=Path, required=True, help="YAML: name, labels, grid, card")
    command.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="the model file")
    command.set_defaults(run=_export)


def _missing(error: ImportError) -> LowResSegError:
    return LowResSegError(f"This needs the package {error.name}, which is not installed: pip install lowresseg[train].")


def _train(args: argparse.Namespace) -> int:
    try:
        from LowResSegLib.training.run import train
    except ImportError as error:
        raise _missing(error) from error
    try:
        print(train(args.config, args.data, args.output, args.resume, args.max_minutes))
    except (OSError, ValueError) as error:
        raise InputError(f"The run cannot start: {error}") from error
    return 0


def _export(args: argparse.Namespace) -> int:
    try:
        from LowResSegLib.training.export import export
    except ImportError as error:
        raise _missing(error) from error
    try:
        model = export(args.checkpoint, args.card, args.output)
    except (OSError, ValueError) as error:
        raise InputError(f"The model cannot be exported: {error}") from error
    size = args.output.stat().st_size / 1000
    print(
        f"{args.output}: {model.name}, {size:.0f} kB, {model.plan.operations_per_voxel() / 1000:.1f} kMAC a grid voxel"
    )
    return 0
