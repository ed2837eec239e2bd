"""Heads without learnt numbers: what every other head is compared with."""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from LowResSegLib.networks.heads.base import Head
from LowResSegLib.networks.trunk import Features


class NearestHead(Head):
    """Each high-resolution voxel has the logits of the low-resolution voxel that it lies in."""

    def fine(self, features: Features, image: Optional[Tensor]) -> Tensor:
        """See `Head.fine`."""
        logits = features.logits
        for axis, factor in enumerate(self.factors):
            logits = logits.repeat_interleave(factor, axis + 2)
        return logits


class LinearHead(Head):
    """Linear interpolation of logits.

    Trained against the high-resolution labels it is the fair control of every learnt head: J-Net's head is a
    linear interpolator itself.
    """

    def fine(self, features: Features, image: Optional[Tensor]) -> Tensor:
        """See `Head.fine`."""
        return self.linear(features.logits)
