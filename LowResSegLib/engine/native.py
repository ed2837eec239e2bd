"""The native engine: a plan as bytes for the bit-plane kernels, and its run as a job of their threads."""

from __future__ import annotations

import ctypes
import struct
import weakref
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Optional

import numpy as np

from LowResSegLib import kernels
from LowResSegLib.errors import BackendError
from LowResSegLib.model import Plan
from LowResSegLib.model.plan import OPERATIONS

_MAGIC, _VERSION = b"LRSN", 1


def network_bytes(plan: Plan) -> bytes:
    """A plan in the form that the library reads (`kernels/src/network.h`)."""
    pieces = [_MAGIC, struct.pack("<2i", _VERSION, len(plan.layers))]
    for layer in plan.layers:
        kernel = (0, 0, 0) if layer.weights is None else layer.kernel
        head = (OPERATIONS.index(layer.operation), layer.channels, *kernel, *layer.factor, len(layer.inputs))
        pieces.append(struct.pack(f"<9i{len(layer.inputs)}i", *head, *layer.inputs))
        if layer.weights is not None:
            pieces.append(layer.weights.astype("<i2" if layer.operation == "logits" else "i1").tobytes())
        numbers = (layer.offset,) if layer.operation == "logits" else (layer.lower, layer.upper)
        pieces.extend(array.astype("<i4").tobytes() for array in numbers if array is not None)
    return b"".join(pieces)


@lru_cache(maxsize=2)  # a warm worker runs the same model again and again
def _network(plan: Plan) -> Any:
    """The library's own form of a plan; it is freed when nobody holds this object any more."""
    library, content = kernels.library(), network_bytes(plan)
    handle = ctypes.c_void_p()
    kernels.check(library.lrs_network_read(content, len(content), ctypes.byref(handle)))
    finalizer = weakref.finalize(handle, library.lrs_network_free, ctypes.c_void_p(handle.value))
    finalizer.atexit = False  # a thread may still run it then
    return handle


def _number_of(instruction_set: Optional[str]) -> int:
    """The library's number of an instruction set; raises BackendError where it is not there."""
    if instruction_set is None:
        return kernels.BEST
    if instruction_set not in kernels.instruction_sets():
        there = ", ".join(kernels.instruction_sets())
        raise BackendError(f"The instruction set {instruction_set!r} is not there; this processor has: {there}.")
    return kernels.INSTRUCTION_SETS.index(instruction_set)


def memory(plan: Plan, shape: tuple[int, ...], threads: int, instruction_set: Optional[str] = None) -> int:
    """Bytes that a run on a grid (z, y, x) holds beside the grid and its logits."""
    sizes = (ctypes.c_int32 * 3)(*shape)
    number = _number_of(instruction_set)
    return int(kernels.library().lrs_network_memory(_network(plan), sizes, threads, number))


def run(
    plan: Plan,
    grid: np.ndarray,
    threads: int,
    step: Callable[[float], None],
    instruction_set: Optional[str] = None,
) -> np.ndarray:
    """Logits, int16 (classes, z, y, x), of a uint8 grid (z, y, x); see `engine.run`.

    Args:
        plan: see `engine.run`.
        grid: see `engine.run`.
        threads: at most so many.
        step: see `engine.run`.
        instruction_set: one of `kernels.instruction_sets()`; None means the best one.

    Raises:
        BackendError: the library is not there or refuses.
        MemoryError: there is not enough memory.
    """
    library = kernels.library()
    network = _network(plan)
    grid = np.ascontiguousarray(grid, np.uint8)
    logits = np.empty((plan.classes, *grid.shape), np.int16)
    job = ctypes.c_void_p()
    step(0.0)
    kernels.check(
        library.lrs_network_start(
            network,
            (ctypes.c_int32 * 3)(*grid.shape),
            grid.ctypes.data,
            grid.nbytes,
            logits.ctypes.data,
            logits.nbytes,
            threads,
            _number_of(instruction_set),
            ctypes.byref(job),
        )
    )
    kernels.run_job(job, step)
    return logits
