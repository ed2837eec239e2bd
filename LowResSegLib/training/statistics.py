"""Batch norm statistics, estimated again with the network as it is deployed."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from LowResSegLib.networks.ternary import INTENSITY_SCALE


@torch.no_grad()
def re_estimate_statistics(network: nn.Module, images: Iterable[Tensor]) -> None:
    """Replace running means and variances by the averages over some batches.

    Those kept during training lag behind the weights, and were collected in lower precision.

    Args:
        network: its activations are the hard ones already.
        images: uint8 (batch, 1, z, y, x), 0 to 127.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    before = [module.momentum for module in norms]
    for module in norms:
        module.reset_running_stats()
        module.momentum = None  # the average over all batches
    network.train()
    for image in images:
        network(image.float() / INTENSITY_SCALE)
    network.eval()
    for module, momentum in zip(norms, before):
        module.momentum = momentum
