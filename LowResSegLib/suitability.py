"""Whether a scan seems to be one that a model is for; neither header nor values are sure to tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from LowResSegLib.model import MODALITIES, Described
from LowResSegLib.volume import Volume

# A CT has voxels of air, below _AIR in HU; one of a part inside the body has voxels of fat, below _FAT.
_AIR, _FAT = -900, -100


def doubts(volume: Volume, model: Described) -> list[str]:
    """What speaks against segmenting a scan with a model, in sentences for the user."""
    found = [_modality(volume, model), _field_of_view(volume, model)]
    return [f"{doubt}; its labels are probably wrong." for doubt in found if doubt]


def _modality(volume: Volume, model: Described) -> str:
    least, known = float(volume.array.min()), volume.modality in MODALITIES
    if known and volume.modality != model.modality:
        but = f"the scan is {volume.modality} by its DICOM header"
    elif model.normalisation.window and model.modality == "CT" and least > _FAT:
        but = f"the scan's lowest value, {least:g}, is too high for a CT in Hounsfield units"
    elif model.modality != "CT" and not known and least <= _AIR:
        but = f"the scan's lowest value, {least:g}, is that of a CT in Hounsfield units"
    else:
        return ""
    return f"The model {model.name} is for {model.modality}, but {but}"


def _field_of_view(volume: Volume, model: Described) -> str:
    wanted = field_of_view(model)
    if wanted is None:
        return ""
    edges = [count * edge for count, edge in zip(volume.array.shape[::-1], volume.spacing)]
    if wanted[0] <= min(edges) and max(edges) <= wanted[1]:
        return ""
    measured = " x ".join(f"{edge:.0f}" for edge in edges)
    return (
        f"The model {model.name} is for scans of {wanted[0]:g} to {wanted[1]:g} mm along each edge, but this one is "
        f"{measured} mm: cut out what the model is for"
    )


def field_of_view(model: Described) -> Optional[tuple[float, float]]:
    """Shortest and longest edge, in mm, of the scans that a model is for, where its card says so (`field_of_view`)."""
    stated = model.card.get("field_of_view")
    if not isinstance(stated, Sequence) or len(stated) != 2:
        return None
    if not all(isinstance(edge, (int, float)) and not isinstance(edge, bool) and edge >= 0 for edge in stated):
        return None
    return float(stated[0]), float(stated[1])
