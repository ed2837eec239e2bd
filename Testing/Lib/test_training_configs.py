"""The configurations of the papers and of the hippocampus, and the tutorial's, are understood and run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; it is needed for training only")
pytest.importorskip("lightning", reason="lightning is not installed; it is needed for training only")
pytest.importorskip("monai", reason="monai is not installed; it is needed for training only")

import case_sets  # noqa: E402
import yaml  # noqa: E402

import LowResSegLib  # noqa: E402
from LowResSegLib.training.case_checkpoint import load_segmenter  # noqa: E402
from LowResSegLib.training.datasets import find_dataset  # noqa: E402
from LowResSegLib.training.run_config import DataSettings, RunConfig  # noqa: E402
from LowResSegLib.training.segmenter import Segmenter, Shape  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice
CHECKOUT = Path(__file__).resolve().parents[2]


# Without the brain's, which are of runs on synthetic scans, and without cards and tables of labels.
CONFIGS = [
    path
    for path in sorted((CHECKOUT / "LowResSegLib" / "training" / "configs").glob("*.yaml"))
    if "data" in yaml.safe_load(path.read_text(encoding="utf-8"))
]


def standin(folder: Path, name: str) -> Path:
    """A few small files of the layout that a configuration is for."""
    if "pancreas" in name:
        for number in range(6):
            image, label = case_sets.picture(number, (8, 20, 16))
            geometry = {"spacing": (2.0, 2.0, 2.0)}
            case_sets.write_image(folder / "images" / f"{number}.nii.gz", 3 * image - 200, **geometry)
            case_sets.write_image(folder / "labels" / f"{number}.nii.gz", np.minimum(label, 1), **geometry)
        return folder
    if "jnet" not in name:
        return case_sets.msd(folder, 12)
    case_sets.msd(folder, 6, 2 if "prostate" in name else 4, (3, 40, 36))
    if "brats" in name:
        description = json.loads((folder / "dataset.json").read_text())
        description["labels"]["3"] = "Third"
        (folder / "dataset.json").write_text(json.dumps(description))
    return folder


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configurations_run_on_small_files_of_the_same_layout(path: Path, tmp_path: Path) -> None:
    data = standin(tmp_path / "data", path.stem)
    config = yaml.safe_load(path.read_text())
    RunConfig.read(path)
    for key in ("epochs", "steps"):
        config.pop(key, None)
    config = {
        **config,
        "steps": 1,
        "batch": 2,
        "tensorboard": False,
        "statistics_batches": min(1, config.get("statistics_batches", 0)),
    }
    if "pancreas" in path.stem:
        config["network"]["widths"], config["data"]["crop"] = [4], [16, 16]
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    weights = LowResSegLib.train(tmp_path / "run.yaml", data, tmp_path / "run", fold=1)
    segmenter, content = load_segmenter(weights)
    assert content["step"] == 1 and "dice" in content["scores"]
    if "jnet" in path.stem:
        assert segmenter.shape.sigmoid and segmenter.shape.classes == 2
        assert segmenter.shape.channels == (2 if "prostate" in path.stem else 4)
        levels = segmenter.train()(torch.rand(2, segmenter.shape.channels, 256, 256), torch.ones(2, 1, 256, 256))
        sizes = [16, 32, 64, 128, 256]
        assert [level.shape[-1] for level in levels] == (sizes if path.stem.endswith("16") else sizes[1:])
    if "pancreas" in path.stem:
        assert segmenter.trunk.settings.inputs == 15


def test_there_are_configurations_for_the_papers_and_the_hippocampus() -> None:
    assert {path.stem for path in CONFIGS} == {
        "hippocampus_float", "hippocampus_float_small", "hippocampus_head", "hippocampus_teacher",
        "hippocampus_ternary", "jnet_brats_16", "jnet_brats_32", "jnet_prostate_16", "jnet_prostate_32",
        "ternarynet_pancreas",
    }  # fmt: skip


def test_the_hippocampus_runs_hold_out_the_cases_of_the_experiments() -> None:
    from data import data_file

    from LowResSegLib.training.case_run import split_of
    from LowResSegLib.training.splits import read_splits

    dataset = find_dataset(data_file("Task04_Hippocampus"))
    (expected,) = read_splits(CHECKOUT / "benchmarks" / "experiments" / "splits.json")
    for path in CONFIGS:
        if "hippocampus" in path.stem:
            assert split_of(RunConfig.read(path), dataset)[0] == expected


def test_the_tutorials_files_and_commands_are_understood(tmp_path: Path) -> None:
    import re
    import shlex

    from LowResSegLib.cli import parser

    text = (CHECKOUT / "docs" / "training.md").read_text(encoding="utf-8")
    run, card = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "run.yaml").write_text(run)
    config = RunConfig.read(tmp_path / "run.yaml")
    Segmenter(Shape(config.network, config.head, 3), config.data)
    assert set(yaml.safe_load(card)) <= {"name", "labels", "card"}
    commands = re.findall(r"^    (?:torchrun --nproc_per_node=\d+ -m LowResSegLib|lowresseg) (.+)$", text, re.MULTILINE)
    assert len(commands) >= 6
    for command in commands:
        parser().parse_args(shlex.split(command))
    keys = {
        key for row in re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE) for key in re.findall(r"`([a-z_.]+)`", row)
    }
    top = {key.split(".")[0] for key in keys}
    assert set(RunConfig.__dataclass_fields__) - {"name"} == top
    assert {f"data.{field}" for field in DataSettings.__dataclass_fields__} == {key for key in keys if "." in key}
