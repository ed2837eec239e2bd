"""Batch norm statistics, estimated again with the network as it is deployed."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from LowResSegLib.networks.statistics import reestimate_statistics
from LowResSegLib.networks.ternary import INTENSITY_SCALE


def re_estimate_statistics(network: nn.Module, images: Iterable[Tensor]) -> None:
    """Replace running means and variances by the averages over some batches.

    Those kept during training lag behind the weights, and were collected in lower precision.

    Args:
        network: is in evaluation afterwards.
        images: uint8 (batch, 1, z, y, x), 0 to 127.
    """
    reestimate_statistics(network, (image.float() / INTENSITY_SCALE for image in images))
