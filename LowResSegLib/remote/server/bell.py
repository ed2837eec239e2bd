"""A bell that a worker process rings when it is about to answer, so that nobody has to look all the time."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from pathlib import Path
from typing import Optional

_LOOK = 0.001  # seconds between two looks where there is no bell


class Bell:
    """The server's end: a named pipe; without one, as on Windows, `wait` is a short sleep.

    Args:
        path: where the pipe is made; what a server before this one left there is replaced.

    Attributes:
        path: what the worker process is told, for `ring`; empty where there is no bell.
    """

    def __init__(self, path: Path) -> None:
        self.path = ""
        self._ends: Optional[tuple[int, int]] = None
        if sys.platform == "win32":
            return
        with contextlib.suppress(OSError):  # a file system without pipes
            path.unlink(missing_ok=True)
            os.mkfifo(path, 0o600)
            reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            # As long as somebody could write, the end of what was written is no end of the pipe.
            self._ends = reading, os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            self.path = str(path.absolute())

    def wait(self, seconds: float) -> bool:
        """Wait until it rings, at most so many seconds; returns whether it has."""
        if self._ends is None:
            time.sleep(min(seconds, _LOOK))
            return False
        if not select.select([self._ends[0]], [], [], seconds)[0]:
            return False
        with contextlib.suppress(OSError):
            os.read(self._ends[0], 4096)
        return True

    def close(self) -> None:
        """Take it away."""
        for end in self._ends or ():
            os.close(end)
        if self.path:
            Path(self.path).unlink(missing_ok=True)
        self._ends, self.path = None, ""


def ring(path: str) -> None:
    """Ring the bell of a path; nobody may listen any more, and there is none where the path is empty."""
    if path and sys.platform != "win32":
        with contextlib.suppress(OSError):
            end = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            try:
                os.write(end, b"!")
            finally:
                os.close(end)
