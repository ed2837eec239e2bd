"""How much memory a run needs, planned before any work, and how much this process holds."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Optional

from LowResSegLib import engine
from LowResSegLib.errors import BackendError, MemoryLimitError
from LowResSegLib.model import Model
from LowResSegLib.sampling import grid_size
from LowResSegLib.slabs import can_cut, cut
from LowResSegLib.volume import Volume

# Bytes. What cannot be counted ahead is taken somewhat larger than it was ever measured.
_SAMPLING = 24  # a voxel of the grid: intensities as float32, and what normalising them needs
_LABELLED = 12  # a voxel of the grid, without the native kernels: which ones have a structure
_PLANE = 24  # a voxel of a source slice and class, without the native kernels: interpolated logits
_FUSED = 40  # and where a fusion corrects them, too
_FIXED = 24e6  # libraries that are loaded on the way, threads, small things


def plan_memory(
    model: Model,
    volume: Volume,
    passes: int,
    backends: Sequence[str],
    threads: Optional[int],
    limit_mb: float,
    unread: float = 0.0,
) -> tuple[str, Optional[int]]:
    """The first backend that stays below a limit, and how many slices of the grid it takes at a time.

    Args:
        model: the model.
        volume: the volume; its size and geometry matter alone.
        passes: how often the network looks at it.
        backends: to choose from, the preferred one first.
        threads: see `engine.run`.
        limit_mb: what this process may hold, with what it holds now.
        unread: bytes of the volume that are not in memory yet.

    Returns:
        Backend, and the slices of a slab; None where the whole grid can be taken at once.

    Raises:
        MemoryLimitError: not even the thinnest slabs would fit.
        InputError: the volume's size makes no sense.
        BackendError: there is no backend to choose from.
    """
    if not backends:
        raise BackendError(engine.why_not(model) or f"There is no backend here that runs the model {model.name}.")
    divisor = model.grid.divisor
    grid = tuple(-(-size // divisor) * divisor for size in grid_size(volume, model.grid)[2])
    held = resident_bytes() + unread + _FIXED
    least = math.inf
    for backend in backends:
        thickness = grid[0]
        while True:
            needed = held + _peak(model, volume, passes, grid, backend, threads or engine.cores(), thickness)
            if needed <= limit_mb * 1e6:
                return backend, None if thickness == grid[0] else thickness
            least = min(least, needed)
            if thickness <= model.grid.divisor or not can_cut(model.network):
                break
            thickness = max(model.grid.divisor, thickness // 2 // model.grid.divisor * model.grid.divisor)
    how = "even slab by slab" if can_cut(model.network) else "(the model's network needs the whole scan at once)"
    raise MemoryLimitError(
        f"This needs about {least / 1e6:.0f} MB of memory {how}, more than the {limit_mb:g} MB that are "
        "allowed; allow more, crop the scan, or choose a model with a coarser grid."
    )


def _peak(
    model: Model, volume: Volume, passes: int, grid: tuple[int, ...], backend: str, threads: int, thickness: int
) -> float:
    """Bytes beside what is held already, at the worst moment."""
    voxels, plane = math.prod(grid), grid[1] * grid[2]
    slices = max(slab.stops - slab.begins for slab in cut(model.network, grid[0], thickness))
    logits = 2.0 * model.network.classes * slices * plane
    alive = min(passes, 2)  # logits at one time: the mean of passes, and the next one
    network = engine.memory(model.network, (slices, *grid[1:]), backend, threads) + alive * logits
    # Logits of a slab are copied where they are not those of the whole grid.
    labelling = logits * (alive + (thickness < grid[0]))
    if backend != "native":
        largest = volume.array.size / min(volume.array.shape)
        held = _PLANE if model.fusion is None else _PLANE + _FUSED
        labelling += _LABELLED * slices * plane + held * model.network.classes * largest
    if model.fusion is not None:  # levels of the slab's source voxels
        labelling += volume.array.size * min(1.0, (thickness + 1) / grid[0])
    if engine.keeps_memory(model.network, backend):
        labelling += network - alive * logits
    return max(
        (_SAMPLING + 2) * voxels,
        3 * voxels + volume.array.size + max(network, labelling),
    )


def resident_bytes() -> int:
    """What this process holds in memory now; its peak where the system does not tell."""
    if sys.platform == "linux":
        held = _status("VmRSS:")
        if held:
            return held
    return int(peak_memory_mb() * 1e6)


def peak_memory_mb() -> float:
    """Largest memory of this process so far, in MB; a process that has run before may report an earlier peak."""
    if sys.platform == "win32":
        return _peak_memory_windows() / 1e6
    if sys.platform == "linux":
        # Not getrusage: what that tells is handed on from a parent process to its child.
        peak = _status("VmHWM:")
        if peak:
            return peak / 1e6
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / 1e6 if sys.platform == "darwin" else largest * 1024 / 1e6


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


def _status(name: str) -> int:
    """A number of bytes from Linux's status of this process; 0 where it is not there."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next((int(line.split()[1]) * 1024 for line in status if line.startswith(name)), 0)
