"""The committed table: one JSON line a unit, with every held-out case's values, so that pairs can be compared later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.experiments.plan import protocol_of

TABLE = Path(__file__).resolve().parent / "results.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    """All lines of a file of JSON lines; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def rows(path: Path = TABLE) -> dict[str, dict[str, Any]]:
    """The rows of this protocol by key; of a key that comes twice the last one."""
    return {row["unit"]: row for row in lines(path) if row.get("protocol") == protocol_of(row["unit"])}


def append(row: Mapping[str, Any], path: Path = TABLE) -> None:
    """Add a row in one write, so that two processes may add at the same time."""
    line = json.dumps(row, separators=(",", ":")) + "\n"
    with open(path, "ab", buffering=0) as file:
        file.write(line.encode())


def values(row: Mapping[str, Any], measure: str = "dice") -> np.ndarray:
    """Mean over structures of each held-out case, (cases,); NaN where a structure has no value."""
    per_label = np.array(
        [[np.nan if value is None else value for value in found] for found in row[measure].values()], float
    )
    return per_label.mean(0)


def bootstrap(difference: np.ndarray, draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of a mean of paired differences, from cases drawn with replacement.

    Args:
        difference: of each case, seeds averaged, (cases,).
        draws: how many.
        seed: of the draws.
    """
    known = difference[~np.isnan(difference)]
    places = np.random.default_rng(seed).integers(0, len(known), (draws, len(known)))
    low, high = np.percentile(known[places].mean(1), [2.5, 97.5])
    return float(low), float(high)
