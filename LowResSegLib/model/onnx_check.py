"""An ONNX graph read with the standard library and numpy, and refused where it holds what a model file may not.

An ONNX file is one message of protocol buffers. A message is a row of fields; each begins with a number whose lower
three bits say how the value is written (0: a number of variable length, 7 bits a byte; 1: 8 bytes; 2: a length and so
many bytes, which may be a message again; 5: 4 bytes) and whose other bits say which field it is. The tables below name
the fields of ONNX (onnx.proto3) that a model file may have. All others are refused, and so is a field that comes twice
where one is expected: two readers may understand such a file differently, and what was checked here would not be what
ONNX Runtime runs. So there are no training graphs, no functions, no other operator sets than the standard one, no data
in other files, no sparse or text tensors and no graphs inside graphs (the bodies of Loop, Scan and If).

What remains is a plain sequence of nodes, each output written once and before it is read. `onnx_shapes` follows the
shapes of its values, and refuses operators that it does not know.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from LowResSegLib.errors import ModelError

OPSETS = (13, 21)  # first and last version of the standard operators
IR_VERSIONS = (7, 10)  # of the file format
MAX_NODES = 5000
MAX_FIELDS = 500_000  # read in pure Python, so that a file of nothing but fields takes a second or so
MAX_RANK = 8
MAX_KNOWN = 4096  # elements of a constant whose values are read

_Raw = Union[int, memoryview]
_VARIABLE, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5

# Field number: name, and how it may be written. Names with * come any number of times.
_MODEL = {
    1: ("ir_version", _VARIABLE), 2: ("producer_name", _BYTES), 3: ("producer_version", _BYTES), 4: ("domain", _BYTES),
    5: ("model_version", _VARIABLE), 6: ("doc_string", _BYTES), 7: ("graph", _BYTES), 8: ("opset_import*", _BYTES),
    14: ("metadata_props*", _BYTES),
}  # fmt: skip
_OPSET = {1: ("domain", _BYTES), 2: ("version", _VARIABLE)}
_GRAPH = {
    1: ("node*", _BYTES), 2: ("name", _BYTES), 5: ("initializer*", _BYTES), 10: ("doc_string", _BYTES),
    11: ("input*", _BYTES), 12: ("output*", _BYTES), 13: ("value_info*", _BYTES), 16: ("metadata_props*", _BYTES),
}  # fmt: skip
_NODE = {
    1: ("input*", _BYTES), 2: ("output*", _BYTES), 3: ("name", _BYTES), 4: ("op_type", _BYTES),
    5: ("attribute*", _BYTES), 6: ("doc_string", _BYTES), 7: ("domain", _BYTES), 9: ("metadata_props*", _BYTES),
}  # fmt: skip
_ATTRIBUTE = {
    1: ("name", _BYTES), 2: ("f", _FOUR), 3: ("i", _VARIABLE), 4: ("s", _BYTES), 5: ("t", _BYTES),
    7: ("floats*", _FOUR), 8: ("ints*", _VARIABLE), 9: ("strings*", _BYTES), 13: ("doc_string", _BYTES),
    20: ("type", _VARIABLE),
}  # fmt: skip
_TENSOR = {
    1: ("dims*", _VARIABLE), 2: ("data_type", _VARIABLE), 4: ("float_data*", _FOUR), 5: ("int32_data*", _VARIABLE),
    7: ("int64_data*", _VARIABLE), 8: ("name", _BYTES), 9: ("raw_data", _BYTES), 10: ("double_data*", _EIGHT),
    12: ("doc_string", _BYTES), 14: ("data_location", _VARIABLE),
}  # fmt: skip
_VALUE = {1: ("name", _BYTES), 2: ("type", _BYTES), 3: ("doc_string", _BYTES), 4: ("metadata_props*", _BYTES)}
_TYPE = {1: ("tensor_type", _BYTES), 6: ("denotation", _BYTES)}
_TENSOR_TYPE = {1: ("elem_type", _VARIABLE), 2: ("shape", _BYTES)}
_SHAPE = {1: ("dim*", _BYTES)}
_DIMENSION = {1: ("dim_value", _VARIABLE), 2: ("dim_param", _BYTES), 3: ("denotation", _BYTES)}
# What is said of fields that are left out of the tables, where the reason is worth a sentence of its own.
_REFUSED = {
    id(_MODEL): {20: "a graph for training", 25: "functions of its own"},
    id(_GRAPH): {14: "remarks on quantisation", 15: "sparse tensors"},
    id(_ATTRIBUTE): {6: "a graph inside a graph", 11: "a graph inside a graph", 22: "sparse tensors"},
    id(_TENSOR): {13: "data in another file", 6: "text instead of numbers"},
}

_FLOAT = 1
# ONNX's numbers of data types, and the field that holds their values where raw_data does not.
TYPES: dict[int, tuple[np.dtype[Any], str]] = {
    1: (np.dtype("<f4"), "float_data"), 2: (np.dtype("u1"), "int32_data"), 3: (np.dtype("i1"), "int32_data"),
    6: (np.dtype("<i4"), "int32_data"), 7: (np.dtype("<i8"), "int64_data"), 9: (np.dtype("?"), "int32_data"),
    10: (np.dtype("<f2"), ""), 11: (np.dtype("<f8"), "double_data"),
}  # fmt: skip


class Tensor(NamedTuple):
    """A constant; its values are None where they are many."""

    name: str
    shape: tuple[int, ...]
    type: np.dtype[Any]
    values: Optional[np.ndarray]


class Node(NamedTuple):
    """One operation; an input that is left out has an empty name."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]  # numbers, text, tuples of them, or a Tensor


@dataclass(frozen=True, eq=False)
class Graph:
    """A checked graph with one input and one output, both float32.

    Attributes:
        nodes: in the order in which they can run.
        constants: by name.
        input, output: names of the values.
        input_shape, output_shape: as declared, with None for what the graph leaves open.
        opset: version of the standard operators.
    """

    nodes: tuple[Node, ...]
    constants: dict[str, Tensor]
    input: str
    output: str
    input_shape: tuple[Optional[int], ...]
    output_shape: tuple[Optional[int], ...]
    opset: int


def damaged(why: str) -> ModelError:
    """The error for a graph that is refused; `why` follows on "its graph"."""
    return ModelError(f"The model's network is refused: its graph {why}.")


class _Reader:
    """Reads messages, no more than MAX_FIELDS fields of all of them together."""

    def __init__(self) -> None:
        self.left = MAX_FIELDS

    def number(self, data: memoryview, place: int) -> tuple[int, int]:
        """A number of variable length, and the place behind it."""
        value = shift = 0
        while True:
            if place >= len(data) or shift > 63:
                raise damaged("ends in the middle of a number")
            byte = data[place]
            value |= (byte & 0x7F) << shift
            place, shift = place + 1, shift + 7
            if not byte & 0x80:
                if value >= 1 << 64:
                    raise damaged("has a number of more than 64 bits")
                return value, place

    def fields(self, data: memoryview) -> Iterator[tuple[int, int, _Raw]]:
        """Number, way of writing, and value of each field."""
        place = 0
        while place < len(data):
            self.left -= 1
            if self.left < 0:
                raise damaged("has more parts than any small network")
            key, place = self.number(data, place)
            wire = key & 7
            if wire == _VARIABLE:
                value, place = self.number(data, place)
                yield key >> 3, wire, value
                continue
            length = {_EIGHT: 8, _FOUR: 4}.get(wire, 0)
            if wire == _BYTES:
                length, place = self.number(data, place)
            elif not length:
                raise damaged("is no message of protocol buffers")
            if length > len(data) - place:
                raise damaged("ends too early")
            yield key >> 3, wire, data[place : place + length]
            place += length

    def message(self, data: _Raw, table: dict[int, tuple[str, int]]) -> dict[str, Any]:
        """The fields of a message by name: lists for those that may come again, else the value.

        Numbers of fixed length that come again are bytes, each piece of one or more numbers.
        """
        if isinstance(data, int):
            raise damaged("is no message of protocol buffers")
        found: dict[str, Any] = {name.rstrip("*"): [] for name, _ in table.values() if name.endswith("*")}
        for number, wire, value in self.fields(data):
            if number not in table:
                raise damaged(f"has {_REFUSED.get(id(table), {}).get(number, 'a part that model files do not have')}")
            name, expected = table[number]
            several = name.endswith("*")
            name = name.rstrip("*")
            if wire != expected and not (several and wire == _BYTES):
                raise damaged(f"has a damaged part ({name})")
            if not several:
                if name in found:
                    raise damaged(f"has a part twice ({name})")
                found[name] = value
            elif expected == _VARIABLE and not isinstance(value, int):
                found[name].extend(self.packed(value))
            else:
                found[name].append(value)
        return found

    def packed(self, data: memoryview) -> Iterator[int]:
        """Numbers of variable length, one after another."""
        place = 0
        while place < len(data):
            self.left -= 1
            if self.left < 0:
                raise damaged("has more parts than any small network")
            value, place = self.number(data, place)
            yield value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _text(value: Any) -> str:
    try:
        return bytes(value or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        raise damaged("has a name that is no text") from error


def read_graph(content: bytes) -> Graph:
    """Read an ONNX file.

    Raises:
        ModelError: it is damaged, or holds what a model file may not.
    """
    reader = _Reader()
    model = reader.message(memoryview(content), _MODEL)
    if not IR_VERSIONS[0] <= int(model.get("ir_version", 0)) <= IR_VERSIONS[1]:
        raise damaged(f"is written in another version of ONNX's format than {IR_VERSIONS[0]} to {IR_VERSIONS[1]}")
    imports = [reader.message(entry, _OPSET) for entry in model["opset_import"]]
    if len(imports) != 1 or _text(imports[0].get("domain")) not in ("", "ai.onnx"):
        raise damaged("asks for other operators than ONNX's standard ones")
    opset = int(imports[0].get("version", 0))
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise damaged(
            f"has operators of version {opset}, not of {OPSETS[0]} to {OPSETS[1]}; export it with one of these"
        )
    if "graph" not in model:
        raise damaged("is missing")
    parts = reader.message(model["graph"], _GRAPH)
    if not 1 <= len(parts["node"]) <= MAX_NODES:
        raise damaged(f"has {len(parts['node'])} operations, not 1 to {MAX_NODES}")
    constants: dict[str, Tensor] = {}
    for entry in parts["initializer"]:
        tensor = _tensor(reader, entry)
        if not tensor.name or tensor.name in constants:
            raise damaged("has a constant without a name, or a name twice")
        constants[tensor.name] = tensor
    nodes = tuple(_node(reader, entry) for entry in parts["node"])
    if len(parts["input"]) != 1 or len(parts["output"]) != 1:
        raise damaged("has not one input and one output")
    source, input_shape = _declared(reader, parts["input"][0])
    output, output_shape = _declared(reader, parts["output"][0])
    _check_order(nodes, constants, source, output)
    return Graph(nodes, constants, source, output, input_shape, output_shape, opset)


def _declared(reader: _Reader, data: _Raw) -> tuple[str, tuple[Optional[int], ...]]:
    """Name and shape of the graph's input or output."""
    value = reader.message(data, _VALUE)
    kind = reader.message(value.get("type", memoryview(b"")), _TYPE)
    tensor = reader.message(kind.get("tensor_type", memoryview(b"")), _TENSOR_TYPE)
    if tensor.get("elem_type") != _FLOAT or "shape" not in tensor:
        raise damaged("does not go from float32 to float32 of declared shapes")
    sizes = []
    for entry in reader.message(tensor["shape"], _SHAPE)["dim"]:
        size = reader.message(entry, _DIMENSION)
        if "dim_value" in size and "dim_param" in size:
            raise damaged("declares a size twice")
        sizes.append(_signed(size["dim_value"]) if "dim_value" in size else None)
    return _text(value.get("name")), tuple(sizes)


def _tensor(reader: _Reader, data: _Raw) -> Tensor:
    """A constant, whose values are as many as its shape says."""
    parts = reader.message(data, _TENSOR)
    if parts.get("data_location", 0):
        raise damaged("has data in another file")
    if parts.get("data_type") not in TYPES:
        raise damaged("has a constant of a kind that model files do not have")
    kind, field = TYPES[parts["data_type"]]
    shape = tuple(_signed(size) for size in parts["dims"])
    if len(shape) > MAX_RANK or min(shape, default=0) < 0:
        raise damaged("has a constant of an impossible shape")
    count = math.prod(shape)
    lists = {name: parts[name] for name in ("float_data", "int32_data", "int64_data", "double_data") if parts[name]}
    numbers = lists.pop(field, [])
    raw = parts["raw_data"] if "raw_data" in parts else b"".join(numbers) if not field.startswith("int") else None
    if (
        lists
        or ("raw_data" in parts and numbers)
        or (len(numbers) != count if raw is None else len(raw) != count * kind.itemsize)
    ):
        raise damaged("has a constant with more or fewer numbers than its shape says")
    values: Optional[np.ndarray] = None
    if count <= MAX_KNOWN:
        try:
            whole = np.array([_signed(number) for number in numbers], kind) if raw is None else np.frombuffer(raw, kind)
        except OverflowError as error:
            raise damaged("has a number that does not fit its kind") from error
        values = whole.reshape(shape)
    return Tensor(_text(parts.get("name")), shape, kind, values)


def _node(reader: _Reader, data: _Raw) -> Node:
    parts = reader.message(data, _NODE)
    operator, domain = _text(parts.get("op_type")), _text(parts.get("domain"))
    if domain not in ("", "ai.onnx"):
        raise damaged(f"has the operator {operator!r}, which is none of ONNX's standard ones")
    attributes: dict[str, Any] = {}
    for entry in parts["attribute"]:
        name, value = _attribute(reader, entry)
        if name in attributes:
            raise damaged(f"has an attribute twice ({name})")
        attributes[name] = value
    return Node(operator, tuple(map(_text, parts["input"])), tuple(map(_text, parts["output"])), attributes)


def _attribute(reader: _Reader, data: _Raw) -> tuple[str, Any]:
    """Name and value of an attribute; it holds exactly what its type says."""
    parts = reader.message(data, _ATTRIBUTE)
    held = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints", 8: "strings"}.get(parts.get("type", 0))
    values: set[str] = {key for key in ("f", "i", "s", "t") if key in parts}
    values |= {key for key in ("floats", "ints", "strings") if parts[key]}
    if held is None or values - {held}:
        raise damaged("has an attribute of a kind that model files do not have")
    name = _text(parts.get("name"))
    if held == "t":
        if "t" not in parts:
            raise damaged("has an attribute without its constant")
        return name, _tensor(reader, parts["t"])
    if held == "i":
        return name, _signed(parts.get("i", 0))
    if held == "ints":
        return name, tuple(_signed(number) for number in parts["ints"])
    if held == "s":
        return name, _text(parts.get("s"))
    if held == "strings":
        return name, tuple(map(_text, parts["strings"]))
    raw = b"".join(parts["floats"]) if held == "floats" else bytes(parts.get("f", bytes(4)))
    if len(raw) % 4:
        raise damaged("has an attribute that ends too early")
    numbers = tuple(np.frombuffer(raw, "<f4").tolist())
    return name, numbers if held == "floats" else numbers[0]


def _check_order(nodes: tuple[Node, ...], constants: dict[str, Tensor], source: str, output: str) -> None:
    """Raise ModelError unless each value is written once, and before it is read."""
    known = {source, *constants}
    if not source or len(known) != 1 + len(constants):
        raise damaged("has an input that is a constant, too")
    written: set[str] = set()
    for node in nodes:
        if any(name and name not in known for name in node.inputs):
            raise damaged("reads a value before it is there")
        for name in filter(None, node.outputs):
            if name in known:
                raise damaged("writes a value twice")
            known.add(name)
            written.add(name)
    if output not in written:
        raise damaged("does not write its output")
