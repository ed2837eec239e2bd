"""What a value of a labelmap stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

from LowResSegLib.errors import InputError

# The lists of codes that Slicer looks an entry up in: its own names of them.
_CONTEXT = "Segmentation category and type - DICOM master list"
_REGION_CONTEXT = "Anatomic codes - DICOM master list"
# Structures of the bundled models that DICOM's list does not have; the module brings Slicer a list that has them.
_OWN_CONTEXT = "Segmentation category and type - LowResSeg"
_OWN_CODES = (("SCT", "53118009"), ("SCT", "25991003"), ("DCM", "110700"))  # scheme and value


class Code(NamedTuple):
    """A term of a coding scheme, such as ("4958002", "SCT", "Amygdala")."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Label:
    """One structure of a labelmap.

    Attributes:
        value: The value of its voxels; 0 is the background.
        name: What a reader calls it.
        color: Red, green and blue, each 0 to 255.
        category: What kind of thing it is, such as an anatomical structure.
        type: What it is.
    """

    value: int
    name: str
    color: tuple[int, int, int] = (128, 128, 128)
    category: Optional[Code] = None
    type: Optional[Code] = None

    def __post_init__(self) -> None:
        """Turn lists, as JSON and YAML give them, into tuples and check them."""
        color = tuple(int(part) for part in self.color)
        if len(color) != 3 or min(color) < 0 or max(color) > 255:
            raise InputError(f"The colour of label {self.name} must be three numbers from 0 to 255, not {color}.")
        object.__setattr__(self, "color", color)
        for field in ("category", "type"):
            code = getattr(self, field)
            if code is None:
                continue
            if isinstance(code, str) or len(code) != 3:
                raise InputError(f"The {field} of label {self.name} must be a code value, a scheme and a meaning.")
            object.__setattr__(self, field, Code(*(str(part) for part in code)))

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Label:
        """Make a label from a mapping with at least `value` and `name`; keys that are not fields are ignored."""
        try:
            value, name = int(entry["value"]), str(entry["name"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"A label needs a whole-number value and a name, which {dict(entry)} lacks.") from error
        optional = {key: entry[key] for key in ("color", "category", "type") if entry.get(key) is not None}
        return cls(value, name, **optional)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them (lists, not tuples)."""
        return {
            "name": self.name,
            "value": self.value,
            "color": list(self.color),
            "category": list(self.category) if self.category else None,
            "type": list(self.type) if self.type else None,
        }

    def terminology_entry(self) -> str:
        """Return Slicer's text for the segment tag TerminologyEntry; empty where category or type is not known."""
        if self.category is None or self.type is None:
            return ""
        # context ~ category ~ type ~ modifier ~ context of regions ~ region ~ modifier of the region
        terms = [f"{code.scheme}^{code.value}^{code.meaning}" for code in (self.category, self.type)]
        context = _OWN_CONTEXT if (self.type.scheme, self.type.value) in _OWN_CODES else _CONTEXT
        return "~".join([context, *terms, "^^", _REGION_CONTEXT, "^^", "^^"])
