"""The model of the time on a Cortex-A57 counts what is executed, and takes the narrowest place."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "cortex_a57"
sys.path.insert(0, str(FOLDER))

from a57_model import build, counted, least_cycles  # noqa: E402  (found through the path above)


def test_the_narrowest_place_counts() -> None:
    none = dict.fromkeys(("vector", "load", "store", "branch", "integer"), 0)
    assert least_cycles({**none, "vector": 600}) == 300
    assert least_cycles({**none, "load": 600}) == 600
    assert least_cycles({**none, "vector": 500, "load": 200, "store": 200, "integer": 500}) == pytest.approx(1400 / 3)


# Two of each kind, in the assembler's words.
KINDS = {
    "vector": ("and v0.16b, v1.16b, v2.16b", "fadd s0, s1, s2"),
    "load": (
        "ldr q0, [x1]",
        "ldp x2, x3, [x1]",
        "ld1 {v0.16b}, [x1]",
        "ldrsw x0, [x1]",
        "ldrb w0, [x1]",
        "ldr d0, [x1]",
    ),
    "store": ("str q0, [x1]", "stp x2, x3, [x1]", "st1 {v0.16b}, [x1]", "strb w0, [x1]", "str d0, [x1]"),
    "branch": ("b 1f\n1:", "cbz xzr, 1f\n1:"),
    "integer": ("add x0, x0, #1", "lsl x0, x0, #3", "mul x0, x0, x0", "csel x0, x1, x0, eq"),
}


@pytest.mark.cross
def test_instructions_are_told_apart(tmp_path: Path) -> None:
    for tool in ("gcc", "aarch64-linux-gnu-gcc", "qemu-aarch64"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    plugin = tmp_path / "count.so"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", str(FOLDER / "count.c"), "-o", str(plugin)], check=True)
    times = 5000
    for kind, words in KINDS.items():
        counts = []
        for body in ("", *words):
            source, program = tmp_path / "one.c", tmp_path / "one"
            lines = "\\n".join((body or "nop").split("\n"))
            source.write_text(
                "static char room[64] __attribute__((aligned(16)));\n"
                "int main(void) {\n"
                f"  for (int i = 0; i < {times}; i++)\n"
                f'    __asm__ volatile("mov x1, %0\\n{lines}" : : "r"(room)'
                ' : "x0", "x1", "x2", "x3", "v0", "memory");\n'
                "  return 0;\n}\n"
            )
            subprocess.run(["aarch64-linux-gnu-gcc", "-O1", "-static", str(source), "-o", str(program)], check=True)
            counts.append(counted(program, plugin, Path("-"), 1, 1, 1))
        for word, count in zip(words, counts[1:]):
            more = count[kind] - counts[0][kind]
            # What stands for nothing is an instruction of the kind "branch" (a hint).
            wanted = 0 if kind == "branch" else times
            assert abs(more - wanted) < times / 10, (kind, word, more)


@pytest.mark.cross
def test_a_grid_of_eight_times_the_voxels_takes_about_so_much_more(tmp_path: Path) -> None:
    import numpy as np
    from plans import random_plan

    from LowResSegLib.engine.native import network_bytes

    for tool in ("gcc", "aarch64-linux-gnu-gcc", "qemu-aarch64"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    program, plugin = build(tmp_path)
    network = tmp_path / "network.bin"
    network.write_bytes(network_bytes(random_plan(np.random.default_rng(0), 4, (8, 8))))
    sums = []
    for side in (32, 64):
        none, one = (counted(program, plugin, network, 4, side, times) for times in (0, 1))
        sums.append({kind: one[kind] - none[kind] for kind in one})
    assert all(count > 0 for counts in sums for count in counts.values())
    assert 4 < least_cycles(sums[1]) / least_cycles(sums[0]) < 9
