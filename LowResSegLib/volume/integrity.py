"""Checks of scans that ITK's readers do not make.

ITK reads a truncated NIfTI file without complaint and fills up with what was in memory, replaces a spacing of zero by
one and NaN by zero, and ignores the checksums of compressed NRRD and MetaImage files. A wrong scan must not become a
labelmap, so these things are looked at first. Each function raises InputError with the reason, without the file's name;
`voxels` is whether what comes after the header is looked at too.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple, Optional, cast

import numpy as np

from LowResSegLib.errors import InputError
from LowResSegLib.volume.volume import DIRECTION_TOLERANCE

_CHUNK = 1 << 20
_LONGEST_HEADER_LINE = 1 << 16
_MOST_SURPLUS = 1 << 20  # bytes behind the voxels, which some writers leave there
_METAIMAGE_FIELD = re.compile(rb"\s*([^=:\r\n]+?)[ \t]*[=:][ \t]*([^\r\n]*?)\s*")
# Fields of as many numbers as there are dimensions, to this power.
_METAIMAGE_LISTS = {
    b"dimsize": 1,
    b"offset": 1,
    b"position": 1,
    b"origin": 1,
    b"elementspacing": 1,
    b"elementsize": 1,
    b"centerofrotation": 1,
    b"transformmatrix": 2,
    b"rotation": 2,
    b"orientation": 2,
}
_NOWHERE = np.empty(0, np.intp)
NOT_WHOLE = "it is truncated or damaged; copy it again from where it came from"
NOT_ORTHOGONAL = "its axes are not at right angles and of length 1; resample the scan onto a regular grid"
TOO_MUCH = "it unpacks to far more than its header says; it is damaged, or made to fill memory and disks"


def check_memory(size: int) -> None:
    """Check that so many bytes of voxels fit this computer's memory.

    Linux promises memory that it does not have and then ends the process. Windows, which has no such count, refuses.
    """
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return
    if size > memory:
        raise InputError(
            f"its header promises {size / 1e9:.1f} GB of voxels, and this computer's memory is {memory / 1e9:.1f} GB; "
            "repair the header, or extract the part that you need"
        )


def check_finite(array: np.ndarray) -> None:
    """Check that all numbers of an array are finite."""
    # The least and the greatest tell it, in less time and memory than a look at each number takes.
    if array.dtype.kind != "f" or (np.isfinite(array.min()) and np.isfinite(array.max())):
        return
    count = array.size - int(np.count_nonzero(np.isfinite(array)))
    raise InputError(
        f"{count} of {array.size} voxels are not finite numbers (NaN or infinity); repair them, or put the lowest "
        "finite value in their places, as --replace-nonfinite does."
    )


def check_nifti(path: Path, voxels: bool = True) -> np.ndarray:
    """Check that a NIfTI-1 file has all its voxels, sound checksums, positive spacings and right angles.

    Returns:
        The places of voxels that are not finite numbers, counted from 0 in the order of the file.
    """
    places = [_NOWHERE]
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw) if compressed else raw)
        try:
            header = _nifti_header(stream.read(348))
            if not voxels:
                return _NOWHERE
            check_memory(header.voxel_bytes)
            stream.read(header.offset - 348)
            missing = header.voxel_bytes
            while missing > 0 and (chunk := stream.read(min(_CHUNK, missing))):
                if header.float_type is not None:
                    size = header.float_type.itemsize
                    numbers = np.frombuffer(chunk[: len(chunk) // size * size], header.float_type)
                    places.append(np.flatnonzero(~np.isfinite(numbers)) + (header.voxel_bytes - missing) // size)
                missing -= len(chunk)
            surplus = 0
            while chunk := stream.read(_CHUNK):  # the checksum comes at the very end
                surplus += len(chunk)
                if surplus > _MOST_SURPLUS:
                    raise InputError(TOO_MUCH)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(NOT_WHOLE) from error
    if missing > 0:
        raise InputError(f"{NOT_WHOLE} ({missing} of {header.voxel_bytes} bytes of voxels are missing)")
    return np.concatenate(places)


class _NiftiHeader(NamedTuple):
    offset: int  # of the voxels
    voxel_bytes: int
    float_type: Optional[np.dtype]  # of the voxels, where they may be infinite


def _nifti_header(header: bytes) -> _NiftiHeader:
    """Return what is needed of a NIfTI-1 header; refuses what cannot be one."""
    order = next((order for order in "<>" if header[:4] == struct.pack(f"{order}i", 348)), None)
    if order is None or len(header) < 348:
        raise InputError("it is not a NIfTI-1 image")
    count, *sizes = struct.unpack_from(f"{order}8h", header, 40)
    kind, bits = struct.unpack_from(f"{order}2h", header, 70)
    spacings = struct.unpack_from(f"{order}3f", header, 80)
    (offset,) = struct.unpack_from(f"{order}f", header, 108)
    sizes = sizes[:count]
    if not 1 <= count <= 7 or min(sizes) < 1 or bits < 1 or not 348 <= offset < 1 << 30:
        raise InputError("it is not a NIfTI-1 image, or its header is damaged")
    if any(not math.isfinite(spacing) or spacing <= 0 for spacing in spacings[:count]):
        raise InputError(f"its spacing {spacings} is not positive in every direction; repair the file's header")
    (has_matrix,) = struct.unpack_from(f"{order}h", header, 254)
    if has_matrix > 0:
        _check_axes(np.reshape(struct.unpack_from(f"{order}12f", header, 280), (3, 4))[:, :3])
    float_type = {16: np.dtype(f"{order}f4"), 64: np.dtype(f"{order}f8")}.get(kind)
    return _NiftiHeader(int(offset), (math.prod(sizes) * bits + 7) // 8, float_type)


def _check_axes(matrix: np.ndarray) -> None:
    """Check the right angles of a NIfTI matrix; where it is sheared, ITK takes the other geometry of the header."""
    lengths = np.sqrt((matrix**2).sum(axis=0))
    if not np.isfinite(lengths).all() or lengths.min() == 0:
        raise InputError(NOT_ORTHOGONAL)
    columns = matrix / lengths
    if np.abs(columns.T @ columns - np.eye(3)).max() > DIRECTION_TOLERANCE:
        raise InputError(NOT_ORTHOGONAL)


def check_nrrd(path: Path, voxels: bool = True) -> np.ndarray:
    """Check the checksum of the compressed voxels in a NRRD file; ITK itself checks how many there are.

    Returns:
        No places: in what ITK returns, voxels that are not finite are as in the file.
    """
    with path.open("rb") as file:
        if not file.read(4) == b"NRRD":
            raise InputError("it is not a NRRD image")
        fields = {}
        while (line := file.readline(_LONGEST_HEADER_LINE)).strip():
            name, _, value = line.partition(b":")
            fields[name.strip().lower()] = value.strip().lower()
        attached = b"data file" not in fields and b"datafile" not in fields
        if voxels and attached and fields.get(b"encoding") in (b"gzip", b"gz"):
            _check_compressed(file, fields.get(b"sizes", b""))
    return _NOWHERE


def check_metaimage(path: Path, voxels: bool = True) -> np.ndarray:
    """Check the header of a MetaImage file, with which ITK may crash, and the checksum of compressed voxels.

    ITK itself checks how many voxels there are.

    Returns:
        No places: in what ITK returns, voxels that are not finite are as in the file.
    """
    with path.open("rb") as file:
        fields: dict[bytes, bytes] = {}
        while line := file.readline(_LONGEST_HEADER_LINE):
            if not line.strip():
                continue
            field = _METAIMAGE_FIELD.fullmatch(line)
            name, value = (b"", b"") if field is None else (field[1].lower(), field[2].lower())
            if field is None or (name in fields and (name == b"ndims" or name in _METAIMAGE_LISTS)):
                raise InputError("it is not a MetaImage, or its header is damaged")
            fields[name] = value
            if name == b"elementdatafile":
                sizes = _metaimage_sizes(fields)
                if voxels and fields.get(b"compresseddata") == b"true" and value == b"local":
                    _check_compressed(file, sizes)
                return _NOWHERE
    raise InputError("it is truncated or not a MetaImage")


def _metaimage_sizes(fields: dict[bytes, bytes]) -> bytes:
    """Return the sizes, with the numbers a voxel; ITK writes beyond its buffers where lists are longer than NDims."""
    count = int(fields[b"ndims"]) if fields.get(b"ndims") in (b"1", b"2", b"3", b"4", b"5") else 0
    lengths = {name: len(value.split()) for name, value in fields.items() if name in _METAIMAGE_LISTS}
    if not lengths.pop(b"dimsize", 0) == count > 0:
        raise InputError("its header is damaged: it does not say how many voxels there are")
    for name, length in lengths.items():
        if length != count ** _METAIMAGE_LISTS[name]:
            raise InputError(f"its header is damaged: {name.decode()} has {length} numbers")
    return b"%s %s" % (fields[b"dimsize"], fields.get(b"elementnumberofchannels", b""))


def _check_compressed(file: BinaryIO, sizes: bytes) -> None:
    """Check the zlib or gzip stream that goes on from here; it may hold so many voxels of up to 8 bytes each."""
    if not all(size.isdigit() and int(size) > 0 for size in sizes.split()):
        raise InputError("its header is damaged: it does not say how many voxels there are")
    voxels = math.prod(int(size) for size in sizes.split())
    check_memory(voxels)
    left = 8 * voxels + _MOST_SURPLUS
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        while not decompressor.eof:
            chunk = decompressor.unconsumed_tail or file.read(_CHUNK)
            if not chunk:
                raise InputError(NOT_WHOLE)
            left -= len(decompressor.decompress(chunk, 16 * _CHUNK))
            if left < 0:
                raise InputError(TOO_MUCH)
    except zlib.error as error:
        raise InputError(NOT_WHOLE) from error
