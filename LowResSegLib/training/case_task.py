"""Learning from real cases as a Lightning module: losses, teacher, optimiser, validation of whole cases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Optional

import lightning
import numpy as np
import torch
from torch import Tensor

from LowResSegLib.networks.ternary import set_beta
from LowResSegLib.training.cases import Cases
from LowResSegLib.training.evaluation import dice_by_label
from LowResSegLib.training.level_losses import LevelLoss
from LowResSegLib.training.losses import distillation_loss
from LowResSegLib.training.run_config import RunConfig
from LowResSegLib.training.segmenter import Segmenter


class CaseTask(lightning.LightningModule):
    """Trains a segmenter with its head; validates whole cases at high resolution.

    Args:
        config: of the run.
        segmenter: to train.
        cases: where validation finds them.
        loss: of the segmenter's logits.
        teacher: a trained segmenter to learn from, or None.
        first_step: steps that were done before the loop's own count began.
    """

    def __init__(
        self,
        config: RunConfig,
        segmenter: Segmenter,
        cases: Cases,
        loss: LevelLoss,
        teacher: Optional[Segmenter] = None,
        first_step: int = 0,
    ) -> None:
        super().__init__()
        self.config, self.network, self.loss, self.first_step = config, segmenter, loss, first_step
        segmenter.trunk.requires_grad_(not config.head_only)
        # In lists, so that neither is a part of this module's parameters and checkpoints.
        self._teacher = [teacher.eval().requires_grad_(False)] if teacher else []
        self._cases = [cases]
        self.dice_by_case: dict[str, dict[int, float]] = {}

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """Loss of a batch (`Samples`)."""
        image, inside, label = batch["image"], batch["inside"], batch["label"]
        if self.config.head_only:
            self.network.trunk.eval()  # batch norm with the statistics that are deployed
        features = self.network.trunk(self.network.lowered(image, inside))
        if self.config.loss.low_resolution:
            loss: Tensor = self.loss(features.logits, label)
        else:
            loss = self.loss(self.network.raise_up(features, image, inside), label)
        if self._teacher:
            loss = loss + self.config.distillation * self._taught(features, image, inside)
        self.log("loss", loss, prog_bar=True)
        return loss

    def _taught(self, features: Any, image: Tensor, inside: Tensor) -> Tensor:
        """Distance from the teacher: of low-resolution logits where both have one grid, else at high resolution."""
        teacher = self._teacher[0]
        with torch.no_grad():
            theirs = teacher.trunk(teacher.lowered(image, inside))
            if teacher.data.factors != self.network.data.factors:
                theirs = teacher.raise_up(theirs, image, inside)
        if teacher.data.factors == self.network.data.factors:
            return distillation_loss(features.logits.float(), theirs.logits.float())
        ours = self.network.raise_up(features, image, inside)
        last = [part if isinstance(part, Tensor) else part[-1] for part in (ours, theirs)]
        return distillation_loss(last[0].float(), last[1].float())

    def on_fit_start(self) -> None:
        """Put the teacher beside the network."""
        for teacher in self._teacher:
            teacher.to(self.device)

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        """Make soft ternary activations a little steeper: the continuation of TernaryNet, linear over the run."""
        first, last = self.config.beta
        share = min(1.0, (self.first_step + self.global_step) / max(1, self.config.all_steps - 1))
        set_beta(self.network, first + (last - first) * share)

    def validation_step(self, batch: dict[str, Any], index: int) -> None:
        """Dice of each structure of one whole case."""
        case = self._cases[0][batch["name"]]
        found = self.network.predict(case, self.device)
        self.dice_by_case[case.name] = dice_by_label(found, case.label, range(1, self.network.shape.classes))

    def on_validation_epoch_start(self) -> None:
        """Forget the epoch before."""
        self.dice_by_case = {}

    def on_validation_epoch_end(self) -> None:
        """Log the mean Dice over cases of each structure, and the mean of those."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            parts: list[Any] = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, self.dice_by_case)
            self.dice_by_case = {name: dice for part in parts for name, dice in part.items()}
        for name, score in mean_dice(self.dice_by_case).items():
            self.log(name, score, prog_bar=name == "dice", rank_zero_only=True, sync_dist=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep `first_step` in the whole checkpoint."""
        checkpoint["first_step"] = self.first_step

    def configure_optimizers(self) -> Any:
        """Adam, and the schedule of the configuration."""
        settings = self.config.optimiser
        kind = torch.optim.AdamW if settings.weight_decay else torch.optim.Adam
        learnt = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        optimizer = kind(learnt, settings.learning_rate, weight_decay=settings.weight_decay)
        steps, epoch = self.config.all_steps, self.config.steps_per_epoch
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: settings.factor(step + self.first_step, steps, epoch)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def mean_dice(by_case: Mapping[str, Mapping[int, float]]) -> dict[str, float]:
    """Mean over cases of each label's Dice (`dice_01`, ...), and their mean, `dice`; NaN is left out."""
    values = sorted({value for dice in by_case.values() for value in dice})
    scores = {}
    for value in values:
        known = [dice[value] for dice in by_case.values() if not math.isnan(dice.get(value, math.nan))]
        scores[f"dice_{value:02d}"] = float(np.mean(known)) if known else math.nan
    all_known = [score for score in scores.values() if not math.isnan(score)]
    scores["dice"] = float(np.mean(all_known)) if all_known else math.nan
    return scores
