"""A Python whose `segment` does what the model's name says: stands in for the command of a worker.

Called as `python pretend_python.py -m LowResSegLib worker`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from LowResSegLib import Volume, errors, pipeline
from LowResSegLib.cli import main
from LowResSegLib.jobs import child


def segment(
    volume: Volume,
    model: str,
    progress: Callable[[str, float], None],
    cancel: Callable[[], bool],
    **options: Any,
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
    elif model == "full":  # the disk: no file gets longer than a few lines
        limit_files(2000)
    elif model == "quite full":
        limit_files(0)
        progress("second", 0.5)
    elif model == "half":
        child.send = half  # type: ignore[assignment]
    elif model == "other shape":
        volume = Volume(volume.array[1:])
    elif model == "dies":
        print("Segmentation fault in the pretender.", file=sys.stderr, flush=True)
        os._exit(7)
    elif model == "bug":
        raise ZeroDivisionError("by none")
    elif model == "memory":
        raise MemoryError
    elif hasattr(errors, model):
        raise getattr(errors, model)(f"This is a {model}.")
    record = {"pid": os.getpid(), "model": model, "options": options, "labels": LABELS, "seconds": {}, "warnings": []}
    return volume.with_array((volume.array > 0).astype(np.uint8)), record


def limit_files(size: int) -> None:
    """Let no file of this process get longer than so many bytes."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def half(stream: IO[str], message: dict[str, Any]) -> None:
    """Write the first half of a message."""
    text = json.dumps(message)
    stream.write(text[: len(text) // 2] + "\n")
    stream.flush()


LABELS = [{"name": "Positive", "value": 1}]

pipeline.segment = segment  # type: ignore[assignment]
assert sys.argv[1:3] == ["-m", "LowResSegLib"]
sys.exit(main(sys.argv[3:]))
