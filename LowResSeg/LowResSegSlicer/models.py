"""The models of this computer, and of another one, as the panel lists them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from slicer.i18n import tr as _

from LowResSegLib import engine, model
from LowResSegLib.errors import LowResSegError
from LowResSegLib.remote.protocol import ModelDescription
from LowResSegSlicer.nodes import modality_of
from LowResSegSlicer.sequences import frames_of


@dataclass(frozen=True)
class ModelEntry:
    """A model file of this computer, or a model that another computer alone has.

    Attributes:
        name: by which `process` knows it.
        title, modality, licence: from its card; the modality is MR or CT.
        structures: names of what it finds.
        card: all that its card says.
        path: the file; empty where it is on another computer.
        bytes: its size; 0 where it is on another computer.
        removable: whether it lies in the user's own folder.
        problem: why it cannot be used here, a sentence, or None.
        kind: "ternary", or "onnx" for a model that needs onnxruntime; empty where the file is refused.
        described: what another computer says of it, where that alone has it.
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
    described: Optional[ModelDescription] = field(default=None, repr=False)


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


def served(described: Iterable[ModelDescription]) -> list[ModelEntry]:
    """The models of another computer that this one has not, by name; they can be used while it runs the network."""
    here = model.available_models()
    return [
        ModelEntry(
            name=each.name,
            title=str(each.card.get("title") or each.name),
            modality=each.modality,
            structures=tuple(label.name for label in each.labels if label.value),
            licence=str(each.card.get("licence") or ""),
            card=dict(each.card),
            path=Path(),
            bytes=0,
            removable=False,
            # Without the file the scan itself would have to be sent, to which the user has not agreed.
            problem=None
            if each.reconstruction == "linear"
            else _("The model {model} reads the scan once more; install its file on this computer, too.").format(
                model=each.name
            ),
            kind=each.kind,
            described=each,
        )
        for each in described
        if each.name not in here
    ]


def unsuited(name: str, modality: str, volumeNode: Any) -> Optional[str]:
    """That a volume is of another modality than a model is for, as a sentence; None where it is not, or not known."""
    try:
        frames = frames_of(volumeNode)
        kind = modality_of(frames.proxy if frames is not None and frames.proxy is not None else volumeNode)
    except LowResSegError as error:
        return str(error)
    if kind in model.MODALITIES and kind != modality:
        text = _("The model {model} is for {wanted}, and {volume} is {found}.")
        return text.format(model=name, wanted=modality, volume=volumeNode.GetName(), found=kind)
    return None


def why_not(name: Union[str, Path], volumeNode: Optional[Any]) -> Optional[str]:
    """What speaks against segmenting a volume with a model, as a sentence; None where nothing is known to.

    Args:
        name: of an installed model, or a file.
        volumeNode: a volume or a sequence; None looks at the model alone.
    """
    try:
        loaded = model.load_model(name)
        reason = engine.why_not(loaded)
    except LowResSegError as error:
        return str(error)
    if reason is not None or volumeNode is None:
        return reason
    return unsuited(loaded.name, loaded.modality, volumeNode)
