"""Losses of the logits of a head, which may give several levels, against labels at high resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

from LowResSegLib.training.losses import soft_cross_entropy
from LowResSegLib.training.lowering import shares_at
from LowResSegLib.training.run_config import LossSettings


class LevelLoss(nn.Module):
    """The unweighted sum, over all levels, of the loss that `LossSettings` names.

    Each level is compared with the labels brought to its size, so coarse levels learn shares of classes.

    Args:
        settings: which loss.
        classes: with the background.
    """

    def __init__(self, settings: LossSettings, classes: int) -> None:
        super().__init__()
        if settings.class_weights is not None and len(settings.class_weights) != classes:
            raise ValueError(f"class_weights has {len(settings.class_weights)} numbers for {classes} classes")
        self.settings, self.classes = settings, classes
        self.weights: Optional[Tensor]
        weights = None if settings.class_weights is None else torch.tensor(settings.class_weights)
        self.register_buffer("weights", weights, persistent=False)
        self.dice: Any = DiceLoss(softmax=True, batch=True)

    @property
    def sigmoid(self) -> bool:
        """Whether logits are one for each structure instead of one for each class."""
        return self.settings.kind == "bce_levels"

    def forward(self, logits: Union[Tensor, Sequence[Tensor]], label: Tensor) -> Tensor:
        """Loss of logits (batch, outputs, *size), one level or several, and labels int64 (batch, *size)."""
        levels = [logits] if isinstance(logits, Tensor) else list(logits)
        one_hot = torch.stack([label == value for value in range(self.classes)], 1).float()
        return torch.stack([self._one(level.float(), one_hot, label) for level in levels]).sum()

    def _one(self, logits: Tensor, one_hot: Tensor, label: Tensor) -> Tensor:
        shares = shares_at(one_hot, logits.shape[2:])
        if self.sigmoid:
            return functional.binary_cross_entropy_with_logits(logits, shares[:, 1:])
        if shares is one_hot:
            entropy = functional.cross_entropy(logits, label, self.weights)
        else:
            entropy = soft_cross_entropy(logits, shares, self.weights)
        return entropy if self.settings.kind == "cross_entropy" else entropy + self.dice(logits, shares)
