"""Small checkpoints: weights in half precision and what a run needs to go on from them, in under 2 MB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from LowResSegLib.errors import InputError
from LowResSegLib.networks.unet import UNet
from LowResSegLib.volume import replacing


def save_small(path: Path, network: UNet, step: int, scores: dict[str, float]) -> None:
    """Write a small checkpoint in one piece (temporary name, then rename)."""
    state = {
        key: value.half() if value.is_floating_point() and "running" not in key else value
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    content = {
        "network": {"classes": network.classes, "widths": list(network.widths), "ternary": network.ternary},
        "state": {key: value.detach().cpu().contiguous() for key, value in state.items()},
        "step": step,
        "scores": scores,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        torch.save(content, temporary)


def check_new(output: Path, resume: bool) -> None:
    """Raise InputError where a run's folder holds a run that shall not be gone on with: hours may have made it."""
    if not resume and any((output / name).exists() for name in ("last.ckpt", "weights.pt")):
        raise InputError(f"{output} holds a run; go on with it (--resume), or choose another folder.")


def load_small(path: Path) -> dict[str, Any]:
    """Read a small checkpoint: `network`, `state`, `step`, `scores`.

    Raises:
        InputError: the file cannot be read or is no small checkpoint.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(content, dict) and {"network", "state", "step", "scores"} <= set(content):
            return content
    except Exception as error:  # what torch raises depends on the bytes that it finds
        raise InputError(f"{path} cannot be read as a checkpoint ({type(error).__name__}).") from error
    raise InputError(f"{path} is no small checkpoint; give the weights.pt of a run.")


def load_state(network: UNet, state: dict[str, torch.Tensor], keep_statistics: bool = True) -> None:
    """Put a small checkpoint's weights into a network of the same widths, float or ternary.

    Batch norm's part is left out where `keep_statistics` is false: what a ReLU network learnt there does not fit
    ternary thresholds.
    """
    batch_norm = {
        f"{name}.{key}"
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.BatchNorm3d)
        for key in module.state_dict()
    }
    chosen = {key: value.float() for key, value in state.items() if keep_statistics or key not in batch_norm}
    missing, unexpected = network.load_state_dict(chosen, strict=False)
    wrong = [key for key in missing if key not in batch_norm] + list(unexpected)
    if wrong:
        raise ValueError(f"The checkpoint does not fit the network: {', '.join(wrong[:5])}.")


def network_of(content: dict[str, Any]) -> UNet:
    """The network of a small checkpoint, with its weights."""
    network = UNet(**content["network"])
    load_state(network, content["state"])
    return network
