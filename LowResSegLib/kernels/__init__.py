"""The native kernels: portable C behind a plain C interface, called through ctypes.

One shared library serves every Python. It is built with the package (`pip install .`) or as a part of the Slicer
extension, and lies beside this file; without it everything works on, on other backends. The environment variable
LOWRESSEG_KERNELS names another library file, or is `none` to do without.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

from LowResSegLib.errors import BackendError
from LowResSegLib.kernels.elf import is_cut_off
from LowResSegLib.kernels.structures import Corrections, Layout, Places, Taps

INTERFACE_VERSION = 4
INSTRUCTION_SETS = ("word", "sse2", "avx2", "avx512", "neon")  # in the order of the library's numbers
BEST = -1

_DONE, _RUNNING, _CANCELLED, _NO_MEMORY, _BAD_ARGUMENT, _BAD_NETWORK, _NO_THREADS = range(7)
_REASONS = {
    _NO_MEMORY: "there is not enough memory",
    _BAD_ARGUMENT: "it was given sizes or numbers that do not fit",
    _BAD_NETWORK: "it does not know such a network",
    _NO_THREADS: "the system allows no further thread",
}
_FILE_NAMES = {"win32": "lowresseg.dll", "darwin": "liblowresseg.dylib"}


class _Progress(ctypes.Structure):
    _fields_ = [
        ("status", ctypes.c_int32),
        ("phase", ctypes.c_int32),
        ("phases", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("share", ctypes.c_double),
        ("memory", ctypes.c_uint64),
    ]


def _candidates() -> list[Path]:
    """Where the library may lie: beside this file, or, of an editable installation, in the environment.

    The package's path has both places then. Other entries of sys.path are not looked at, lest a library of another
    version be taken.
    """
    name = _FILE_NAMES.get(sys.platform, "liblowresseg.so")
    return [Path(folder) / name for folder in __path__]


@lru_cache(maxsize=1)
def _load() -> tuple[Optional[ctypes.CDLL], str]:
    """The library, or None and the reason."""
    wanted = os.environ.get("LOWRESSEG_KERNELS", "")
    if wanted == "none":
        return None, "they were switched off (LOWRESSEG_KERNELS=none)"
    files = [Path(wanted)] if wanted else [path for path in _candidates() if path.is_file()]
    if not files:
        return None, "they are not part of this installation (to have them, install LowResSeg where a C compiler is)"
    try:
        if is_cut_off(files[0]):  # the loader would map what is not there, and the first access end this process
            return None, f"{files[0].name} is damaged: its end is missing (install LowResSeg again)"
        library = ctypes.CDLL(str(files[0]))
        if library.lrs_interface_version() != INTERFACE_VERSION:
            return None, f"{files[0].name} is of another version of LowResSeg"
        _declare(library)
    except (OSError, AttributeError) as error:
        return None, f"{files[0].name} cannot be loaded ({error})"
    return library, ""


def _declare(library: ctypes.CDLL) -> None:
    """Types of all functions, so that a wrong call is refused by ctypes."""
    pointer, number, size = ctypes.c_void_p, ctypes.c_int32, ctypes.c_size_t
    numbers, job, stride = ctypes.POINTER(number), ctypes.POINTER(pointer), ctypes.c_int64
    real, array = ctypes.c_float, [pointer, size]  # an array comes with its bytes
    grid = [*array, number, numbers, numbers]
    layout, taps, places = (ctypes.POINTER(structure) for structure in (Layout, Taps, Places))
    declared: dict[str, tuple[Any, list[Any]]] = {
        "lrs_instruction_sets": (ctypes.c_uint32, []),
        "lrs_job_wait": (number, [pointer, ctypes.c_uint32, ctypes.POINTER(_Progress)]),
        "lrs_job_cancel": (None, [pointer]),
        "lrs_job_free": (None, [pointer]),
        "lrs_network_read": (number, [pointer, size, ctypes.POINTER(pointer)]),
        "lrs_network_free": (None, [pointer]),
        "lrs_network_memory": (ctypes.c_uint64, [pointer, ctypes.POINTER(number), number, number]),
        "lrs_network_start": (
            number,
            [pointer, ctypes.POINTER(number), pointer, size, pointer, size, number, number, ctypes.POINTER(pointer)],
        ),
        "lrs_resample_start": (
            number,
            [pointer, size, number, layout, taps, ctypes.POINTER(ctypes.c_float), pointer, size, number, job],
        ),
        "lrs_order_start": (number, [pointer, size, pointer, pointer, number, number, job]),
        "lrs_blend_start": (
            number,
            [pointer, size, layout, stride, pointer, size, layout, stride, number, number, number, number, job],
        ),
        "lrs_reconstruct_start": (
            number,
            [*grid, places, pointer, size, layout, number, job],
        ),
        "lrs_levels_start": (
            number,
            [pointer, size, number, layout, ctypes.POINTER(real), real, real, pointer, size, layout, number, job],
        ),
        "lrs_count_start": (number, [*grid, places, pointer, size, layout, *2 * array, number, job]),
        "lrs_fuse_start": (
            number,
            [*grid, places, *2 * [*array, layout], ctypes.POINTER(Corrections), *2 * array, layout, number, job],
        ),
        "lrs_reduce_start": (number, [*grid, *4 * array, pointer, number, number, job]),
        "lrs_restore_start": (number, [number, numbers, *5 * array, pointer, number, job]),
        "lrs_find_runs": (ctypes.c_uint64, [*array, pointer, *array]),
        "lrs_write_runs": (number, [pointer, *2 * array]),
    }
    for name, (result, arguments) in declared.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments


def library() -> ctypes.CDLL:
    """The loaded library; raises BackendError with the reason where there is none."""
    loaded, reason = _load()
    if loaded is None:
        raise BackendError(f"The native kernels cannot be used: {reason}.")
    return loaded


def available() -> bool:
    """Whether the native kernels can be used here."""
    return _load()[0] is not None


def why_not() -> str:
    """Why the native kernels cannot be used, the end of a sentence; empty where they can."""
    return _load()[1]


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def instruction_sets() -> tuple[str, ...]:
    """Those that this processor has, the best one last; empty without the library."""
    if not available():
        return ()
    present = library().lrs_instruction_sets()
    return tuple(name for bit, name in enumerate(INSTRUCTION_SETS) if present >> bit & 1)


def check(status: int) -> None:
    """Raise BackendError, or MemoryError, unless a call's status is good."""
    if status == _NO_MEMORY:
        raise MemoryError("The native kernels: there is not enough memory.")
    if status not in (_DONE, _RUNNING):
        raise BackendError(f"The native kernels refuse: {_REASONS.get(status, f'status {status}')}.")


def run_job(job: ctypes.c_void_p, step: Callable[[float], None]) -> _Progress:
    """Wait for a started job and free it, in any case.

    Args:
        job: as a `lrs_..._start` function gave it.
        step: called again and again with the share that is done, 0 to 1; may raise to stop: the job is cancelled.

    Returns:
        The job's last progress.
    """
    progress = _Progress()
    try:
        while library().lrs_job_wait(job, 20, ctypes.byref(progress)) == _RUNNING:
            step(progress.share)
        step(1.0)
        return progress
    finally:
        library().lrs_job_free(job)
