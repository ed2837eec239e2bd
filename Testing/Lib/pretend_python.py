"""A Python whose `segment` does what the model's name says: stands in for the command of a worker.

Called as `python pretend_python.py -m LowResSegLib worker`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Optional

import numpy as np

from LowResSegLib import Volume, errors, pipeline
from LowResSegLib.cli import main


def segment(
    volume: Volume,
    model: str,
    backend: str,
    threads: Optional[int],
    not_a_labelmap: bool,
    progress: Callable[[str, float], None],
    cancel: Callable[[], bool],
) -> tuple[Volume, dict[str, Any]]:
    """Do as `model` says, before the labelmap of positive voxels is returned."""
    progress("first", 0.25)
    if model == "noisy":
        print("from Python", flush=True)
        os.write(1, b"from C\n")
    elif model == "patient":  # stops when it is asked to
        while not cancel():
            time.sleep(0.01)
        raise errors.Cancelled("The run was cancelled.")
    elif model == "stubborn":  # does not
        time.sleep(3600)
    elif model == "frozen":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif model == "dies":
        print("Segmentation fault in the pretender.", file=sys.stderr, flush=True)
        os._exit(7)
    elif model == "bug":
        raise ZeroDivisionError("by none")
    elif model == "memory":
        raise MemoryError
    elif hasattr(errors, model):
        raise getattr(errors, model)(f"This is a {model}.")
    return volume.with_array((volume.array > 0).astype(np.uint8)), {"pid": os.getpid(), "model": model}


pipeline.segment = segment  # type: ignore[assignment]
assert sys.argv[1:3] == ["-m", "LowResSegLib"]
sys.exit(main(sys.argv[3:]))
