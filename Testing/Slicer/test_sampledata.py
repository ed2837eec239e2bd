"""What is registered with Slicer's Sample Data module; a stand-in of it takes the same arguments."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Optional

import pytest


class SampleDataLogic:
    """Slicer's own, as far as registering goes, with the arguments that Slicer 5.6 has."""

    sources: list[dict[str, Any]]

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: Optional[str] = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: Optional[str] = None,
        loadFileType: Any = "VolumeFile",
        loadFiles: Any = None,
        loadFileProperties: Any = None,
        checksums: Any = None,
    ) -> None:
        SampleDataLogic.sources.append(dict(locals()))


def test_a_sample_is_registered_under_a_category_of_its_own(
    application: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from LowResSegSlicer.sampledata import register_sample_data

    module = ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "SampleData", module)
    monkeypatch.setattr(SampleDataLogic, "sources", [], raising=False)

    register_sample_data()

    (source,) = SampleDataLogic.sources
    assert source["category"] == "LowResSeg" and source["nodeNames"] == "MRHead"
    assert source["fileNames"].endswith(".nrrd") and source["loadFileType"] == "VolumeFile"
    algorithm, digest = source["checksums"].split(":")
    assert algorithm == "SHA256" and re.fullmatch("[0-9a-f]{64}", digest)
    assert source["uris"] == f"{application.util.TESTING_DATA_URL}SHA256/{digest}"  # where Slicer keeps its samples
    assert _size(Path(source["thumbnailFileName"])) == (260, 280)


def _size(picture: Path) -> tuple[int, int]:
    head = picture.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
