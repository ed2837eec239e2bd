"""A model of the network's time on a Cortex-A57, as the Jetson Nano has: counted instructions, and the core's width.

Nothing here is a measurement of time. An emulator counts the instructions that the native kernels execute on 64-bit
ARM, by kind; a core cannot be faster than its narrowest place lets them through. From "Cortex-A57 Software Optimization
Guide" (Arm, UAN 0015B, section 2): three instructions decoded a cycle, two pipes for vectors, one for loads, one for
stores, one for branches, two for integers. Memory, waiting for results and branches guessed wrong come on top, so the
time printed is the least; `--slack` says how much more is expected.

Needs gcc-aarch64-linux-gnu and qemu-user of Debian. `python benchmarks/cortex_a57/a57_model.py --help` lists options.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
KERNELS = CHECKOUT / "LowResSegLib" / "kernels" / "src"
WIDTHS = {"vector": 2, "load": 1, "store": 1, "branch": 1, "integer": 2}
DECODED = 3
HERTZ = 1.43e9
CORES = 4


def build(folder: Path) -> tuple[Path, Path]:
    """The program for 64-bit ARM, and the emulator's plug-in."""
    program, plugin = folder / "run", folder / "count.so"
    sources = [str(path) for path in sorted(KERNELS.glob("*.c"))]
    options = ["-std=c99", "-D_POSIX_C_SOURCE=200809L", "-D_DEFAULT_SOURCE"]
    options += ["-ffp-contract=off", "-O3", "-static", f"-I{KERNELS}"]
    command = ["aarch64-linux-gnu-gcc", *options, str(HERE / "run.c"), *sources, "-o", str(program), "-lm", "-lpthread"]
    subprocess.run(command, check=True)
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", str(HERE / "count.c"), "-o", str(plugin)], check=True)
    return program, plugin


def counted(program: Path, plugin: Path, network: Path, classes: int, side: int, times: int) -> dict[str, int]:
    """Instructions by kind of so many runs on a cube."""
    command = ["qemu-aarch64", "-plugin", str(plugin), "-d", "plugin", str(program), str(network)]
    command += [str(side)] * 3 + [str(times)]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "CLASSES": str(classes)}
    )
    lines = (line.split() for line in (done.stdout + done.stderr).splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[0] in WIDTHS}


def least_cycles(counts: dict[str, int]) -> float:
    """Cycles of the narrowest place."""
    return max(sum(counts.values()) / DECODED, *(counts[kind] / width for kind, width in WIDTHS.items()))


def main() -> int:
    """Count, and print the table."""
    sys.path.insert(0, str(CHECKOUT))
    from LowResSegLib import load_model
    from LowResSegLib.engine.native import network_bytes

    parser = argparse.ArgumentParser(description="A model of the network's time on a Cortex-A57.")
    parser.add_argument("--model", default="brain")
    parser.add_argument("--grid", type=int, default=64, help="side of the cube that is run; default: %(default)s")
    parser.add_argument("--slack", type=float, default=2.0, help="expected over least; default: %(default)s")
    args = parser.parse_args()
    model = load_model(args.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program, plugin = build(folder)
        network = folder / "network.bin"
        network.write_bytes(network_bytes(model.plan))
        # What starting takes is in both, and is not wanted.
        none, one = (counted(program, plugin, network, len(model.labels), args.grid, times) for times in (0, 1))
    counts = {kind: one[kind] - none[kind] for kind in WIDTHS}
    voxels = args.grid**3
    print(f"Instructions of one look of the model {model.name}, for each voxel of the grid:")
    for kind, count in counts.items():
        print(f"  {kind:8} {count / voxels:9.1f}")
    cycles = least_cycles(counts) / voxels
    print(f"Least cycles for each voxel, one core: {cycles:.1f}")
    for side in (64, 96, 128):
        least = cycles * side**3 / HERTZ
        all_cores = least / CORES
        print(
            f"Grid of {side} cubed: at least {1000 * least:.0f} ms on one core, {1000 * all_cores:.0f} ms on {CORES}; "
            f"expected about {1000 * all_cores * args.slack:.0f} ms on {CORES}, times {model.passes} looks: "
            f"{model.passes * all_cores * args.slack:.2g} s. A model, not a measurement."
        )
    return 0 if math.isfinite(cycles) else 1


if __name__ == "__main__":
    sys.exit(main())
