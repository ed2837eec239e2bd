"""The installed models as the panel lists them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from slicer.i18n import tr as _

from LowResSegLib import engine, model
from LowResSegLib.errors import LowResSegError
from LowResSegSlicer.nodes import modality_of
from LowResSegSlicer.sequences import frames_of


@dataclass(frozen=True)
class ModelEntry:
    """A model file of this computer.

    Attributes:
        name: by which `process` knows it.
        title, modality, licence: from its card; the modality is MR or CT.
        structures: names of what it finds.
        card: all that its card says.
        path: the file.
        bytes: its size.
        removable: whether it lies in the user's own folder.
        problem: why it cannot be used here, a sentence, or None.
        kind: "ternary", or "onnx" for a model that needs onnxruntime; empty where the file is refused.
    """

    name: str
    title: str
    modality: str
    structures: tuple[str, ...]
    licence: str
    card: dict[str, Any] = field(repr=False)
    path: Path
    bytes: int
    removable: bool
    problem: Optional[str]
    kind: str = ""


def models() -> list[ModelEntry]:
    """The model files of this computer, with those that are refused and why."""
    return [_entry(installed) for installed in model.installed_models()]


def _entry(installed: Any) -> ModelEntry:
    place = {"path": Path(installed.path), "bytes": installed.bytes, "removable": installed.removable}
    try:
        loaded = model.load_model(installed.path)
    except LowResSegError as error:
        problem = installed.error or str(error)
        return ModelEntry(installed.name, installed.name, "", (), "", {}, problem=problem, **place)
    return ModelEntry(
        name=installed.name,
        title=str(loaded.card.get("title") or installed.name),
        modality=loaded.modality,
        structures=tuple(label.name for label in loaded.labels if label.value),
        licence=str(loaded.card.get("licence") or ""),
        card=dict(loaded.card),
        problem=installed.error or engine.why_not(loaded),
        kind=loaded.kind,
        **place,
    )


def why_not(name: Union[str, Path], volumeNode: Optional[Any]) -> Optional[str]:
    """What speaks against segmenting a volume with a model, as a sentence; None where nothing is known to.

    Args:
        name: of an installed model, or a file.
        volumeNode: a volume or a sequence; None looks at the model alone.
    """
    try:
        loaded = model.load_model(name)
        reason = engine.why_not(loaded)
        if reason is not None or volumeNode is None:
            return reason
        frames = frames_of(volumeNode)
        kind = modality_of(frames.proxy if frames is not None and frames.proxy is not None else volumeNode)
    except LowResSegError as error:
        return str(error)
    if kind in model.MODALITIES and kind != loaded.modality:
        text = _("The model {model} is for {wanted}, and {volume} is {found}.")
        return text.format(model=loaded.name, wanted=loaded.modality, volume=volumeNode.GetName(), found=kind)
    return None
