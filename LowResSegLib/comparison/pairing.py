"""Two segmentations on one lattice, structure by structure: what the measures and the difference view start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional

import numpy as np

from LowResSegLib.comparison.labelled import LabelledVolume
from LowResSegLib.comparison.matching import match
from LowResSegLib.comparison.placing import Box, Structure, place
from LowResSegLib.errors import Cancelled
from LowResSegLib.volume import Volume

Progress = Callable[[str, float], None]
Cancel = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class Pair:
    """A structure that both segmentations have.

    Attributes:
        first, second: It in either.
        matched_by: `code` or `name`.
    """

    first: Structure
    second: Structure
    matched_by: str

    @property
    def name(self) -> str:
        """The name in the first segmentation."""
        return self.first.label.name

    @property
    def box(self) -> Optional[Box]:
        """The box around both; None where both are empty."""
        return enclosing([box for box in (self.first.box, self.second.box) if box is not None])

    def masks(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """The voxels of both in a box of the lattice."""
        return self.first.mask(box), self.second.mask(box)


@dataclass(frozen=True, eq=False)
class Pairing:
    """Two segmentations on one lattice, their structures matched.

    Attributes:
        names: What the two are called.
        frame: The lattice, as in `Placed`.
        pairs: Structures that both have, in the order of the first.
        only_first, only_second: Structures without a partner.
        notices: Sentences for the user.
    """

    names: tuple[str, str]
    frame: Volume
    pairs: tuple[Pair, ...]
    only_first: tuple[Structure, ...]
    only_second: tuple[Structure, ...]
    notices: tuple[str, ...]


def pair(
    first: Sequence[LabelledVolume],
    second: Sequence[LabelledVolume],
    names: tuple[str, str] = ("A", "B"),
    cancel: Optional[Cancel] = None,
) -> Pairing:
    """Put two segmentations on the first one's lattice and match their structures.

    Raises:
        InputError: A segmentation has no labelmap, or the two lie in different places.
        Cancelled: `cancel` returned true.
    """
    placed = place(first, second, names, lambda: check_cancel(cancel))
    matches = match([each.label for each in placed.first], [each.label for each in placed.second])
    pairs = tuple(Pair(placed.first[one], placed.second[other], by) for one, other, by in matches)
    matched = {id(structure) for each in pairs for structure in (each.first, each.second)}
    alone = [
        tuple(structure for structure in side if id(structure) not in matched) for side in (placed.first, placed.second)
    ]
    notices = list(placed.notices)
    if not pairs:
        notices.append(f"No structure of {names[0]} has a partner in {names[1]}, by its code or its name.")
    return Pairing(names, placed.frame, pairs, alone[0], alone[1], tuple(notices))


def enclosing(boxes: Sequence[Box]) -> Optional[Box]:
    """The box around boxes; None where there are none."""
    if not boxes:
        return None
    z0, y0, x0 = np.min([box[0] for box in boxes], axis=0).tolist()
    z1, y1, x1 = np.max([box[1] for box in boxes], axis=0).tolist()
    return (z0, y0, x0), (z1, y1, x1)


def check_cancel(cancel: Optional[Cancel]) -> None:
    """Raise Cancelled where the function is there and returns true."""
    if cancel is not None and cancel():
        raise Cancelled("The comparison was cancelled.")
