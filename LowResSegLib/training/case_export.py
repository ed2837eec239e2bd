"""From a run on cases to a model file or an ONNX file, each checked against the trained network at once."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch

from LowResSegLib import engine, slabs
from LowResSegLib.errors import InputError, LowResSegError
from LowResSegLib.model import PASSES, Model, OnnxNetwork, read_model, write_model
from LowResSegLib.model.plan import MAX_LOGIT
from LowResSegLib.networks.build import build_network
from LowResSegLib.networks.fold import FOLDABLE, fold
from LowResSegLib.networks.heads.fusion import FusionHead
from LowResSegLib.networks.ternary import INTENSITY_SCALE
from LowResSegLib.sampling import GridSettings
from LowResSegLib.training.case_checkpoint import load_segmenter
from LowResSegLib.training.export import check_export
from LowResSegLib.training.head_export import check_fusion, fusion_of
from LowResSegLib.training.labels import LabelTable
from LowResSegLib.training.segmenter import Segmenter
from LowResSegLib.training.yaml_files import read_yaml
from LowResSegLib.volume import Label, replacing

OPSET = 17
TOLERANCE = 1e-3  # of logits, relative to the largest one: ONNX Runtime sums in another order
_UNIT_MARGIN = 1.25  # logits may become so much larger than any that validation saw
_CARD_KEYS = ("name", "labels", "card", "passes", "mirror", "spacing")
# Colours far from each other, for structures that nobody gave one.
_COLORS = (
    (230, 75, 53), (77, 187, 213), (0, 160, 135), (243, 155, 127), (60, 84, 136), (145, 209, 194), (220, 180, 60),
    (126, 97, 72), (176, 156, 133), (132, 145, 180),
)  # fmt: skip


def export_run(
    checkpoint: Path, output: Optional[Path] = None, card_file: Optional[Path] = None, onnx_file: Optional[Path] = None
) -> Optional[Model]:
    """Write a model file, an ONNX file, or both.

    A ternary network becomes a plan, any other one an ONNX graph that ONNX Runtime runs. A written file is read back
    and must give the network's logits: the plan exactly, on every engine that is here; the graph within `TOLERANCE`.

    Args:
        checkpoint: the run's weights.pt.
        output: the model file.
        card_file: YAML with any of `name`, `labels` (path of a label table, relative to the card), `card`, `passes`,
            `mirror` and `spacing` (mm, of the scans); what it does not have is the run's own, entry by entry for
            `card`. Runs with flips from left to right make models that may mirror.
        onnx_file: an ONNX file: of a ternary network the quantised graph of its plan (input `image`, uint8), of
            another one its float graph (input `image`, float32, the grid over 64); output `logits`.

    Returns:
        The model, as read from its file; None where there is no `output`.

    Raises:
        InputError: the run makes no model file: its scans differ in spacing, it has several channels, a head that
            model files do not have, or slices that were brought down.
        ValueError: the written file does not give the network's logits, or the head's labels.
        ModelError: the network is one that no engine may run.
    """
    if output is None and onnx_file is None:
        raise InputError("Say what to write: a model file, an ONNX file, or both.")
    segmenter, content = load_segmenter(checkpoint)
    about, given = content.get("about", {}), _card(card_file)
    described: dict[str, Any] = {**about, **given, "card": {**about.get("card", {}), **(given.get("card") or {})}}
    plan = fold(segmenter.trunk) if segmenter.shape.network.get("precision", "ternary") in FOLDABLE else None
    if onnx_file is not None:
        if plan is not None:
            from LowResSegLib.engine.onnx_graph import onnx_model

            graph = onnx_model(plan).SerializeToString()
        else:
            graph = onnx_graph(segmenter)
            _check_graph(graph, segmenter)
        with replacing(onnx_file) as temporary:
            temporary.write_bytes(graph)
    if output is None:
        return None
    _check_deployable(segmenter)
    network = plan if plan is not None else _float_network(segmenter)
    labels = _labels(content["labels"], described, card_file)
    if len(labels) != segmenter.shape.classes:
        raise InputError(f"The card has {len(labels)} labels where the network has {segmenter.shape.classes} classes.")
    spacing = segmenter.data.spacing or described.get("spacing")
    if not spacing:
        raise InputError(
            "The scans of the run differ in spacing, and a model has one grid: set data.spacing in the configuration, "
            "or spacing in the card."
        )
    passes = described.get("passes", 1)
    if passes not in PASSES:
        raise InputError(f"passes is 1, 2 or 4, not {passes!r}.")
    mirror = described.get("mirror", False)
    if not isinstance(mirror, bool) or (passes > 2 and not mirror):
        raise InputError("mirror is true or false, and true for 4 passes, of which two are mirrored.")
    grid = GridSettings(
        float(spacing) * segmenter.data.factors[0], segmenter.data.orientation, max(network.size_divisor, 1)
    )
    head = segmenter.head
    fusion = fusion_of(head, network.logit_unit) if isinstance(head, FusionHead) else None
    model = Model(
        str(described.get("name") or "model"), labels, grid, segmenter.data.normalisation, network,
        dict(described.get("card") or {}), passes=passes, mirror=mirror, fusion=fusion,
    )  # fmt: skip
    with replacing(output) as temporary:  # a model that does not pass leaves the one of before
        write_model(temporary, model)
        written = read_model(temporary)
        if plan is not None:
            check_export(written, plan)
        else:
            _check_float(written, segmenter)
        if written.fusion is not None:
            check_fusion(segmenter.head, written.fusion, network.logit_unit)
    return read_model(output)


def onnx_graph(segmenter: Segmenter) -> bytes:
    """The trunk as an ONNX graph of standard operators, for grids of any size that its divisor divides."""
    flat = segmenter.data.dimensions == 2
    edge = 2 * segmenter.divisor if segmenter.divisor > 1 else 8
    example = torch.zeros(1, segmenter.trunk.settings.inputs, *(edge,) * segmenter.data.dimensions)
    axes = {0: "slices", 2: "y", 3: "x"} if flat else {2: "z", 3: "y", 4: "x"}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is called an old one
        export: Any = torch.onnx.export  # its type does not know of buffers, which it takes
        export(
            segmenter.trunk.trunk.eval(), (example,), buffer, dynamo=False, opset_version=OPSET, input_names=["image"],
            output_names=["logits"], dynamic_axes={"image": axes, "logits": axes},
        )  # fmt: skip
    return buffer.getvalue()


def _float_network(segmenter: Segmenter) -> OnnxNetwork:
    unit = max(_UNIT_MARGIN * segmenter.largest_logit / MAX_LOGIT, 1e-4)
    graph = onnx_graph(segmenter)
    flat = segmenter.data.dimensions == 2
    return OnnxNetwork(graph, unit, segmenter.divisor, None if flat else _reach(segmenter), flat)


def _reach(segmenter: Segmenter) -> Optional[int]:
    """How far a logit depends on the grid: that of the ternary network of the same layers; None where there is none."""
    try:
        twin = build_network(replace(segmenter.trunk.settings, precision="ternary"), segmenter.shape.classes)
        return slabs.reach(fold(twin.eval()))
    except (ValueError, LowResSegError):
        return None


def _check_deployable(segmenter: Segmenter) -> None:
    data, shape = segmenter.data, segmenter.shape
    if shape.channels * data.slices > 1 or shape.sigmoid:
        raise InputError("A model file is of networks that take one image and give a logit for each class.")
    if shape.head.get("name") not in ("linear", "fusion"):
        raise InputError(
            f"A model file has the head linear or fusion; the head {shape.head.get('name')} is not one of its parts."
        )
    if shape.head.get("name") == "fusion" and data.dimensions == 2:
        raise InputError("A model file has the head fusion for volumes alone, not for slices.")
    if data.downsampling != "triangle":
        raise InputError(f"A model file brings scans down by the triangle filter, not by {data.downsampling}.")
    if len(set(data.factors)) > 1 or (data.dimensions == 2 and data.factors[0] != 1):
        raise InputError("A model file has a grid of one spacing; slices that were brought down do not have one.")


def _grid(segmenter: Segmenter) -> np.ndarray:
    edge = max(8, 2 * segmenter.divisor)
    edge += -edge % segmenter.divisor
    return np.random.default_rng(0).integers(0, 128, (edge,) * 3).astype(np.uint8)


@torch.no_grad()
def _expected(segmenter: Segmenter, grid: np.ndarray) -> np.ndarray:
    """Logits of the trained network, (classes, z, y, x)."""
    image = torch.from_numpy(grid).float() / INTENSITY_SCALE
    flat = segmenter.data.dimensions == 2
    logits = segmenter.trunk.eval()(image[:, None] if flat else image[None, None]).logits
    found: np.ndarray = (logits.movedim(1, 0) if flat else logits[0]).numpy()
    return found


def _check_float(model: Model, segmenter: Segmenter) -> None:
    """Raise ValueError unless a model gives the trained network's logits, in its units and as far as they go."""
    grid = _grid(segmenter)
    unit = model.network.logit_unit
    expected = np.clip(_expected(segmenter, grid) / unit, -MAX_LOGIT, MAX_LOGIT)
    found = engine.run(model.network, grid, engine.choose_backend("auto", model))
    if np.abs(found - expected).max() > 0.51 + TOLERANCE * np.abs(expected).max():
        raise ValueError("The exported model gives other logits than the trained network.")


def _check_graph(graph: bytes, segmenter: Segmenter) -> None:
    import onnxruntime

    edge = 2 * segmenter.divisor + -2 * segmenter.divisor % 8
    rng = np.random.default_rng(0)
    image = rng.random((1, segmenter.trunk.settings.inputs, *(edge,) * segmenter.data.dimensions), np.float32) * 2
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": image})
    with torch.no_grad():
        expected = segmenter.trunk.eval()(torch.from_numpy(image)).logits.numpy()
    if np.abs(found - expected).max() > TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ValueError("The ONNX file gives other logits than the trained network.")


def _card(path: Optional[Path]) -> dict[str, Any]:
    if path is None:
        return {}
    card: dict[str, Any] = read_yaml(path, dict)
    unknown = sorted(set(card) - set(_CARD_KEYS))
    if unknown:
        raise InputError(f"{path}: unknown settings {', '.join(unknown)}; known are {', '.join(_CARD_KEYS)}.")
    return card


def _labels(names: Mapping[int, str], card: Mapping[str, Any], card_file: Optional[Path]) -> tuple[Label, ...]:
    """Labels numbered as the classes: those of the card's table, or the run's names with colours."""
    if card.get("labels") and card_file is not None:
        table = LabelTable.read(card_file.parent / card["labels"])
        return tuple(Label.from_dict(entry) for entry in table.entries)
    colors = [(0, 0, 0), *(_COLORS[place % len(_COLORS)] for place in range(len(names) - 1))]
    return tuple(Label(value, name, color) for value, (name, color) in enumerate(zip(names.values(), colors)))
