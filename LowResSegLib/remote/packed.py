"""Arrays as they travel: the body of a job, and its result.

A body is the voxels of one array, in order, compressed by zlib or not. A result is a container of named arrays:

    bytes 0 to 7     MAGIC
    bytes 8 to 11    length of the description, little endian
    the description  JSON: {"encoding": "zlib" or "raw", "arrays": [{"name", "dtype", "shape", "bytes"}, ...]}
    the arrays       each so many bytes, one after another; two bytes a number as all low bytes, then all high bytes,
                     which compress better

A result of the kind `grid` has `winners`, `mixed` (bits), `lists`, `below` and `classes` of reduced logits (see
`reduction`); or, for a model whose labels depend on more than which class wins, all `logits`, int16 (classes, z, y, x).
It may have `confidence`, uint8 (z, y, x), too; all are of the used part of the grid. A result of the kind `volume` has
`labels`, uint8 (z, y, x).
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Optional, Union

import numpy as np

from LowResSegLib.model.plan import MAX_LOGIT
from LowResSegLib.reduction import Reduced, check, restore
from LowResSegLib.remote.protocol import DTYPES, ENCODINGS, ProtocolError

MAGIC = b"LRSPACK1"
_LEVEL = 1  # of zlib: on labels and logits a higher one is many times slower for a few percent
_CHUNK = 1 << 18
_MOST_DESCRIPTION = 1 << 16
_MOST_ARRAYS = 16

Arrays = dict[str, np.ndarray]


def little_endian(dtype: str) -> np.dtype:
    """One of DTYPES as it travels."""
    return np.dtype(dtype).newbyteorder("<")


def compress_body(array: np.ndarray, encoding: str) -> bytes:
    """The body of a job.

    Args:
        array: of one of DTYPES.
        encoding: one of ENCODINGS.
    """
    content = np.ascontiguousarray(array, little_endian(array.dtype.name))
    return zlib.compress(content.data, _LEVEL) if encoding == "zlib" else content.tobytes()


def read_body(stream: BinaryIO, shape: tuple[int, ...], dtype: str, encoding: str) -> np.ndarray:
    """The array of a body, which is unpacked piece by piece and never gets longer than the array.

    Raises:
        ProtocolError: the body is damaged, or not as long as shape and dtype say.
    """
    array = np.empty(shape, little_endian(dtype))
    room = memoryview(array.reshape(-1).view(np.uint8).data)
    filled = 0
    for piece in _pieces(stream, encoding):
        if filled + len(piece) > len(room):
            raise ProtocolError("The body is longer than its shape says.")
        room[filled : filled + len(piece)] = piece
        filled += len(piece)
    if filled != len(room):
        raise ProtocolError("The body is shorter than its shape says.")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _pieces(stream: BinaryIO, encoding: str) -> Iterator[bytes]:
    """What a stream holds, decompressed, some hundred kilobytes at a time."""
    if encoding == "raw":
        yield from iter(lambda: stream.read(_CHUNK), b"")
        return
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


def pack(arrays: Mapping[str, np.ndarray], encoding: str) -> bytes:
    """A container of arrays of DTYPES; `encoding` is one of ENCODINGS."""
    described, parts = [], []
    for name, array in arrays.items():
        content = np.ascontiguousarray(array, little_endian(array.dtype.name))
        if encoding == "zlib" and content.itemsize == 2:
            content = content.reshape(-1).view(np.uint8).reshape(-1, 2).T.copy()
        part = zlib.compress(content.data, _LEVEL) if encoding == "zlib" else content.tobytes()
        described.append({"name": name, "dtype": array.dtype.name, "shape": list(array.shape), "bytes": len(part)})
        parts.append(part)
    description = json.dumps({"encoding": encoding, "arrays": described}).encode()
    return b"".join([MAGIC, len(description).to_bytes(4, "little"), description, *parts])


def unpack(content: bytes, most: int) -> Arrays:
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
    """The numbers of one array, in order."""
    if encoding == "raw":
        plain: bytes = bytes(part)
    else:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(part, size) if size else b""
        # The end of a stream may come only when a byte more than there is was asked for.
        if unpacker.decompress(unpacker.unconsumed_tail if size else part, 1) or not unpacker.eof:
            raise ValueError("length")
    if len(plain) != size:
        raise ValueError("length")
    if encoding == "zlib" and dtype.itemsize == 2:
        plain = np.frombuffer(plain, np.uint8).reshape(2, -1).T.tobytes()
    return np.frombuffer(plain, dtype).astype(dtype.newbyteorder("="), copy=False)


def pack_logits(logits: Union[Reduced, np.ndarray], confidence: Optional[np.ndarray], encoding: str) -> bytes:
    """The result of a job of the kind `grid`.

    Args:
        logits: reduced, or all of them: int16 (classes, z, y, x) of the used part of the grid.
        confidence: of the grid in percent, uint8 (z, y, x) of the used part, or None.
        encoding: one of ENCODINGS.
    """
    if isinstance(logits, Reduced):
        arrays = {
            "classes": np.array([logits.classes], np.uint8),
            "winners": logits.winners,
            "mixed": np.packbits(logits.mixed),
            "lists": logits.lists,
            "below": logits.below,
        }
    else:
        arrays = {"logits": logits}
    return pack(arrays if confidence is None else {**arrays, "confidence": confidence}, encoding)


def unpack_logits(content: bytes, classes: int, size: tuple[int, ...]) -> tuple[np.ndarray, Optional[np.ndarray]]:
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
    arrays = unpack(content, voxels * (classes * 3 + 4) + 1024)
    try:
        confidence = arrays.get("confidence")
        if confidence is not None and (confidence.dtype != np.uint8 or confidence.shape != tuple(size)):
            raise ValueError("confidence")
        if "logits" in arrays:
            logits = arrays["logits"]
            if logits.dtype != np.int16 or logits.shape != (classes, *size) or np.abs(logits).max() > MAX_LOGIT:
                raise ValueError("logits")
            return logits, confidence
        count = arrays["classes"]
        if count.shape != (1,) or count[0] != classes or arrays["winners"].shape != tuple(size):
            raise ValueError("size")
        if arrays["mixed"].shape != (-(-voxels // 8),):
            raise ValueError("mixed")
        mixed = np.unpackbits(arrays["mixed"], count=voxels).astype(np.bool_).reshape(size)
        reduced = Reduced(classes, arrays["winners"], mixed, arrays["lists"], arrays["below"])
        check(reduced)
        return restore(reduced), confidence
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        raise ProtocolError("The result is damaged or of another job; run it again.") from error


def pack_labels(labels: np.ndarray, encoding: str) -> bytes:
    """The result of a job of the kind `volume`: its labelmap, uint8 (z, y, x)."""
    return pack({"labels": labels}, encoding)


def unpack_labels(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """The labelmap of a result of the kind `volume`, uint8 (z, y, x) of the volume's shape; raises ProtocolError."""
    labels = unpack(content, math.prod(shape) + 1024).get("labels")
    if labels is None or labels.dtype != np.uint8 or labels.shape != tuple(shape):
        raise ProtocolError("The result is damaged or of another job; run it again.")
    return labels
