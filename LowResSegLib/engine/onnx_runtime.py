"""The ONNX Runtime engine: the plan as a quantised graph, bit-identical to the numpy engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import onnxruntime

from LowResSegLib.engine.onnx_graph import onnx_model
from LowResSegLib.errors import BackendError
from LowResSegLib.model import Plan


@lru_cache(maxsize=2)  # a warm worker runs the same model again and again
def _session(plan: Plan, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads shall sleep: the computer has other work, Slicer's window first of all.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    content = onnx_model(plan).SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(plan: Plan, grid: np.ndarray, threads: int, step: Callable[[float], None]) -> np.ndarray:
    """Logits, int16 (classes, z, y, x), of a uint8 grid (z, y, x); see `engine.run`.

    Raises:
        BackendError: ONNX Runtime failed, for want of memory for example.
    """
    step(0.0)
    try:
        (logits,) = _session(plan, threads).run(["logits"], {"image": grid[None, None]})
    except Exception as error:  # its exceptions have no base class of their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BackendError(
            f"ONNX Runtime failed ({reason}); use the backend numpy, which needs less memory."
        ) from error
    step(1.0)
    return np.asarray(logits[0])
