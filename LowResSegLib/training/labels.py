"""The structures that a model labels, read from a YAML table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from LowResSegLib.errors import InputError
from LowResSegLib.training.yaml_files import read_yaml


@dataclass(frozen=True)
class LabelTable:
    """Structures in the order of their values; value 0 is the background.

    `entries` are the label entries of the model file (name, value, color, terminology); `sources` gives for each
    value the codes of the training label maps that make it up.
    """

    entries: list[dict[str, Any]]
    sources: list[list[int]]

    @classmethod
    def read(cls, path: Path) -> LabelTable:
        """Read a table; raises InputError where it cannot be read or its values are not 0, 1, 2, ... in order."""
        rows = read_yaml(path, list)
        if [row.get("value") for row in rows] != list(range(len(rows))):
            raise InputError(f"{path}: label values must be 0, 1, 2, ... in order.")
        entries = [{key: value for key, value in row.items() if key != "sources"} for row in rows]
        return cls(entries, [list(row.get("sources", [])) for row in rows])

    def __len__(self) -> int:
        return len(self.entries)

    def lookup(self, size: int = 1024) -> np.ndarray:
        """Array of `size` entries from a training code to a label value; codes that are not named are background."""
        table = np.zeros(size, np.uint8)
        for value, codes in enumerate(self.sources):
            table[codes] = value
        return table
