"""Statistics of batch norm, gathered anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def reestimate_statistics(network: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Give every batch norm the plain mean of statistics over some inputs, with the activations of evaluation.

    Statistics that were gathered while a ternary tanh was soft do not fit the hard one (an error of the published
    TernaryNet). All layers see the same inputs at once, with the batch's own statistics, as in training. The network
    is left in evaluation.
    """
    norms: list[Any] = [part for part in network.modules() if isinstance(part, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over batches
            norm.train()
        with torch.no_grad():
            for input in inputs:
                network(input)
    finally:
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
            norm.eval()
