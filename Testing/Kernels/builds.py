"""Builds of the driver with the kernels in it: by several compilers, with sanitizers, for other processors."""

from __future__ import annotations

import concurrent.futures
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
KERNELS = CHECKOUT / "LowResSegLib" / "kernels"
SOURCES = sorted((KERNELS / "src").glob("*.c"))
DRIVER = Path(__file__).with_name("driver")
X86 = ("x86_64", "AMD64")

# As in the CMake file, which a test compares.
COMMON = ("-std=c99", "-D_POSIX_C_SOURCE=200809L", "-D_DEFAULT_SOURCE", "-ffp-contract=off")
INSTRUCTIONS = {
    "isa_avx2.c": ("-mavx2",),
    "isa_avx512.c": ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-fno-tree-slp-vectorize"),
}
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")


@dataclass(frozen=True)
class Build:
    """A way to compile, and to run what was compiled.

    Attributes:
        name: tells it apart in the names of tests.
        compiler: the command and what it is always given.
        options: for compiling and linking.
        last: for linking the driver alone.
        runner: what the program is run by, such as an emulator.
        machine: the processor that is compiled for.
        hosts: the processors that it is compiled on.
    """

    name: str
    compiler: tuple[str, ...]
    options: tuple[str, ...] = ("-O3",)
    last: tuple[str, ...] = ()
    runner: tuple[str, ...] = ()
    machine: str = platform.machine()
    hosts: tuple[str, ...] = (platform.machine(),)


def _sanitized(compiler: str, *sanitizers: str) -> Build:
    options = ("-O1", "-g", f"-fsanitize={','.join(sanitizers)}", "-fno-sanitize-recover=all")
    return Build(f"{compiler}-{'-'.join(sanitizers)}", (compiler,), options)


_ARM = {"options": ("-O3", "-static"), "runner": ("qemu-aarch64",), "machine": "aarch64", "hosts": X86}
PLAIN = (Build("gcc", ("gcc",)), Build("clang", ("clang",)))
_DENIED = ("malloc", "calloc", "realloc", "posix_memalign", "pthread_create")
STARVED = _sanitized("gcc", "address", "undefined")
if sys.platform == "linux":  # others have no such linker
    STARVED = replace(
        STARVED,
        options=(*STARVED.options, "-DSTARVE"),
        last=tuple(f"-Wl,--wrap={function}" for function in _DENIED),
    )
ADDRESS = (STARVED, _sanitized("clang", "address", "undefined"))
THREAD = (_sanitized("gcc", "thread"), _sanitized("clang", "thread"))
ARM = (
    Build("aarch64-gcc", ("aarch64-linux-gnu-gcc",), **_ARM),  # type: ignore[arg-type]
    Build("aarch64-clang", ("clang", "--target=aarch64-linux-gnu"), **_ARM),  # type: ignore[arg-type]
)
OLD = Build("old-processor", ("gcc",), ("-O3", "-static"), runner=("qemu-x86_64", "-cpu", "Nehalem"), hosts=X86)


def leave_out(reason: str) -> None:
    """Skip the test and say why; LOWRESSEG_COMPILERS=required makes it fail."""
    if os.environ.get("LOWRESSEG_COMPILERS") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


def need(*programs: str) -> None:
    """Leave the test out unless these programs are installed."""
    for program in programs:
        if shutil.which(program) is None:
            leave_out(f"{program} is not installed")


def need_build(build: Build) -> None:
    """Leave the test out unless a small program can be built and run this way."""
    if platform.machine() not in build.hosts:
        pytest.skip(f"{build.name} is for {' or '.join(build.hosts)}")
    need(build.compiler[0], *build.runner[:1])
    reason = _why_not(build)
    if reason:
        leave_out(reason)


@cache
def _why_not(build: Build) -> str:
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "try.c"), Path(folder, "try")
        source.write_text("#include <stdlib.h>\nint main(void) { free(malloc(1)); return 0; }\n")
        for command in ([*build.compiler, *build.options, source, "-o", program], [*build.runner, program]):
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode:
                said = (run.stderr.strip() or f"status {run.returncode}").splitlines()[0]
                return f"{build.name} cannot build and run a small program here ({said})"
    return ""


def run(command: Sequence[object]) -> str:
    """What a command prints; the test fails where the command does, and says with what words."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, errors="replace")
    words = f"{' '.join(map(str, command))}\nstatus {result.returncode}\n{result.stdout}{result.stderr}"
    assert result.returncode == 0, words
    return result.stdout


@cache
def driver(build: Build, folder: Path) -> tuple[str, ...]:
    """The command that runs the driver, which is compiled into the folder."""

    def compile_one(source: Path) -> Path:
        instructions = INSTRUCTIONS.get(source.name, ()) if build.machine in X86 else ()
        result = folder / f"{source.parent.name}-{source.stem}.o"
        flags = [*COMMON, *build.options, *instructions, f"-I{KERNELS / 'src'}"]
        if source.parent == DRIVER:
            flags += STRICT
        run([*build.compiler, *flags, "-c", source, "-o", result])
        return result

    # What starves needs the linker's --wrap.
    own = [source for source in sorted(DRIVER.glob("*.c")) if source.stem != "starve" or "-DSTARVE" in build.options]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, [*own, *SOURCES]))
    program = folder / "driver"
    run([*build.compiler, *build.options, *objects, "-o", program, "-pthread", *build.last])
    return (*build.runner, str(program))
