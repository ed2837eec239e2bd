"""The reconstruction `fusion` of a model file: what is learnt of it, as bounded integers.

`reconstruction.fusion` says what is done with them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from LowResSegLib.errors import ModelError
from LowResSegLib.model.plan import MAX_LOGIT

MAX_LEADS = 65  # steps of the corrections along leads
MAX_RATIOS = 33  # and along ratios
MAX_LEAD_REACH = 4096  # the largest lead that has a step, in integer logits
MAX_HALF_LIFE = 1 << 20
MAX_FLOOR = 1 << 24
MAX_AIR = 1 << 14
MAX_SMOOTHING = 64
MAX_TAP = 65535
KEYS = {"leads", "ratios", "lead_shift", "half_life", "floor", "air", "smoothing", "corrections"}


@dataclass(frozen=True, eq=False)
class Fusion:
    """The learnt numbers of a fusion.

    Attributes:
        corrections: int16 (ratios here, ratios known, leads), of magnitude up to 4095: what is added to a class's
            logit. Along ratios steps go from -5 to 5, both ends included; along leads the middle one is 0.
        lead_shift: leads of neighbouring steps differ by 2 to the power of this, in integer logits.
        half_life: a class so many sixteenths of an integer logit below the best one is half as probable.
        floor: of the whole scan's histogram so many 256ths of a voxel are mixed into each class's.
        air: voxels of level 0 that are counted as background besides the scan's, as 256ths of the scan's number of
            them.
        smoothing: of histograms: weights of a level itself, of its neighbours, of their neighbours.
    """

    corrections: np.ndarray
    lead_shift: int
    half_life: int
    floor: int
    air: int
    smoothing: tuple[int, ...]

    @property
    def ratios(self) -> int:
        """Steps along ratios, an odd number."""
        return int(self.corrections.shape[0])

    @property
    def leads(self) -> int:
        """Steps along leads, an odd number."""
        return int(self.corrections.shape[2])

    @property
    def lead_reach(self) -> int:
        """The largest lead that has a step, in integer logits. What is farther behind the best class is out."""
        return self.leads // 2 << self.lead_shift

    def content(self) -> bytes:
        """All numbers, so that a checksum can tell one fusion from another."""
        rest = (self.lead_shift, self.half_life, self.floor, self.air, *self.corrections.shape, *self.smoothing)
        return self.corrections.astype("<i2").tobytes() + np.array(rest, "<i4").tobytes()

    def to_dict(self) -> dict[str, Any]:
        """For `model.json`, but for `kind` and `passes`."""
        return {
            "leads": self.leads,
            "ratios": self.ratios,
            "lead_shift": self.lead_shift,
            "half_life": self.half_life,
            "floor": self.floor,
            "air": self.air,
            "smoothing": list(self.smoothing),
            "corrections": base64.b64encode(self.corrections.astype("<i2").tobytes()).decode(),
        }

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Fusion:
        """The checked numbers of `reconstruction` in `model.json`; raises ModelError where they do not fit."""
        if set(description) - KEYS:
            raise ModelError("It asks for an unknown reconstruction; update LowResSeg.")
        leads = _whole(description, "leads", 3, MAX_LEADS)
        ratios = _whole(description, "ratios", 3, MAX_RATIOS)
        shift = _whole(description, "lead_shift", 0, MAX_LEAD_REACH.bit_length() - 1)
        if leads % 2 == 0 or ratios % 2 == 0 or leads // 2 << shift > MAX_LEAD_REACH:
            raise ModelError("Its reconstruction is damaged: the steps of its corrections do not fit.")
        smoothing = description.get("smoothing")
        if not isinstance(smoothing, list) or not 1 <= len(smoothing) <= MAX_SMOOTHING:
            raise ModelError("Its reconstruction is damaged: smoothing is no list of its length.")
        taps = tuple(_whole({"smoothing": tap}, "smoothing", 0, MAX_TAP) for tap in smoothing)
        if not taps[0]:
            raise ModelError("Its reconstruction is damaged: smoothing begins with 0.")
        return cls(
            _corrections(description.get("corrections"), (ratios, ratios, leads)),
            shift,
            _whole(description, "half_life", 1, MAX_HALF_LIFE),
            _whole(description, "floor", 1, MAX_FLOOR),
            _whole(description, "air", 0, MAX_AIR),
            taps,
        )


def _whole(description: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = description.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ModelError(f"Its reconstruction is damaged: {name} is no whole number from {least} to {most}.")
    return value


def _corrections(text: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        content = base64.b64decode(text.encode("ascii"), validate=True)
        table = np.frombuffer(content, "<i2").reshape(shape).astype(np.int16)
    except (AttributeError, UnicodeError, binascii.Error, ValueError) as error:
        raise ModelError("Its reconstruction is damaged: its corrections are not as many as it says.") from error
    if int(table.max()) > MAX_LOGIT or int(table.min()) < -MAX_LOGIT:
        raise ModelError(f"Its reconstruction is damaged: a correction is larger than {MAX_LOGIT}.")
    return table
