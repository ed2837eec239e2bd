"""Dice of the front's float networks in int8: rows of the table beside those of the float32 they come from.

    python -m benchmarks.experiments.int8 --data Task04_Hippocampus [--runs runs/experiments]

ONNX Runtime's static quantisation: unsigned activations whose ranges training cases give, signed weights with a scale
for each channel, of all layers. Ranges that leave out the rarest values, or that keep the most information, changed the
Dice of the 20 tuning cases by less than 0.05 points. Needs the extras `train` and `bench`, and the checkpoints.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor, nn

from benchmarks.experiments import plan, table
from benchmarks.experiments.goals import front_arms, int8_of
from benchmarks.experiments.run import evaluate
from LowResSegLib.networks.trunk import Features
from LowResSegLib.training.case_checkpoint import load_segmenter
from LowResSegLib.training.case_export import onnx_graph
from LowResSegLib.training.cases import Cases, labels_of
from LowResSegLib.training.datasets import find_dataset
from LowResSegLib.training.segmenter import Segmenter
from LowResSegLib.training.splits import read_splits

CALIBRATION = 20  # training cases that ranges are taken from


class Inputs(nn.Module):
    """A trunk that keeps what it is given."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk, self.size_divisor = trunk, trunk.size_divisor
        self.seen: list[np.ndarray] = []

    def forward(self, image: Tensor) -> Any:
        """The trunk's features."""
        self.seen.append(image.numpy())
        return self.trunk(image)


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Inputs one by one, as ONNX Runtime asks for them."""

    def __init__(self, inputs: Sequence[np.ndarray]) -> None:
        self.left: Iterator[np.ndarray] = iter(inputs)

    def get_next(self) -> Optional[dict[str, np.ndarray]]:
        """The next one, None after the last."""
        image = next(self.left, None)
        return None if image is None else {"image": image}


class Graph(nn.Module):
    """An ONNX graph in a trunk's place, for heads that read logits alone."""

    def __init__(self, path: Path, size_divisor: int) -> None:
        super().__init__()
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.size_divisor = size_divisor
        self.device_of = nn.Parameter(torch.empty(0), requires_grad=False)  # a segmenter asks its parameters

    def forward(self, image: Tensor) -> Features:
        """Its logits; there are no features."""
        logits = torch.from_numpy(self.session.run(["logits"], {"image": image.numpy()})[0])
        return Features(logits, logits[:, :0])


def quantised(segmenter: Segmenter, cases: Cases, names: Sequence[str], folder: Path) -> Segmenter:
    """The segmenter with its trunk in int8, whose ranges these cases give."""
    watched = Inputs(segmenter.trunk.eval())
    graph, made = folder / "float.onnx", folder / "int8.onnx"
    graph.write_bytes(onnx_graph(segmenter))
    segmenter.trunk = watched  # type: ignore[assignment]
    for name in names:
        segmenter.predict(cases[name])
    quantize_static(
        str(graph), str(made), Reader(watched.seen), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    segmenter.trunk = Graph(made, watched.size_divisor)  # type: ignore[assignment]
    return segmenter


def row_of(arm: str, seed: int, weights: Path, data: Path, split: Path = plan.SPLIT) -> dict[str, Any]:
    """The line of the table of a float arm's network in int8."""
    segmenter, _ = load_segmenter(weights)
    chosen, dataset = read_splits(split)[0], find_dataset(data)
    cases = Cases(dataset, labels_of(dataset, {}), segmenter.data)
    with tempfile.TemporaryDirectory() as folder:
        small = quantised(segmenter, cases, chosen.training[:CALIBRATION], Path(folder))
        found = evaluate(small, cases, chosen.test)
    key = f"{int8_of(arm)}/{seed}"
    return {"unit": key, "part": "d", "arm": int8_of(arm), "seed": seed, "protocol": plan.protocol_of(key), **found}


def main() -> None:
    """Add the rows that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder Task04_Hippocampus")
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    arms = [arm for kind, _, arm in [*front_arms(), *front_arms(longer=True)] if kind == "float"]
    for arm, seed in [(arm, seed) for arm in arms for seed in plan.SEEDS]:
        key, there = f"{int8_of(arm)}/{seed}", table.rows()
        if key in there or f"{arm}/{seed}" not in there:
            continue
        row = row_of(arm, seed, plan.folder_of(options.runs, f"{arm}/{seed}") / "weights.pt", options.data)
        table.append(row)
        dice, wide = (np.nanmean(table.values(r)) for r in (row, there[f"{arm}/{seed}"]))
        print(f"{key}: Dice {dice:.4f}, float32 {wide:.4f}", flush=True)


if __name__ == "__main__":
    main()
