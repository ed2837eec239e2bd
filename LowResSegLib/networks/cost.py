"""What a module costs: parameters, and multiply-accumulates of its convolutions and linear layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def count_parameters(module: nn.Module) -> int:
    """Number of learnt numbers; shared ones are counted once."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(module: nn.Module, input_shape: Sequence[int]) -> int:
    """Multiply-accumulates of one forward pass, without those of biases, norms, activations and interpolation.

    Args:
        module: called with one tensor; it is left as it was.
        input_shape: of that tensor, with the batch.
    """
    counted = 0

    def count(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        if isinstance(layer, nn.Linear):
            counted += output.numel() * layer.in_features
        elif isinstance(layer, _TRANSPOSED):
            # Each input value is multiplied with each tap.
            counted += inputs[0].numel() * (layer.out_channels // layer.groups) * math.prod(layer.kernel_size)
        else:
            counted += output.numel() * (layer.in_channels // layer.groups) * math.prod(layer.kernel_size)

    kinds = (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED)
    hooks = [part.register_forward_hook(count) for part in module.modules() if isinstance(part, kinds)]
    modes = {part: part.training for part in module.modules()}
    first = next(module.parameters(), torch.zeros(()))
    try:
        with torch.no_grad():
            module.eval()(torch.zeros(tuple(input_shape), device=first.device))
    finally:
        for hook in hooks:
            hook.remove()
        for part, training in modes.items():
            part.training = training
    return counted
