"""A node of an ONNX graph with what is known of its inputs, and what rules ask of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

import numpy as np

from LowResSegLib.errors import ModelError
from LowResSegLib.model.onnx_check import Node, damaged

MAX_SIZE = 1 << 40  # elements of a value; far beyond what fits, so that numbers stay small

Shape = tuple[int, ...]


class Value(NamedTuple):
    """What is known of a value.

    Attributes:
        shape: sizes.
        type: of its elements.
        known: the elements, where they are few and hang on shapes alone.
        fixed: whether it is the same for all images of all sizes.
    """

    shape: Shape
    type: np.dtype[Any]
    known: Optional[np.ndarray]
    fixed: bool

    @property
    def bytes(self) -> int:
        """Its size in memory."""
        return math.prod(self.shape) * self.type.itemsize


class Step:
    """A node with its inputs, and what rules ask of them; raises ModelError where they lack it."""

    def __init__(self, node: Node, inputs: Sequence[Optional[Value]], opset: int) -> None:
        self.node, self.inputs, self.opset = node, inputs, opset

    def wrong(self, what: str = "does not fit its inputs") -> ModelError:
        """The error of this node."""
        return damaged(f"has an operator {self.node.operator} that {what}")

    def has(self, position: int) -> bool:
        """Whether an input is there."""
        return position < len(self.inputs) and self.inputs[position] is not None

    def value(self, position: int) -> Value:
        """An input."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if value is None:
            raise self.wrong("lacks an input")
        return value

    def shape(self, position: int = 0) -> Shape:
        """Shape of an input."""
        return self.value(position).shape

    def numbers(self, position: int) -> list[Any]:
        """The elements of an input that has one axis and is known."""
        known = self.value(position).known
        if known is None or known.ndim != 1:
            raise self.wrong("takes sizes from the image")
        return known.tolist()

    def whole(self, position: int) -> list[int]:
        """The same, where they are whole numbers."""
        numbers = self.numbers(position)
        if any(not isinstance(number, int) for number in numbers):
            raise self.wrong()
        return numbers

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute; it is of the default's kind."""
        value = self.node.attributes.get(name, default)
        if not isinstance(value, type(default)):
            raise self.wrong(f"has a wrong {name}")
        return value

    def each(self, name: str, count: int, default: int, least: int) -> tuple[int, ...]:
        """An attribute of so many whole numbers, none below the least."""
        values = self.attribute(name, (default,) * count)
        if len(values) != count or any(not isinstance(v, int) or not least <= v <= 1 << 20 for v in values):
            raise self.wrong(f"has a wrong {name}")
        return values

    def axis(self, axis: Any, rank: int) -> int:
        """An axis counted from the first one."""
        if not isinstance(axis, int) or not -rank <= axis < rank:
            raise self.wrong("names an axis that is not there")
        return axis % rank

    def axes(self, position: int, rank: int) -> Optional[list[int]]:
        """Axes that are an input, or an attribute in older graphs; None where neither is there."""
        if self.has(position):
            found = self.whole(position)
        elif "axes" in self.node.attributes:
            found = list(self.attribute("axes", ()))
        else:
            return None
        axes = [self.axis(axis, rank) for axis in found]
        if len(set(axes)) != len(axes):
            raise self.wrong("names an axis twice")
        return axes


def broadcast(step: Step, shapes: Sequence[Shape]) -> Shape:
    """The common shape of some."""
    rank = max(map(len, shapes))
    result: list[int] = []
    for sizes in zip(*((*(1,) * (rank - len(shape)), *shape) for shape in shapes)):
        larger = set(sizes) - {1}
        if len(larger) > 1:
            raise step.wrong()
        result.append(larger.pop() if larger else 1)
    return tuple(result)
