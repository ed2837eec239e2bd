"""Tables of what the values of a labelmap stand for, as other programs write them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

from LowResSegLib.errors import InputError
from LowResSegLib.volume import Code, Label

_GRAY = (128, 128, 128)
_VALUE_COLUMNS = ("labelvalue", "value", "index", "idx", "id", "label", "number", "no")
_NAME_COLUMNS = ("name", "structure", "labelname", "labeltext", "text", "anatomy", "region", "description", "label")
_COLOR_COLUMNS = (("colorr", "colorg", "colorb"), ("red", "green", "blue"), ("r", "g", "b"))
_NUMBER = r"\d{1,3}"
# FreeSurfer and Slicer: value, name, red, green, blue and often a fourth. ITK-SNAP: value, colour, the name in quotes.
_COLOR_LINE = re.compile(rf"(\d+)\s+(\S.*?)\s+({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})(?:\s+[\d.]+)?")
_SNAP_LINE = re.compile(rf"(\d+)\s+({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})\s+[\d.]+\s+[01]\s+[01]\s+\"(.*)\"")
_PLAIN_LINE = re.compile(r"(\d+)[\s:=]+(\S.*)")


def read_label_table(path: Union[str, Path]) -> dict[int, Label]:
    """Read the names of values.

    Known are JSON (dataset.json of the Medical Segmentation Decathlon and of nnU-Net, a run record, {"1": "Liver"}),
    CSV and TSV with columns for value and name, and if there are any for red, green, blue (0 to 255) and codes as
    Slicer names them, and lines of value, name and colour (.ctbl of Slicer, FreeSurferColorLUT.txt, ITK-SNAP).

    Returns:
        Labels by value, without the background.

    Raises:
        InputError: The file cannot be read, or no value has a name. One sentence that names the file.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError(f"The table of labels {path} cannot be read ({reason}).") from error
    try:
        if path.suffix.lower() == ".json":
            labels = labels_of_json(json.loads(text))
        elif path.suffix.lower() in (".csv", ".tsv"):
            labels = _of_csv(text)
        else:
            labels = _of_lines(text, underscores=path.suffix.lower() == ".ctbl")
    except (ValueError, csv.Error, InputError) as error:
        raise InputError(f"The table of labels {path} cannot be read ({str(error).rstrip('.')}).") from error
    if not labels:
        raise InputError(f"The table of labels {path} names no value; give lines such as 1,Liver or a dataset.json.")
    return labels


def labels_of_json(found: Any) -> dict[int, Label]:
    """The labels of a JSON document of one of the kinds that `read_label_table` knows.

    Raises:
        InputError: It is of none of them.
    """
    entries = found.get("labels", found) if isinstance(found, Mapping) else found
    if isinstance(entries, list) and all(isinstance(entry, Mapping) for entry in entries):
        return _by_value(Label.from_dict(entry) for entry in entries)
    if not isinstance(entries, Mapping):
        raise InputError("it has no labels")
    labels = []
    for key, value in entries.items():
        if isinstance(value, str) and str(key).isdecimal():
            labels.append(Label(int(key), value))
        elif isinstance(value, int):  # nnU-Net, where a list of values is a region of several labels
            labels.append(Label(value, str(key)))
    return _by_value(labels)


def _by_value(labels: Any) -> dict[int, Label]:
    return {label.value: label for label in labels if label.value != 0}


def _of_csv(text: str) -> dict[int, Label]:
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(row)]
    if not rows:
        return {}
    head = [re.sub(r"[^a-z]", "", cell.lower()) for cell in rows[0]]
    if rows[0][0].isdecimal():
        head, rows = ["value", "name"], [[], *rows]
    value_column = next((name for name in _VALUE_COLUMNS if name in head), None)
    name_column = next((name for name in _NAME_COLUMNS if name in head and name != value_column), None)
    if value_column is None or name_column is None:
        raise InputError("its first line names no columns for value and name")
    labels = []
    for row in rows[1:]:
        cells = dict(zip(head, row))
        value, name = cells.get(value_column, ""), cells.get(name_column, "")
        if re.fullmatch(r"\d+(\.0+)?", value) and name:
            codes = (_code(cells, "category"), _code(cells, "type", "typemodifier"))
            labels.append(Label(int(float(value)), name, _color(cells), *codes))
    return _by_value(labels)


def _color(cells: Mapping[str, str]) -> tuple[int, int, int]:
    for columns in _COLOR_COLUMNS:
        parts = [cells.get(column, "") for column in columns]
        if all(part.isdecimal() and int(part) < 256 for part in parts):
            return int(parts[0]), int(parts[1]), int(parts[2])
    return _GRAY


def _code(cells: Mapping[str, str], what: str, modifier: str = "") -> Optional[Code]:
    """A code by the columns of Slicer's tables, such as Type_CodeValue; that of a modifier stands behind it."""
    scheme, value, meaning = (cells.get(f"{what}{part}", "") for part in ("codingscheme", "codevalue", "codemeaning"))
    if not value or not scheme:
        return None
    further = _code(cells, modifier) if modifier else None
    return joined_code([Code(value, scheme, meaning), *([further] if further else [])])


def joined_code(codes: list[Code]) -> Code:
    """One code of a type and what further describes it, as `LabelledVolume` has it."""
    value, meaning = "+".join(code.value for code in codes), ", ".join(code.meaning for code in codes)
    return Code(value, codes[0].scheme, meaning)


def _of_lines(text: str, underscores: bool) -> dict[int, Label]:
    labels = []
    for line in text.splitlines():
        line = line.strip()
        if snap := _SNAP_LINE.fullmatch(line):
            value, red, green, blue, name = snap.groups()
        elif color := _COLOR_LINE.fullmatch(line):
            value, name, red, green, blue = color.groups()
        elif plain := _PLAIN_LINE.fullmatch(line):
            (value, name), (red, green, blue) = plain.groups(), map(str, _GRAY)
        else:
            continue
        name = name.strip().strip('"')
        if underscores:  # .ctbl has no blanks in names
            name = name.replace("_", " ")
        labels.append(Label(int(value), name, (int(red), int(green), int(blue))))
    return _by_value(labels)
