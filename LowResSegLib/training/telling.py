"""Telling how far a run is, to whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

Tell = Callable[[str, float], None]  # the step's name, and the share of the whole run that is done, 0 to 1


def tell_nobody(step: str, share: float) -> None:
    """Say nothing."""


class Telling(Callback):
    """Tells after each optimiser step, and at each case that is validated; in the first process of several.

    Args:
        tell: is told.
        first_step: steps that were done before the loop's own count began.
        steps: of the whole run.
    """

    def __init__(self, tell: Tell, first_step: int, steps: int) -> None:
        self._tell, self._first, self._steps = tell, first_step, max(1, steps)
        self.told = tell is not tell_nobody  # otherwise Lightning may draw a bar of its own

    def _say(self, step: str, trainer: lightning.Trainer) -> None:
        if trainer.is_global_zero:
            self._tell(step, min(1.0, (self._first + trainer.global_step) / self._steps))

    def on_train_batch_end(self, trainer: lightning.Trainer, *ignored: Any) -> None:
        """A step is done."""
        self._say("training", trainer)

    def on_validation_batch_end(self, trainer: lightning.Trainer, *ignored: Any) -> None:
        """A case is validated."""
        self._say("validation", trainer)
