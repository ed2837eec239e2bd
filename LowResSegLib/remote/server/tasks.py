"""What the server's worker processes do: from the body of a job to its result, both files of the job's folder.

A request has `work`, the JobRequest for JSON; `input`, `output` and `record`, paths; `threads`; `max_memory`, MB or
None; and `bell`, the path of what is rung when the task is over. The answer has the `bytes` and the `sha256` of the
result.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from LowResSegLib import engine, kernels, pipeline
from LowResSegLib.confidence import Confidence
from LowResSegLib.errors import Cancelled, InputError, LowResSegError, MemoryLimitError, ModelError
from LowResSegLib.inference import logits_of
from LowResSegLib.memory import peak_memory_mb
from LowResSegLib.model import Model, load_model
from LowResSegLib.model.plan import MAX_INTENSITY
from LowResSegLib.reduction import reduce
from LowResSegLib.remote.packed import Pieces, pack_labels, pack_logits, read_body
from LowResSegLib.remote.protocol import JobRequest
from LowResSegLib.remote.server.bell import ring
from LowResSegLib.sampling import LowResolution, Orientation
from LowResSegLib.version import __version__
from LowResSegLib.volume import Volume

Report = Callable[[str, float], None]
Cancel = Callable[[], bool]

# Shares of a grid job that are done when a step begins.
_NETWORK, _REDUCTION, _PACKING = 0.02, 0.85, 0.95


def run_grid(request: dict[str, Any], progress: Report, cancel: Cancel) -> dict[str, Any]:
    """Grids to reduced logits."""
    began = time.perf_counter()
    job = JobRequest.from_dict(request["work"])
    model = _model(job)

    def step(name: str, first: float, last: float) -> Callable[[float], None]:
        def report(share: float) -> None:
            if cancel():
                raise Cancelled("The run was cancelled.")
            progress(name, first + (last - first) * share)

        report(0.0)
        return report

    step("reading", 0.0, _NETWORK)
    grids = _body(request, job)
    if int(grids.max()) > MAX_INTENSITY:
        raise InputError(f"The grid has values above {MAX_INTENSITY}; the client must sample it for the model.")
    passes, threads = job.passes or model.passes, request["threads"]
    backend = engine.choose_backend("auto", model)
    seconds = {"reading": time.perf_counter() - began}
    network = step("network", _NETWORK, _REDUCTION)
    before = time.perf_counter()
    logits = logits_of(model, list(grids), passes, backend, threads, network)
    seconds["network"] = time.perf_counter() - before
    assert job.size is not None
    confidence = None
    reduction = step("reduction", _REDUCTION, _PACKING)
    linear = model.fusion is None
    if job.confidence:
        confidence = _confidence(logits, model, job.size, lambda: reduction(0.0))
    before = time.perf_counter()
    # A model that looks at the scan once more needs all logits: how far the winner leads, and by how much.
    reduced = (
        reduce(logits, job.size, threads, reduction)
        if linear
        else logits[(slice(None), *(slice(0, n) for n in job.size))]
    )
    del logits
    seconds["reduction"] = time.perf_counter() - before
    step("packing", _PACKING, 1.0)
    before = time.perf_counter()
    packed = pack_logits(reduced, confidence, job.answer)
    seconds["packing"] = time.perf_counter() - before
    seconds["total"] = time.perf_counter() - began
    record = {
        "notice": pipeline.NOTICE,
        "lowresseg": __version__,
        "model": model.name,
        "model_sha256": model.digest,
        "backend": backend,
        "threads": None if backend == "numpy" else threads or engine.cores(),
        "instruction_set": kernels.instruction_sets()[-1] if backend == "native" else None,
        "passes": passes,
        "seconds": seconds,
        "peak_memory_mb": round(peak_memory_mb(), 1),
    }
    return _write(request, record, packed)


def run_volume(request: dict[str, Any], progress: Report, cancel: Cancel) -> dict[str, Any]:
    """A volume to its labelmap, as the command line makes it here."""
    job = JobRequest.from_dict(request["work"])
    model = _model(job)
    array = _body(request, job)
    spacing, origin = ((float(v[0]), float(v[1]), float(v[2])) for v in (job.spacing, job.origin))
    volume = Volume(array, spacing, origin, job.direction, job.modality)
    try:
        labelmap, record = pipeline.segment(
            volume,
            model,
            progress,
            cancel,
            threads=request["threads"],
            not_a_labelmap=job.not_a_labelmap,
            max_memory=request["max_memory"],
            passes=job.passes,
        )
    except MemoryLimitError as error:  # another computer may have the memory, so it is no fault of the scan
        raise LowResSegError(str(error)) from error
    return _write(request, record, pack_labels(labelmap.array, job.answer))


Task = Callable[[dict[str, Any], Report, Cancel], dict[str, Any]]


def _ringing(task: Task) -> Task:
    """A task that rings the request's bell when it is over, however it ended."""

    def run(request: dict[str, Any], progress: Report, cancel: Cancel) -> dict[str, Any]:
        try:
            return task(request, progress, cancel)
        finally:
            ring(request["bell"])

    return run


# For the server's worker processes.
TASKS = {"remote_grid": _ringing(run_grid), "remote_volume": _ringing(run_volume)}


def _model(job: JobRequest) -> Model:
    """The model of a job; it may have been replaced since the job was taken."""
    model = load_model(job.model)
    if model.digest != job.digest:
        raise ModelError(f"The server's model {job.model} has been replaced meanwhile; run it again.")
    return model


def _body(request: dict[str, Any], job: JobRequest) -> np.ndarray:
    with Path(request["input"]).open("rb") as stream:
        return read_body(stream, job.shape, job.dtype, job.encoding)


def _confidence(logits: np.ndarray, model: Model, size: tuple[int, ...], step: Callable[[], None]) -> np.ndarray:
    """Percent on the used part of a grid, as `segment_with_confidence` has it."""
    unturned = Orientation((0, 1, 2), (False, False, False))
    low = LowResolution(np.empty((0, 0, 0), np.uint8), size, unturned, size, (1, 1, 1), 1)  # its size alone is read
    seen = Confidence(low, len(model.labels), model.network.logit_unit)
    seen.add(logits, 0, size[0], step)
    return seen.percent


def _write(request: dict[str, Any], record: dict[str, Any], pieces: Pieces) -> dict[str, Any]:
    """Write the record, then the result, each in one piece; returns what is told of the result."""
    digest = hashlib.sha256()

    def hash_all() -> None:
        for piece in pieces:
            digest.update(piece)

    hashing = threading.Thread(target=hash_all)
    hashing.start()  # beside writing: neither holds Python's lock
    try:
        for name, content in (("record", [json.dumps(record).encode()]), ("output", pieces)):
            path = Path(request[name])
            temporary = path.with_name(f".{path.name}")
            with temporary.open("wb") as stream:
                stream.writelines(content)
            os.replace(temporary, path)
    finally:
        hashing.join()
    return {"bytes": sum(map(len, pieces)), "sha256": digest.hexdigest()}
