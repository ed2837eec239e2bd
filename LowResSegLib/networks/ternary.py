"""Ternary layers: weights and activations in {-1, 0, +1}.

Sources: ternary weights after Li and Liu, "Ternary Weight Networks" (arXiv 1605.04711); ternary activations with
plateaus that change at -0.5 and +0.5 after Heinrich, Blendowski and Oktay, "TernaryNet" (arXiv 1801.09449).
Unlike the published TernaryNet these layers use the hard function in the forward pass of training too, so that what
is trained is what is deployed; gradients pass straight through.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATION_THRESHOLD = 0.5
WEIGHT_THRESHOLD = 0.7  # times the mean magnitude of an output channel's weights
FIRST_LAYER_LEVELS = 63  # integer weights of the layer that reads intensities; doubled they still fit int8
INTENSITY_SCALE = 64.0  # the int8 grid divided by this is what the network is trained on


def ternary_weights(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Signs and scales of ternary weights.

    Args:
        weight: latent float weights, shape (out, in, ...).

    Returns:
        signs in {-1, 0, +1} of the same shape, and one scale an output channel, shape (out, 1, ...).
    """
    axes = tuple(range(1, weight.ndim))
    magnitude = weight.abs()
    kept = (magnitude > WEIGHT_THRESHOLD * magnitude.mean(axes, keepdim=True)).to(weight.dtype)
    # A channel whose weights are all zero keeps nothing; the guard avoids 0/0.
    scale = (magnitude * kept).sum(axes, keepdim=True) / kept.sum(axes, keepdim=True).clamp(min=1)
    return torch.sign(weight) * kept, scale


def integer_weights(weight: Tensor, levels: int = FIRST_LAYER_LEVELS) -> tuple[Tensor, Tensor]:
    """Integer weights in [-levels, levels] (as floats) and one scale an output channel, shape (out, 1, ...)."""
    axes = tuple(range(1, weight.ndim))
    scale = weight.abs().amax(axes, keepdim=True).clamp(min=1e-12) / levels
    return torch.round(weight / scale), scale


def _straight_through(latent: Tensor, quantised: Tensor) -> Tensor:
    """`quantised` in the forward pass, the identity on `latent` in the backward pass."""
    return latent + (quantised - latent).detach()


class TernaryConv3d(nn.Conv3d):
    """3-D convolution with ternary weights, zero padding, no bias (a batch norm follows)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve; gradients reach the latent weights unchanged."""
        signs, scale = ternary_weights(self.weight)
        return self._conv_forward(input, _straight_through(self.weight, signs * scale), None)


class IntegerConv3d(nn.Conv3d):
    """3-D convolution of intensities, whose weights are integers times one scale an output channel; no bias."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve; gradients reach the latent weights unchanged."""
        levels, scale = integer_weights(self.weight)
        return self._conv_forward(input, _straight_through(self.weight, levels * scale), None)


class _HardTernary(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor) -> Tensor:
        ctx.save_for_backward(input)
        positive = (input > ACTIVATION_THRESHOLD).to(input.dtype)
        return positive - (input < -ACTIVATION_THRESHOLD).to(input.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (input,) = ctx.saved_tensors
        return gradient * (input.abs() < 1.0).to(gradient.dtype)


class TernaryActivation(nn.Module):
    """-1 below -0.5, +1 above 0.5, else 0; the gradient is that of the hard tanh."""

    def forward(self, input: Tensor) -> Tensor:
        """Trits of the same shape."""
        trits: Tensor = _HardTernary.apply(input)  # type: ignore[no-untyped-call]
        return trits


def upsample_nearest(input: Tensor) -> Tensor:
    """Twice the size on each spatial axis by repetition, which keeps values ternary."""
    return functional.interpolate(input, scale_factor=2, mode="nearest")
