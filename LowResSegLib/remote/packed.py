"""Arrays as they travel: the body of a job, and its result.

A body is the voxels of one array, in order, compressed by zlib or not. A result is a container of named arrays:

    bytes 0 to 7     MAGIC
    bytes 8 to 11    length of the description, little endian
    the description  JSON: {"encoding": "zlib" or "raw", "arrays": [{"name", "dtype", "shape", "bytes"}, ...]}
    the arrays       each so many bytes, one after another; two bytes a number as all low bytes, then all high bytes,
                     which compress better

A result of the kind `grid` has `classes`, `mixed` (bits), `lists` and `below` of reduced logits (see `reduction`), and
their winners as runs of equal ones, in the array's order: `runs`, uint8, and `lengths`, uint16, each less 1. Or, for a
model whose labels depend on more than which class wins, it has all `logits`, int16 (classes, z, y, x). It may have
`confidence`, uint8 (z, y, x), too; all are of the used part of the grid. A result of the kind `volume` has `labels`,
uint8 (z, y, x).
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Optional, Union

import numpy as np

from LowResSegLib import kernels
from LowResSegLib.kernels import reduce as native
from LowResSegLib.model.plan import MAX_LOGIT
from LowResSegLib.reduction import Reduced, restore
from LowResSegLib.remote.protocol import DTYPES, ENCODINGS, ProtocolError

MAGIC = b"LRSPACK1"
_LEVEL = 1  # of zlib: on labels and logits a higher one is many times slower for a few percent
_CHUNK = 1 << 18
_MOST_DESCRIPTION = 1 << 16
_MOST_ARRAYS = 16
_LONGEST_RUN = 1 << 16

Arrays = dict[str, np.ndarray]
Content = Union[bytes, bytearray, memoryview]
Pieces = list[Union[bytes, memoryview]]


def little_endian(dtype: str) -> np.dtype:
    """One of DTYPES as it travels."""
    return np.dtype(dtype).newbyteorder("<")


def compress_body(array: np.ndarray, encoding: str) -> Union[bytes, memoryview]:
    """The body of a job; a raw one is the array itself where that travels as it is.

    Args:
        array: of one of DTYPES.
        encoding: one of ENCODINGS.
    """
    content = np.ascontiguousarray(array, little_endian(array.dtype.name)).reshape(-1).view(np.uint8)
    return zlib.compress(content.data, _LEVEL) if encoding == "zlib" else content.data


def read_body(stream: BinaryIO, shape: tuple[int, ...], dtype: str, encoding: str) -> np.ndarray:
    """The array of a body, which is unpacked piece by piece and never gets longer than the array.

    Raises:
        ProtocolError: the body is damaged, or not as long as shape and dtype say.
    """
    array = np.empty(shape, little_endian(dtype))
    room = memoryview(array.reshape(-1).view(np.uint8).data)
    filled = 0
    if encoding == "raw":
        while filled < len(room):
            count = stream.readinto(room[filled:])  # type: ignore[attr-defined]  # a file: without a copy
            if not count:
                break
            filled += count
    for piece in iter(lambda: stream.read(_CHUNK), b"") if encoding == "raw" else _unpacked(stream):
        if filled + len(piece) > len(room):
            raise ProtocolError("The body is longer than its shape says.")
        room[filled : filled + len(piece)] = piece
        filled += len(piece)
    if filled != len(room):
        raise ProtocolError("The body is shorter than its shape says.")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _unpacked(stream: BinaryIO) -> Iterator[bytes]:
    """What a stream holds, decompressed, some hundred kilobytes at a time."""
    unpacker = zlib.decompressobj()
    try:
        for chunk in iter(lambda: stream.read(_CHUNK), b""):
            while chunk:
                yield unpacker.decompress(chunk, _CHUNK)
                chunk = unpacker.unconsumed_tail
                if unpacker.unused_data:
                    raise ProtocolError("The body goes on behind its end.")
        yield unpacker.flush()
    except zlib.error as error:
        raise ProtocolError("The body is damaged: it cannot be decompressed.") from error
    if not unpacker.eof:
        raise ProtocolError("The body is damaged: its end is missing.")


def pack(arrays: Mapping[str, np.ndarray], encoding: str) -> Pieces:
    """A container of arrays of DTYPES, in pieces one after another; `encoding` is one of ENCODINGS."""
    described, parts = [], []
    for name, array in arrays.items():
        content = np.ascontiguousarray(array, little_endian(array.dtype.name)).reshape(-1).view(np.uint8)
        if encoding == "zlib" and array.dtype.itemsize == 2:
            content = content.reshape(-1, 2).T.copy().reshape(-1)
        part = zlib.compress(content.data, _LEVEL) if encoding == "zlib" else content.data
        described.append({"name": name, "dtype": array.dtype.name, "shape": list(array.shape), "bytes": len(part)})
        parts.append(part)
    description = json.dumps({"encoding": encoding, "arrays": described}).encode()
    return [MAGIC + len(description).to_bytes(4, "little") + description, *parts]


def unpack(content: Content, most: int) -> Arrays:
    """The arrays of a container.

    Args:
        content: of the container.
        most: bytes that all arrays may have together, uncompressed.

    Raises:
        ProtocolError: it is no container, is damaged, or is larger.
    """
    try:
        return _unpack(memoryview(content), most)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError, zlib.error) as error:
        raise ProtocolError("The result is damaged; run it again.") from error


def _unpack(content: memoryview, most: int) -> Arrays:
    begin = len(MAGIC) + 4
    length = int.from_bytes(content[len(MAGIC) : begin], "little")
    if content[: len(MAGIC)] != MAGIC or length > _MOST_DESCRIPTION:
        raise ValueError("no container")
    description = json.loads(bytes(content[begin : begin + length]))
    encoding, described, begin = description["encoding"], description["arrays"], begin + length
    if encoding not in ENCODINGS or not isinstance(described, list) or len(described) > _MOST_ARRAYS:
        raise ValueError("encoding")
    arrays: Arrays = {}
    for entry in described:
        if entry["dtype"] not in DTYPES or not all(type(n) is int and n >= 0 for n in entry["shape"]):
            raise ValueError("array")
        dtype = little_endian(entry["dtype"])
        size = math.prod(entry["shape"]) * dtype.itemsize
        most -= size
        if most < 0 or type(entry["bytes"]) is not int or not 0 <= entry["bytes"] <= len(content) - begin:
            raise ValueError("size")
        part = content[begin : begin + entry["bytes"]]
        begin += len(part)
        arrays[str(entry["name"])] = _array(part, dtype, size, encoding).reshape(entry["shape"])
    if begin != len(content):
        raise ValueError("length")
    return arrays


def _array(part: memoryview, dtype: np.dtype, size: int, encoding: str) -> np.ndarray:
    """The numbers of one array, in order; raw ones stay where they are, unless that is no place for such numbers."""
    plain: Content = part
    if encoding == "zlib":
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(part, size) if size else b""
        # The end of a stream may come only when a byte more than there is was asked for.
        if unpacker.decompress(unpacker.unconsumed_tail if size else part, 1) or not unpacker.eof:
            raise ValueError("length")
    if len(plain) != size:
        raise ValueError("length")
    if encoding == "zlib" and dtype.itemsize == 2:
        plain = np.frombuffer(plain, np.uint8).reshape(2, -1).T.tobytes()
    return np.require(np.frombuffer(plain, dtype).astype(dtype.newbyteorder("="), copy=False), requirements="A")


def pack_logits(logits: Union[Reduced, np.ndarray], confidence: Optional[np.ndarray], encoding: str) -> Pieces:
    """The result of a job of the kind `grid`, in pieces.

    Args:
        logits: reduced, or all of them: int16 (classes, z, y, x) of the used part of the grid.
        confidence: of the grid in percent, uint8 (z, y, x) of the used part, or None.
        encoding: one of ENCODINGS.
    """
    if isinstance(logits, Reduced):
        arrays = {
            "classes": np.array([logits.classes], np.uint8),
            **_runs(logits.winners),
            "mixed": np.packbits(logits.mixed),
            "lists": logits.lists,
            "below": logits.below,
        }
    else:
        arrays = {"logits": logits}
    return pack(arrays if confidence is None else {**arrays, "confidence": confidence}, encoding)


def _runs(array: np.ndarray) -> Arrays:
    """An array of uint8 as runs of equal numbers, of up to 65536 each."""
    if kernels.available():
        runs, lengths = native.runs_of(array)
        return {"runs": runs, "lengths": lengths}
    flat = array.reshape(-1)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size)
    parts = -(-lengths // _LONGEST_RUN)
    pieces = np.full(int(parts.sum()), _LONGEST_RUN)
    pieces[np.cumsum(parts) - 1] = lengths - (parts - 1) * _LONGEST_RUN
    return {"runs": flat[starts].repeat(parts), "lengths": (pieces - 1).astype(np.uint16)}


def _of_runs(runs: np.ndarray, lengths: np.ndarray, count: int) -> np.ndarray:
    """The numbers of `_runs`, one after another; raises ValueError where they are not so many."""
    if runs.dtype != np.uint8 or lengths.dtype != np.uint16 or runs.ndim != 1 or runs.shape != lengths.shape:
        raise ValueError("runs")
    if kernels.available():
        numbers = native.of_runs(runs, lengths, count)
    else:
        each = lengths.astype(np.int64) + 1
        numbers = runs.repeat(each) if each.sum() == count else None
    if numbers is None:
        raise ValueError("lengths")
    return numbers


def unpack_logits(content: Content, classes: int, size: tuple[int, ...]) -> tuple[np.ndarray, Optional[np.ndarray]]:
    """Logits that have the labels of the server's, and the confidence, if it was asked for.

    Reduced logits are good for linear reconstruction alone; the server sends all of them where the model has another.

    Args:
        content: a result of the kind `grid`.
        classes: of the model.
        size: of the job.

    Returns:
        int16 (classes, z, y, x) of the job's `size`, for `reconstruction.reconstruct`; uint8 (z, y, x) percent or None.

    Raises:
        ProtocolError: the result is damaged, or not of these classes and this size.
    """
    voxels = math.prod(size)
    arrays = unpack(content, voxels * (classes * 3 + 6) + 1024)
    try:
        confidence = arrays.get("confidence")
        if confidence is not None and (confidence.dtype != np.uint8 or confidence.shape != tuple(size)):
            raise ValueError("confidence")
        if "logits" in arrays:
            logits = arrays["logits"]
            if logits.dtype != np.int16 or logits.shape != (classes, *size):
                raise ValueError("logits")
            if logits.max() > MAX_LOGIT or logits.min() < -MAX_LOGIT:
                raise ValueError("logits")
            return logits, confidence
        count = arrays["classes"]
        if count.shape != (1,) or count[0] != classes:
            raise ValueError("classes")
        winners = _of_runs(arrays["runs"], arrays["lengths"], voxels).reshape(size)
        if arrays["mixed"].shape != (-(-voxels // 8),):
            raise ValueError("mixed")
        mixed = np.unpackbits(arrays["mixed"], count=voxels).view(np.bool_).reshape(size)
        reduced = Reduced(classes, winners, mixed, arrays["lists"], arrays["below"])
        return restore(reduced), confidence
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        raise ProtocolError("The result is damaged or of another job; run it again.") from error


def pack_labels(labels: np.ndarray, encoding: str) -> Pieces:
    """The result of a job of the kind `volume`, in pieces: its labelmap, uint8 (z, y, x)."""
    return pack({"labels": labels}, encoding)


def unpack_labels(content: Content, shape: tuple[int, ...]) -> np.ndarray:
    """The labelmap of a result of the kind `volume`, uint8 (z, y, x) of the volume's shape; raises ProtocolError."""
    labels = unpack(content, math.prod(shape) + 1024).get("labels")
    if labels is None or labels.dtype != np.uint8 or labels.shape != tuple(shape):
        raise ProtocolError("The result is damaged or of another job; run it again.")
    return labels
