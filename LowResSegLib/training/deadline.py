"""Stopping a run after some time, so that it can be resumed."""

from __future__ import annotations

import datetime
from typing import Any

from lightning.pytorch.callbacks import Timer


class Deadline(Timer):
    """Stops this start of a run after so many minutes.

    Lightning's own timer goes on counting where a resumed run stopped, so that a second hour would end at once.
    """

    def __init__(self, minutes: float) -> None:
        super().__init__(duration=datetime.timedelta(minutes=minutes), interval="step")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Forget how long the starts before this one took."""


def deadline(minutes: float) -> list[Timer]:
    """The callbacks that stop a run after so many minutes; none for 0."""
    return [Deadline(minutes)] if minutes else []
