"""Runs on cases learn, resume, stop in time and are shared by processes; wrong configurations are told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; it is needed for training only")
pytest.importorskip("lightning", reason="lightning is not installed; it is needed for training only")
pytest.importorskip("monai", reason="monai is not installed; it is needed for training only")

import case_sets  # noqa: E402
from case_sets import write_run  # noqa: E402

import LowResSegLib  # noqa: E402
from LowResSegLib.cli import main  # noqa: E402
from LowResSegLib.errors import InputError  # noqa: E402
from LowResSegLib.training.case_checkpoint import load_segmenter, save_segmenter, start_from  # noqa: E402
from LowResSegLib.training.checkpoint import load_small  # noqa: E402
from LowResSegLib.training.run_config import DataSettings  # noqa: E402
from LowResSegLib.training.segmenter import Segmenter, Shape  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return case_sets.msd(tmp_path_factory.mktemp("msd"))


def test_a_run_learns_and_leaves_its_results(data: Path, tmp_path: Path) -> None:
    changes = {"steps": 40, "validate_every": 20, "optimiser": {"learning_rate": 1e-2, "warm_up": 4}}
    config = write_run(tmp_path / "run.yaml", {"network": {"precision": "float"}, **changes})
    said: list[str] = []
    weights = LowResSegLib.train(config, data, tmp_path / "run", say=said.append)
    assert weights == tmp_path / "run" / "weights.pt" and weights.stat().st_size < 2_000_000
    scores = [json.loads(line) for line in (tmp_path / "run" / "scores.jsonl").read_text().splitlines()]
    assert [line["step"] for line in scores] == [20, 40] and scores[1]["dice"] > 0.3
    found = json.loads((tmp_path / "run" / "validation.json").read_text())
    assert len(found["dice"]) == 2 and all(set(dice) == {"1", "2"} for dice in found["dice"].values())
    mean = np.mean([list(dice.values()) for dice in found["dice"].values()])
    assert mean == pytest.approx(scores[1]["dice"], abs=1e-4)
    assert (tmp_path / "run" / "run.yaml").exists() and len(
        json.loads((tmp_path / "run" / "splits.json").read_text())
    ) == 3
    assert any("6 cases (msd)" in sentence for sentence in said)


@pytest.mark.parametrize("kept", ["last.ckpt", "weights.pt"])
def test_a_run_resumes_from_either_checkpoint(data: Path, tmp_path: Path, kept: str) -> None:
    output = tmp_path / "run"
    LowResSegLib.train(write_run(tmp_path / "run.yaml"), data, output)
    for name in {"last.ckpt", "weights.pt"} - {kept}:
        (output / name).unlink()
    LowResSegLib.train(write_run(tmp_path / "run.yaml", {"steps": 6}), data, output, resume=True)
    steps = [json.loads(line)["step"] for line in (output / "scores.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 6] and load_small(output / "weights.pt")["step"] == 6


def test_a_run_is_not_written_over(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    LowResSegLib.train(write_run(tmp_path / "run.yaml", {"steps": 2}), data, output)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"run holds a run; go on with it \(--resume\), or choose another folder"):
        LowResSegLib.train(write_run(tmp_path / "run.yaml"), data, output)
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


def test_a_run_that_is_stopped_goes_on_as_if_it_was_not(data: Path, tmp_path: Path) -> None:
    """Optimiser and schedule come back: the learning rate of the whole run's end is zero."""
    output = tmp_path / "run"
    LowResSegLib.train(write_run(tmp_path / "run.yaml", {"steps": 2}), data, output)
    LowResSegLib.train(write_run(tmp_path / "run.yaml"), data, output, resume=True)
    state = torch.load(output / "last.ckpt", weights_only=False)
    assert state["global_step"] == 4 and state["optimizer_states"][0]["state"][0]["step"] == 4
    assert state["lr_schedulers"][0]["last_epoch"] == 4


def test_a_run_in_mixed_precision_interpolates_in_single(data: Path, tmp_path: Path) -> None:
    changes = {"precision": "bf16", "network": {"precision": "float"}, "steps": 20, "validate_every": 20}
    rate = {"optimiser": {"learning_rate": 1e-2, "warm_up": 4}}
    weights = LowResSegLib.train(write_run(tmp_path / "run.yaml", {**changes, **rate}), data, tmp_path / "run")
    assert load_small(weights)["scores"]["dice"] > 0.05
    segmenter, _ = load_segmenter(weights)
    with torch.autocast("cpu", torch.bfloat16):
        logits = segmenter(torch.rand(1, 1, 16, 24, 16) * 100, torch.ones(1, 1, 16, 24, 16))
    assert logits.dtype == torch.float32


def test_the_time_of_earlier_starts_does_not_count(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    LowResSegLib.train(write_run(tmp_path / "run.yaml", {"steps": 2}), data, output, max_minutes=5)
    state = torch.load(output / "last.ckpt", weights_only=False)
    (timer,) = (entry for name, entry in state["callbacks"].items() if "Deadline" in name)
    timer["time_elapsed"]["train"] = 1e6
    torch.save(state, output / "last.ckpt")
    LowResSegLib.train(write_run(tmp_path / "run.yaml"), data, output, resume=True, max_minutes=5)
    assert load_small(output / "weights.pt")["step"] == 4


def test_a_run_stops_in_time_and_can_be_resumed(data: Path, tmp_path: Path) -> None:
    config = write_run(tmp_path / "run.yaml", {"steps": 100_000, "validate_every": 100_000})
    weights = LowResSegLib.train(config, data, tmp_path / "run", max_minutes=0.02)
    step = load_small(weights)["step"]
    assert 0 < step < 10_000
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=False)["global_step"] == step


def test_a_ternary_network_learns_from_a_float_one(data: Path, tmp_path: Path) -> None:
    teacher = LowResSegLib.train(
        write_run(tmp_path / "f.yaml", {"network": {"precision": "float"}}), data, tmp_path / "f"
    )
    changes = {"start_from": str(teacher), "teacher": str(teacher), "statistics_batches": 2}
    student = LowResSegLib.train(write_run(tmp_path / "t.yaml", {**changes, "steps": 1}), data, tmp_path / "t")
    before, after = load_segmenter(teacher)[0], load_segmenter(student)[0]
    for (name, old), (_, new) in zip(before.trunk.named_parameters(), after.trunk.named_parameters()):
        if old.ndim > 1:  # one step at a small rate leaves weights near their start
            assert float((old - new).abs().max()) < 1e-3, name
    other = write_run(tmp_path / "o.yaml", {"data": {"merge": {2: 1}}, "teacher": str(teacher)})
    with pytest.raises(InputError, match="other classes"):
        LowResSegLib.train(other, data, tmp_path / "o")
    wide = write_run(tmp_path / "w.yaml", {"network": {"widths": [4, 8]}, "start_from": str(teacher)})
    with pytest.raises(InputError, match="other layers or widths"):
        LowResSegLib.train(wide, data, tmp_path / "w")


def test_statistics_come_along_only_where_the_precision_is_the_same(tmp_path: Path) -> None:
    def made(precision: str) -> Segmenter:
        shape = Shape({"name": "unet", "widths": [4, 6], "precision": precision}, {"name": "likelihood"}, 3)
        return Segmenter(shape, DataSettings(crop=(16, 16, 16)))

    first = made("float")
    for part in first.modules():
        if isinstance(part, torch.nn.BatchNorm3d):
            part.running_mean += 5
    first.head.weight.data += 2
    save_segmenter(tmp_path / "weights.pt", first, case_sets.LABELS, 1, {})
    for precision, mean in (("float", 5.0), ("ternary", 0.0)):
        torch.manual_seed(1)
        second = made(precision)
        start_from(second, tmp_path / "weights.pt")
        norms = [part for part in second.modules() if isinstance(part, torch.nn.BatchNorm3d)]
        assert norms and all((norm.running_mean == mean).all() for norm in norms)
        assert float(second.head.weight) == 2
        old, new = (net.trunk.trunk.encoder[1][0][0].weight for net in (first, second))
        torch.testing.assert_close(new, old, rtol=1e-3, atol=1e-3)


def test_the_continuation_makes_activations_steeper(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    monkeypatch.setattr("LowResSegLib.training.case_task.set_beta", lambda module, beta: seen.append(beta))
    config = write_run(tmp_path / "run.yaml", {"network": {"precision": "ternary_soft"}, "steps": 3})
    LowResSegLib.train(config, data, tmp_path / "run")
    assert seen == pytest.approx([3.0, 5.5, 8.0])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"netwrok": {}}, "unknown settings netwrok"),
        ({"data": {"crops": [1, 1, 1]}}, "unknown settings crops in data"),
        ({"data": {"crop": [16, 24]}}, "crop has 3 whole numbers"),
        ({"data": {"crop": [15, 24, 16]}}, "multiple of factor"),
        ({"data": {"downsampling": "box"}}, "downsampling is one of"),
        ({"data": {"normalisation": {"kind": "x"}}}, "no normalisation"),
        ({"data": {"slices": 3}}, "stacks"),
        ({"loss": {"kind": "x"}}, "kind is one of"),
        ({"epochs": 2}, "either steps or epochs"),
        ({"network": {"name": "resnet"}}, "no network 'resnet'"),
        ({"head": {"name": "big"}}, "no head 'big'"),
        ({"split": {"fold": 7}}, "no fold 7"),
        ({"split": {"file": "none.json"}}, "none.json cannot be read"),
        ({"loss": {"class_weights": [1.0]}}, "1 numbers for 3 classes"),
        ({"precision": 64}, "precision is one of"),
        ({"augmentation": {"flips": [3]}}, "flips are axes"),
    ],
)
def test_wrong_configurations_are_refused(changes: dict[str, Any], sentence: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        LowResSegLib.train(write_run(tmp_path / "run.yaml", changes), data, tmp_path / "run")


def test_broken_data_are_told_before_training(tmp_path: Path) -> None:
    folder = case_sets.msd(tmp_path / "data")
    case_sets.write_image(folder / "labelsTr" / "case_04.nii.gz", 3 * case_sets.picture(4)[1])
    with pytest.raises(InputError, match="case_04 holds the value 3"):
        LowResSegLib.train(write_run(tmp_path / "run.yaml"), folder, tmp_path / "run")
    assert not (tmp_path / "run" / "last.ckpt").exists()
    assert main(["train", str(tmp_path / "run.yaml"), "--data", str(folder), "-o", str(tmp_path / "run")]) == 2


@pytest.mark.slow
def test_two_processes_of_torchrun_share_a_run(data: Path, tmp_path: Path) -> None:
    """Each sees cases of its own; gradients, and the Dice of all cases, come together."""
    config = write_run(tmp_path / "run.yaml", {"head": {"name": "j"}, "split": {"folds": 2}})
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    arguments = ["-m", "LowResSegLib", "train", str(config), "--data", str(data), "-o", str(tmp_path / "run")]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, env=environment, timeout=240, cwd=CHECKOUT
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("weights.pt") == 1
    found = json.loads((tmp_path / "run" / "validation.json").read_text())
    split = json.loads((tmp_path / "run" / "splits.json").read_text())[0]
    assert sorted(found["dice"]) == sorted(split["val"]) and len(found["dice"]) == 3
    assert load_small(tmp_path / "run" / "weights.pt")["step"] == 4
    assert len((tmp_path / "run" / "scores.jsonl").read_text().splitlines()) == 2
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=False)
    assert state["global_step"] == 4
    shutil.rmtree(tmp_path / "run")


def test_the_head_alone_learns(data: Path, tmp_path: Path) -> None:
    changes = {"head": {"name": "fusion"}, "precision": "32", "statistics_batches": 2}
    first = LowResSegLib.train(write_run(tmp_path / "first.yaml", changes), data, tmp_path / "first")
    run = write_run(tmp_path / "second.yaml", {**changes, "head_only": True, "start_from": str(first)})
    second = LowResSegLib.train(run, data, tmp_path / "second")
    before, after = (load_segmenter(path)[0].state_dict() for path in (first, second))
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed and all(key.startswith("head.") for key in changed)
    run = write_run(tmp_path / "third.yaml", {"head_only": True})
    with pytest.raises(InputError, match="head linear has nothing to learn"):
        LowResSegLib.train(run, data, tmp_path / "third")
