"""A network as an ONNX graph of standard operators, for ONNX Runtime: float models, and whatever else it can run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Optional

from LowResSegLib.errors import ModelError
from LowResSegLib.model.onnx_check import Graph, damaged, read_graph
from LowResSegLib.model.onnx_shapes import Costs, costs_of

INTENSITY_SCALE = 64.0  # the graph is given the grid, 0 to 127, divided by this
MAX_CONTENT = 64 << 20  # bytes of a graph
MAX_REACH = 4096  # voxels of the grid
MAX_DIVISOR = 256
# A voxel of the grid; what is meant to run on small computers has a tenth of this.
MAX_MEMORY_PER_VOXEL = 8000  # bytes of the values that are alive at one time
MAX_OPERATIONS_PER_VOXEL = 10_000_000  # multiply-accumulates
MAX_FIXED = 128 << 20  # bytes of computed values that are the same for all images
_EDGE = 64  # of the grid for which these are worked out, about


@dataclass(frozen=True, eq=False)
class OnnxNetwork:
    """A graph that was checked (see `onnx_check` and `onnx_shapes`); makes ModelError where it is refused.

    Its input is float32 (1, 1, z, y, x), the grid divided by INTENSITY_SCALE; its output float32 (1, classes, z, y, x),
    the logits on the same grid. One of slices has (z, 1, y, x) and (z, classes, y, x). Logits become integers as
    round(logit / logit_unit), half to even, clipped to plus and minus MAX_LOGIT.

    Attributes:
        content: the graph, an ONNX file's bytes.
        logit_unit: one integer logit is this much of a logit as trained.
        size_divisor: each size of the input grid is a multiple of this.
        reach: a logit depends on no voxel of the grid that is farther away than this along z, so that the grid can be
            cut into slabs; None where it depends on all, or nobody knows. 0 for a network of slices.
        slices: the graph looks at slices, each on its own.
        classes: of the logits, with the background.
    """

    content: bytes = field(repr=False)
    logit_unit: float
    size_divisor: int = 1
    reach: Optional[int] = None
    slices: bool = False
    classes: int = field(init=False, default=0)

    graph: Graph = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the graph and the numbers."""
        if not (math.isfinite(self.logit_unit) and self.logit_unit > 0):
            raise ModelError("The unit of its logits is not a positive number.")
        if not _is_whole(self.size_divisor, 1, MAX_DIVISOR):
            raise ModelError(f"The divisor of its network is not a whole number from 1 to {MAX_DIVISOR}.")
        if self.reach is not None and not _is_whole(self.reach, 0, MAX_REACH):
            raise ModelError(f"The reach of its network is not a whole number from 0 to {MAX_REACH}.")
        if not isinstance(self.slices, bool):
            raise ModelError("Whether its network looks at slices is neither true nor false.")
        if self.slices:
            if self.reach:
                raise ModelError("Its network looks at each slice on its own, but shall reach beyond it.")
            object.__setattr__(self, "reach", 0)
        if len(self.content) > MAX_CONTENT:
            raise ModelError("Its network is larger than any that is meant to run on small computers.")
        object.__setattr__(self, "graph", read_graph(self.content))
        object.__setattr__(self, "classes", self._check())

    def input_shape(self, grid: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the graph's input for a grid (z, y, x)."""
        return (grid[0], 1, *grid[1:]) if self.slices else (1, 1, *grid)

    def costs(self, grid: tuple[int, ...]) -> Costs:
        """What a run on a grid (z, y, x) takes; of a network of slices, with all slices at once."""
        return costs_of(self.graph, self.input_shape(grid))

    def operations_per_voxel(self) -> float:
        """Multiply-accumulates for one voxel of a grid of middling size."""
        return self.costs((self._edge(),) * 3).operations / self._edge() ** 3

    def _edge(self) -> int:
        return -(-_EDGE // self.size_divisor) * self.size_divisor

    def _check_costs(self) -> None:
        """Raise ModelError where the graph takes more of anything than a model may."""
        costs, voxels = self.costs((self._edge(),) * 3), self._edge() ** 3
        if costs.fixed > MAX_FIXED:
            raise damaged("computes more values that are the same for all images than a model needs")
        work = costs.operations + costs.pooled
        if costs.memory > MAX_MEMORY_PER_VOXEL * voxels or work > MAX_OPERATIONS_PER_VOXEL * voxels:
            raise damaged("needs more memory or time than any that is meant to run on small computers")

    def _check(self) -> int:
        """Raise ModelError unless the graph gives logits for every grid; returns the number of classes."""
        opened = [0, 2, 3] if self.slices else [2, 3, 4]
        for shape in (self.graph.input_shape, self.graph.output_shape):
            if len(shape) != (4 if self.slices else 5):
                raise damaged("has an input or an output of the wrong number of axes")
            if any(shape[axis] is not None for axis in opened):
                raise damaged("is for grids of one size alone; export it with axes that may have any size")
        if any(size not in (1, None) for size in self.graph.input_shape[:2]):
            raise damaged("takes more than one image")
        classes = set()
        for sizes in ((1, 1, 1), (1, 2, 3), (4, 3, 2)):
            z, y, x = (size * self.size_divisor for size in sizes)
            output = self.costs((z, y, x)).output
            if len(output) < 2 or output[0] != self.input_shape((z, y, x))[0]:
                raise damaged("does not give one volume of logits")
            if output[2:] != ((y, x) if self.slices else (z, y, x)):
                raise damaged(f"does not return to the resolution of its input ({self.size_divisor} divides its sizes)")
            classes.add(output[1])
        (count,) = classes if len(classes) == 1 else (0,)
        if count < 1 or self.graph.output_shape[1] not in (count, None):
            raise damaged("has not always the same number of classes")
        self._check_costs()
        return count


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
