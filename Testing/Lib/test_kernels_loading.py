"""A native library that cannot be used is a reason, never a fault: cut off, of another kind, not there."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from LowResSegLib import kernels
from LowResSegLib.kernels.elf import is_cut_off

REPOSITORY = Path(__file__).resolve().parents[2]


def library() -> Path:
    """The library that this process uses, or skip."""
    if not kernels.available():
        pytest.skip(f"native kernels: {kernels.why_not()}")
    path = Path(str(kernels.library()._name))
    if path.read_bytes()[:4] != b"\x7fELF":
        pytest.skip("only ELF files are looked at before they are loaded")
    return path


def why_not(path: Path) -> tuple[int, str]:
    """Exit status of another process that loads a library, and its reason not to use it."""
    command = [sys.executable, "-c", "from LowResSegLib import kernels; print(kernels.why_not())"]
    environment = {**os.environ, "LOWRESSEG_KERNELS": str(path), "PYTHONPATH": str(REPOSITORY)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    return run.returncode, run.stdout.strip()


def test_a_library_that_is_cut_off_is_told_wherever_it_was_cut(tmp_path: Path) -> None:
    whole = library().read_bytes()
    assert not is_cut_off(library())
    cut = tmp_path / "cut.so"
    for share in (0.001, 0.1, 0.25, 0.5, 0.75, 0.999):
        cut.write_bytes(whole[: int(share * len(whole))])
        assert is_cut_off(cut), share
    cut.write_bytes(whole[:-1])
    assert is_cut_off(cut)


def test_a_library_without_its_table_of_sections_is_measured_by_its_segments(tmp_path: Path) -> None:
    whole = bytearray(library().read_bytes())
    if whole[4] != 2:
        pytest.skip("this is no 64-bit system")
    order = "<" if whole[5] == 1 else ">"
    struct.pack_into(order + "Q", whole, 40, 0)  # as it is left by tools that strip files to the utmost
    struct.pack_into(order + "H", whole, 60, 0)
    stripped = tmp_path / "stripped.so"
    stripped.write_bytes(whole)
    assert not is_cut_off(stripped)
    stripped.write_bytes(whole[: len(whole) // 2])
    assert is_cut_off(stripped)


@pytest.mark.parametrize(
    "content", [b"", b"no library", b"\x7fELF", b"\x7fELF" + bytes(60), b"\x7fELF\x02\x01" + b"\xff" * 90]
)
def test_what_is_no_library_is_a_reason(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "library.so"
    path.write_bytes(content)
    status, reason = why_not(path)
    assert status == 0 and reason.startswith("library.so ")


def test_one_that_is_cut_off_or_missing_ends_no_process(tmp_path: Path) -> None:
    whole = library().read_bytes()
    for share in (0.3, 0.6, 0.95):
        cut = tmp_path / f"cut{share}.so"
        cut.write_bytes(whole[: int(share * len(whole))])
        status, reason = why_not(cut)
        assert status == 0 and "damaged: its end is missing" in reason
    status, reason = why_not(tmp_path / "nosuch.so")
    assert status == 0 and "cannot be loaded" in reason
