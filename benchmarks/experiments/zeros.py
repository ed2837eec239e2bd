"""Shares of zeros among the ternary weights and activations of a trained network."""

from __future__ import annotations

from typing import Any

import torch

from LowResSegLib.networks.ternary import TernaryActivation, TernaryConv2d, TernaryConv3d, TernaryTanh
from LowResSegLib.training.cases import Case
from LowResSegLib.training.segmenter import Segmenter


@torch.no_grad()
def zeros(segmenter: Segmenter, case: Case) -> dict[str, float]:
    """`weights` and `activations`: share of zeros over all of them, activations of one case; {} for other networks."""
    layers: list[Any] = [part for part in segmenter.trunk.modules() if isinstance(part, (TernaryConv2d, TernaryConv3d))]
    if not layers:
        return {}
    signs = [layer.quantise(layer.weight)[0] for layer in layers]
    found = {"weights": sum(int((s == 0).sum()) for s in signs) / sum(s.numel() for s in signs)}
    counts = [0, 0]

    def count(module: Any, inputs: Any, output: torch.Tensor) -> None:
        counts[0] += int((output == 0).sum())
        counts[1] += output.numel()

    kinds = (TernaryActivation, TernaryTanh)
    hooks = [part.register_forward_hook(count) for part in segmenter.trunk.modules() if isinstance(part, kinds)]
    try:
        segmenter.predict(case)
    finally:
        for hook in hooks:
            hook.remove()
    if counts[1]:
        found["activations"] = counts[0] / counts[1]
    return {key: round(value, 4) for key, value in found.items()}
