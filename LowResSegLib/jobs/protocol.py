"""What the two sides of a worker process say to each other.

One JSON object a line. Requests go to the child's standard input:

    {"folder": PATH}                               once, first: what to remove if the parent dies
    {"id": 1, "task": "segment", "folder": PATH, "volume": VOLUME, "model": ..., "confidence": ..., "options": {...}}
    {"id": 2, "task": "segment_file", "path": ..., "output_base": ..., "staging": PATH, "model": ..., "formats": [...],
     "overwrite": ..., "frame": ..., "confidence": ..., "options": {...}}
    {"id": 3, "task": "measure", "model": ..., "backend": ..., "threads": ...}
    {"id": 4, "task": "compare", "folder": PATH, "first": [LAYER, ...], "second": [LAYER, ...], "names": [..., ...]}
    {"id": 1, "cancel": true}

VOLUME is {"array": PATH.npy, "spacing": ..., "origin": ..., "direction": ..., "modality": ...}; a LAYER has "labels"
besides. `options` are further ones of `segment`: backend, threads, not_a_labelmap, max_memory, passes. `folder` of a
request is where the child leaves arrays of its result, `staging` a folder that it makes beside the results and that
the parent removes if the child could not. The child answers with

    {"ready": PROCESS ID}
    {"id": 1, "step": ..., "fraction": ...}
    {"id": 1, "result": {...}}
    {"id": 1, "error": CLASS, "message": ...}

where the result has, by task: "labelmap": VOLUME, "confidence": VOLUME or null, "record"; "record"; "speed";
"comparison", "difference": [LAYER].

The answers go to a file, not through a pipe: reading a file never blocks and needs no thread, on any system.
"""

from __future__ import annotations

import json
from typing import IO, Any

from LowResSegLib import errors
from LowResSegLib.errors import LowResSegError

# How long a job may take to stop when it is asked to, before its process is ended.
CANCEL_SECONDS = 1.0
# The child's exit status where it cannot write its answers (EX_IOERR of sysexits).
CANNOT_ANSWER = 74


def send(stream: IO[str], message: dict[str, Any]) -> None:
    """Write one message; OSError (a broken pipe) or ValueError (a closed file) is the caller's to handle."""
    stream.write(json.dumps(message) + "\n")
    stream.flush()


def error_message(error: BaseException) -> dict[str, Any]:
    """Return the part of an answer that tells an error."""
    if isinstance(error, LowResSegError):
        return {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, MemoryError):
        text = "There is not enough memory for this scan; close other programs or use a machine with more."
    else:
        text = f"The job failed unexpectedly ({type(error).__name__}: {error}); please report it."
    return {"error": LowResSegError.__name__, "message": text}


def error_from(answer: dict[str, Any]) -> LowResSegError:
    """Return the error that an answer tells, of the class that it was on the other side."""
    kind = getattr(errors, str(answer.get("error")), None)
    if not (isinstance(kind, type) and issubclass(kind, LowResSegError)):
        kind = LowResSegError
    return kind(str(answer.get("message", "")))
