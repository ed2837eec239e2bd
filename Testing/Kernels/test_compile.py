"""The kernels' sources are plain C99, and CMake makes a library of them that exports its interface and no more."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from builds import CHECKOUT, COMMON, INSTRUCTIONS, KERNELS, SOURCES, STRICT, X86, need, run

HEADER = KERNELS / "src" / "lowresseg.h"
LISTED = re.search(r"set\(LRS_SOURCES\s+([^)]*)\)", (KERNELS / "CMakeLists.txt").read_text(encoding="utf-8"))
# What CMake asks of a compiler for macOS and of macOS itself, which are not here: the compile commands are made all
# the same.
DARWIN = (
    "-DCMAKE_SYSTEM_NAME=Darwin",
    "-DCMAKE_C_COMPILER=clang",
    "-DCMAKE_C_FLAGS=--target=x86_64-apple-macos11",
    "-DCMAKE_C_COMPILER_WORKS=1",
    "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY",
    "-DCMAKE_INSTALL_NAME_TOOL=true",
    "-DCMAKE_HAVE_LIBC_PTHREAD=1",
)


def declared() -> set[str]:
    """Names of the functions that the interface declares."""
    return set(re.findall(r"LRS_API\s[^;(]*?(lrs_\w+)\(", HEADER.read_text(encoding="utf-8")))


def configured(build: Path, *options: object) -> dict[str, list[str]]:
    """Configure the kernels; the options of each file's compile command."""
    need("cmake")
    run(["cmake", "-S", KERNELS, "-B", build, "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", *options])
    commands = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    return {Path(entry["file"]).name: entry["command"].split() for entry in commands}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that gives the library that CMake builds and installs, where no compiler warns of anything."""

    @cache
    def library(compiler: str, *options: str, name: str = "liblowresseg.so") -> Path:
        need(compiler)
        build = tmp_path_factory.mktemp(compiler)
        configured(build, f"-DCMAKE_C_COMPILER={compiler}", f"-DCMAKE_C_FLAGS={' '.join(STRICT)}", *options)
        run(["cmake", "--build", build, "--parallel", os.cpu_count()])
        run(["cmake", "--install", build, "--prefix", build / "installed"])
        files = [path for path in (build / "installed").rglob("*") if path.is_file()]
        assert files == [build / "installed" / "LowResSegLib" / "kernels" / name]
        return files[0]

    return library


def symbols(library: Path, *options: str, nm: str = "nm") -> list[str]:
    return [line.split()[-1] for line in run([nm, "--dynamic", *options, library]).splitlines()]


def test_list_of_sources_is_the_folder() -> None:
    assert LISTED and sorted(LISTED[1].split()) == [path.name for path in SOURCES]


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_the_header_can_be_included_from_cpp(compiler: str, tmp_path: Path) -> None:
    need(compiler)
    (tmp_path / "use.cpp").write_text('#include "lowresseg.h"\nint main() { return lrs_interface_version() == 0; }\n')
    run([compiler, "-std=c++11", *STRICT, f"-I{HEADER.parent}", "-fsyntax-only", tmp_path / "use.cpp"])


def test_python_declares_what_the_header_does() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(KERNELS.glob("*.py")))
    assert set(re.findall(r"\blrs_(?!\.)\w+\b", text)) - {"lrs_"} >= declared()
    version = re.search(r"#define LRS_INTERFACE_VERSION (\d+)", HEADER.read_text(encoding="utf-8"))
    assert version and f"INTERFACE_VERSION = {version[1]}\n" in text


@pytest.mark.skipif(sys.platform != "linux", reason="nm is asked about ELF files")
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_plain_c99_becomes_a_library_that_exports_its_interface_and_needs_libc_alone(
    compiler: str, library: Callable[..., Path]
) -> None:
    file = library(compiler)
    assert set(symbols(file, "--defined-only")) == declared()
    needed = re.findall(r"NEEDED\s+(\S+)", run(["objdump", "-p", file]))
    assert set(needed) <= {"libc.so.6", "libm.so.6", "libpthread.so.0"}


@pytest.mark.skipif(sys.platform != "linux", reason="is about glibc")
@pytest.mark.parametrize(
    ("compiler", "nm"),
    [("gcc", "nm"), pytest.param("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-nm", marks=pytest.mark.cross)],
)
def test_library_for_old_systems_needs_no_newer_glibc_than_2_17(
    compiler: str, nm: str, library: Callable[..., Path]
) -> None:
    need(nm)
    used = "\n".join(symbols(library(compiler, "-DLRS_OLD_GLIBC=ON"), "--undefined-only", nm=nm))
    versions = {tuple(map(int, version)) for version in re.findall(r"@GLIBC_(\d+)\.(\d+)", used)}
    assert versions and max(versions) <= (2, 17)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for a library of Linux")
def test_python_loads_the_library_and_says_why_it_does_not(library: Callable[..., Path], tmp_path: Path) -> None:
    code = "from LowResSegLib import kernels as k; print(k.available(), *k.instruction_sets(), k.why_not())"

    def said(value: object) -> str:
        environment = {**os.environ, "LOWRESSEG_KERNELS": str(value), "PYTHONPATH": str(CHECKOUT)}
        return subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert said(library("gcc")).startswith("True word")
    assert said("none").startswith("False they were switched off")
    (tmp_path / "other.so").write_bytes(b"no library")
    assert "other.so cannot be loaded" in said(tmp_path / "other.so")
    assert "libc.so.6 cannot be loaded" in said("libc.so.6")


def test_cmake_gives_the_instructions_to_the_files_that_are_for_them(tmp_path: Path) -> None:
    need("gcc")
    commands = configured(tmp_path, "-DCMAKE_C_COMPILER=gcc")
    assert set(commands) == {path.name for path in SOURCES}
    for name, command in commands.items():
        assert set(COMMON) <= {part.replace("-std=gnu99", "") for part in command}
        assert "-march=native" not in command
        wanted = INSTRUCTIONS.get(name, ()) if platform.machine() in X86 else ()
        assert {part for part in command if part.startswith(("-mavx", "-fno-tree"))} == set(wanted)


@pytest.mark.cross
@pytest.mark.parametrize("architectures", ["x86_64;arm64", "arm64", "x86_64"])
def test_on_a_mac_the_instructions_reach_the_slice_for_intel_alone(architectures: str, tmp_path: Path) -> None:
    need("clang", "llvm-ar")
    (tmp_path / "sdk").mkdir()
    commands = configured(
        tmp_path / "build",
        *DARWIN,
        f"-DCMAKE_OSX_ARCHITECTURES={architectures}",
        f"-DCMAKE_OSX_SYSROOT={tmp_path / 'sdk'}",
        "-DCMAKE_AR=llvm-ar",
    )
    for name, command in commands.items():
        found = [place for place, part in enumerate(command) if part.startswith(("-mavx", "-fno-tree"))]
        wanted = INSTRUCTIONS.get(name, ()) if "x86_64" in architectures else ()
        assert [command[place] for place in found] == list(wanted)
        if architectures == "x86_64;arm64":
            assert all(command[place - 1] == "-Xarch_x86_64" for place in found)


@pytest.mark.cross
def test_dll_exports_its_interface_and_needs_what_every_windows_has(library: Callable[..., Path]) -> None:
    need("x86_64-w64-mingw32-objdump")
    file = library("x86_64-w64-mingw32-gcc", "-DCMAKE_SYSTEM_NAME=Windows", name="lowresseg.dll")
    said = run(["x86_64-w64-mingw32-objdump", "-p", file])
    table = said[said.index("[Ordinal/Name Pointer] Table") :].split("\n\n")[0]
    assert {line.split()[-1] for line in table.splitlines()[1:]} == declared()
    needed = set(re.findall(r"DLL Name: (\S+)", said))
    assert {name for name in needed if not name.startswith("api-ms-win-crt-")} <= {"KERNEL32.dll", "msvcrt.dll"}
