"""Terminology entries of segments and colours, as MRML keeps them, to the library's codes."""

from __future__ import annotations

from typing import Any, Optional

import slicer
import vtk

from LowResSegLib.volume import Code, Label


def codes(entry: str) -> tuple[Optional[Code], Optional[Code]]:
    """Category and type of a terminology entry: context~category~type~modifier~context of regions~region~modifier.

    A modifier of the type, such as a side, is put behind the type's code, so that left and right stay apart.
    """
    parts = entry.split("~")
    if len(parts) < 3:
        return None, None
    category, kind = _code(parts[1]), _code(parts[2])
    modifier = _code(parts[3]) if len(parts) > 3 else None
    if kind is not None and modifier is not None:
        kind = Code(f"{kind.value}+{modifier.value}", kind.scheme, f"{kind.meaning}, {modifier.meaning}")
    return category, kind


def with_contexts(entry: str) -> str:
    """A terminology entry with the names of Slicer's usual lists where it names none, as those of colour tables.

    Empty where the entry has neither category nor type.
    """
    category, kind = codes(entry)
    if category is None or kind is None:
        return ""
    usual = Label(1, "", category=category, type=kind).terminology_entry().split("~")
    given = [*entry.split("~"), *[""] * len(usual)]
    return "~".join(mine or theirs for mine, theirs in zip(given, usual))


def _code(text: str) -> Optional[Code]:
    parts = text.split("^")
    return Code(parts[1], parts[0], parts[2]) if len(parts) == 3 and parts[1] else None


def terminology_entry(segment: Any) -> str:
    """The terminology entry of a segment; empty where it has only the one that Slicer gives to every segment."""
    name, value, default = segment.GetTerminologyEntryTagName(), vtk.reference(""), vtk.reference("")
    if not segment.GetTag(name, value):
        return ""
    slicer.vtkSegment().GetTag(name, default)
    return "" if str(value) == str(default) else str(value)


def label_of_segment(segment: Any, value: int) -> Label:
    """What a segment says of itself, as a label with this value."""
    category, kind = codes(terminology_entry(segment))
    red, green, blue = (round(255 * part) for part in segment.GetColor())
    return Label(value, segment.GetName(), (red, green, blue), category, kind)
