"""A picture in SVG, and the bit planes that all pictures show."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

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
