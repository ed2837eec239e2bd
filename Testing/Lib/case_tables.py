"""What `lowresseg segment` does with a case, and tables of it in the docs, which tests hold to what happens."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from plans import ct_model, random_model
from scan_files import Writer

from LowResSegLib.cli import main
from LowResSegLib.model import write_model

_HEAD = ["| input | options | what happened |", "|---|---|---|"]


@dataclass(frozen=True)
class Case:
    """An input and what is expected of it.

    Attributes:
        what: What the page calls it.
        make: Writes it into a folder and returns what the command is given.
        arguments: Further ones of the command.
        refusal: A part of the sentence; empty where it is segmented.
        warning: A part of the warning; empty where there is none.
        same: Name of the scan that it is; all cases of one scan have one labelmap. Empty where it is on its own.
        model: Modality of the small model that it is given to, MR or CT.
        picture: Whether the picture is made, which takes a second.
        during: What goes on while the command runs; given the folder.
    """

    what: str
    make: Writer
    arguments: tuple[str, ...] = ()
    refusal: str = ""
    warning: str = ""
    same: str = ""
    model: str = "MR"
    picture: bool = False
    during: Callable[[Path], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext


def write_models(folder: Path) -> dict[str, Path]:
    """Write a small model for each modality that cases name, and return their files."""
    files = {modality: folder / f"{modality}.lowresseg" for modality in ("MR", "CT")}
    write_model(files["MR"], random_model(np.random.default_rng(0)))
    write_model(files["CT"], ct_model())
    return files


def attempt(case: Case, folder: Path, models: dict[str, Path]) -> tuple[int, str, Path]:
    """Run a case in an empty folder.

    Returns:
        The exit status; what standard error says, without folders; and where the outputs are.
    """
    (folder / "in").mkdir()
    path, out = case.make(folder / "in"), folder / "out"
    model = str(models[case.model])
    call = ["segment", str(path), "-o", str(out), "--model", model, "--backend", "numpy", *case.arguments]
    picture = contextlib.nullcontext() if case.picture else mock.patch("LowResSegLib.case.run.write_sheet")
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said), picture, case.during(folder / "in"):
        status = main(call)
    text = said.getvalue().replace(f"{folder / 'in'}/", "").replace(str(folder / "in"), "the folder")
    text = re.sub(r"memory is [0-9.]+ GB", "memory is ... GB", text.replace(f"{folder}/", ""))
    return status, re.sub(r"(not an image|lack of space): [^()]*", r"\1: ...", text), out


def warnings(out: Path) -> list[str]:
    """The warnings in the run records of a folder of results, each once."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*.json"))]
    return list(dict.fromkeys(warning for record in records for warning in record["warnings"]))


def tables(cases: Iterable[Case], folder: Path) -> dict[str, str]:
    """Run cases and return their tables: `Segmented`, with warnings, and `Refused`, with the sentences."""
    models = write_models(folder)
    rows: dict[str, list[str]] = {"Segmented": [], "Refused": []}
    for number, case in enumerate(cases):
        (folder / str(number)).mkdir()
        status, said, out = attempt(case, folder / str(number), models)
        happened = "; ".join(["segmented", *(f"warning: {warning}" for warning in warnings(out))])
        if status != 0:
            happened = said.removeprefix("lowresseg: ").strip()
        options = f"`{' '.join(case.arguments)}`" if case.arguments else ""
        row = f"| {case.what} | {options} | {happened} |"
        rows["Segmented" if status == 0 else "Refused"].append(row)
    return {title: "\n".join([*_HEAD, *lines]) for title, lines in rows.items()}
