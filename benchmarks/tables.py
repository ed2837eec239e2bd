"""The benchmark's results as Markdown, and their places in docs/performance.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import machine

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"

ORT_FLOAT, ORT_INT8 = "ORT float32", "ORT int8"
OV_FLOAT, OV_INT8 = "OpenVINO float32", "OpenVINO int8"
BASELINES = (ORT_FLOAT, OV_FLOAT, ORT_INT8, OV_INT8)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def part(name: str, content: Mapping[str, Any]) -> str:
    """A part's tables with its machine and command."""
    tables = {"layers": speeds, "unet": speeds, "whole": volumes, "growth": volumes}[name](content["results"])
    return f"`{content['command']}` on {machine.sentence(content['machine'])}\n\n{tables}"


def speeds(results: Sequence[Mapping[str, Any]]) -> str:
    """Tables of networks (columns) by method (rows), one for each number of threads."""
    made = [
        f"{threads} thread{'s' if threads > 1 else ''}, ms (GMAC/s):\n\n"
        + _speeds([result for result in results if result["threads"] == threads])
        for threads in sorted({result["threads"] for result in results})
    ]
    return "\n\n".join([*made, _convolutions(results)])


def _convolutions(results: Sequence[Mapping[str, Any]]) -> str:
    """How the runtimes say that they computed convolutions: whether int8 was int8."""
    found = []
    for kind in BASELINES:
        names = {name for result in results for name in result["convolutions"].get(kind, [])}
        if names:
            found.append(f"{kind} {', '.join(sorted(names))}")
    return f"Convolutions as the runtimes name them: {'; '.join(found)}."


def _speeds(results: Sequence[Mapping[str, Any]]) -> str:
    methods = list(dict.fromkeys(method for result in results for method in result["milliseconds"]))
    ours = [method for method in methods if method not in BASELINES]
    int8 = [ORT_INT8, OV_INT8]
    rows = [[name, *(_speed(result, name) for result in results)] for name in (*BASELINES, *ours)]
    for name in ours:
        rows.append([f"*{name} over ORT float32*", *(_ratio(result, name, [ORT_FLOAT]) for result in results)])
        rows.append([f"*{name} over the best int8*", *(_ratio(result, name, int8) for result in results)])
    peaks = [f"{rate:.0f} ({kind})" for rate, kind in (_peak(result) for result in results)]
    rows.append(["float32 matrix product, 1 core, GMAC/s", *peaks])
    return table(["", *(f"{result['title']} ({result['gmac']:.2f} GMAC)" for result in results)], rows)


def _peak(result: Mapping[str, Any]) -> tuple[float, str]:
    """The best rate of a matrix product, and whose it is."""
    return max((rate, kind.split()[0]) for kind, rate in result["peaks"].items())


def _speed(result: Mapping[str, Any], method: str) -> str:
    milliseconds = result["milliseconds"].get(method)
    if milliseconds is None:
        return machine.NOT_INSTALLED if method in BASELINES else result.get("refused", "-")
    return f"{milliseconds:.2f} ({result['gmac'] / milliseconds * 1e3:.0f})"


def _ratio(result: Mapping[str, Any], method: str, others: Sequence[str]) -> str:
    known = [result["milliseconds"][other] for other in others if other in result["milliseconds"]]
    if not known or method not in result["milliseconds"]:
        return "-"
    return f"**{min(known) / result['milliseconds'][method]:.2f}**"


def volumes(results: Sequence[Mapping[str, Any]]) -> str:
    """Table of the whole way, a row for each volume."""
    steps = ("sampling", "network", "reconstruction", "total")
    head = ["volume", "spacing, mm", "grid", *(f"{step}, s" for step in steps), "first run, s", "peak, MB", "backend"]
    estimated = any("estimate" in result for result in results)
    rows = []
    for result in results:
        row = [
            " x ".join(map(str, result["shape"])),
            " x ".join(f"{spacing:g}" for spacing in result["spacing_mm"]),
            " x ".join(map(str, result["grid_shape"])),
            *(f"{result['seconds'][step]:.2f}" for step in steps),
            f"{result['first_seconds']['total']:.2f}",
            f"{result['peak_memory_mb']:.0f}",
            result["backend"],
        ]
        if estimated:
            row.append("{seconds:.2f} s, {megabytes:.0f} MB".format(**result["estimate"]))
        rows.append(row)
    return table([*head, "estimated"] if estimated else head, rows)


def write_page(parts: Mapping[str, Mapping[str, Any]], page: Path = PAGE) -> None:
    """Put the parts into the page, each between its two markers; what else stands there stays.

    Raises:
        ValueError: the page lacks a part's markers.
    """
    text = page.read_text(encoding="utf-8")
    for name, content in parts.items():
        begin, end = f"<!-- {name}: made by benchmarks/engine.py -->\n", f"<!-- end of {name} -->"
        pattern = re.compile(f"({re.escape(begin)}).*?({re.escape(end)})", re.DOTALL)
        made = part(name, content)
        text, count = pattern.subn(lambda match, made=made: f"{match[1]}\n{made}\n\n{match[2]}", text)
        if count != 1:
            raise ValueError(f"{page.name} lacks the markers of the part {name}.")
    page.write_text(text, encoding="utf-8")
