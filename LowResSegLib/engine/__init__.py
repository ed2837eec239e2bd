"""Engines run a network on a low-resolution grid.

All of them run ternary plans, and give the same integers. A float network's ONNX graph is run by ONNX Runtime alone.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable
from types import ModuleType
from typing import Optional, Union

import numpy as np

from LowResSegLib import kernels
from LowResSegLib.errors import BackendError
from LowResSegLib.model import Model, OnnxNetwork, Plan
from LowResSegLib.model.plan import bytes_per_voxel

BACKENDS = ("native", "onnxruntime", "numpy")  # in order of preference

# Of the network's values that are alive at one time: as it was found with the brain model, and a quarter more.
_BYTES_A_VALUE = {"onnxruntime": 4.8, "numpy": 1.0}
_BYTES_A_RUN = {"onnxruntime": 60e6, "numpy": 8e6}

Step = Callable[[float], None]

cores = kernels.cores


def available_backends(model: Optional[Model] = None) -> tuple[str, ...]:
    """The backends that can run a model here, or without one any ternary model, the preferred one first."""
    if model is not None and model.kind == "onnx":
        return ("onnxruntime",) if importlib.util.find_spec("onnxruntime") else ()
    there = {
        "native": kernels.available(),
        "onnxruntime": all(importlib.util.find_spec(name) for name in ("onnxruntime", "onnx")),
        "numpy": True,
    }
    return tuple(name for name in BACKENDS if there[name])


def usable_backends(model: Optional[Model] = None) -> tuple[str, ...]:
    """The available backends without an ONNX Runtime that does not load, the preferred one first.

    Args:
        model: as for `available_backends`. None of them may run one with an ONNX graph; see `why_not`.
    """
    available = available_backends(model)
    if "onnxruntime" in available:
        try:
            _onnx_runtime(model is not None and model.kind == "onnx")
        except BackendError:
            return tuple(name for name in available if name != "onnxruntime")
    return available


def why_not(model: Model) -> Optional[str]:
    """Why nothing here can run a model, a sentence that says what to install; None where something can."""
    if model.kind != "onnx":
        return None
    if not available_backends(model):
        return (
            f"The model {model.name} needs the Python package onnxruntime; install it: pip install onnxruntime, in "
            'Slicer\'s Python console slicer.util.pip_install("onnxruntime").'
        )
    try:
        _onnx_runtime(True)
    except BackendError as error:
        return str(error)
    return None


def use_gpu() -> str:
    """Let float networks run on a GPU, in this process and in those that it starts; ternary ones stay where they are.

    Returns:
        ONNX Runtime's name of the provider.

    Raises:
        BackendError: there is no ONNX Runtime that has one.
    """
    advice = "install the package onnxruntime-gpu in place of onnxruntime, or leave the GPU out."
    if importlib.util.find_spec("onnxruntime") is None:
        raise BackendError(f"A GPU is used through ONNX Runtime, which is not installed; {advice}")
    _onnx_runtime(True)
    from LowResSegLib.engine.onnx_session import GPU_VARIABLE, gpu_provider

    provider = gpu_provider()
    if provider is None:
        raise BackendError(f"ONNX Runtime has no provider for a GPU here; {advice}")
    os.environ[GPU_VARIABLE] = "1"
    return provider


def choose_backend(wanted: str = "auto", model: Optional[Model] = None) -> str:
    """The backend to use.

    Args:
        wanted: `auto`, or one of BACKENDS.
        model: that shall be run; None means any ternary model.

    Raises:
        BackendError: the wanted one is unknown, not installed, or cannot run the model.
    """
    if wanted not in ("auto", *BACKENDS):
        raise BackendError(f"There is no backend named {wanted!r}; choose one of: auto, {', '.join(BACKENDS)}.")
    if model is not None and model.kind == "onnx":
        return _choose_for_graph(wanted, model)
    available = available_backends()
    if wanted == "auto":  # ONNX Runtime is not loaded where another one comes before it
        return available[0] if available[0] != "onnxruntime" else usable_backends()[0]
    if wanted == "native":
        kernels.library()  # says why not
    if wanted not in available:
        raise BackendError(f"The backend {wanted} needs a package that is not installed: pip install lowresseg[onnx].")
    return wanted


def _choose_for_graph(wanted: str, model: Model) -> str:
    if wanted not in ("auto", "onnxruntime"):
        raise BackendError(
            f"The model {model.name} has a float network, which ONNX Runtime alone runs; choose the backend auto or "
            f"onnxruntime instead of {wanted}."
        )
    problem = why_not(model)
    if problem:
        raise BackendError(problem)
    return "onnxruntime"


def run(
    network: Union[Plan, OnnxNetwork],
    grid: np.ndarray,
    backend: str,
    threads: Optional[int] = None,
    step: Optional[Step] = None,
) -> np.ndarray:
    """Logits of a grid.

    Args:
        network: a checked plan or graph.
        grid: uint8 (z, y, x), 0 to 127, sizes multiples of `network.size_divisor`.
        backend: one of `available_backends()`; for a graph `onnxruntime`.
        threads: at most so many; None means all cores.
        step: called with the share that is done, 0 to 1; may raise to stop.

    Returns:
        int16 (classes, z, y, x). Of a plan they are the same for every backend and number of threads. Of a graph they
        hang on how ONNX Runtime rounds: another version or processor may give a logit that is one unit away.

    Raises:
        BackendError: the backend failed, or cannot be loaded.
        ModelError: a graph gives logits that are no numbers.
    """
    report = step or (lambda share: None)
    if isinstance(network, OnnxNetwork):
        return _onnx_runtime(True).run(network, grid, threads or cores(), report)
    if backend == "numpy":
        from LowResSegLib.engine import reference

        return reference.run(network, grid, report)
    if backend == "native":
        from LowResSegLib.engine import native

        return native.run(network, grid, threads or cores(), report)
    return _onnx_runtime().run(network, grid, threads or cores(), report)


def memory(network: Union[Plan, OnnxNetwork], shape: tuple[int, ...], backend: str, threads: int) -> float:
    """About the bytes that a run on a grid (z, y, x) takes beside grid and logits; infinite where it cannot run it."""
    if isinstance(network, OnnxNetwork):
        return _onnx_runtime(True).memory(network, shape)
    if backend == "native":
        from LowResSegLib.engine import native

        return native.memory(network, shape, threads) or math.inf
    return _BYTES_A_RUN[backend] + _BYTES_A_VALUE[backend] * bytes_per_voxel(network.layers) * math.prod(shape)


def keeps_memory(network: Union[Plan, OnnxNetwork], backend: str) -> bool:
    """Whether a backend holds what a run took until the next one."""
    return backend == "onnxruntime" and not isinstance(network, OnnxNetwork)


def _onnx_runtime(graph: bool = False) -> ModuleType:
    """The engine's module for graphs or for plans, which loads ONNX Runtime; BackendError where that cannot be."""
    try:
        if graph:
            from LowResSegLib.engine import onnx_float

            return onnx_float
        from LowResSegLib.engine import onnx_runtime
    except ImportError as error:
        mend = "install it again" if graph else "repair it, or use the backend numpy"
        raise BackendError(f"ONNX Runtime cannot be loaded ({error}); {mend}.") from error
    return onnx_runtime
