"""Engines run a plan on a low-resolution grid. All give the same integers."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from types import ModuleType
from typing import Optional

import numpy as np

from LowResSegLib import kernels
from LowResSegLib.errors import BackendError
from LowResSegLib.model import Plan
from LowResSegLib.model.plan import bytes_per_voxel

BACKENDS = ("native", "onnxruntime", "numpy")  # in order of preference

# Of the network's values that are alive at one time: as it was found with the brain model, and a quarter more.
_BYTES_A_VALUE = {"onnxruntime": 4.8, "numpy": 1.0}
_BYTES_A_RUN = {"onnxruntime": 60e6, "numpy": 8e6}

Step = Callable[[float], None]

cores = kernels.cores


def available_backends() -> tuple[str, ...]:
    """The backends that can be used here, the preferred one first."""
    there = {
        "native": kernels.available(),
        "onnxruntime": all(importlib.util.find_spec(name) for name in ("onnxruntime", "onnx")),
        "numpy": True,
    }
    return tuple(name for name in BACKENDS if there[name])


def usable_backends() -> tuple[str, ...]:
    """The available backends without an ONNX Runtime that does not load, the preferred one first."""
    available = available_backends()
    if "onnxruntime" in available:
        try:
            _onnx_runtime()
        except BackendError:
            return tuple(name for name in available if name != "onnxruntime")
    return available


def choose_backend(wanted: str = "auto") -> str:
    """The backend to use; raises BackendError where the wanted one is unknown or not installed."""
    available = available_backends()
    if wanted == "auto":  # ONNX Runtime is not loaded where another one comes before it
        return available[0] if available[0] != "onnxruntime" else usable_backends()[0]
    if wanted not in BACKENDS:
        raise BackendError(f"There is no backend named {wanted!r}; choose one of: auto, {', '.join(BACKENDS)}.")
    if wanted == "native":
        kernels.library()  # says why not
    if wanted not in available:
        raise BackendError(f"The backend {wanted} needs a package that is not installed: pip install lowresseg[onnx].")
    return wanted


def run(
    plan: Plan, grid: np.ndarray, backend: str, threads: Optional[int] = None, step: Optional[Step] = None
) -> np.ndarray:
    """Logits of a grid.

    Args:
        plan: a checked plan.
        grid: uint8 (z, y, x), 0 to 127, sizes multiples of `plan.size_divisor`.
        backend: one of `available_backends()`.
        threads: at most so many; None means all cores.
        step: called with the share that is done, 0 to 1; may raise to stop.

    Returns:
        int16 (classes, z, y, x), the same for every backend and number of threads.
    """
    report = step or (lambda share: None)
    if backend == "numpy":
        from LowResSegLib.engine import reference

        return reference.run(plan, grid, report)
    if backend == "native":
        from LowResSegLib.engine import native

        return native.run(plan, grid, threads or cores(), report)
    return _onnx_runtime().run(plan, grid, threads or cores(), report)


def memory(plan: Plan, shape: tuple[int, ...], backend: str, threads: int) -> float:
    """About the bytes that a run on a grid (z, y, x) takes beside grid and logits; infinite where it cannot run it."""
    if backend == "native":
        from LowResSegLib.engine import native

        return native.memory(plan, shape, threads) or math.inf
    return _BYTES_A_RUN[backend] + _BYTES_A_VALUE[backend] * bytes_per_voxel(plan.layers) * math.prod(shape)


def _onnx_runtime() -> ModuleType:
    """The engine's module, which loads ONNX Runtime; raises BackendError where that cannot be loaded."""
    try:
        from LowResSegLib.engine import onnx_runtime
    except ImportError as error:
        raise BackendError(f"ONNX Runtime cannot be loaded ({error}); repair it, or use the backend numpy.") from error
    return onnx_runtime
