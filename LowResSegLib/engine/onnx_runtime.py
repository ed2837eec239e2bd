"""The ONNX Runtime engine: the plan as a quantised graph, bit-identical to the numpy engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import onnxruntime

from LowResSegLib.engine.onnx_graph import onnx_model
from LowResSegLib.engine.onnx_session import RunFailed, open_session, run_session
from LowResSegLib.errors import BackendError
from LowResSegLib.model import Plan


@lru_cache(maxsize=2)  # a warm worker runs the same model again and again
def _session(plan: Plan, threads: int) -> onnxruntime.InferenceSession:
    return open_session(onnx_model(plan).SerializeToString(), threads, keeps_memory=True)


def run(plan: Plan, grid: np.ndarray, threads: int, step: Callable[[float], None]) -> np.ndarray:
    """Logits, int16 (classes, z, y, x), of a uint8 grid (z, y, x); see `engine.run`.

    Raises:
        BackendError: ONNX Runtime failed, for want of memory for example.
    """
    step(0.0)
    try:
        logits = run_session(_session(plan, threads), "logits", {"image": grid[None, None]}, lambda: step(0.0))
    except RunFailed as error:
        raise BackendError(f"ONNX Runtime failed ({error}); use the backend numpy, which needs less memory.") from error
    step(1.0)
    return logits[0]
