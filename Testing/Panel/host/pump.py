"""Turning the event loop as Slicer does: Python's lock is held meanwhile, so no thread of Python runs."""

from __future__ import annotations

import ctypes
import sys
import time
from pathlib import Path
from typing import Callable, NamedTuple

import PySide6

_WAIT_MS = 5


def _process_events() -> Callable[[int, int], None]:
    # PyDLL keeps the lock during the call; PySide6's own processEvents lets it go.
    library = next(Path(PySide6.__file__).parent.joinpath("Qt", "lib").glob("libQt6Core.so*"))
    name = "_ZN16QCoreApplication13processEventsE6QFlagsIN10QEventLoop17ProcessEventsFlagEEi"
    function = getattr(ctypes.PyDLL(str(library)), name)
    function.argtypes, function.restype = [ctypes.c_int, ctypes.c_int], None
    return function


_turn = _process_events()
_sleep = ctypes.PyDLL(None).usleep


class Longest(NamedTuple):
    """The longest time in seconds in which no event could be answered.

    Attributes:
        wall: by the clock; on a busy machine other programs are in it.
        work: what this thread itself worked in it.
    """

    wall: float
    work: float


def pump(until: Callable[[], bool], seconds: float = 60.0) -> Longest:
    """Let the event loop turn until something is so.

    Returns:
        How long the window was without an answer, at most.

    Raises:
        AssertionError: it was not so after that many seconds.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)  # between two turns, too, no other thread gets the lock
    wall = work = 0.0
    deadline = time.monotonic() + seconds
    try:
        while not until():
            assert time.monotonic() < deadline, "it has not come about in time"
            began, worked = time.monotonic(), time.thread_time()
            _turn(0, 1000)
            wall, work = max(wall, time.monotonic() - began), max(work, time.thread_time() - worked)
            _sleep(_WAIT_MS * 1000)
    finally:
        sys.setswitchinterval(interval)
    return Longest(wall, work)


def settle(turns: int = 3) -> None:
    """Let what is waiting now happen."""
    for _ in range(turns):
        _turn(0, 1000)
