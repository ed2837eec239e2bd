"""What the application is given once, when it has started: our terms and a sample scan."""

from __future__ import annotations

import logging
from pathlib import Path

import slicer

from LowResSegSlicer.log import log_fault
from LowResSegSlicer.sampledata import register_sample_data

TERMINOLOGY = Path(__file__).resolve().parents[1] / "Resources" / "Terminologies" / "LowResSeg.term.json"


def on_startup_completed() -> None:
    """Do all of it. What fails is logged: segmentation depends on none of it, nor does one part on another."""
    for step in (load_terminology, register_sample_data):
        try:
            step()
        except Exception as error:
            log_fault(f"{step.__name__} failed.", error)


def load_terminology() -> str:
    """Make the structures of the bundled models known to Slicer's terminology selector.

    So they can be chosen in the Segment Editor too; some of them are in none of Slicer's own lists. No list of regions
    is needed, as no structure has a region of its own beside its type.

    Returns:
        The name of the list in the selector; empty where it could not be loaded, which is logged.
    """
    terminologies = getattr(slicer.modules, "terminologies", None)
    name = str(terminologies.logic().LoadTerminologyFromFile(str(TERMINOLOGY))) if terminologies is not None else ""
    if not name:
        logging.warning("LowResSeg: the terminology selector does not have the structures of the models.")
    return name
