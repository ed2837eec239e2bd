"""The learning task as a Lightning module: losses, optimiser, validation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Optional

import lightning
import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional

from LowResSegLib.networks.ternary import INTENSITY_SCALE
from LowResSegLib.networks.unet import UNet
from LowResSegLib.training.config import TrainingConfig
from LowResSegLib.training.losses import distillation_loss, labels_at_phase, logits_at_phase


class SegmentationTask(lightning.LightningModule):
    """Cross-entropy and soft Dice on a random part of the high-resolution labels, and a teacher's logits if given.

    Args:
        config: of the run.
        network, teacher: the network to train, and a float network to learn from or None.
        class_weights: of the cross-entropy, shape (classes,).
        first_step: steps that were done before the loop's own count began (a run that goes on from a small
            checkpoint).
    """

    def __init__(
        self,
        config: TrainingConfig,
        network: UNet,
        teacher: Optional[UNet],
        class_weights: Tensor,
        first_step: int = 0,
    ) -> None:
        super().__init__()
        self.config, self.network, self.first_step = config, network, first_step
        # In a list, so that the teacher is no part of this module's parameters and checkpoints.
        self._teacher = [teacher.eval().requires_grad_(False)] if teacher else []
        self.class_weights: Tensor
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.dice = DiceLoss(softmax=False, to_onehot_y=False, batch=True)
        self._overlap = torch.zeros(3, len(class_weights))

    def _input(self, batch: dict[str, Tensor]) -> Tensor:
        image = batch["image"].float() / INTENSITY_SCALE
        return image.contiguous(memory_format=torch.channels_last_3d) if self.config.channels_last else image

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """Loss of a batch (`SyntheticScans`)."""
        image, factor = self._input(batch), self.config.synthetic.spacing_factor
        phase = torch.randint(factor, (3,)).tolist()
        logits = self.network(image).float()
        labels = labels_at_phase(batch["label"], phase, factor).long()
        fine = logits_at_phase(logits, phase, factor)
        log_probabilities = functional.log_softmax(fine, 1)
        one_hot = functional.one_hot(labels, fine.shape[1]).movedim(-1, 1)
        loss = functional.nll_loss(log_probabilities, labels, self.class_weights)
        loss = loss + self.dice(log_probabilities.exp(), one_hot)
        if self._teacher:
            with torch.no_grad():
                taught = self._teacher[0](image).float()
            loss = loss + self.config.distillation * distillation_loss(logits, taught)
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_fit_start(self) -> None:
        """Put the teacher beside the network."""
        for teacher in self._teacher:
            teacher.to(self.device)

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        """Count overlaps at high resolution, summed over the validation crops."""
        logits, factor = self.network(self._input(batch)).float(), self.config.synthetic.spacing_factor
        for phase in ([0] * 3, [factor - 1] * 3):
            found = logits_at_phase(logits, phase, factor).argmax(1)
            truth = labels_at_phase(batch["label"], phase, factor).long()
            count = len(self.class_weights)
            self._overlap += torch.stack(
                [torch.bincount(v.flatten(), minlength=count) for v in (found[found == truth], found, truth)]
            ).cpu()

    def on_validation_epoch_end(self) -> None:
        """Log the Dice of every structure and their mean."""
        both, found, truth = self._overlap
        dice = 2 * both / (found + truth).clamp(min=1)
        self._overlap = torch.zeros_like(self._overlap)
        for value, score in enumerate(dice.tolist()):
            self.log(f"dice_{value:02d}", score)
        self.log("dice", dice[1:].mean(), prog_bar=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep `first_step` in the whole checkpoint."""
        checkpoint["first_step"] = self.first_step

    def configure_optimizers(self) -> Any:
        """Adam, linear warm-up, cosine to zero over the run's steps."""
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.config.learning_rate)
        warm_up, steps = self.config.warm_up, self.config.steps

        def factor(own_step: int) -> float:
            # The optimiser's memory is empty after `first_step`, so it is warmed up again.
            step, warmth = own_step + self.first_step, min(1.0, (own_step + 1) / warm_up)
            return warmth * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def steps_of(checkpoint: Path) -> tuple[int, int]:
    """`first_step` of the run that wrote a whole checkpoint, and all steps that its network has learnt for.

    Such a file is the user's own and is trusted.
    """
    content = torch.load(checkpoint, map_location="cpu", weights_only=False)
    return int(content["first_step"]), int(content["first_step"] + content["global_step"])
