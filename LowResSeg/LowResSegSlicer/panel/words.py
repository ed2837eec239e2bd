"""Numbers and steps in the user's words."""

from __future__ import annotations

import html
from typing import Any

from slicer.i18n import tr as _

_ENOUGH_TO_TELL = 0.15  # of a run, before its end can be foretold


def step_text(step: str) -> str:
    """The name of a step as a phrase; one that has none here, such as "Frame 2 of 8", is one already."""
    compared = (("comparing ", _("Comparing {structure}")), ("difference of ", _("Marking where {structure} differs")))
    for beginning, phrase in compared:
        if step.startswith(beginning):
            return phrase.format(structure=step[len(beginning) :])
    return {
        "": _("Starting"),
        "starting": _("Starting"),
        "model": _("Reading the model"),
        "reading": _("Reading the scan"),
        "sampling": _("Resampling the volume"),
        "connecting": _("Connecting"),
        "sending": _("Sending to the other computer"),
        "waiting": _("Waiting for the other computer"),
        "network": _("Running the network"),
        "receiving": _("Receiving the result"),
        "reconstruction": _("Restoring the labels at full resolution"),
        "writing": _("Writing the result"),
        "matching": _("Matching the structures"),
        "measuring": _("Measuring this computer"),
        "done": _("Finishing"),
    }.get(step, step)


def progress_text(step: str, fraction: float, elapsed: float) -> str:
    """The step and how long it will take yet, once that can be told.

    Args:
        step: name of the step.
        fraction: share of the run that is done, 0 to 1.
        elapsed: seconds since the run began.
    """
    phrase = step_text(step)
    if fraction < _ENOUGH_TO_TELL or elapsed < 1:
        return phrase + "…"
    left = elapsed * (1 - fraction) / fraction
    return _("{step}, about {time} left").format(step=phrase, time=duration_text(left))


def duration_text(seconds: float) -> str:
    """Seconds or minutes, rounded as a user wants to read them."""
    if seconds < 90:
        return _("{seconds} s").format(seconds=max(1, round(seconds)))
    return _("{minutes} min").format(minutes=round(seconds / 60))


def size_text(count: int) -> str:
    """Bytes as kB or MB."""
    if count < 1_000_000:
        return _("{size} kB").format(size=max(1, round(count / 1000)))
    return _("{size} MB").format(size=f"{count / 1e6:.1f}")


def volume_text(volumeNode: Any, modality: str, frames: int) -> str:
    """The facts of a volume that decide how it is segmented: modality, voxels, their size, frames of a sequence."""
    image = volumeNode.GetImageData()
    if image is None or 0 in image.GetDimensions():
        return _("This volume has no voxels.")
    facts = [modality] if modality else []
    facts.append(_("{x} x {y} x {z} voxels").format(**dict(zip("xyz", image.GetDimensions()))))
    facts.append(_("{x:.2g} x {y:.2g} x {z:.2g} mm").format(**dict(zip("xyz", volumeNode.GetSpacing()))))
    if frames > 1:
        facts.append(_("{count} frames, all are segmented").format(count=frames))
    return " · ".join(facts)


def card_html(entry: Any) -> str:
    """The card of a model as a page: what it finds, what it was made from, what it is for and its limits."""
    titles = {
        "modality": _("Modality"),
        "contrast": _("Contrast"),
        "intended_use": _("Intended use"),
        "limits": _("Limits"),
        "validation": _("Validation"),
        "training_data": _("Training data"),
        "network": _("Network"),
        "licence": _("Licence"),
        "authors": _("Authors"),
    }
    rows = [f"<p><b>{html.escape(entry.title)}</b></p>"]
    if entry.structures:
        rows.append(_row(_("Structures"), ", ".join(entry.structures)))
    rows += [_row(title, _value_text(entry.card[key])) for key, title in titles.items() if entry.card.get(key)]
    rest = [key for key in entry.card if key not in (*titles, "title", "structures")]
    rows += [_row(key.replace("_", " ").capitalize(), _value_text(entry.card[key])) for key in rest]
    return "".join(rows)


def _value_text(value: Any) -> str:
    """A value of a card as it is read: of numbers by name, one after the other."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_value_text(part)}" for key, part in value.items())
    return str(value)


def _row(title: str, text: str) -> str:
    return f"<p><b>{html.escape(title)}:</b> {html.escape(text)}</p>"
