"""ONNX Runtime's sessions: how they are set up, run and stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Optional

import numpy as np
import onnxruntime

GPU_VARIABLE = "LOWRESSEG_GPU"  # of the environment: 1 lets float networks run on a GPU
_GPU_PROVIDERS = (
    "CUDAExecutionProvider",
    "ROCMExecutionProvider",
    "MIGraphXExecutionProvider",
    "DmlExecutionProvider",
    "CoreMLExecutionProvider",
)
_POLL = 0.05  # seconds between two looks at whether the run shall stop


class RunFailed(Exception):
    """ONNX Runtime failed; its own exceptions have no base class of their own. The text is its first line."""


def gpu_provider() -> Optional[str]:
    """By what this ONNX Runtime uses a GPU; None where it has nothing for one."""
    there = onnxruntime.get_available_providers()
    return next((provider for provider in _GPU_PROVIDERS if provider in there), None)


def open_session(content: bytes, threads: int, keeps_memory: bool, gpu: bool = False) -> onnxruntime.InferenceSession:
    """A session for the processor, or for a GPU.

    Args:
        content: the graph, an ONNX file's bytes.
        threads: at most so many.
        keeps_memory: keep what a run took for the next one.
        gpu: run what a GPU can run there, if ONNX Runtime has a provider for one, and the rest on the processor.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is told as an exception
    options.enable_cpu_mem_arena = keeps_memory
    # Idle threads shall sleep: the computer has other work, Slicer's window first of all.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    fast = gpu_provider() if gpu else None
    providers = ["CPUExecutionProvider"] if fast is None else [fast, "CPUExecutionProvider"]
    return onnxruntime.InferenceSession(content, options, providers=providers)


def run_session(
    session: onnxruntime.InferenceSession, output: str, inputs: Mapping[str, np.ndarray], look: Callable[[], None]
) -> np.ndarray:
    """One output of a session.

    Args:
        session: see `open_session`.
        output: its name.
        inputs: by name.
        look: called again and again while the session runs; where it raises, the session stops after the operator
            that it is working on, and what was raised is raised.

    Raises:
        RunFailed: ONNX Runtime failed.
    """
    options = onnxruntime.RunOptions()
    found: list[Any] = []
    failed: list[Exception] = []

    def work() -> None:
        try:
            found.extend(session.run([output], dict(inputs), options))
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            thread.join(_POLL)
            if not thread.is_alive():
                break
            look()
    except BaseException:
        options.terminate = True
        thread.join()
        raise
    if failed:
        raise RunFailed(reason_of(failed[0])) from failed[0]
    return np.asarray(found[0])


def reason_of(error: Exception) -> str:
    """The first line of what ONNX Runtime says."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
