"""What a model's steps cost on this computer, measured, and remembered in the user's cache folder."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Optional

import numpy as np

from LowResSegLib import engine, kernels
from LowResSegLib.confidence import Confidence
from LowResSegLib.errors import InputError
from LowResSegLib.estimate.timing import interleaved
from LowResSegLib.model import Model
from LowResSegLib.model.plan import MAX_LOGIT, bytes_per_voxel
from LowResSegLib.reconstruction import reconstruct
from LowResSegLib.sampling import sample
from LowResSegLib.version import __version__
from LowResSegLib.volume import Volume, replacing

_EDGE = 64  # about so many voxels has the grid on which a model is measured along each axis
_ROUNDS = 3
_LEAST_EDGE = 8  # of the grid on which what does not grow with the volume is measured; 1 voxel has no contrast
_BLOCK = 8  # edge of a structure on that grid
_BOX = 0.74  # the structures' box has about so much of the volume's edges, which makes 0.4 of its voxels
_LOGIT = 100  # of the winning class, before those of all others
_SURE = 40  # times this, no class competes
_KEPT = 100  # measurements that are remembered
# Of the network's values that are alive at one time, as `python benchmarks/engine.py --parts growth` finds it.
_BYTES_A_VALUE = {"onnxruntime": 3.8, "numpy": 0.8}


@dataclass(frozen=True)
class Speed:
    """What the steps of a run cost with one model, backend and number of threads, in a process that has run before.

    Attributes:
        backend: one of `engine.BACKENDS`.
        instruction_set: of the native kernels; empty for other backends.
        threads: at most so many.
        sampling, reconstruction: seconds a voxel of the volume.
        network: seconds a voxel of the model's grid.
        fixed: seconds a run, however small the volume is.
        memory: bytes that the engine holds for a voxel of the grid.
        confidence: seconds a voxel of the model's grid, where a confidence map is made.
    """

    backend: str
    instruction_set: str
    threads: int
    sampling: float
    network: float
    reconstruction: float
    fixed: float
    memory: float
    confidence: float

    def gmac_per_second(self, model: Model) -> float:
        """Thousand millions of multiply-accumulates (here: additions) a second, zero weights counted too."""
        return model.network.operations_per_voxel() / self.network / 1e9


def measure(
    model: Model,
    threads: Optional[int] = None,
    backend: str = "auto",
    step: Optional[Callable[[float], None]] = None,
) -> Speed:
    """Measure a model here, for about a second; several where numpy alone runs it.

    Args:
        model: the model.
        threads: at most so many; None means all cores.
        backend: `auto`, or one of `engine.BACKENDS`.
        step: called again and again; may raise to stop.

    Raises:
        BackendError: the backend is not available.
    """
    chosen, count = engine.choose_backend(backend, model), threads or engine.cores()
    edge = measured_shape(model)[0]
    large, small = (
        {name: statistics.median(times) for name, times in interleaved(runs, _ROUNDS).items()}
        for runs in (_steps(model, size, chosen, count, step) for size in (edge, _multiple(model, _LEAST_EDGE)))
    )
    return Speed(
        backend=chosen,
        instruction_set=instruction_set(chosen),
        threads=count,
        sampling=large["sampling"] / (2 * edge) ** 3,
        network=large["network"] / edge**3,
        reconstruction=large["reconstruction"] / (2 * edge) ** 3,
        fixed=sum(small[name] for name in ("sampling", "network", "reconstruction")),
        memory=_engine_memory(model, chosen, count),
        confidence=large["confidence"] / edge**3,
    )


def _engine_memory(model: Model, backend: str, threads: int) -> float:
    """Bytes a voxel of the grid."""
    edge = 2 * measured_shape(model)[0]
    if model.kind == "onnx":  # by the difference, since what there is besides is large
        larger, smaller = (engine.memory(model.network, (size,) * 3, backend, threads) for size in (edge, edge // 2))
        return (larger - smaller) / (edge**3 - (edge // 2) ** 3)
    if backend != "native":
        return _BYTES_A_VALUE[backend] * bytes_per_voxel(model.plan.layers)
    from LowResSegLib.engine import native

    return native.memory(model.plan, (edge,) * 3, threads) / edge**3


def measured_shape(model: Model) -> tuple[int, int, int]:
    """Shape (z, y, x) of the grid on which a model is measured, a cube."""
    edge = _multiple(model, _EDGE)
    return edge, edge, edge


def _multiple(model: Model, least: int) -> int:
    """The least size of a grid of the model that is not below this."""
    return -(-least // model.grid.divisor) * model.grid.divisor


def instruction_set(backend: str) -> str:
    """The instruction set that the native kernels use here; empty for other backends."""
    return kernels.instruction_sets()[-1] if backend == "native" and kernels.available() else ""


def speed_here(
    model: Model,
    threads: Optional[int] = None,
    backend: str = "auto",
    again: bool = False,
    step: Optional[Callable[[float], None]] = None,
) -> Speed:
    """The speed as it was measured here before, or else (or `again`) as it is measured now; see `measure`."""
    chosen, count = engine.choose_backend(backend, model), threads or engine.cores()
    name = [__version__, model.digest, processor(), os.cpu_count(), chosen, instruction_set(chosen), count]
    key, path = json.dumps(name), _cache_folder() / "speed.json"
    known: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):  # not there, or not whole
        content = json.loads(path.read_text(encoding="utf-8"))
        known = content if isinstance(content, dict) else {}
    if not again:
        with contextlib.suppress(KeyError, TypeError):
            return Speed(**known[key])
    speed = measure(model, count, chosen, step)
    known.pop(key, None)
    kept = dict([*known.items(), (key, asdict(speed))][-_KEPT:])
    with contextlib.suppress(OSError, InputError):  # it is measured once more next time
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return speed


def processor() -> str:
    """The processor's name, as far as the system tells."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown"


def _cache_folder() -> Path:
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
    elif sys.platform == "darwin":
        base = os.path.join(home, "Library", "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    return Path(base) / "LowResSeg"


def _steps(
    model: Model, edge: int, backend: str, threads: int, step: Optional[Callable[[float], None]] = None
) -> dict[str, Callable[[], object]]:
    """The steps of a run on a cube of noise whose grid has so many voxels along each edge, twice as many itself."""
    generator = np.random.default_rng(0)
    low_value, high_value = model.normalisation.window or (0, 1000)
    values = generator.uniform(low_value, high_value, (2 * edge,) * 3).astype(np.float32)
    volume = Volume(values.clip(-32000, 32000).astype(np.int16), (model.grid.spacing / 2,) * 3)
    low = sample(volume, model.grid, model.normalisation, threads=threads)
    # Structures of some size, as reconstruction skips what lies well inside one.
    blocks = generator.integers(0, model.network.classes, (-(-edge // _BLOCK),) * 3)
    labels = blocks.repeat(_BLOCK, 0).repeat(_BLOCK, 1).repeat(_BLOCK, 2)[:edge, :edge, :edge]
    margin = round(edge * (1 - _BOX) / 2)
    inside = np.zeros_like(labels)
    inside[(slice(margin, edge - margin),) * 3] = 1
    logits = np.stack([_LOGIT * (labels * inside == value) for value in range(model.network.classes)]).astype(np.int16)
    # The network is sure outside the structures' box, and nowhere in it.
    contested = np.where(inside, logits // _LOGIT, logits * _SURE).astype(np.int16)
    heard = None if step is None else partial(step, 0.0)
    fusion = model.fusion
    # Other classes take part of a fusion near borders, and nowhere else.
    sure = logits if fusion is None else (logits // _LOGIT * min(MAX_LOGIT, 3 * fusion.lead_reach)).astype(np.int16)
    return {
        "sampling": lambda: sample(volume, model.grid, model.normalisation, step, threads),
        "network": lambda: engine.run(model.network, low.grid, backend, threads, step),
        "reconstruction": lambda: reconstruct(sure, low, step, threads, fusion),
        "confidence": lambda: Confidence(low, model.network.classes, model.network.logit_unit).add(
            contested, 0, edge, heard
        ),
    }
