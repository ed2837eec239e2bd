"""A labelmap together with the structures in it: what is compared."""

from __future__ import annotations

from dataclasses import dataclass

from LowResSegLib.errors import InputError
from LowResSegLib.volume import Label, Volume


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class LabelledVolume:
    """One labelmap with the structures in it.

    A segmentation is a sequence of these, one a layer; structures of different layers may overlap. Values that no
    label names are background. A side or another modifier of a structure's type stands behind the type's code
    ("64033007+7771000", "Kidney, Left"), or in its name.

    Attributes:
        volume: Whole numbers (z, y, x).
        labels: The structures, without the background.

    Raises:
        InputError: The array has no whole numbers, or two labels have one value.
    """

    volume: Volume
    labels: tuple[Label, ...]

    def __post_init__(self) -> None:
        """Drop the background's label and check the rest."""
        object.__setattr__(self, "labels", tuple(label for label in self.labels if label.value != 0))
        if self.volume.array.dtype.kind not in "iub":
            raise InputError(f"A labelmap has whole numbers, not {self.volume.array.dtype}.")
        if len({label.value for label in self.labels}) != len(self.labels):
            raise InputError("Two labels have the same value; give each structure a value of its own.")
