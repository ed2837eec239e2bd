"""In which of Slicer's lists a structure's code is looked up."""

from __future__ import annotations

import json
from pathlib import Path

from LowResSegLib.model import read_model

REPOSITORY = Path(__file__).resolve().parents[2]


def test_structures_that_dicom_s_list_lacks_are_looked_up_in_the_module_s_own() -> None:
    """Those of the bundled models; the module's list is there, and it has them all."""
    content = json.loads((REPOSITORY / "LowResSeg/Resources/Terminologies/LowResSeg.term.json").read_text("utf-8"))
    (category,) = content["SegmentationCodes"]["Category"]
    listed = {(entry["CodingSchemeDesignator"], entry["CodeValue"]) for entry in category["Type"]}
    contexts: dict[str, set[tuple[str, str]]] = {}
    for model in (read_model(path) for path in (REPOSITORY / "Resources" / "Models").glob("*.lowresseg")):
        for label in (each for each in model.labels if each.type is not None):
            context = label.terminology_entry().partition("~")[0]
            contexts.setdefault(context, set()).add((label.type.scheme, label.type.value))
    own = contexts.pop(content["SegmentationCategoryTypeContextName"])
    assert own == {("SCT", "53118009"), ("SCT", "25991003"), ("DCM", "110700")} and own <= listed
    assert list(contexts) == ["Segmentation category and type - DICOM master list"]
