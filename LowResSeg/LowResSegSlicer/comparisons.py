"""The comparison of two segmentations or labelmaps as a run, and the nodes that it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from slicer.i18n import tr as _

from LowResSegLib import comparison as library
from LowResSegLib.errors import InputError
from LowResSegSlicer.nodes import place_beside
from LowResSegSlicer.run import Progress, Run
from LowResSegSlicer.structures import difference_node, labelled_volumes, same_place
from LowResSegSlicer.tables import chart_node, table_node


@dataclass(frozen=True, eq=False)
class ComparisonResult:
    """What a comparison gives.

    Attributes:
        table: vtkMRMLTableNode, one row a structure.
        chart: vtkMRMLPlotChartNode of the Dice of each structure.
        difference: vtkMRMLSegmentationNode of what only one of both has; None where it was not asked for.
        comparison: the numbers.
        notices: sentences on what was done, such as that a grid was resampled.
    """

    table: Any
    chart: Any
    difference: Optional[Any]
    comparison: library.Comparison
    notices: tuple[str, ...]


class ComparisonRun(Run):
    """The comparison of a node with one or more others, one after the other.

    Attributes:
        results: a `ComparisonResult` for each of the others.
        node: the table of the last one.
    """

    def __init__(
        self,
        reference: Any,
        others: Sequence[Any],
        submit: Callable[..., Any],
        difference: bool = True,
        progress: Optional[Progress] = None,
        finished: Optional[Callable[[Any], None]] = None,
    ) -> None:
        """Prepare.

        Args:
            reference: segmentation or labelmap node that the others are compared with.
            others: segmentation or labelmap nodes.
            submit: gives two sides, as lists of `LabelledVolume`, and their names to a runner and returns the job.
            difference: whether nodes are made of what differs.
            progress: see `Run`.
            finished: see `Run`.

        Raises:
            InputError: nothing is chosen, or a node is compared with itself.
        """
        if reference is None or not others or any(other is None for other in others):
            raise InputError(_("Nothing is chosen to compare; choose two segmentations or labelmaps."))
        if any(other is reference for other in others):
            raise InputError(
                _("{name} would be compared with itself; choose another.").format(name=reference.GetName())
            )
        super().__init__([reference, *others], progress, finished)
        self.gone = _("A segmentation was removed from the scene, so its comparison was stopped.")
        self.results: list[ComparisonResult] = []
        self._reference, self._others, self._send, self._difference = reference, list(others), submit, difference
        self._notes: list[str] = []

    def _submit(self) -> Any:
        pair = [self._reference, self._others[len(self.results)]]
        in_world = not same_place(pair)
        (first, notes), (second, more) = (labelled_volumes(node, in_world) for node in pair)
        self._notes = [*notes, *more]
        self._transform = None if in_world else self._reference.GetTransformNodeID()
        return self._send(first, second, _names(pair))

    def _overall(self, step: str, fraction: float) -> tuple[str, float]:
        return step, (len(self.results) + fraction) / len(self._others)

    def _take(self, job: Any) -> Optional[Any]:
        comparison, difference = job.result()
        names = comparison.names
        title = _("{first} and {second}").format(first=names[0], second=names[1])
        table = table_node(comparison, _("{title}: comparison").format(title=title))
        node = None
        if self._difference and difference is not None:
            node = difference_node(difference, _("{title}: difference").format(title=title), self._transform)
            place_beside(node, self._reference)
        notices = (*self._notes, *comparison.notices)
        chart = chart_node(table, title)
        self.results.append(ComparisonResult(table, chart, node, comparison, notices))
        self.node, self.notices = table, [*self.notices, *notices]
        return self._submit() if len(self.results) < len(self._others) else None

    def _release(self) -> None:
        self._reference, self._others, self._send = None, [], None  # type: ignore[assignment]


def _names(pair: Sequence[Any]) -> tuple[str, str]:
    """Names that tell the two nodes apart."""
    first, second = (node.GetName() for node in pair)
    return (first, second) if first != second else (f"{first} (A)", f"{second} (B)")
