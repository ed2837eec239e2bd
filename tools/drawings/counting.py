"""How weights are counted: sixteen trits at a time, lists of pairs of outputs, and a sum's thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from drawings.picture import FILLS, GREY, INK, TALL, Picture, Planes, planes_of, trits_of

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
