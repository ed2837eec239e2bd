"""`--max-memory`: a run stays below its limit, slab by slab where it has to, and gives the same labels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from plans import random_model, random_volume

from LowResSegLib import case, cli, engine, memory, segment
from LowResSegLib.errors import InputError
from LowResSegLib.volume import Volume, write_labelmap

# In a process of its own: what it holds at most is asked of the system.
CHILD = """
import dataclasses, hashlib, json, sys
import numpy as np
from LowResSegLib import load_model, segment
from LowResSegLib.memory import resident_bytes, peak_memory_mb
from LowResSegLib.volume import Volume
from LowResSegLib.model import Fusion
shape, backend, limit, fused = json.loads(sys.argv[1])
rng = np.random.default_rng(0)
coarse = rng.integers(0, 1000, [-(-n // 16) for n in shape])
array = coarse.repeat(16, 0).repeat(16, 1).repeat(16, 2)[tuple(slice(0, n) for n in shape)].astype(np.int16)
volume = Volume(array, (1.0, 1.0, 1.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
model = load_model("brain")
if fused:
    corrections = rng.integers(-300, 300, (17, 17, 17)).astype(np.int16)
    model = dataclasses.replace(model, fusion=Fusion(corrections, 6, 1000, 5000, 300, (3, 2, 1)))
held = resident_bytes() / 1e6
labelmap, record = segment(volume, model, backend=backend, max_memory=held + limit if limit else None, passes=1)
peak = peak_memory_mb()
digest = hashlib.sha256(labelmap.array.tobytes()).hexdigest()
print(json.dumps([held, peak, record["slab_slices"], record["backend"], digest]))
"""


def run_child(shape: tuple[int, ...], backend: str, limit: float, fused: bool) -> tuple[float, float, int, str, str]:
    argument = json.dumps([shape, backend, limit, fused])
    done = subprocess.run([sys.executable, "-c", CHILD, argument], capture_output=True, text=True, check=True)
    held, peak, slices, chosen, digest = json.loads(done.stdout)
    return held, peak, slices, chosen, digest


@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from Linux's /proc")
@pytest.mark.parametrize("fused", [False, True], ids=["linear", "fusion"])
@pytest.mark.parametrize(
    "backend", [pytest.param(name, marks=[] if name == "native" else pytest.mark.slow) for name in engine.BACKENDS]
)
def test_a_run_stays_below_its_limit(backend: str, fused: bool) -> None:
    if backend not in engine.available_backends():
        pytest.skip(f"the backend {backend} is not there")
    shape, least = (960, 80, 80), {"native": 63.0, "onnxruntime": 340.0, "numpy": 115.0}[backend]
    if fused:  # source slices' corrected logits, where there are no native kernels for it
        least += 0.0 if backend == "native" else 35.0
    *_, free_slices, _, whole = run_child(shape, backend, 0, fused)
    assert free_slices is None
    held, peak, slices, chosen, digest = run_child(shape, backend, least, fused)
    assert chosen == backend and slices is not None and digest == whole
    assert peak < held + least


def test_the_limit_chooses_the_backend_and_the_slabs(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    model, volume = random_model(rng), random_volume(rng, (64, 20, 20))
    monkeypatch.setattr(memory, "resident_bytes", lambda: 0)
    costs = {"native": 5e6, "onnxruntime": 50e6, "numpy": 5e6}  # for each slice
    monkeypatch.setattr(engine, "memory", lambda plan, shape, backend, threads: costs[backend] * shape[0])
    wanted = ("onnxruntime", "native")
    assert memory.plan_memory(model, volume, 1, wanted, 1, 100_000) == ("onnxruntime", None)
    backend, slices = memory.plan_memory(model, volume, 1, wanted, 1, 1000)
    assert backend == "onnxruntime" and slices is not None
    backend, _ = memory.plan_memory(model, volume, 1, wanted, 1, 200)
    assert backend == "native"
    with pytest.raises(InputError, match=r"about \d+ MB of memory even slab by slab, more than the 30 MB"):
        memory.plan_memory(model, volume, 1, wanted, 1, 30)


def test_a_header_that_makes_no_sense_is_told_first(rng: np.random.Generator) -> None:
    volume = random_volume(rng, (32, 32, 32))
    huge = Volume(volume.array, (90.0, 90.0, 90.0), volume.origin, volume.direction)
    with pytest.raises(InputError, match="check the spacing in its header"):
        segment(huge, random_model(rng), max_memory=800)


def test_an_onnx_runtime_that_does_not_load_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "available_backends", lambda model=None: ("onnxruntime", "numpy"))
    monkeypatch.setitem(sys.modules, "LowResSegLib.engine.onnx_runtime", None)
    monkeypatch.delattr(engine, "onnx_runtime", raising=False)
    assert engine.usable_backends() == ("numpy",)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_limits_that_are_none(rng: np.random.Generator, limit: float) -> None:
    with pytest.raises(InputError, match="number of megabytes above 0"):
        segment(random_volume(rng), random_model(rng), max_memory=limit)


def test_nothing_is_done_where_it_cannot_fit(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "run", lambda *arguments: pytest.fail("it ran"))
    with pytest.raises(InputError, match="more than the 1 MB that are allowed"):
        segment(random_volume(rng), random_model(rng), max_memory=1)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    scan = tmp_path / "scan.nii.gz"
    coarse = np.random.default_rng(0).integers(0, 255, (6, 6, 6)).astype(np.uint8)
    array = coarse.repeat(8, 0).repeat(8, 1).repeat(8, 2) + np.arange(48, dtype=np.uint8)
    write_labelmap(scan, Volume(array, (1.0, 1.0, 1.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    call = ["segment", str(scan), "-o", str(tmp_path / "out"), "--not-a-labelmap"]
    assert cli.main([*call, "--max-memory", "5"]) == 2
    assert "memory even slab by slab, more than the 5 MB" in capsys.readouterr().err
    monkeypatch.setattr(case.limits, "plan_memory", lambda *arguments: ("native", None))
    assert cli.main([*call, "--max-memory", "5"]) == 2
    assert "to read it and to write its results, more than the 5 MB" in capsys.readouterr().err
    monkeypatch.undo()
    assert not (tmp_path / "out").exists()
    assert cli.main([*call, "--max-memory", "8000"]) == 0
    with pytest.raises(SystemExit):
        cli.main([*call, "--max-memory", "-3"])
    assert "is not a number of megabytes above 0" in capsys.readouterr().err
