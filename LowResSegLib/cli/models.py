"""`lowresseg models` and `lowresseg info`: what there is, what it is, and how more gets there."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Optional, Union

from LowResSegLib import kernels
from LowResSegLib.cli.progress import say
from LowResSegLib.engine import available_backends, why_not
from LowResSegLib.errors import InputError
from LowResSegLib.model import InstalledModel, Model, install_model, installed_models, load_model, remove_model
from LowResSegLib.version import __version__


def add_list(commands: Any) -> None:
    """Add `models`."""
    command = commands.add_parser(
        "models",
        help="list, install and remove models",
        description="List the models that are installed; or install one, checked, into your own folder for models, or "
        "remove one from there. Files that are refused are listed too, with the reason on standard error.",
    )
    change = command.add_mutually_exclusive_group()
    change.add_argument("--install", metavar="FILE", type=Path, help="check a model file and copy it to your folder")
    change.add_argument("--remove", metavar="NAME", help="remove a model from your folder")
    command.add_argument("--overwrite", action="store_true", help="with --install: replace a model of the same name")
    command.add_argument("--json", action="store_true", help="print a JSON list, without --install and --remove")
    command.set_defaults(run=_models)


def add_info(commands: Any) -> None:
    """Add `info`."""
    command = commands.add_parser("info", help="show the card of a model, or, without one, what is installed here")
    command.add_argument("model", metavar="MODEL", nargs="?", help="a name that `lowresseg models` lists, or a file")
    command.add_argument("--json", action="store_true", help="print a JSON object")
    command.set_defaults(run=_info)


def _models(args: argparse.Namespace) -> int:
    if args.overwrite and args.install is None:
        raise InputError("--overwrite goes with --install alone.")
    if args.install is not None:
        print(f"installed as {install_model(args.install, args.overwrite)}")
    elif args.remove is not None:
        print(f"removed {remove_model(args.remove)}")
    else:
        _list(args.json)
    return 0


def _list(as_json: bool) -> None:
    rows = [_entry(found) for found in installed_models()]
    for row in rows:
        if row["problem"]:
            say(row["problem"])
    if as_json:
        print(json.dumps(rows, indent=1))
    elif rows:
        table = [(row["name"], row["title"], f"{row['bytes'] / 1e6:.2f}", row["path"]) for row in rows]
        print_table([("name", "title", "MB", "file"), *table])
    else:
        print("No model is installed.")


def _entry(found: InstalledModel) -> dict[str, Any]:
    """What the list says of a file; `problem` is why it is refused, or why nothing here can run it."""
    title, kind, problem = "(refused)", None, found.error
    if problem is None:
        model = load_model(found.path)
        title, kind, problem = str(model.card.get("title", "")), model.kind, why_not(model)
    return {
        "name": found.name,
        "title": title,
        "kind": kind,
        "path": str(found.path),
        "bytes": found.bytes,
        "removable": found.removable,
        "problem": problem,
    }


def _info(args: argparse.Namespace) -> int:
    if args.model is None:
        found = _installation()
        if args.json:
            print(json.dumps(found, indent=1))
        else:
            lines = {key: value if isinstance(value, str) else ", ".join(value) for key, value in found.items()}
            print_table([(key.replace("_", " "), line) for key, line in lines.items()])
        return 0
    model = load_model(args.model)
    if args.json:
        print(json.dumps(_description(model), indent=1))
        return 0
    kind = "ternary" if model.kind == "ternary" else f"float, an ONNX graph for {_onnx_runtime() or 'onnxruntime'}"
    card = {"name": model.name, **model.card, "kind": kind, "SHA-256": model.digest}
    print_table([(key.replace("_", " "), _text(value)) for key, value in card.items()])
    print()
    codes = [(label, f"{label.type.scheme} {label.type.value}" if label.type else "") for label in model.labels]
    print_table([("value", "structure", "code"), *((str(label.value), label.name, code) for label, code in codes)])
    problem = why_not(model)
    if problem:
        say(problem)
    return 0


def _installation() -> dict[str, Union[str, Sequence[str]]]:
    """What there is to run with; the native kernels, or why there are none."""
    found: dict[str, Union[str, Sequence[str]]] = {
        "version": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "backends": available_backends(),
        "float_models": _onnx_runtime() or "none run here: they need the Python package onnxruntime",
    }
    if kernels.available():
        return {**found, "native_kernels": kernels.library()._name, "instruction_sets": kernels.instruction_sets()}
    return {**found, "native_kernels": f"none: {kernels.why_not()}"}


def _onnx_runtime() -> Optional[str]:
    """ONNX Runtime with its version, as far as packages tell; None where there is none."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    with contextlib.suppress(metadata.PackageNotFoundError):  # there are distributions of other names
        return f"onnxruntime {metadata.version('onnxruntime')}"
    return "onnxruntime"


def _description(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "kind": model.kind,
        "card": model.card,
        "labels": [label.to_dict() for label in model.labels],
        "sha256": model.digest,
        "problem": why_not(model),
    }


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(part)}" for key, part in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def print_table(rows: list[tuple[str, ...]]) -> None:
    """Print aligned columns; the last one is as long as it is."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        print("  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths)), row[-1]]).rstrip())
