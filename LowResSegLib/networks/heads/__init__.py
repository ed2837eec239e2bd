"""Heads: from low-resolution logits to high-resolution ones."""

from __future__ import annotations

from LowResSegLib.errors import InputError
from LowResSegLib.networks.heads.base import Head
from LowResSegLib.networks.heads.bilateral import BilateralHead
from LowResSegLib.networks.heads.blocks import BlocksHead, ShuffleHead
from LowResSegLib.networks.heads.fusion import FusionHead
from LowResSegLib.networks.heads.guided import GuidedHead
from LowResSegLib.networks.heads.j import JHead
from LowResSegLib.networks.heads.likelihood import LikelihoodHead
from LowResSegLib.networks.heads.residual import LikelihoodResidualHead, ResidualHead
from LowResSegLib.networks.heads.simple import LinearHead, NearestHead
from LowResSegLib.networks.settings import HeadSettings

HEADS: dict[str, type[Head]] = {
    "nearest": NearestHead,
    "linear": LinearHead,
    "j": JHead,
    "blocks": BlocksHead,
    "shuffle": ShuffleHead,
    "likelihood": LikelihoodHead,
    "guided": GuidedHead,
    "bilateral": BilateralHead,
    "residual": ResidualHead,
    "fusion": FusionHead,
    "likelihood_residual": LikelihoodResidualHead,
}


def build_head(settings: HeadSettings, classes: int, channels: int, dimensions: int) -> Head:
    """A head with fresh weights.

    Args:
        settings: which one, its factor, its options.
        classes: of the logits, with the background; 1 for a single logit of the foreground.
        channels: of the network's features.
        dimensions: 2 or 3.

    Raises:
        InputError: there is no such head, or it cannot have this factor or these options.
    """
    if settings.name not in HEADS:
        raise InputError(f"There is no head {settings.name!r}; choose one of {', '.join(HEADS)}.")
    return HEADS[settings.name](settings, classes, channels, dimensions)


__all__ = ["HEADS", "Head", "build_head"]
