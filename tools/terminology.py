"""Write the terminology file of the bundled models' structures, which makes them known to Slicer's selector.

Usage: python terminology.py [FILE.term.json]

The format is dcmqi's segment context, as Slicer reads it: categories, and in each the types with a colour. A structure
that several models have is listed once. Run it again when a bundled model gets other labels; a test compares.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
TERMINOLOGY = REPOSITORY / "LowResSeg" / "Resources" / "Terminologies" / "LowResSeg.term.json"
CONTEXT = "Segmentation category and type - LowResSeg"
_SCHEMA = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/segment-context-schema.json#"
_COLOR = "recommendedDisplayRGBValue"


def _entry(code: Any) -> dict[str, Any]:
    entry = {"CodeMeaning": code.meaning, "CodingSchemeDesignator": code.scheme, "CodeValue": code.value}
    return {**entry, "SNOMEDCTConceptID": code.value} if code.scheme == "SCT" else entry


def terminology(models: list[Any]) -> dict[str, Any]:
    """The terminology of some models' labels; labels without a code are left out, as there is no term for them."""
    categories: dict[tuple[str, str], dict[str, Any]] = {}
    for label in (label for model in models for label in model.labels):
        if label.category is None or label.type is None:
            continue
        new = {**_entry(label.category), "showAnatomy": False, "Type": []}  # no structure needs a region beside it
        types = categories.setdefault(label.category[:2], new)["Type"]
        entry = {_COLOR: list(label.color), **_entry(label.type), "3dSlicerLabel": label.name}
        codes = ("CodingSchemeDesignator", "CodeValue")
        if not any(all(known[key] == entry[key] for key in codes) for known in types):
            types.append(entry)
    return {
        "SegmentationCategoryTypeContextName": CONTEXT,
        "@schema": _SCHEMA,
        "SegmentationCodes": {"Category": list(categories.values())},
    }


def bundled_models() -> list[Any]:
    """The models in Resources/Models, in the order of their names."""
    from LowResSegLib.model import read_model

    return [read_model(path) for path in sorted((REPOSITORY / "Resources" / "Models").glob("*.lowresseg"))]


def text() -> str:
    """What the file has to hold."""
    return json.dumps(terminology(bundled_models()), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", metavar="FILE", type=Path, nargs="?", default=TERMINOLOGY)
    parser.parse_args().path.write_text(text(), encoding="utf-8")
