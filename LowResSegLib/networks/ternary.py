"""Quantised layers in two and three dimensions: ternary, integer and binary weights; ternary and sign activations.

Sources: ternary weights after Li and Liu, "Ternary Weight Networks" (arXiv 1605.04711); ternary activations with
plateaus that change at -0.5 and +0.5, and the ternary tanh that is made steeper while a network learns, after
Heinrich, Blendowski and Oktay, "TernaryNet" (arXiv 1801.09449); binary weights with one scale an output channel and
sign activations after Rastegari et al., "XNOR-Net" (arXiv 1603.05279).

`TernaryActivation` is hard in training too, so that what is trained is what is deployed, and gradients pass straight
through. `TernaryTanh` is the published way: soft in training, hard in evaluation. In the published code of TernaryNet
the steepness never changed, as the loop wrote one attribute and the layers read another; `set_beta` changes it. That
code also put quantised weights in place of the latent ones behind autograd's back; here autograd functions do it.
"""

from __future__ import annotations

import math
from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional

# The int8 grid divided by this is what the network is trained on.
from LowResSegLib.model.onnx_network import INTENSITY_SCALE as INTENSITY_SCALE

ACTIVATION_THRESHOLD = 0.5
WEIGHT_THRESHOLD = 0.7  # times the mean magnitude of an output channel's weights
FIRST_LAYER_LEVELS = 63  # integer weights of the layer that reads intensities; doubled they still fit int8
FIRST_BETA, LAST_BETA = 3.0, 8.0  # of the ternary tanh: from where to where the published schedule goes


def ternary_weights(weight: Tensor, threshold: float = WEIGHT_THRESHOLD) -> tuple[Tensor, Tensor]:
    """Signs and scales of ternary weights.

    Args:
        weight: latent float weights, shape (out, in, ...).
        threshold: weights up to this many times the mean magnitude of their output channel become zero.

    Returns:
        signs in {-1, 0, +1} of the same shape, and one scale an output channel, shape (out, 1, ...).
    """
    axes = tuple(range(1, weight.ndim))
    magnitude = weight.abs()
    kept = (magnitude > threshold * magnitude.mean(axes, keepdim=True)).to(weight.dtype)
    # A channel whose weights are all zero keeps nothing; the guard avoids 0/0.
    scale = (magnitude * kept).sum(axes, keepdim=True) / kept.sum(axes, keepdim=True).clamp(min=1)
    return torch.sign(weight) * kept, scale


def integer_weights(weight: Tensor, levels: int = FIRST_LAYER_LEVELS) -> tuple[Tensor, Tensor]:
    """Integer weights in [-levels, levels] (as floats) and one scale an output channel, shape (out, 1, ...)."""
    axes = tuple(range(1, weight.ndim))
    scale = weight.abs().amax(axes, keepdim=True).clamp(min=1e-12) / levels
    return torch.round(weight / scale), scale


def binary_weights(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Signs in {-1, +1} and the mean magnitude of each output channel, shape (out, 1, ...)."""
    signs = torch.where(weight < 0, -torch.ones_like(weight), torch.ones_like(weight))
    return signs, weight.abs().mean(tuple(range(1, weight.ndim)), keepdim=True)


class _StraightThrough(torch.autograd.Function):
    """The second argument in the forward pass, the identity on the first in the backward pass."""

    @staticmethod
    def forward(ctx: Any, latent: Tensor, quantised: Tensor) -> Tensor:
        return quantised.view_as(quantised)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class _Quantised:
    """A convolution whose latent weights are quantised in each forward pass; gradients reach them unchanged."""

    def quantise(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Integers (as floats) and their scales, shape (out, 1, ...)."""
        raise NotImplementedError

    def forward(self, input: Tensor) -> Tensor:
        """Convolve with the quantised weights."""
        layer: Any = self
        with torch.no_grad():
            integers, scale = self.quantise(layer.weight)
            quantised = integers * scale
        weight = _StraightThrough.apply(layer.weight, quantised)  # type: ignore[no-untyped-call]
        convolved: Tensor = layer._conv_forward(input, weight, None)
        return convolved


class _Ternary(_Quantised):
    threshold = WEIGHT_THRESHOLD

    def quantise(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return ternary_weights(weight, self.threshold)


class _Integer(_Quantised):
    def quantise(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return integer_weights(weight)


class _Binary(_Quantised):
    def quantise(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return binary_weights(weight)


class _Plain2d(nn.Conv2d):
    """2-D convolution without bias (a batch norm follows); zero padding by half of the kernel's edge by default."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, padding: Optional[int] = None):
        padding = kernel_size // 2 if padding is None else padding
        super().__init__(in_channels, out_channels, kernel_size, padding=padding, bias=False)


class _Plain3d(nn.Conv3d):
    """3-D convolution without bias (a batch norm follows); zero padding by half of the kernel's edge by default."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, padding: Optional[int] = None):
        padding = kernel_size // 2 if padding is None else padding
        super().__init__(in_channels, out_channels, kernel_size, padding=padding, bias=False)


class TernaryConv2d(_Ternary, _Plain2d):
    """2-D convolution with ternary weights, no bias."""


class TernaryConv3d(_Ternary, _Plain3d):
    """3-D convolution with ternary weights, no bias."""


class IntegerConv2d(_Integer, _Plain2d):
    """2-D convolution of intensities, whose weights are integers times one scale an output channel; no bias."""


class IntegerConv3d(_Integer, _Plain3d):
    """3-D convolution of intensities, whose weights are integers times one scale an output channel; no bias."""


class BinaryConv2d(_Binary, _Plain2d):
    """2-D convolution with weights of one magnitude an output channel, no bias."""


class BinaryConv3d(_Binary, _Plain3d):
    """3-D convolution with weights of one magnitude an output channel, no bias."""


def _hard(input: Tensor) -> Tensor:
    positive = (input > ACTIVATION_THRESHOLD).to(input.dtype)
    return positive - (input < -ACTIVATION_THRESHOLD).to(input.dtype)


class _HardTernary(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor) -> Tensor:
        ctx.save_for_backward(input)
        return _hard(input)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (input,) = ctx.saved_tensors
        return gradient * (input.abs() < 1.0).to(gradient.dtype)


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor) -> Tensor:
        ctx.save_for_backward(input)
        return torch.where(input < 0, -torch.ones_like(input), torch.ones_like(input))

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


class SignActivation(nn.Module):
    """-1 below 0, else +1; the gradient is that of the hard tanh."""

    def forward(self, input: Tensor) -> Tensor:
        """Signs of the same shape."""
        signs: Tensor = _Sign.apply(input)  # type: ignore[no-untyped-call]
        return signs


def ternary_tanh(input: Tensor, beta: float) -> Tensor:
    """The soft ternary function (tanh(beta (2x - 1)) + tanh(beta (2x + 1))) / 2: plateaus near -1, 0 and +1."""
    return 0.5 * (torch.tanh(beta * (2 * input - 1)) + torch.tanh(beta * (2 * input + 1)))


class TernaryTanh(nn.Module):
    """`ternary_tanh` of steepness `beta` in training, its limit (the hard function) in evaluation.

    The published schedule raises beta linearly from 3 to 8 (`set_beta`, `beta_at`); leaving it at 3 is the control
    "ternary without continuation". With an infinite beta training is hard too, with straight-through gradients: for
    last epochs in which batch norm gathers the statistics that evaluation sees.
    """

    def __init__(self, beta: float = FIRST_BETA) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, input: Tensor) -> Tensor:
        """Values of the same shape, in [-1, 1]."""
        if not self.training or math.isinf(self.beta):
            trits: Tensor = _HardTernary.apply(input)  # type: ignore[no-untyped-call]
            return trits
        return ternary_tanh(input, self.beta)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"beta={self.beta}"


def set_beta(module: nn.Module, beta: float) -> None:
    """Set the steepness of every `TernaryTanh` in a module; `math.inf` for the hard function.

    Raises:
        ValueError: beta is not positive.
    """
    if not beta > 0:
        raise ValueError(f"The steepness of a ternary tanh is above 0, not {beta}.")
    for part in module.modules():
        if isinstance(part, TernaryTanh):
            part.beta = float(beta)


def beta_at(progress: float, first: float = FIRST_BETA, last: float = LAST_BETA) -> float:
    """Steepness of the published linear schedule at `progress` of the training, 0 to 1."""
    return first + (last - first) * min(max(progress, 0.0), 1.0)


def upsample_nearest(input: Tensor) -> Tensor:
    """Twice the size on each spatial axis by repetition, which keeps values ternary."""
    return functional.interpolate(input, scale_factor=2, mode="nearest")
