"""Workers for tests: what stands in for their Python, and waiting."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from LowResSegLib import Volume
from LowResSegLib.jobs import Worker

PRETENDER = [sys.executable, str(Path(__file__).with_name("pretend_python.py"))]
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something to hold; fails where it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """Whether a process has ended, also one that nobody has waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    if sys.platform == "linux":
        try:
            status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            # A main thread may have ended while others of its process are still about to.
            return status == "Z" and len(os.listdir(f"/proc/{pid}/task")) == 1
        except OSError:  # it went meanwhile
            return True
    return subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout[:1] in ("", "Z")


def running(worker: Worker, volume: Volume, model: str) -> Any:
    """A job that is known to run in the child."""
    job = worker.submit(volume, model)
    wait_until(lambda: job.progress().step == "first")
    return job
