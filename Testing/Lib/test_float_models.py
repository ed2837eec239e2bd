"""Models with an ONNX graph go the same way as ternary ones, run by ONNX Runtime alone."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from float_graphs import convolution_graph, float_model, graph_of, unet_network  # noqa: E402
from onnx import helper  # noqa: E402
from plans import random_model, random_volume  # noqa: E402
from test_engine import naive_convolution  # noqa: E402

from LowResSegLib import cli, engine, memory, segment, slabs  # noqa: E402
from LowResSegLib.errors import BackendError, Cancelled, InputError, ModelError  # noqa: E402
from LowResSegLib.estimate import estimate, measure  # noqa: E402
from LowResSegLib.model import SUFFIX, Model, OnnxNetwork, read_model, write_model  # noqa: E402
from LowResSegLib.model.onnx_network import INTENSITY_SCALE  # noqa: E402
from LowResSegLib.model.plan import MAX_LOGIT  # noqa: E402


def random_grid(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 128, shape).astype(np.uint8)


@pytest.mark.parametrize("slices", [False, True])
def test_logits_are_the_definition(slices: bool) -> None:
    graph = convolution_graph(classes=3, slices=slices)
    network = OnnxNetwork(graph.SerializeToString(), 0.01, slices=slices)
    weights = onnx.numpy_helper.to_array(graph.graph.initializer[0])
    kernel = weights[:, :, None] if slices else weights
    grid = random_grid(20, 6, 5)
    padded = np.pad(grid.astype(np.float64), [(0, 0) if slices else (1, 1), (1, 1), (1, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[2:])
    exact = np.einsum("zyxdhw,cdhw->czyx", windows, kernel[:, 0].astype(np.float64)) / INTENSITY_SCALE / 0.01
    found = engine.run(network, grid, "onnxruntime", 1)
    assert found.dtype == np.int16 and found.shape == (3, *grid.shape) and np.abs(exact).max() < MAX_LOGIT
    assert np.abs(found - exact).max() < 0.501 and np.abs(found).max() > 100


def test_whole_weights_give_exact_logits() -> None:
    """Sums that float32 has exactly are those of integers, whatever runs them."""
    weights = np.random.default_rng(0).integers(-3, 4, (2, 1, 3, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["image", "weights"], ["logits"], pads=[1] * 6)
    network = OnnxNetwork(graph_of([node], {"weights": weights}).SerializeToString(), 1 / INTENSITY_SCALE)
    grid = random_grid(4, 5, 6) // 8
    np.testing.assert_array_equal(engine.run(network, grid, "onnxruntime"), naive_convolution(grid[None], weights))


def test_logits_are_rounded_half_to_even_and_clipped() -> None:
    constants = {
        "unit": np.array([1 / 128], np.float32).reshape(1, 1, 1, 1, 1),
        "large": np.full((1,) * 5, 1e6, np.float32),
    }
    nodes = [
        helper.make_node("Mul", ["image", "large"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"]),
        helper.make_node("Concat", ["image", "a", "b"], ["logits"], axis=1),
    ]
    network = OnnxNetwork(graph_of(nodes, constants, 3).SerializeToString(), 1 / 32)
    grid = np.array([[[0, 1, 2, 3, 4, 5]]], np.uint8)  # halves of a unit
    found = engine.run(network, grid, "onnxruntime")
    assert found[0].ravel().tolist() == [0, 0, 1, 2, 2, 2]
    assert found[1].ravel().tolist() == [0] + [MAX_LOGIT] * 5 and found[2].ravel().tolist() == [0] + [-MAX_LOGIT] * 5


def test_logits_that_are_no_numbers_are_told() -> None:
    nodes = [helper.make_node("Log", ["image"], ["a"]), helper.make_node("Sub", ["a", "a"], ["logits"])]
    network = OnnxNetwork(graph_of(nodes, classes=1).SerializeToString(), 0.01)
    with pytest.raises(ModelError, match="no numbers"):
        engine.run(network, np.zeros((2, 2, 2), np.uint8), "onnxruntime")


@pytest.mark.parametrize("slices", [False, True])
def test_threads_do_not_change_logits(slices: bool) -> None:
    """So it is with the versions of ONNX Runtime and the processors that this was tried on; nobody promises it."""
    network, grid = unet_network(slices=slices), random_grid(24, 20, 36)
    one = engine.run(network, grid, "onnxruntime", 1)
    for threads in (2, 3, 8):
        np.testing.assert_array_equal(engine.run(network, grid, "onnxruntime", threads), one)


@pytest.mark.parametrize("seed", range(3))
def test_slabs_have_the_logits_of_the_whole_grid(seed: int) -> None:
    network = unet_network(seed)
    assert network.reach is not None
    grid = random_grid(40, 8, 12)
    whole = engine.run(network, grid, "onnxruntime")
    worst, short = 0, 0
    for thickness in (2, 6):
        for slab in slabs.cut(network, len(grid), thickness):
            wanted = slice(slab.first, min(slab.end + 1, len(grid)))
            for begins in (slab.begins, min(slab.begins + 6, slab.first)):
                part = engine.run(network, grid[begins : slab.stops], "onnxruntime")
                part = part[:, wanted.start - begins : wanted.stop - begins]
                difference = int(np.abs(part - whole[:, wanted]).max())
                if begins == slab.begins:
                    worst = max(worst, difference)
                else:
                    short = max(short, difference)
    assert worst <= 1  # of rounding
    assert short > 1  # with less around it than the reach, it is another one


@pytest.mark.parametrize("slices", [False, True])
def test_a_volume_goes_the_whole_way(slices: bool, rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / f"float{SUFFIX}"
    write_model(path, replace(float_model(unet_network(slices=slices)), passes=2))
    volume, shares = random_volume(rng, (30, 40, 50)), []
    labelmap, record = segment(volume, path, lambda step, share: shares.append(share))
    assert labelmap.geometry == volume.geometry and len(np.unique(labelmap.array)) > 1
    assert (record["backend"], record["passes"], record["instruction_set"]) == ("onnxruntime", 2, None)
    assert record["model_sha256"] == read_model(path).digest and shares == sorted(shares)
    again, _ = segment(volume, path, backend="onnxruntime", threads=1)
    np.testing.assert_array_equal(again.array, labelmap.array)
    once, _ = segment(volume, path, passes=1)
    assert (once.array != labelmap.array).any()


def test_a_memory_limit_cuts_the_grid_where_the_reach_is_known(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, volume = float_model(), random_volume(rng, (120, 20, 20))
    whole, record = segment(volume, model)
    assert record["slab_slices"] is None
    monkeypatch.setattr(memory, "resident_bytes", lambda: 0)
    monkeypatch.setattr(engine, "memory", lambda network, shape, backend, threads: 1e6 * shape[0])
    limit = memory._FIXED / 1e6 + 60
    cut, record = segment(volume, model, max_memory=limit)
    assert record["slab_slices"] is not None
    assert (cut.array != whole.array).mean() < 1e-3
    deaf = float_model(replace(unet_network(), reach=None))
    with pytest.raises(InputError, match="needs the whole scan at once"):
        segment(volume, deaf, max_memory=limit)
    assert segment(volume, deaf, max_memory=limit + 1000)[1]["slab_slices"] is None


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_other_backends_are_refused(backend: str, rng: np.random.Generator) -> None:
    with pytest.raises(BackendError, match=r"ONNX Runtime alone runs; choose the backend auto or onnxruntime"):
        segment(random_volume(rng), float_model(), backend=backend)
    with pytest.raises(BackendError, match="no backend named 'cuda'"):
        segment(random_volume(rng), float_model(), backend="cuda")


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make packages look as if they were not installed."""
    found = importlib.util.find_spec
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None if name in names else found(name))
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


def test_without_onnx_runtime_it_is_said_what_to_install(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = float_model(name="wanting")
    write_model(tmp_path / f"wanting{SUFFIX}", model)
    monkeypatch.setenv("LOWRESSEG_MODELS", str(tmp_path))
    assert engine.why_not(model) is None and engine.usable_backends(model) == ("onnxruntime",)
    hide(monkeypatch, "onnxruntime")
    assert engine.available_backends(model) == engine.usable_backends(model) == ()
    assert "pip install onnxruntime" in str(engine.why_not(model))
    assert engine.why_not(random_model(rng)) is None and "numpy" in engine.usable_backends()
    for options in ({}, {"max_memory": 1e6}, {"backend": "onnxruntime"}):
        with pytest.raises(BackendError, match="needs the Python package onnxruntime"):
            segment(random_volume(rng), model, **options)
    with pytest.raises(BackendError, match="needs the Python package onnxruntime"):
        memory.plan_memory(model, random_volume(rng), 1, engine.usable_backends(model), 1, 1e6)
    assert cli.main(["models", "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert "pip install onnxruntime" in entries["wanting"]["problem"] and entries["wanting"]["title"] == "Float"
    assert cli.main(["info", "wanting"]) == 0
    captured = capsys.readouterr()
    assert "float, an ONNX graph for onnxruntime" in captured.out and "pip install" in captured.err
    assert cli.main(["info"]) == 0
    assert "none run here" in capsys.readouterr().out


def test_a_broken_onnx_runtime_is_told(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setitem(sys.modules, "LowResSegLib.engine.onnx_float", None)
    monkeypatch.delattr(engine, "onnx_float", raising=False)
    assert engine.usable_backends(float_model()) == ()
    assert "cannot be loaded" in str(engine.why_not(float_model()))
    with pytest.raises(BackendError, match="cannot be loaded"):
        segment(random_volume(rng), float_model())


def test_the_package_onnx_is_not_needed(tmp_path: Path) -> None:
    write_model(tmp_path / f"float{SUFFIX}", float_model())
    code = (
        "import sys; sys.modules['onnx'] = None; import numpy as np\n"
        "from LowResSegLib import Volume, segment\n"
        "array = np.random.default_rng(0).integers(0, 900, (20, 20, 20)).astype(np.int16)\n"
        f"labelmap, record = segment(Volume(array), {str(tmp_path / f'float{SUFFIX}')!r})\n"
        "print(record['backend'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout == "onnxruntime\n"


def test_a_graph_that_this_onnx_runtime_does_not_take_is_told() -> None:
    graph = convolution_graph()
    graph.graph.node[0].attribute.append(helper.make_attribute("unheard_of", 1))
    network = OnnxNetwork(graph.SerializeToString(), 0.01)
    with pytest.raises(BackendError, match=r"ONNX Runtime \d.* cannot load the model's network .*; update onnxruntime"):
        engine.run(network, np.zeros((2, 2, 2), np.uint8), "onnxruntime")


def test_a_run_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from LowResSegLib.engine import onnx_float

    class Failing:
        def run(self, *arguments: Any) -> None:
            raise RuntimeError("bad allocation\nand more")

    monkeypatch.setattr(onnx_float, "_session", lambda *arguments: Failing())
    with pytest.raises(BackendError, match=r"failed \(bad allocation\); crop"):
        engine.run(unet_network(), np.zeros((2, 2, 2), np.uint8), "onnxruntime")


def long_network() -> OnnxNetwork:
    """A network that takes some seconds on a grid of 64 voxels along each axis."""
    weights = np.full((16, 16, 3, 3, 3), 1e-3, np.float32)
    nodes = [helper.make_node("Conv", ["image", "first"], ["v0"], pads=[1] * 6)]
    nodes += [helper.make_node("Conv", [f"v{n}", "weights"], [f"v{n + 1}"], pads=[1] * 6) for n in range(80)]
    nodes.append(helper.make_node("Conv", ["v80", "last"], ["logits"]))
    constants = {"first": weights[:, :1], "weights": weights, "last": np.ones((2, 16, 1, 1, 1), np.float32)}
    graph = graph_of(nodes, {name: np.ascontiguousarray(array) for name, array in constants.items()})
    return OnnxNetwork(graph.SerializeToString(), 0.01)


def test_a_run_is_cancelled_inside_the_network() -> None:
    volume = random_volume(np.random.default_rng(0), (100, 120, 90))
    network, began = long_network(), 0.0

    def cancel() -> bool:
        return bool(began) and time.perf_counter() - began > 0.2

    def progress(step: str, share: float) -> None:
        nonlocal began
        if step == "network" and not began:
            began = time.perf_counter()

    with pytest.raises(Cancelled):
        segment(volume, float_model(network, spacing=1.5), progress, cancel)
    assert time.perf_counter() - began < 1.5


def test_what_progress_raises_is_raised() -> None:
    def step(share: float) -> None:
        if share == 1.0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.run(unet_network(), np.zeros((4, 4, 4), np.uint8), "onnxruntime", step=step)


def test_estimates_and_bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import LowResSegLib.estimate.speed as speed

    monkeypatch.setattr(speed, "_cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(speed, "_EDGE", 16)
    model = float_model()
    found = measure(model, 1)
    assert (found.backend, found.instruction_set, found.threads) == ("onnxruntime", "", 1)
    assert found.network > 0 and found.memory > 0 and found.gmac_per_second(model) > 0
    small, large = (estimate(found, model, (size,) * 3, (1.0, 1.0, 1.0)) for size in (64, 128))
    assert small.seconds < large.seconds and small.megabytes < large.megabytes
    with pytest.raises(BackendError, match="ONNX Runtime alone"):
        measure(model, 1, "numpy")
    path = tmp_path / f"float{SUFFIX}"
    write_model(path, model)
    assert cli.main(["bench", "--model", str(path), "--threads", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["backend"] == "onnxruntime" and "float network" in report["comparison_missing"]
    assert report["gmac"] == pytest.approx(model.network.operations_per_voxel() * 16**3 / 1e9, abs=1e-4)
    assert cli.main(["bench", "--model", str(path), "--threads", "1"]) == 0
    assert "not compared: it is what runs this model's float network" in capsys.readouterr().out


CHILD = """
import json, sys
from pathlib import Path
import numpy as np
from LowResSegLib import engine
from LowResSegLib.memory import peak_memory_mb, resident_bytes
from LowResSegLib.model import read_model
network = read_model(Path(sys.argv[1])).network
engine.usable_backends()
import LowResSegLib.engine.onnx_float
grid = np.random.default_rng(0).integers(0, 128, (48, 80, 80)).astype(np.uint8)
held = resident_bytes()
for _ in range(3):
    logits = engine.run(network, grid, "onnxruntime", 2)
print(json.dumps([peak_memory_mb() * 1e6 - held - logits.nbytes, engine.memory(network, grid.shape, "onnxruntime", 2)]))
"""


def wide_model(slices: bool) -> Model:
    from plans import random_plan

    from LowResSegLib.estimate.float_network import float_graph

    flat: dict[str, Any] = {"kernel": (1, 3, 3), "factor": (1, 2, 2)} if slices else {}
    plan = random_plan(np.random.default_rng(0), 6, (24, 48), **flat)
    return float_model(OnnxNetwork(float_graph(plan.layers).SerializeToString(), 0.01, 2, slices=slices))


@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from Linux's /proc")
@pytest.mark.parametrize("slices", [False, True])
def test_the_memory_of_a_run_is_known_before(slices: bool, tmp_path: Path) -> None:
    path = tmp_path / f"wide{SUFFIX}"
    write_model(path, wide_model(slices))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    measured, expected = json.loads(done.stdout)
    assert 0.4 * expected < measured < expected


def test_the_command_line_segments(
    tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    from LowResSegLib.volume import write_labelmap

    path, scan = tmp_path / f"float{SUFFIX}", tmp_path / "scan.nii.gz"
    write_model(path, float_model())
    write_labelmap(scan, random_volume(rng, (30, 30, 30)))
    call = ["segment", str(scan), "--model", str(path), "--progress", "none", "-o"]
    assert cli.main([*call, str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["backend"] == "onnxruntime"
    assert cli.main([*call, str(tmp_path / "more"), "--backend", "native"]) == 2
    assert "ONNX Runtime alone runs" in capsys.readouterr().err
