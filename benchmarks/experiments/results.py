"""Means, spreads and paired differences of the table's rows, as text for the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from benchmarks.experiments import plan, table

MISSING = "missing"


class Results:
    """The rows by arm.

    Args:
        rows: of `table.rows`.
        times: of the file of `measure`.
    """

    def __init__(self, rows: dict[str, dict[str, Any]], times: Sequence[dict[str, Any]]) -> None:
        self.rows = rows
        self.times = {(row["arm"], row.get("runtime", "")): row for row in times}

    def seeds(self, arm: str) -> list[dict[str, Any]]:
        """Rows of an arm, one a seed."""
        return [row for row in (self.rows.get(f"{arm}/{seed}") for seed in plan.SEEDS) if row]

    def by_seed(self, arm: str, measure: str = "dice") -> np.ndarray:
        """Mean over cases of each seed."""
        return np.array([np.nanmean(table.values(row, measure)) for row in self.seeds(arm)])

    def by_case(self, arm: str) -> Optional[np.ndarray]:
        """Dice of each case, seeds averaged, in points; None where seeds are missing."""
        rows = self.seeds(arm)
        if len(rows) < len(plan.SEEDS):
            return None
        return 100 * np.mean([table.values(row) for row in rows], 0)

    def dice(self, arm: str) -> str:
        """Mean and standard deviation over seeds, in points; how many seeds where some are missing."""
        found = 100 * self.by_seed(arm)
        if not len(found):
            return MISSING
        if len(found) < len(plan.SEEDS):
            return f"{found.mean():.1f} ({len(found)} of {len(plan.SEEDS)} seeds)"
        return f"{found.mean():.1f} ± {found.std(ddof=1):.1f}"

    def mean(self, arm: str, measure: str, digits: int = 2) -> str:
        """Mean of a measure over seeds and cases."""
        found = self.by_seed(arm, measure)
        return f"{found.mean():.{digits}f}" if len(found) else MISSING

    def difference(self, arm: str, other: str) -> str:
        """Paired difference of two arms in points, with its 95 % interval over cases."""
        found = self.interval(arm, other)
        return MISSING if found is None else "{:+.2f} ({:+.2f} to {:+.2f})".format(*found)

    def interval(self, arm: str, other: str) -> Optional[tuple[float, float, float]]:
        """Mean, low and high end of the paired difference; None where seeds are missing."""
        a, b = self.by_case(arm), self.by_case(other)
        if a is None or b is None:
            return None
        return float(np.nanmean(a - b)), *table.bootstrap(a - b)

    def number(self, arm: str, key: str) -> str:
        """A whole number that is the same for all seeds."""
        rows = self.seeds(arm)
        return f"{rows[0][key]:,}" if rows else MISSING

    def milliseconds(self, arm: str, key: str, runtime: str = "") -> str:
        """A time."""
        row = self.times.get((arm, runtime))
        return MISSING if row is None or key not in row["milliseconds"] else f"{row['milliseconds'][key]:.2f}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *rows])
