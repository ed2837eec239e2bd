"""A comparison as a table node and a chart."""

from __future__ import annotations

import math
from typing import Any, Optional

import slicer
import vtk
from slicer.i18n import tr as _

from LowResSegSlicer.nodes import new_node


def columns(first: str, second: str) -> list[tuple[str, str]]:
    """Field of a comparison's row and title of its column, with the unit; the names are those of what is compared."""
    return [
        ("name", _("Structure")),
        ("dice", _("Dice")),
        ("surface_dice", _("Surface Dice at 1 mm")),
        ("hd95_mm", _("HD95 (mm)")),
        ("mean_surface_distance_mm", _("Mean surface distance (mm)")),
        ("volume_first_ml", _("Volume of {name} (ml)").format(name=first)),
        ("volume_second_ml", _("Volume of {name} (ml)").format(name=second)),
        ("volume_difference_ml", _("Volume difference (ml)")),
        ("volume_difference_percent", _("Volume difference (%)")),
        ("matched_by", _("Matched by")),
    ]


def table_node(comparison: Any, name: str) -> Any:
    """Put a comparison into the scene as a table node; what is not defined is an empty cell (NaN)."""
    node = new_node("vtkMRMLTableNode", name)
    _show_names_as_headers(node)
    with slicer.util.NodeModify(node):
        for field, title in columns(*comparison.names):
            values = [getattr(row, field) for row in comparison.rows]
            node.AddColumn(_texts(title, values) if field in ("name", "matched_by") else _numbers(title, values))
        texts = [*comparison.notices, *_unmatched(comparison)]
        node.SetDescription(" ".join(texts))
    return node


def _show_names_as_headers(node: Any) -> None:
    """Have the names of the columns above them; newer versions of Slicer call them titles, and warn of the old name."""
    if hasattr(node, "SetUseColumnTitleAsColumnHeader"):
        node.SetUseColumnTitleAsColumnHeader(True)
    else:
        node.SetUseColumnNameAsColumnHeader(True)


def chart_node(tableNode: Any, name: str) -> Any:
    """Put a chart of the Dice of each structure into the scene, for the plot view."""
    series = new_node("vtkMRMLPlotSeriesNode", _("{name} Dice").format(name=name))
    titles = dict(columns("", ""))
    series.SetAndObserveTableNodeID(tableNode.GetID())
    series.SetLabelColumnName(titles["name"])
    series.SetYColumnName(titles["dice"])
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
    series.SetUniqueColor()
    chart = new_node("vtkMRMLPlotChartNode", _("{name} chart").format(name=name))
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    chart.SetTitle(name)
    chart.SetXAxisTitle(titles["name"])
    chart.SetYAxisTitle(titles["dice"])
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0.0, 1.0)
    chart.SetLegendVisibility(False)
    return chart


def _unmatched(comparison: Any) -> list[str]:
    text = _("Only {name} has: {structures}.")
    pairs = zip(comparison.names, (comparison.only_first, comparison.only_second))
    return [text.format(name=name, structures=", ".join(only)) for name, only in pairs if only]


def _texts(title: str, values: list[str]) -> Any:
    column = vtk.vtkStringArray()
    column.SetName(title)
    for value in values:
        column.InsertNextValue(value)
    return column


def _numbers(title: str, values: list[Optional[float]]) -> Any:
    column = vtk.vtkDoubleArray()
    column.SetName(title)
    for value in values:
        column.InsertNextValue(math.nan if value is None else value)
    return column
