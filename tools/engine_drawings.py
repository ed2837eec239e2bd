"""Draw the pictures of docs/engine.md: small examples of the native engine, whose numbers are computed here.

Usage: python tools/engine_drawings.py [FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from random import Random

INK, GREY, PALE, RED = "#1c2b36", "#8595a1", "#eef1f3", "#b3261e"
FILLS = {1: "#bcdcf2", 0: "#f4f4f4", -1: "#f9cfae"}  # of trits
SET = "#35586f"  # a bit that is set
SANS, MONO = "DejaVu Sans, Arial, sans-serif", "DejaVu Sans Mono, Consolas, monospace"
TALL = 22  # height of a row of cells

Planes = tuple[int, int]  # u and x of some voxels: bit n is voxel n's


class Picture:
    """An SVG drawing on white, so that it can be read on any background."""

    def __init__(self, name: str, width: int, height: int) -> None:
        self.name = name
        head = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        self._lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {head} font-size="13" fill="{INK}">',
            "<!-- Made by tools/engine_drawings.py. -->",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        ]

    def text(
        self, x: float, y: float, content: str, anchor: str = "start", size: int = 12, colour: str = INK, **style: bool
    ) -> None:
        """Write a line whose baseline is at y; style: bold, mono."""
        weight = ' font-weight="bold"' if style.get("bold") else ""
        font = MONO if style.get("mono") else SANS
        self._lines.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-family="{font}" font-size="{size}" '
            f'fill="{colour}"{weight} xml:space="preserve">{escape(content)}</text>'
        )

    def title(self, y: float, content: str) -> None:
        """Write the heading of a drawing, or of a part of it."""
        self.text(16, y, content, size=14, bold=True)

    def lines(self, y: float, contents: Sequence[str], colour: str = INK) -> None:
        """Write lines below each other."""
        for n, content in enumerate(contents):
            self.text(16, y + 18 * n, content, colour=colour)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str = "none",
        line: str = GREY,
        thick: float = 1,
        fade: float = 1,
    ) -> None:
        """A rectangle; `fade` is the opacity of what fills it."""
        self._lines.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{fill}" stroke="{line}" '
            f'stroke-width="{thick:g}" fill-opacity="{fade:g}"/>'
        )

    def arrow(self, x: float, y: float, to_x: float, to_y: float, colour: str = INK) -> None:
        """A straight arrow with a small head."""
        length = ((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5
        along_x, along_y = 7 * (to_x - x) / length, 7 * (to_y - y) / length
        left = f"{to_x - along_x - along_y / 2:g},{to_y - along_y + along_x / 2:g}"
        right = f"{to_x - along_x + along_y / 2:g},{to_y - along_y - along_x / 2:g}"
        self._lines.append(f'<path d="M{x:g},{y:g} L{to_x:g},{to_y:g}" stroke="{colour}" stroke-width="1.3"/>')
        self._lines.append(f'<path d="M{to_x:g},{to_y:g} L{left} L{right} Z" fill="{colour}"/>')

    def bits(self, x: float, y: float, plane: int, count: int, wide: float = TALL) -> None:
        """A row of bits, voxel 0 on the left."""
        for voxel in range(count):
            bit = plane >> voxel & 1
            self.box(x + voxel * wide, y, wide, TALL, SET if bit else "#ffffff")
            colour = "#ffffff" if bit else GREY
            self.text(x + (voxel + 0.5) * wide, y + 15.5, str(bit), "middle", colour=colour, mono=True)

    def trits(self, x: float, y: float, values: Sequence[int], wide: float = TALL) -> None:
        """A row of trits."""
        for voxel, value in enumerate(values):
            self.box(x + voxel * wide, y, wide, TALL, FILLS[value])
            self.text(x + (voxel + 0.5) * wide, y + 15.5, f"{value:+d}" if value else "0", "middle", mono=True)

    def numbers(self, x: float, y: float, values: Sequence[int], wide: float = TALL, colour: str = INK) -> None:
        """A row of numbers without boxes."""
        for voxel, value in enumerate(values):
            self.text(x + (voxel + 0.5) * wide, y + 15.5, str(value), "middle", colour=colour, mono=True)

    def save(self, folder: Path) -> None:
        """Write the file."""
        (folder / f"engine_{self.name}.svg").write_text("\n".join([*self._lines, "</svg>", ""]), encoding="utf-8")


def planes_of(trits: Sequence[int]) -> Planes:
    """The two planes of a row of trits: u where t = +1, x where t = 0."""
    return sum((t == 1) << n for n, t in enumerate(trits)), sum((t == 0) << n for n, t in enumerate(trits))


def trits_of(planes: Planes, count: int) -> list[int]:
    """The trits of two planes: t + 1 = 2 u + x."""
    return [2 * (planes[0] >> n & 1) + (planes[1] >> n & 1) - 1 for n in range(count)]


# ---- A trit takes two bits, and a neighbour along x is a shift and a mask ----

ROWS = ((1, 0, -1, -1, 0, 1, 0, 1), (-1, 0, 1, 0, 0, -1, 1, 0))  # two rows of a grid of eight voxels in width


def draw_planes() -> Picture:
    """One row as planes, and two rows whose left neighbours are wanted."""
    picture, left = Picture("planes", 760, 430), 210
    u, x = planes_of(ROWS[0])
    assert trits_of((u, x), 8) == list(ROWS[0])
    picture.title(26, "A row of eight voxels in two bit planes")
    for y, label in ((38, "voxel"), (62, "trit t"), (88, "u: t = +1"), (112, "x: t = 0"), (136, "2 u + x = t + 1")):
        picture.text(left - 12, y + 15.5, label, "end")
    picture.numbers(left, 38, range(8), colour=GREY)
    picture.trits(left, 62, ROWS[0])
    picture.bits(left, 88, u, 8)
    picture.bits(left, 112, x, 8)
    picture.numbers(left, 136, [t + 1 for t in ROWS[0]])
    picture.text(left + 8 * TALL + 16, 103.5, f"one byte: 0x{u:02x}, voxel 0 is its lowest bit")
    picture.text(left + 8 * TALL + 16, 127.5, f"one byte: 0x{x:02x}")

    both = ROWS[0] + ROWS[1]
    u, x = planes_of(both)
    inside = sum(1 << n for n in range(16) if n % 8 >= 1)  # voxels whose neighbour at dx = -1 is in their row
    moved = u << 1 & 0xFFFF, x << 1 & 0xFFFF
    masked = moved[0] & inside, moved[1] | ~inside & 0xFFFF
    wanted = [value for row in ROWS for value in (0, *row[:-1])]
    assert trits_of(masked, 16) == wanted
    picture.title(194, "The neighbours at dx = -1 of two rows at once")
    for row in range(2):
        picture.text(left + (8 * row + 4) * TALL, 216, f"row {row}", "middle", colour=GREY)
    labels = ("trit t", "u, moved by one", "mask for dx = -1", "u of the neighbours", "x of the neighbours", "trits")
    tops = (224, 256, 288, 312, 336, 368)
    for y, label in zip(tops, labels):
        picture.text(left - 12, y + 15.5, label, "end")
    picture.trits(left, tops[0], both)
    picture.bits(left, tops[1], moved[0], 16)
    picture.bits(left, tops[2], inside, 16)
    picture.bits(left, tops[3], masked[0], 16)
    picture.bits(left, tops[4], masked[1], 16)
    picture.trits(left, tops[5], wanted)
    notes = ((tops[2], "0: not in this row"), (tops[3], "moved u AND mask"), (tops[4], "moved x OR NOT mask"))
    for y, note in notes:
        picture.text(left + 16 * TALL + 12, y + 15.5, note)
    for n in (0, 8):
        picture.box(left + n * TALL, tops[1] - 2, TALL, tops[5] - tops[1] + TALL + 4, line=RED, thick=2)
    picture.text(left, 412, "red: the voxel before is not in this row", colour=RED)
    return picture


# ---- Rows, padding rows and guards ----


@dataclass(frozen=True)
class Raster:
    """Where voxels lie in a plane; sizes and margins are (z, y, x). See raster.c."""

    size: tuple[int, int, int]
    margin: tuple[int, int, int] = (1, 1, 1)

    def vectors(self, rows: int) -> int:
        """Whole vectors of 64 bytes that slices of so many rows take."""
        return (self.size[0] * rows * self.pitch + 63) // 64

    @property
    def pitch(self) -> int:
        """Bytes of a row."""
        return (self.size[2] + 7) // 8

    @property
    def rows(self) -> int:
        """Rows of a slice, with its padding, if it has any."""
        bare, padded = self.size[1], self.size[1] + self.margin[1]
        return bare if (self.vectors(padded) - self.vectors(bare)) * 40 > self.vectors(padded) else padded

    @property
    def used(self) -> int:
        """Bytes up to the end of the last slice's padding."""
        return self.size[0] * self.rows * self.pitch

    @property
    def length(self) -> int:
        """The same in whole vectors of 64 bytes."""
        return 64 * self.vectors(self.rows)

    @property
    def guard(self) -> int:
        """Bytes before and after a plane."""
        reach = self.margin[0] * self.rows * self.pitch + self.margin[1] * self.pitch + 16
        return (reach + 63) // 64 * 64

    def tensor_bytes(self, channels: int) -> int:
        """Two planes a channel; neighbouring planes share a guard."""
        return 2 * (channels * (self.length + self.guard) + self.guard)


def draw_raster() -> Picture:
    """A plane of a small grid, and where the neighbours of a vector lie."""
    raster, wide, line = Raster((2, 3, 13)), 18, 26
    picture, left, top = Picture("raster", 800, 384), 250, 76
    height, width, pitch = raster.size[1], raster.size[2], raster.pitch
    picture.title(26, f"A plane of a grid of {' x '.join(map(str, raster.size))} voxels (z, y, x)")
    picture.text(left - 12, top - 9, f"guard, {raster.guard} bytes of t = 0", "end", colour=GREY)
    picture.box(left, top - 24, 8 * pitch * wide, 20, PALE)
    lines = raster.used // pitch
    for row in range(lines):
        z, y = divmod(row, raster.rows)
        at = top + row * line
        name = f"z = {z}, y = {y}" if y < height else f"padding row of z = {z}"
        picture.text(left - 12, at + 15.5, f"{name}     byte {row * pitch:2d}", "end", mono=True, size=11)
        for x in range(8 * pitch):
            inside = y < height and x < width
            picture.box(left + x * wide, at, wide, TALL, "#cfe3d4" if inside else PALE)
            if inside:
                picture.text(left + (x + 0.5) * wide, at + 15.5, str(x), "middle", 10, GREY, mono=True)
    end = top + lines * line
    picture.box(left, end, 8 * pitch * wide, 20, PALE)
    rest = f"to whole vectors: {raster.length - raster.used} bytes, guard: {raster.guard}"
    picture.text(left - 12, end + 15, rest, "end", colour=GREY)
    right = left + 8 * pitch * wide
    vectors = (
        (0, 0, INK, "the vector", -2),
        (0, 1, RED, "dy = +1", 5),
        (1, 0, "#1f6f43", "dz = +1", 12),
    )
    for dz, dy, colour, label, offset in vectors:
        byte = (dz * raster.rows + dy) * pitch
        at = top + byte // pitch * line
        tall = 8 // pitch * line
        picture.box(left - 4 + offset / 4, at - 2, right - left + 6 + offset, tall, line=colour, thick=2)
        picture.text(right + 24, at + 16, f"{label}: bytes {byte} to {byte + 7}", colour=colour)
    for k, (fill, label) in enumerate((("#cfe3d4", "a voxel and its x"), (PALE, "t = 0"))):
        picture.box(right + 24, top + (6 + k) * line, TALL, TALL, fill)
        picture.text(right + 54, top + (6 + k) * line + 15.5, label)
    note = (
        "Vectors of 8 bytes. For dz and dy the neighbours of all voxels of a vector are the vector at another",
        "address, over the ends of rows and slices. Beyond the grid they are t = 0: the zero padding.",
    )
    picture.lines(end + 50, note)
    return picture


# ---- Counting ----

CHUNK_PLANES = 9
EVERY = 0xFF  # eight voxels are counted here


@dataclass(frozen=True)
class Vectors:
    """What the gates of one instruction set cost, in operations on whole vectors (see the isa_*.c files)."""

    name: str
    voxels: int
    two_trits: int  # SUM_3, and two of TRIT_CARRY or TRIT_BORROW
    add_two: int  # SUM_3, and CARRY or BORROW


# Where any function of three bits is one instruction, each of these is one. With gates of two bits u | (x & plane) is
# 2, a sum of three 2, and a carry 3 more, as one of the two XORs helps. NEON selects bits: there a carry is 1 more.
SETS = (
    Vectors("AVX-512", 512, 3, 2),
    Vectors("AVX2", 256, 6, 5),
    Vectors("NEON", 128, 6, 3),
    Vectors("SSE2", 128, 6, 5),
    Vectors("64-bit words", 64, 6, 5),
)


def numbers_of(planes: Sequence[int]) -> list[int]:
    """The numbers of eight voxels in two's complement, whose highest plane counts as negative."""
    signs = [(-1 if k == len(planes) - 1 else 1) << k for k in range(len(planes))]
    return [sum((plane >> n & 1) * sign for plane, sign in zip(planes, signs)) for n in range(8)]


class Counter:
    """Sums of t + 1 of eight voxels, one bit of each sum in a plane; as in isa_template.h."""

    def __init__(self, costs: Vectors = SETS[0]) -> None:
        self.planes = [0] * CHUNK_PLANES
        self.operations = 0
        self._costs = costs
        self._turned = 0

    def add(self, entries: Sequence[Planes], down: bool = False) -> None:
        """Count up, or down, by a list whose length is a multiple of four."""
        assert len(entries) % 4 == 0
        rest = list(entries)
        self._turned = EVERY if down else 0  # counting down gives borrows: the carries of the inverted planes
        for count, plane in ((4, 3), (8, 4)):
            if len(rest) & count:
                self._ripple(plane, self._carry(rest[:count], plane - 1))
                rest = rest[count:]
        while rest:
            self._ripple(5, self._carry(rest[:16], 4))
            rest = rest[16:]

    def _carry(self, entries: Sequence[Planes], plane: int) -> int:
        """Add 4, 8 or 16 trits; the carry that leaves `plane`."""
        if len(entries) > 4:
            half = len(entries) // 2
            first = self._carry(entries[:half], plane - 1)
            return self._add_two(plane, first, self._carry(entries[half:], plane - 1))
        first = self._add_two(1, *self._two_trits(entries[0], entries[1]))
        return self._add_two(plane, first, self._add_two(1, *self._two_trits(entries[2], entries[3])))

    def _two_trits(self, first: Planes, second: Planes) -> tuple[int, int]:
        before = self.planes[0] ^ self._turned
        self.planes[0] ^= first[1] ^ second[1]
        self.operations += self._costs.two_trits
        return first[0] | first[1] & before, second[0] | second[1] & (before ^ first[1])

    def _add_two(self, plane: int, first: int, second: int) -> int:
        before = self.planes[plane] ^ self._turned
        self.planes[plane] ^= first ^ second
        self.operations += self._costs.add_two
        return before & first | (before ^ first) & second

    def _ripple(self, plane: int, carry: int) -> None:
        for k in range(plane, CHUNK_PLANES):
            before = self.planes[k] ^ self._turned
            self.planes[k] ^= carry
            carry &= before
            self.operations += 2 if k < CHUNK_PLANES - 1 else 1


def sixteen(costs: Vectors) -> int:
    """Operations for sixteen trits, checked against their sum."""
    trits = [[(3 * k + n * n) % 3 - 1 for n in range(8)] for k in range(16)]
    counter = Counter(costs)
    counter.add([planes_of(row) for row in trits])
    assert numbers_of(counter.planes) == [sum(column) + 16 for column in zip(*trits)]
    operations = counter.operations
    counter.add([planes_of(row) for row in trits], down=True)
    assert numbers_of(counter.planes) == [0] * 8 and counter.operations == 2 * operations
    return operations


def draw_counter() -> Picture:
    """Sixteen trits go into the planes of a counter; what that costs."""
    picture, left, step = Picture("counter", 830, 512), 120, 40
    picture.title(26, "Sixteen trits enter a counter: each box changes its plane and gives carries")
    tops = [306, 246, 186, 126, 66]  # of planes 0 to 4
    for plane, top in enumerate(tops):
        picture.text(left - 18, top + 19, f"plane {plane}", "end")
        count = 8 if plane == 0 else 16 >> plane
        each = 16 / count * step
        for k in range(count):
            middle = left + (k + 0.5) * each
            picture.box(middle - 24, top, 48, 28, "#dbe7ef")
            picture.text(middle, top + 18, "2 trits" if plane == 0 else "add two", "middle", 11)
            if plane == 4:
                picture.arrow(middle, top, middle, top - 22)
                picture.text(middle + 10, top - 10, "a carry of weight 32: planes 5 to 8 take it in turn")
            elif plane:
                goal = left + (k // 2 + 0.5) * 2 * each + (-12 if k % 2 == 0 else 12)
                picture.arrow(middle, top, goal, tops[plane + 1] + 30)
            else:
                for side in (-9, 9):
                    picture.arrow(middle + side, top, middle + side, tops[1] + 30)
                    picture.arrow(middle + side, top + 52, middle + side, top + 30, "#1f6f43")
    picture.text(left - 18, tops[0] + 50, "16 trits", "end", colour="#1f6f43")
    for y, label in zip((428, 448), ("operations for 16 trits", "operations for one trit")):
        picture.text(16, y, label)
    for y, label in zip((468, 488), ("voxels of a vector", "trits that one operation adds")):
        picture.text(16, y, label)
    for k, costs in enumerate(SETS):
        x, operations = 310 + k * 108, sixteen(costs)
        picture.text(x, 404, costs.name, "middle", bold=True)
        each = 16 * costs.voxels / operations
        values = (str(operations), f"{operations / 16:.2f}", str(costs.voxels), f"{each:.0f}")
        for y, value in zip(range(428, 508, 20), values):
            picture.text(x, y, value, "middle", mono=True)
    return picture


# ---- Lists instead of weights ----

TABLE_ENTRIES = 324


def channels_of_chunk(incoming: int, taps: int) -> int:
    """Input channels of a chunk."""
    chunks = -(-incoming // (TABLE_ENTRIES // taps))
    return -(-incoming // chunks)


def pair_lists(pair: Sequence[Sequence[int]]) -> dict[str, list[list[int]]]:
    """Table entries of the lists of two outputs, of each those that count up and those that count down."""
    lists: dict[str, list[list[int]]] = {name: [[], []] for name in ("opposite", "same", "first alone", "second alone")}
    for n, (first, second) in enumerate(zip(*pair)):
        if first and second:
            lists["same" if first == second else "opposite"][first < 0].append(n)
        elif first or second:
            lists["first alone" if first else "second alone"][first + second < 0].append(n)
    for k, weights in enumerate(pair):
        sign = 1 - 2 * k  # what is opposite is subtracted for the second output
        counted = [0] * len(weights)
        for name, factor in (("opposite", sign), ("same", 1), (("first alone", "second alone")[k], 1)):
            for n in lists[name][0]:
                counted[n] += factor
            for n in lists[name][1]:
                counted[n] -= factor
        assert counted == list(weights)
    return lists


def draw_lists() -> Picture:
    """The weights of two outputs, and the lists that are made of them."""
    pair = (
        (1, -1, 0, 1, 1, 0, -1, 1, 0, -1, 1, 0, -1, 1, 1, 0),
        (1, -1, 1, 0, -1, -1, 1, 1, 0, -1, 0, 0, -1, 0, -1, 1),
    )
    neighbours = len(pair[0])
    picture, left, wide = Picture("lists", 760, 356), 120, 34
    picture.title(26, "Weights of two outputs for the sixteen neighbours of a chunk")
    picture.text(left - 12, 54, "table entry", "end", colour=GREY)
    picture.numbers(left, 38, range(neighbours), wide, GREY)
    for k, row in enumerate(pair):
        picture.text(left - 12, 62 + k * 26 + 15.5, f"output {k}", "end")
        picture.trits(left, 62 + k * 26, row, wide)
    picture.title(146, "The lists: what both have is counted once, zeros not at all")
    lists, counted = pair_lists(pair), 0
    notes = {
        "opposite": "o: of output 0; opposite of output 1",
        "same": "s: both outputs",
        "first alone": "s + o, and these: output 0",
        "second alone": "s - o, and these: output 1",
    }
    for k, (name, signs) in enumerate(lists.items()):
        y, x = 160 + k * 26, float(left)
        picture.text(left - 12, y + 15.5, name, "end")
        for found, sign in zip(signs, (1, -1)):
            for n in found:
                picture.box(x, y, wide, TALL, FILLS[sign])
                picture.text(x + wide / 2, y + 15.5, str(n), "middle", mono=True)
                x += wide
                counted += 1
            x += 14
        picture.text(left + 8.6 * wide, y + 15.5, notes[name])
    total = sum(weight != 0 for row in pair for weight in row)
    picture.text(left, 282, f"{counted} trits are counted for {total} nonzero weights of {2 * neighbours}.")
    incoming, taps = 32, 27
    each = channels_of_chunk(incoming, taps)
    sizes = [f"{2 * (each * taps + 1) * costs.voxels / 8 / 1024:.0f} KiB with {costs.name}" for costs in SETS[:3]]
    chunks = f"{-(-incoming // each)} chunks of at most {each} channels, so {each * taps} neighbours each."
    note = (f"{incoming} channels and a kernel of 3 x 3 x 3: {chunks}", f"The table of a chunk: {', '.join(sizes)}.")
    picture.lines(322, note)
    picture.box(left + 12.2 * wide, 268, 14, 14, FILLS[1])
    picture.text(left + 12.2 * wide + 20, 280, "count up")
    picture.box(left + 15.2 * wide, 268, 14, 14, FILLS[-1])
    picture.text(left + 15.2 * wide + 20, 280, "down")
    return picture


# ---- A sum and its thresholds ----

WEIGHTS = (1, 0, -1, 1, 1, 0, -1, 1)
UPPER, LOWER = 2, -1
SEED = 12


@dataclass(frozen=True)
class WorkedSum:
    """Eight voxels, each with eight neighbours, of one output."""

    neighbours: list[list[int]]  # [neighbour][voxel]
    plus: list[int]  # planes of the counter after each step
    total: list[int]
    numbers: list[int]
    move: int
    planes: int


def worked_sum() -> WorkedSum:
    """Count the sums as the engine does, and check them."""
    random = Random(SEED)
    neighbours = [[int(3 * random.random()) - 1 for n in range(8)] for k in range(8)]
    lists = {}
    for sign in (-1, 1):
        found = [planes_of(row) for row, weight in zip(neighbours, WEIGHTS) if weight == sign]
        lists[sign] = found + [(0, 0)] * (-len(found) % 4)
    counter = Counter()
    counter.add(lists[1])
    plus = counter.planes[:]
    counter.add(lists[-1], down=True)
    plus_count, minus_count = WEIGHTS.count(1), WEIGHTS.count(-1)
    move = plus_count - minus_count
    sums = [sum(w * row[n] for w, row in zip(WEIGHTS, neighbours)) for n in range(8)]
    assert numbers_of(counter.planes) == [value + move for value in sums]
    least = min(-2 * minus_count, LOWER + move)
    most = max(2 * plus_count, UPPER + move)
    planes = 2
    while least < -(1 << planes - 1) or most > (1 << planes - 1) - 1:
        planes += 1
    return WorkedSum(neighbours, plus, counter.planes[:], numbers_of(counter.planes), move, planes)


def carries(total: Sequence[int], threshold: int, planes: int) -> list[int]:
    """The carry after each plane of sum - threshold; the last one says where the sum is at least the threshold."""
    carry, found = EVERY, []
    for k in range(planes):
        plane, limit = total[k], 0 if threshold >> k & 1 else EVERY
        if k == planes - 1:
            plane, limit = plane ^ EVERY, limit ^ EVERY
        carry = plane & limit | (plane ^ limit) & carry
        found.append(carry)
    return found


def draw_sum() -> Picture:
    """A sum in bit planes, from trits to the trits of the next layer."""
    example = worked_sum()
    picture, wide = Picture("sum", 890, 500), 20
    lefts, block = (90, 304, 508, 712), 8 * wide

    def stack(left: int, top: int, title: str, planes: Sequence[int], names: Sequence[str]) -> None:
        """Planes one above the other, the highest on top."""
        picture.text(16 if left == lefts[0] else left - 30, top - 12, title, bold=True)
        for k, plane in enumerate(planes):
            y = top + (len(planes) - 1 - k) * TALL
            picture.text(left - 6, y + 15.5, names[k], "end", 11, GREY)
            picture.bits(left, y, plane, 8, wide)

    picture.title(26, "One output of eight voxels: from neighbours to the next layer's planes")
    picture.text(16, 58, "1. The trits of the neighbours", bold=True)
    for k, (weight, row) in enumerate(zip(WEIGHTS, example.neighbours)):
        y = 70 + k * TALL
        label = f"{weight:+d}" if weight else "0"
        picture.text(lefts[0] - 10, y + 15.5, f"weight {label}", "end", 11, INK if weight else GREY)
        picture.trits(lefts[0], y, row, wide)
        if not weight:
            picture.box(lefts[0], y, block, TALL, "#ffffff", fade=0.75)
    shown, digits = example.planes, [f"{1 << k}" for k in range(example.planes)]
    digits[-1] = f"-{digits[-1]}"
    stack(lefts[1], 70, "2. Count up those of +1", example.plus[:shown], digits)
    stack(lefts[2], 70, "3. Count down those of -1", example.total[:shown], digits)
    y = 70 + shown * TALL
    picture.numbers(lefts[1], y, numbers_of(example.plus), wide)
    picture.numbers(lefts[2], y, example.numbers, wide)
    sums = [value - example.move for value in example.numbers]
    picture.numbers(lefts[2], y + 26, sums, wide)
    counts = f"{WEIGHTS.count(1)} - {WEIGHTS.count(-1)} = {example.move}"
    picture.text(lefts[2] + block + 12, y + 15.5, f"in the counter: {counts} more")
    picture.text(lefts[2] + block + 12, y + 41.5, "than weights times trits")

    upper, lower = UPPER + example.move, LOWER + example.move
    above, below = carries(example.total, upper, shown), carries(example.total, lower, shown)
    names = [f"carry {k}" for k in range(shown)]
    stack(lefts[0], 310, f"4. At least {upper} = {UPPER} + {example.move}?", above, names)
    stack(lefts[1], 310, f"5. At least {lower} = {LOWER} + {example.move}?", below, names)
    u, x = above[-1], below[-1] & ~above[-1]
    wanted = [1 if value >= UPPER else -1 if value < LOWER else 0 for value in sums]
    assert trits_of((u, x), 8) == wanted
    picture.text(lefts[2] - 30, 298, "6. The next layer's planes", bold=True)
    picture.text(lefts[2] - 6, 325.5, "u", "end", 11, GREY)
    picture.bits(lefts[2], 310, u, 8, wide)
    picture.text(lefts[2] - 6, 347.5, "x", "end", 11, GREY)
    picture.bits(lefts[2], 332, x, 8, wide)
    picture.trits(lefts[2], 362, wanted, wide)
    picture.text(lefts[2] + block + 12, 325.5, "the last carry of 4")
    picture.text(lefts[2] + block + 12, 347.5, "the last carry of 5, where not u")
    picture.text(lefts[2] + block + 12, 377.5, f"+1 from {UPPER} on, -1 below {LOWER}")
    note = (
        "Columns are voxels. A row of bits is one vector, and one operation works on all of it.",
        f"This output needs {shown} planes in two's complement; of the counter's {CHUNK_PLANES} the upper ones are not "
        "shown.",
        "Weights of zero are in no list: nothing is added for them.",
    )
    picture.lines(452, note, GREY)
    return picture


# ---- Strides ----


def tap_of(place: int, factor: int) -> tuple[int, int]:
    """Phase and dx of a tap along one axis; see lists.c."""
    phase = (place + 2 * factor) % factor
    return phase, (place - phase) // factor


def draw_stride() -> Picture:
    """A row is split into two phases, in which the taps of a strided kernel are plain neighbours."""
    row = ROWS[0] + ROWS[1]
    phases = [row[0::2], row[1::2]]
    picture, left = Picture("stride", 740, 316), 150
    picture.title(26, "A stride of 2 along x: two phases of half the size")
    picture.text(left - 12, 68, "voxel", "end", colour=GREY)
    picture.numbers(left, 52, range(16), colour=GREY)
    picture.text(left - 12, 91.5, "input", "end")
    picture.trits(left, 76, row)
    for phase, values in enumerate(phases):
        x = left + phase * (8 * TALL + 40)
        picture.trits(x, 150, values)
        picture.text(x, 190, f"phase {phase}: the {('even', 'odd')[phase]} voxels")
        picture.numbers(x, 130, range(8), colour=GREY)
    picture.text(left - 12, 165.5, "phases", "end")
    voxel = 2
    picture.title(226, f"A kernel of 3: what output voxel {voxel} adds")
    for k, place in enumerate((-1, 0, 1)):
        phase, dx = tap_of(place, 2)
        n = 2 * voxel + place
        assert phases[phase][voxel + dx] == row[n]
        y = 248 + k * 24
        name = f"{place:+d}" if place else " 0"
        found = f"input voxel {n} = voxel {voxel + dx} of phase {phase}"
        picture.text(32, y, f"tap {name}: {found}, so source phase {phase} at dx = {dx}", mono=True)
        picture.box(left + n * TALL + 1, 77, TALL - 2, TALL - 2, line=RED, thick=2)
        x = left + phase * (8 * TALL + 40) + (voxel + dx) * TALL
        picture.box(x + 1, 151, TALL - 2, TALL - 2, line=RED, thick=2)
        picture.arrow(left + (n + 0.5) * TALL, 100, x + TALL / 2, 130, RED)
    return picture


# ---- A run: phases, and memory that is planned ahead ----

NETWORK = (  # operation, inputs, channels, halvings
    ("image", (), 1, 0),
    ("first", (0,), 8, 0),
    ("ternary", (1,), 8, 0),
    ("max_pool", (2,), 8, 1),
    ("ternary", (3,), 16, 1),
    ("ternary", (4,), 16, 1),
    ("upsample", (5,), 16, 0),
    ("concatenate", (2, 6), 24, 0),
    ("ternary", (7,), 8, 0),
    ("logits", (8,), 3, 0),
)
EDGE = 64


def last_uses() -> list[int]:
    """The last layer that reads each layer's planes; a concatenation's planes are those of its inputs."""
    last = list(range(len(NETWORK)))
    for reader, (_, inputs, _, _) in enumerate(NETWORK):
        for source in inputs:
            last[source] = reader
    for reader in range(len(NETWORK) - 1, -1, -1):
        if NETWORK[reader][0] == "concatenate":
            for source in NETWORK[reader][1]:
                last[source] = max(last[source], last[reader])
    return last


def planned() -> tuple[dict[int, tuple[int, int]], int]:
    """Offset and bytes of each layer's planes, and the bytes of all: the lowest place that is free; see arena.c."""
    last = last_uses()
    places: dict[int, tuple[int, int]] = {}
    for layer, (operation, _, channels, halvings) in enumerate(NETWORK):
        if operation in ("image", "concatenate", "logits"):
            continue
        size = EDGE >> halvings
        wanted, offset = Raster((size, size, size)).tensor_bytes(channels), 0
        for start, length in sorted(place for other, place in places.items() if last[other] >= layer):
            if start >= offset + wanted:
                break
            offset = start + length
        places[layer] = (offset, wanted)
    for one, (start, length) in places.items():
        for other, (start_2, length_2) in places.items():
            alive = one < other <= last[one]
            assert not alive or start + length <= start_2 or start_2 + length_2 <= start
    return places, max(start + length for start, length in places.values())


def draw_run() -> Picture:
    """The phases of a run of a small U-Net, and where its planes lie in memory."""
    places, total = planned()
    last = last_uses()
    picture, left, step, base, tall = Picture("run", 890, 486), 76, 80, 436, 250.0
    scale = tall / total
    title = f"A small U-Net on {EDGE} x {EDGE} x {EDGE} voxels: phases of the job, and places of the planes in memory"
    picture.title(26, title)
    for layer, (operation, inputs, channels, halvings) in enumerate(NETWORK):
        x = left + layer * step
        picture.text(x + 38, 52, str(layer), "middle", 11, bold=True)
        picture.text(x + 38, 67, operation, "middle", 11, bold=True)
        reads = f"reads {', '.join(map(str, inputs))}" if inputs else ""
        picture.text(x + 38, 82, reads, "middle", 11, GREY)
        size = EDGE >> halvings
        picture.text(x + 38, 97, f"{channels} x {size}^3", "middle", 11, GREY)
        names = {"image": (), "concatenate": (), "logits": ("logits",)}.get(operation, ("clear", operation))
        for k, name in enumerate(names):
            picture.box(x + 4, 107 + k * 24, 70, 20, "#dbe7ef")
            picture.text(x + 39, 121 + k * 24, "resize" if name in ("max_pool", "upsample") else name, "middle", 11)
        if layer in places:
            start, length = places[layer]
            y = base - (start + length) * scale
            width = (last[layer] - layer + 1) * step - 6
            picture.box(x + 3, y + 1, width, length * scale - 2, "#cfe3d4", thick=1.2)
            beside = x + 9 if length * scale > 14 else x + width + 10
            picture.text(beside, y + length * scale / 2 + 4, f"{layer}: {length / 1024:.0f} KiB", size=11)
        elif operation == "concatenate":
            picture.text(x + 38, 128, "no work,", "middle", 11, GREY)
            picture.text(x + 38, 143, "no memory", "middle", 11, GREY)
    picture.arrow(left - 8, base, left - 8, base - tall - 14)
    picture.text(left - 14, base + 4, "0", "end", 11)
    picture.text(left - 14, base - tall + 4, f"{total / 1024:.0f} KiB", "end", 11)
    apart = sum(length for _, length in places.values())
    values = sum(NETWORK[layer][2] * (EDGE >> NETWORK[layer][3]) ** 3 for layer in places)
    sizes = [f"{size / 1024:.0f} KiB" for size in (total, apart, values)]
    rest = f"a place of its own for each layer: {sizes[1]}; one byte for each of these values: {sizes[2]}"
    picture.text(left, base + 32, f"{sizes[0]} in all; {rest}")
    return picture


DRAWINGS = (draw_planes, draw_raster, draw_counter, draw_lists, draw_sum, draw_stride, draw_run)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = Path(__file__).resolve().parents[1] / "docs" / "pictures"
    parser.add_argument("folder", metavar="FOLDER", type=Path, nargs="?", default=default, help="else docs/pictures")
    target = parser.parse_args().folder
    for draw in DRAWINGS:
        draw().save(target)
