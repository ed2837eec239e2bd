"""Two segmentations compared: structures matched, overlap and distances measured, differences shown."""

from __future__ import annotations

from LowResSegLib.comparison.compare import Comparison, Row, compare
from LowResSegLib.comparison.difference import difference
from LowResSegLib.comparison.labelled import LabelledVolume
from LowResSegLib.comparison.reading import read_segmentation

__all__ = ["Comparison", "LabelledVolume", "Row", "compare", "difference", "read_segmentation"]
