"""The whole way of a volume: sampling, network, reconstruction, with progress, cancelling and a run record."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from LowResSegLib import engine
from LowResSegLib.errors import Cancelled, InputError
from LowResSegLib.model import Model, load_model
from LowResSegLib.reconstruction import reconstruct
from LowResSegLib.sampling import sample
from LowResSegLib.version import __version__
from LowResSegLib.volume import Volume

NOTICE = "For research use only. Not for diagnosis or treatment."

# Share of the whole run that each step is expected to take, for the progress bar.
_SHARES = {"model": 0.02, "sampling": 0.18, "network": 0.6, "reconstruction": 0.2}

Progress = Callable[[str, float], None]
Cancel = Callable[[], bool]


class _Steps:
    """Times the steps, reports progress over the whole run and stops where the user asks for it."""

    def __init__(self, progress: Optional[Progress], cancel: Optional[Cancel]) -> None:
        self.progress, self.cancel = progress, cancel
        self.seconds: dict[str, float] = {}
        self.began = self.last = time.perf_counter()
        self.done = 0.0

    def report(self, name: str) -> Callable[[float], None]:
        """A function that takes the share of step `name` that is done."""

        def step(share: float) -> None:
            if self.cancel is not None and self.cancel():
                raise Cancelled("The run was cancelled.")
            if self.progress is not None:
                self.progress(name, min(1.0, self.done + _SHARES[name] * share))

        step(0.0)
        return step

    def finish(self, name: str) -> None:
        """Close step `name`."""
        now = time.perf_counter()
        self.seconds[name] = round(now - self.last, 4)
        self.last = now
        self.done += _SHARES[name]


def peak_memory_mb() -> float:
    """Largest memory of this process so far, in MB; a process that has run before may report an earlier peak."""
    if sys.platform == "win32":
        return _peak_memory_windows() / 1e6
    if sys.platform == "linux":
        # Not getrusage: what that tells is handed on from a parent process to its child.
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            peaks = [line.split()[1] for line in status if line.startswith("VmHWM:")]
        if peaks:
            return int(peaks[0]) * 1024 / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _peak_memory_windows() -> int:
    import ctypes
    from ctypes import wintypes

    names = ["PeakWorkingSetSize", "WorkingSetSize", "a", "b", "c", "d", "PagefileUsage", "PeakPagefileUsage"]

    class Counters(ctypes.Structure):
        _fields_ = [("cb", wintypes.DWORD), ("PageFaultCount", wintypes.DWORD), *((n, ctypes.c_size_t) for n in names)]

    counters = Counters(cb=ctypes.sizeof(Counters))
    windll = ctypes.windll  # type: ignore[attr-defined]
    windll.kernel32.GetCurrentProcess.restype = wintypes.HANDLE
    windll.psapi.GetProcessMemoryInfo(
        wintypes.HANDLE(windll.kernel32.GetCurrentProcess()), ctypes.byref(counters), counters.cb
    )
    return int(counters.PeakWorkingSetSize)


def segment(
    volume: Volume,
    model: Union[str, Path, Model] = "brain",
    progress: Optional[Progress] = None,
    cancel: Optional[Cancel] = None,
    *,
    backend: str = "auto",
    threads: Optional[int] = None,
) -> tuple[Volume, dict[str, Any]]:
    """Segment a volume.

    Args:
        volume: the scan, of any orientation and spacing.
        model: name of an installed model, a model file, or a model.
        progress: called with the name of the step and the share of the whole run that is done, 0 to 1.
        cancel: asked again and again; where it returns true, the run ends with `Cancelled`. ONNX Runtime cannot
            be stopped inside the network.
        backend: `auto`, or one of `engine.BACKENDS`.
        threads: at most so many for the network; None means all cores. The numpy backend leaves threads to numpy,
            and its record says null.

    Returns:
        The labelmap (uint8, with the volume's own geometry), and the run record: a dict for JSON with `model`,
        `backend`, `labels` (name, value, volume_ml and more of each structure), `seconds` (of each step, and
        `total`), `peak_memory_mb` and what else describes the run. It names no person and no file.

    Raises:
        InputError: the volume cannot be segmented.
        ModelError: the model is unknown or refused.
        BackendError: the backend is not available.
        Cancelled: `cancel` returned true.
    """
    if threads is not None and threads < 1:
        raise InputError(f"The number of threads is at least 1, not {threads}.")
    steps = _Steps(progress, cancel)
    steps.report("model")
    network = load_model(model)
    chosen = engine.choose_backend(backend)
    steps.finish("model")
    low = sample(volume, network.grid, network.normalisation, steps.report("sampling"))
    steps.finish("sampling")
    logits = engine.run(network.plan, low.grid, chosen, threads, steps.report("network"))
    steps.finish("network")
    labelmap = volume.with_array(reconstruct(logits, low, steps.report("reconstruction")))
    steps.finish("reconstruction")
    if progress is not None:
        progress("done", 1.0)
    used = threads if chosen == "onnxruntime" else None
    return labelmap, _record(labelmap, network, chosen, used, low.grid.shape, steps)


def _record(
    labelmap: Volume,
    model: Model,
    backend: str,
    threads: Optional[int],
    grid: tuple[int, ...],
    steps: _Steps,
) -> dict[str, Any]:
    counts = np.bincount(labelmap.array.ravel(), minlength=len(model.labels))
    labels = [
        {**label.to_dict(), "volume_ml": round(float(counts[label.value]) * labelmap.voxel_volume_ml, 4)}
        for label in model.labels
        if label.value
    ]
    return {
        "notice": NOTICE,
        "lowresseg": __version__,
        "model": model.name,
        "model_sha256": model.digest,
        "model_limits": model.card.get("limits", ""),
        "backend": backend,
        "threads": threads,
        "shape": list(labelmap.array.shape[::-1]),
        "spacing_mm": list(labelmap.spacing),
        "grid_shape": list(grid[::-1]),
        "grid_spacing_mm": model.grid.spacing,
        "labels": labels,
        "seconds": {**steps.seconds, "total": round(steps.last - steps.began, 4)},
        "peak_memory_mb": round(peak_memory_mb(), 1),
    }
