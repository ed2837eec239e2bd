"""From a small checkpoint to a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch

from LowResSegLib import engine
from LowResSegLib.errors import InputError
from LowResSegLib.model import PASSES, Model, Plan, read_model, write_model
from LowResSegLib.networks.fold import FoldedNetwork, fold
from LowResSegLib.sampling import GridSettings, Normalisation
from LowResSegLib.training.checkpoint import load_small, network_of
from LowResSegLib.training.labels import LabelTable
from LowResSegLib.training.yaml_files import read_yaml
from LowResSegLib.volume import Label, replacing


def holds_cases(checkpoint: Path) -> bool:
    """Whether a small checkpoint is of a run on cases (see `case_export`), not of one on synthetic scans."""
    return "shape" in load_small(checkpoint)


def export(checkpoint: Path, card_file: Path, output: Path, onnx_file: Optional[Path] = None) -> Model:
    """Fold a ternary network, write it as a model file and check the file against the folded network.

    Args:
        checkpoint: small checkpoint of a ternary network.
        card_file: YAML with `name`, `labels` (path of the label table, relative to the card), `grid`,
            `normalisation`, `card`, and `passes` if it is not 1.
        output: path of the model file.
        onnx_file: also write the plan as a quantised ONNX graph.

    Raises:
        InputError: the card or the checkpoint cannot be used.
        ValueError: the network is not ternary, or the written file does not give the folded network's logits.
        ModelError: the network is one that no engine may run.
    """
    description: dict[str, Any] = read_yaml(card_file, dict)
    missing = {"name", "labels", "grid", "normalisation", "card"} - set(description)
    if missing:
        raise InputError(f"{card_file} lacks {', '.join(sorted(missing))}.")
    table = LabelTable.read(card_file.parent / description["labels"])
    plan = fold(network_of(load_small(checkpoint)).eval())
    try:
        grid_settings = GridSettings(divisor=plan.size_divisor, **description["grid"])
        normalisation = Normalisation(**description["normalisation"])
    except (TypeError, ValueError) as error:
        raise InputError(f"{card_file}: {error}") from error
    labels = tuple(Label.from_dict(entry) for entry in table.entries)
    passes = description.get("passes", 1)
    if passes not in PASSES:
        raise InputError(f"{card_file}: passes is 1, 2 or 4, not {passes!r}.")
    model = Model(description["name"], labels, grid_settings, normalisation, plan, description["card"], passes=passes)
    with replacing(output) as temporary:  # a model that does not pass leaves the one of before
        write_model(temporary, model)
        check_export(read_model(temporary), plan)
    if onnx_file is not None:
        from LowResSegLib.engine.onnx_graph import onnx_model

        with replacing(onnx_file) as temporary:
            temporary.write_bytes(onnx_model(plan).SerializeToString())
    return read_model(output)


def check_export(written: Model, plan: Plan) -> None:
    """Raise ValueError unless a model gives the logits of the folded network, with every engine that is here."""
    edge = 2 * plan.size_divisor
    grid = np.random.default_rng(0).integers(0, 128, (edge, edge, edge)).astype(np.uint8)
    expected = FoldedNetwork(plan)(torch.from_numpy(grid)[None, None])[0].numpy()
    for backend in engine.available_backends():
        if not np.array_equal(engine.run(written.plan, grid, backend), expected):
            raise ValueError(f"The exported model gives other logits on {backend} than the folded network.")
