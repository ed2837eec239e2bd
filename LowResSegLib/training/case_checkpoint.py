"""Small checkpoints of segmenters: trunk and head with what they were built of, the trunk in half precision."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import torch

from LowResSegLib.errors import InputError
from LowResSegLib.sampling import Normalisation
from LowResSegLib.training.checkpoint import load_small
from LowResSegLib.training.run_config import DataSettings
from LowResSegLib.training.segmenter import Segmenter, Shape
from LowResSegLib.volume import replacing


def save_segmenter(
    path: Path,
    segmenter: Segmenter,
    labels: Mapping[int, str],
    step: int,
    scores: Mapping[str, float],
    about: Optional[Mapping[str, Any]] = None,
) -> None:
    """Write a small checkpoint in one piece.

    Args:
        path: of the file.
        segmenter: trunk and head.
        labels: name of each value with the background, in the classes' order.
        step: how far the run is.
        scores: how well it does.
        about: `name` and `card` of the run, `spacing` of its cases: what a model file is made with.
    """
    state = {
        key: value.half() if value.is_floating_point() and key.startswith("trunk.") and "running" not in key else value
        for key, value in segmenter.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    content = {
        "network": dict(segmenter.shape.network),
        "shape": _plain(dataclasses.asdict(segmenter.shape)),
        "data": _plain(dataclasses.asdict(segmenter.data)),
        "about": _plain(dict(about or {})),
        "largest_logit": segmenter.largest_logit,
        "labels": {int(value): str(name) for value, name in labels.items()},
        "state": {key: value.detach().cpu().contiguous() for key, value in state.items()},
        "step": int(step),
        "scores": {key: float(value) for key, value in scores.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        torch.save(content, temporary)


def load_segmenter(path: Path) -> tuple[Segmenter, dict[str, Any]]:
    """A segmenter with its weights, and the checkpoint's content (`labels`, `step`, `scores`, ...).

    Raises:
        InputError: the file cannot be read, is no such checkpoint, or its weights do not fit its network.
    """
    content = load_small(path)
    if "shape" not in content:
        raise InputError(f"{path} is a checkpoint of a run on synthetic scans; give one of a run on cases.")
    try:
        data = {**content["data"], "normalisation": Normalisation(**content["data"]["normalisation"])}
        segmenter = Segmenter(Shape(**content["shape"]), DataSettings(**data))
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"{path} was written by another version ({error}).") from error
    put_weights(segmenter, content["state"], path)
    segmenter.largest_logit = float(content.get("largest_logit", 0.0))
    return segmenter.eval(), content


def put_weights(segmenter: Segmenter, state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Put a checkpoint's weights into a segmenter of the same shape; raises InputError where they do not fit."""
    try:
        missing, unexpected = segmenter.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    except RuntimeError as error:
        raise InputError(
            f"The weights of {path} do not fit the network: {' '.join(str(error).split())[:300]}"
        ) from error
    wrong = [key for key in missing if not key.endswith("num_batches_tracked")] + list(unexpected)
    if wrong:
        raise InputError(f"The weights of {path} do not fit the network: {', '.join(wrong[:5])}.")


def start_from(segmenter: Segmenter, path: Path) -> None:
    """Begin with the trunk of a checkpoint of the same widths, whatever its precision.

    Batch norm's statistics come along only where the precision is the same, because those of ReLU do not fit ternary
    thresholds. The head comes along where it is of the same kind.
    """
    content = load_small(path)
    own = segmenter.state_dict()
    same = dict(content["network"]).get("precision") == dict(segmenter.shape.network).get("precision")
    norms = _norm_keys(segmenter)
    same_head = dict(content.get("shape", {}).get("head", {})) == _plain(dict(segmenter.shape.head))
    chosen = {
        key: value.float()
        for key, value in content["state"].items()
        if (same or key not in norms) and (same_head or not key.startswith("head."))
    }
    left = {key for key in own if key not in chosen}
    allowed = {key for key in left if key in norms or key.endswith("num_batches_tracked") or key.startswith("head.")}
    wrong = [key for key, value in chosen.items() if key not in own or own[key].shape != value.shape]
    if wrong or left != allowed:
        raise InputError(f"The run cannot start from {path}: its network has other layers or widths.")
    segmenter.load_state_dict({**own, **chosen})


def _norm_keys(module: torch.nn.Module) -> set[str]:
    return {
        f"{name}.{key}"
        for name, part in module.named_modules()
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)
        for key in part.state_dict()
    }


def _plain(value: Any) -> Any:
    """Nested mappings and sequences as plain dicts and lists, which torch loads without running code."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value
