"""What all uses of ITK's file readers share: silence, and the reason in a message."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_stderr_lock = threading.Lock()


def reason(error: RuntimeError) -> str:
    """Return the last line of an ITK message, which says what happened, without where in ITK's sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[-1] if lines else "unknown reason"
    for prefix in ("sitk::ERROR:", "ITK ERROR:", "Reason:"):
        line = line.split(prefix)[-1].strip()
    return line.rstrip(".!")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep ITK's file readers, which print from C and C++, from writing to standard error."""
    with _stderr_lock:  # two overlapping redirections would restore each other's
        try:
            saved = os.dup(2)
        except OSError:  # no standard error, as under pythonw
            yield
            return
        try:
            with open(os.devnull, "w") as sink:
                os.dup2(sink.fileno(), 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
