"""A float network's graph, run by ONNX Runtime; needs the package onnxruntime alone, not onnx."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import onnxruntime

from LowResSegLib.engine.onnx_session import GPU_VARIABLE, RunFailed, open_session, reason_of, run_session
from LowResSegLib.errors import BackendError, ModelError
from LowResSegLib.model import OnnxNetwork
from LowResSegLib.model.onnx_network import INTENSITY_SCALE
from LowResSegLib.model.plan import MAX_LOGIT

_SLICES = 16  # of a network of slices, at a time
# Of values that are alive at one time, of the graph, and besides: somewhat more than was found with networks of some MB
# on grids of 64 to 96 voxels along each axis, run again and again, as the C library keeps some of what was given back.
_SHARE, _COPIES, _FIXED = 1.2, 3, 90e6


@lru_cache(maxsize=2)  # a warm worker runs the same model again and again
def _session(network: OnnxNetwork, threads: int, gpu: bool) -> onnxruntime.InferenceSession:
    try:
        # A float network takes hundreds of MB, which other programs may need between two runs.
        return open_session(network.content, threads, keeps_memory=False, gpu=gpu)
    except Exception as error:  # its exceptions have no base class of their own
        raise BackendError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load the model's network ({reason_of(error)}); "
            "update onnxruntime, or choose another model."
        ) from error


def run(network: OnnxNetwork, grid: np.ndarray, threads: int, step: Callable[[float], None]) -> np.ndarray:
    """Logits, int16 (classes, z, y, x), of a uint8 grid (z, y, x); see `engine.run`.

    Raises:
        BackendError: ONNX Runtime cannot load the graph, or failed, for want of memory for example.
        ModelError: the network's logits are no numbers.
    """
    step(0.0)
    session = _session(network, threads, os.environ.get(GPU_VARIABLE) == "1")
    thickness = _SLICES if network.slices else len(grid)
    logits = np.empty((network.classes, *grid.shape), np.int16)
    for first in range(0, len(grid), thickness):
        part = grid[first : first + thickness]
        shape = network.input_shape(part.shape)
        image = (part.astype(np.float32) / np.float32(INTENSITY_SCALE)).reshape(shape)

        def look(done: float = first / len(grid)) -> None:
            step(done)

        try:
            values = run_session(session, network.graph.output, {network.graph.input: image}, look)
        except RunFailed as error:
            raise BackendError(
                f"ONNX Runtime failed ({error}); crop the scan, set a limit of memory so that it is taken in parts, or "
                "choose another model."
            ) from error
        values = values.transpose(1, 0, 2, 3) if network.slices else values[0]
        if values.shape != (network.classes, *part.shape):
            raise ModelError("The model's network does not give one logit for each class and voxel.")
        for own, value in zip(logits, values):
            own[first : first + thickness] = _integers(value, network.logit_unit)
        step((first + len(part)) / len(grid))
    return logits


def _integers(values: np.ndarray, unit: float) -> np.ndarray:
    """Logits in units, rounded half to even, clipped to the range that reconstruction takes."""
    with np.errstate(all="ignore"):
        scaled = np.rint(values / np.float32(unit))
    if np.isnan(scaled).any():
        raise ModelError("The model's network gives logits that are no numbers; it is damaged, or was trained badly.")
    return np.clip(scaled, -MAX_LOGIT, MAX_LOGIT).astype(np.int16)


def memory(network: OnnxNetwork, shape: tuple[int, ...]) -> float:
    """About the bytes that a run on a grid (z, y, x) takes beside grid and integer logits."""
    at_a_time = (min(shape[0], _SLICES), *shape[1:]) if network.slices else shape
    costs = network.costs(at_a_time)
    return _FIXED + _COPIES * len(network.content) + costs.fixed + _SHARE * costs.memory
