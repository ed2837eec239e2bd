"""What is said on standard error: progress, and sentences."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_BAR = 30
_CLEAR = "\r\033[K"


def say(sentence: object) -> None:
    """Print one sentence on standard error; on a terminal it takes the place of the line of progress."""
    print(f"{_CLEAR if sys.stderr.isatty() else ''}lowresseg: {sentence}", file=sys.stderr)


@contextmanager
def progress_printer(kind: str) -> Iterator[Callable[[str, float], None]]:
    """Give a function that takes the step's name and the share of the whole run that is done, 0 to 1.

    `kind`: `json` prints an object a line, `auto` a line that is written over if standard error is a terminal,
    `none` nothing.
    """
    if kind == "json":
        yield _json
    elif kind == "auto" and sys.stderr.isatty():
        try:
            yield _line
        finally:
            print(_CLEAR, end="", file=sys.stderr, flush=True)
    else:
        yield lambda step, fraction: None


def _json(step: str, fraction: float) -> None:
    with suppress(BrokenPipeError):  # who listened has gone; the work goes on
        print(json.dumps({"step": step, "fraction": round(fraction, 4)}), file=sys.stderr, flush=True)


def _line(step: str, fraction: float) -> None:
    bar = "#" * round(_BAR * fraction)
    print(f"{_CLEAR}[{bar:-<{_BAR}}] {fraction:4.0%} {step}", end="", file=sys.stderr, flush=True)
