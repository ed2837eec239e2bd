"""Checks of scans that ITK's readers do not make.

ITK reads a truncated NIfTI file without complaint and fills up with what was in memory, replaces a spacing of zero by
one and NaN by zero, and ignores the checksums of compressed NRRD and MetaImage files. A wrong scan must not become a
labelmap, so these things are looked at first. Each function raises InputError with the reason, without the file's name.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple, Optional, cast

import numpy as np

from LowResSegLib.errors import InputError

_CHUNK = 1 << 20
_LONGEST_HEADER_LINE = 1 << 16
NOT_FINITE = "it has voxels that are not finite numbers (NaN or infinity); replace them first"
NOT_WHOLE = "it is truncated or damaged; copy it again from where it came from"


def check_nifti(path: Path) -> None:
    """Check that a NIfTI-1 file has all its voxels, sound checksums, positive spacings and no NaN or infinity."""
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw) if compressed else raw)
        try:
            header = _nifti_header(stream.read(348))
            stream.read(header.offset - 348)
            missing = header.voxel_bytes
            while missing > 0 and (chunk := stream.read(min(_CHUNK, missing))):
                missing -= len(chunk)
                if header.float_type is not None:
                    _check_finite(np.frombuffer(chunk[: len(chunk) // 8 * 8], header.float_type))
            while stream.read(_CHUNK):  # the checksum comes at the very end
                pass
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(NOT_WHOLE) from error
    if missing > 0:
        raise InputError(f"{NOT_WHOLE} ({missing} of {header.voxel_bytes} bytes of voxels are missing)")


class _NiftiHeader(NamedTuple):
    offset: int  # of the voxels
    voxel_bytes: int
    float_type: Optional[str]  # numpy's name of the voxels' type, where they may be infinite


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
    return _NiftiHeader(int(offset), (math.prod(sizes) * bits + 7) // 8, {16: f"{order}f4", 64: f"{order}f8"}.get(kind))


def _check_finite(voxels: np.ndarray) -> None:
    if not np.isfinite(voxels).all():
        raise InputError(NOT_FINITE)


def check_nrrd(path: Path) -> None:
    """Check the checksum of the compressed voxels in a NRRD file; ITK itself checks how many there are."""
    with path.open("rb") as file:
        if not file.read(4) == b"NRRD":
            raise InputError("it is not a NRRD image")
        fields = {}
        while (line := file.readline(_LONGEST_HEADER_LINE)).strip():
            name, _, value = line.partition(b":")
            fields[name.strip().lower()] = value.strip().lower()
        attached = b"data file" not in fields and b"datafile" not in fields
        if attached and fields.get(b"encoding") in (b"gzip", b"gz"):
            _check_compressed(file)


def check_metaimage(path: Path) -> None:
    """Check the checksum of the compressed voxels in a MetaImage file; ITK itself checks how many there are."""
    with path.open("rb") as file:
        compressed = False
        while line := file.readline(_LONGEST_HEADER_LINE):
            name, _, value = (part.strip().lower() for part in line.partition(b"="))
            compressed = compressed or (name == b"compresseddata" and value == b"true")
            if name == b"elementdatafile":
                if compressed and value == b"local":
                    _check_compressed(file)
                return
    raise InputError("it is truncated or not a MetaImage")


def _check_compressed(file: BinaryIO) -> None:
    """Check the zlib or gzip stream that goes on from here."""
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        while not decompressor.eof:
            chunk = decompressor.unconsumed_tail or file.read(_CHUNK)
            if not chunk:
                raise InputError(NOT_WHOLE)
            decompressor.decompress(chunk, 16 * _CHUNK)
    except zlib.error as error:
        raise InputError(NOT_WHOLE) from error
