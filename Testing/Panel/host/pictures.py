"""Pictures of a panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import pump

WIDTH = 440


def picture(widget: Any, path: Path) -> Path:
    """Write a picture of a whole panel, as tall as it wants to be; returns the path."""
    pump.settle()
    layout = widget.layout()
    for _ in range(2):  # labels that wrap know their height only once they have their width
        layout.activate()
        height = layout.heightForWidth(WIDTH) if layout.hasHeightForWidth() else layout.sizeHint().height()
        widget.resize(WIDTH, max(height, layout.minimumSize().height()))
        pump.settle()
    assert widget.grab().save(str(path)), path
    return path
