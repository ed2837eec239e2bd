"""Timing of several things that shall be compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


def interleaved(runs: Mapping[str, Callable[[], object]], rounds: int, pause: float = 0.0) -> dict[str, list[float]]:
    """Seconds of each run in each round; all take their turn in a round, so that what disturbs one disturbs all.

    Args:
        runs: by name; each runs once before, which is not counted.
        rounds: at least 1.
        pause: seconds of rest before each run, in which threads of the run before fall asleep.
    """
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(pause)
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return seconds
