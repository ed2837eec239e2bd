"""How voxels lie in memory: planes, rasters, strides, and the layers of a run."""

from __future__ import annotations

from dataclasses import dataclass

from drawings.picture import GREY, INK, PALE, RED, TALL, Picture, planes_of, trits_of

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
