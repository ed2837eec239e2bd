"""What the panel remembers from one session to the next, in the application's settings."""

from __future__ import annotations

import qt
import slicer

_GROUP = "LowResSeg/"


def flag(name: str, default: bool) -> bool:
    """A switch."""
    return bool(slicer.util.settingsValue(_GROUP + name, default, slicer.util.toBool))


def number(name: str, default: int) -> int:
    """A whole number; the default too where the file has something else."""
    try:
        return int(slicer.util.settingsValue(_GROUP + name, default))
    except (TypeError, ValueError):
        return default


def text(name: str, default: str = "") -> str:
    """A text, such as a folder."""
    return str(slicer.util.settingsValue(_GROUP + name, default) or "")


def remember(name: str, value: object) -> None:
    """Keep a value; it is written by Qt at its leisure."""
    qt.QSettings().setValue(_GROUP + name, value)
