"""The computer that figures come from, without its name."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from LowResSegLib import __version__, kernels
from LowResSegLib.estimate import processor

PACKAGES = ("numpy", "onnxruntime", "openvino")
NOT_INSTALLED = "not installed"
# What a processor can have that the kernels or the runtimes compared with make use of.
_FEATURES = (
    "sse2", "avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "amx_int8",
    "asimd", "asimddp", "i8mm", "sve",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """Processor, cores, instruction sets, caches and versions, for JSON."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instruction_sets": _instruction_sets(),
        "native_kernels": list(kernels.instruction_sets()) or f"none: {kernels.why_not()}",
        "caches": _caches(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "lowresseg": __version__,
        **{package: _version(package) for package in PACKAGES},
    }


def sentence(machine: dict[str, Any]) -> str:
    """The description in one sentence."""
    native = machine["native_kernels"]
    parts = [
        f"{machine['processor']}, {machine['cores']} cores ({', '.join(machine['instruction_sets']) or 'unknown'})",
        ", ".join(machine["caches"]) or "caches unknown",
        machine["system"],
        f"native kernels: {native if isinstance(native, str) else ', '.join(native)}",
        ", ".join(f"{name} {machine[name]}" for name in ("lowresseg", "python", *PACKAGES)),
    ]
    return "; ".join(parts) + "."


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return NOT_INSTALLED


def _instruction_sets() -> list[str]:
    if sys.platform != "linux":
        return []
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(("flags", "Features")):
            present = set(line.partition(":")[2].split())
            return [feature for feature in _FEATURES if feature in present]
    return []


def _caches() -> list[str]:
    """Caches that one core sees, as in `L1d 48K`."""
    found = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            found.append(f"L{level}{'d' if kind == 'Data' else ''} {size}")
    return found
