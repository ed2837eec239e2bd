"""Whether a number or a text of a request or an answer is of its kind."""

from __future__ import annotations

import re

_HEX = re.compile(r"[0-9a-f]{64}")


def is_whole(value: object) -> bool:
    """Whether it is a whole number that every JSON reader has exactly."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53


def is_number(value: object) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def is_digest(value: object) -> bool:
    """Whether it is a SHA-256 in small letters."""
    return isinstance(value, str) and _HEX.fullmatch(value) is not None
