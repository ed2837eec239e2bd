"""Whether a library's file is whole, as far as its header tells: looked at before the loader maps it."""

from __future__ import annotations

import struct
from pathlib import Path

_MAGIC = b"\x7fELF"
_LARGEST_HEADER = 64
# By the class of the file, 1 for 32 bits and 2 for 64: where in the header the offsets of both tables are, and the
# sizes and numbers of their entries; where in an entry of the program table a segment's offset and size are.
_LAYOUTS = {1: ("II", 28, "HHHH", 42, "I", 4, 16), 2: ("QQ", 32, "HHHH", 54, "Q", 8, 32)}


def is_cut_off(path: Path) -> bool:
    """Say whether an ELF file is shorter than its header says; False for a file of another kind.

    Raises:
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_LARGEST_HEADER)
        if header[: len(_MAGIC)] != _MAGIC:
            return False
        try:
            offsets, at, counts, counts_at, number, offset_at, size_at = _LAYOUTS[header[4]]
            order = "<" if header[5] == 1 else ">"
            programs, sections = struct.unpack_from(order + offsets, header, at)
            program_size, program_count, section_size, section_count = struct.unpack_from(
                order + counts, header, counts_at
            )
            ends = [programs + program_size * program_count, sections + section_size * section_count]
            if max(ends) > size:
                return True
            file.seek(programs)
            table = file.read(program_size * program_count)
            for begin in range(0, len(table), program_size):
                (place,) = struct.unpack_from(order + number, table, begin + offset_at)
                (length,) = struct.unpack_from(order + number, table, begin + size_at)
                ends.append(place + length)
        except (IndexError, KeyError, struct.error, ValueError):  # what this is the loader tells
            return len(header) < _LARGEST_HEADER
    return max(ends) > size
