"""Case after case: a failure is told, and does not stop the rest."""

from __future__ import annotations

import errno
import json
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from LowResSegLib.cli.cases import Case
from LowResSegLib.cli.progress import say
from LowResSegLib.errors import InputError, LowResSegError

DONE, SKIPPED, FAILED = "done", "skipped", "failed"
OUT_OF_MEMORY = "There is not enough memory for this; close other programs or use a machine with more."

_ALL_WELL, _SOME_FAILED, _ALL_FAILED = 0, 1, 2

Work = Callable[[Case], tuple[dict[str, Any], list[str]]]


@dataclass(frozen=True)
class Result:
    """How a case ended.

    Attributes:
        case: Which one.
        status: DONE, SKIPPED or FAILED.
        seconds: How long it took.
        error: The sentence of one that failed.
        record: The run record of one that is done.
        outputs: Names of the files that were written.
    """

    case: Case
    status: str
    seconds: float = 0.0
    error: Optional[str] = None
    record: Optional[dict[str, Any]] = None
    outputs: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of a report's line, for JSON."""
        labels = self.record["labels"] if self.record else None
        return {
            "input": str(self.case.path),
            "frame": self.case.frame,
            "status": self.status,
            "seconds": round(self.seconds, 4),
            "error": self.error,
            "warnings": self.record["warnings"] if self.record else [],
            "outputs": list(self.outputs),
            "volumes_ml": None if labels is None else {label["name"]: label["volume_ml"] for label in labels},
        }


@contextmanager
def report_writer(path: Optional[Path]) -> Iterator[Callable[[Result], None]]:
    """Give a function that appends a result to a file of JSON lines, or, without a path, does nothing.

    Raises:
        InputError: The file cannot be written; before any work where it cannot be opened.
    """
    if path is None:
        yield lambda result: None
        return
    refusal = f"The report {path} cannot be written (%s); choose another place for it."
    try:
        file = path.open("ab", buffering=0)
    except OSError as error:
        raise InputError(refusal % error.strerror) from error

    def write(result: Result) -> None:
        # One write a line, so that the lines of several processes do not mix on a local disk.
        line = json.dumps(result.to_dict()).encode() + b"\n"
        try:
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise InputError(refusal % error.strerror) from error

    with file:
        yield write


def run_cases(
    cases: Sequence[Case], work: Work, skip: Callable[[Case], bool], report: Callable[[Result], None]
) -> list[Result]:
    """Do the cases in their order.

    Args:
        cases: What to do.
        work: Does a case and returns its run record and the names of its files.
        skip: Says whether a case is to be left out.
        report: Called with each result as it comes.

    Returns:
        All results. What went wrong with a case is also told on standard error at once.
    """
    results = []
    for case in cases:
        began = time.perf_counter()
        if skip(case):
            results.append(Result(case, SKIPPED))
        else:
            try:
                record, outputs = work(case)
                results.append(Result(case, DONE, time.perf_counter() - began, None, record, tuple(outputs)))
            except Exception as error:
                if len(cases) == 1 and not isinstance(error, (LowResSegError, MemoryError)):
                    raise
                results.append(Result(case, FAILED, time.perf_counter() - began, _sentence(error)))
                say(results[-1].error)
        report(results[-1])
    return results


def _sentence(error: Exception) -> str:
    if isinstance(error, LowResSegError):
        return str(error)
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    traceback.print_exception(type(error), error, error.__traceback__)
    return f"An error in LowResSeg ({type(error).__name__}: {error}); please report it with the lines above."


def exit_status(results: Sequence[Result]) -> int:
    """Return 0 where nothing failed, 2 where everything did, 1 where something did."""
    failed = [result for result in results if result.status == FAILED]
    if not failed:
        return _ALL_WELL
    return _ALL_FAILED if len(failed) == len(results) else _SOME_FAILED


def summary_table(results: Sequence[Result]) -> str:
    """Return the cases with status and seconds, or the sentence of one that failed, as aligned text."""
    width = max((len(result.case.stem) for result in results), default=0)
    lines = [f"{'case':<{max(width, 4)}}  status   seconds"]
    for result in results:
        end = result.error if result.error else f"{result.seconds:7.2f}" if result.status == DONE else ""
        lines.append(f"{result.case.stem:<{max(width, 4)}}  {result.status:<7}  {end}".rstrip())
    counts = [f"{sum(result.status == status for result in results)} {status}" for status in (DONE, SKIPPED, FAILED)]
    return "\n".join([*lines, "", ", ".join(counts)])
