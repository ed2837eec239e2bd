"""`lowresseg models` and `lowresseg info`: what there is, and what it is."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from typing import Any, Union

from LowResSegLib import kernels
from LowResSegLib.cli.progress import say
from LowResSegLib.engine import available_backends
from LowResSegLib.errors import ModelError
from LowResSegLib.model import Model, available_models, load_model
from LowResSegLib.version import __version__


def add_list(commands: Any) -> None:
    """Add `models`."""
    command = commands.add_parser("models", help="list the models that are installed")
    command.add_argument("--json", action="store_true", help="print a JSON list")
    command.set_defaults(run=_list)


def add_info(commands: Any) -> None:
    """Add `info`."""
    command = commands.add_parser("info", help="show the card of a model, or, without one, what is installed here")
    command.add_argument("model", metavar="MODEL", nargs="?", help="a name that `lowresseg models` lists, or a file")
    command.add_argument("--json", action="store_true", help="print a JSON object")
    command.set_defaults(run=_info)


def _list(args: argparse.Namespace) -> int:
    rows = []
    for name, path in available_models().items():
        try:
            title = str(load_model(path).card.get("title", ""))
        except ModelError as error:  # one bad file must not hide the others
            say(error)
            continue
        rows.append({"name": name, "title": title, "path": str(path)})
    if args.json:
        print(json.dumps(rows, indent=1))
    elif rows:
        print_table([("name", "title", "file"), *((row["name"], row["title"], row["path"]) for row in rows)])
    else:
        print("No model is installed.")
    return 0


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
    card = {"name": model.name, **model.card, "SHA-256": model.digest}
    print_table([(key.replace("_", " "), _text(value)) for key, value in card.items()])
    print()
    codes = [(label, f"{label.type.scheme} {label.type.value}" if label.type else "") for label in model.labels]
    print_table([("value", "structure", "code"), *((str(label.value), label.name, code) for label, code in codes)])
    return 0


def _installation() -> dict[str, Union[str, Sequence[str]]]:
    """What there is to run with; the native kernels, or why there are none."""
    found: dict[str, Union[str, Sequence[str]]] = {
        "version": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "backends": available_backends(),
    }
    if kernels.available():
        return {**found, "native_kernels": kernels.library()._name, "instruction_sets": kernels.instruction_sets()}
    return {**found, "native_kernels": f"none: {kernels.why_not()}"}


def _description(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "card": model.card,
        "labels": [label.to_dict() for label in model.labels],
        "sha256": model.digest,
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def print_table(rows: list[tuple[str, ...]]) -> None:
    """Print aligned columns; the last one is as long as it is."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        print("  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths)), row[-1]]).rstrip())
