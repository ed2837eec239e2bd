"""What VTK and MRML print of errors and warnings: nothing, whatever the module does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def test_no_step_makes_slicer_complain(
    slicer: Any, logic: Any, volume: Any, model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    if hasattr(table, "SetUseColumnTitleAsColumnHeader"):
        table.SetUseColumnNameAsColumnHeader(True)
        assert "deprecated" in capfd.readouterr().err  # else this test would see nothing

    segmentation = logic.process(volume, model, confidence=True, keep_original=True)
    labelmap = logic.process(volume, model, output="labelmap")
    imported = logic.import_labelmap(labelmap)
    logic.export_labelmap(imported)
    logic.restore(segmentation)
    result = logic.compare(segmentation, labelmap)
    logic.export(segmentation, tmp_path)

    said = capfd.readouterr().err.splitlines()
    assert [line for line in said if "ERR|" in line or "WARN|" in line] == []
    assert result.table.GetTable().GetNumberOfColumns() == 10


def test_names_stand_above_the_columns_of_older_versions_too(slicer: Any) -> None:
    from LowResSegSlicer.tables import _show_names_as_headers

    class Older:
        shown = False

        def SetUseColumnNameAsColumnHeader(self, shown: bool) -> None:
            self.shown = shown

    class Newer(Older):
        titled = False

        def SetUseColumnTitleAsColumnHeader(self, shown: bool) -> None:
            self.titled = shown

    older, newer = Older(), Newer()
    _show_names_as_headers(older)
    _show_names_as_headers(newer)
    assert older.shown and newer.titled and not newer.shown
