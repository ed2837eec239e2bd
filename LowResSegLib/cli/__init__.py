"""The command `lowresseg`.

A sub-command is a function in a module of this package that adds its arguments to the parsers it is given and sets
`run` to what does the work; it is listed in `COMMANDS`. `run` takes the parsed arguments and returns the exit status.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Optional

from LowResSegLib.cli import bench, compare, dicom, evaluate, models, remote, segment, serve, train, worker
from LowResSegLib.cli.batch import OUT_OF_MEMORY
from LowResSegLib.cli.progress import say
from LowResSegLib.errors import LowResSegError
from LowResSegLib.version import __version__

COMMANDS: list[Callable[[Any], None]] = [
    segment.add,
    compare.add,
    dicom.add,
    remote.add,
    models.add_list,
    models.add_info,
    bench.add,
    train.add_train,
    train.add_export,
    evaluate.add,
    serve.add,
    worker.add,
]

_BAD_USAGE = 2
_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(_BAD_USAGE, f"{self.prog}: {message.rstrip('.')}; {self.prog} --help tells more.\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser with all sub-commands."""
    parser = _Parser(prog="lowresseg", description="Segment volumes on a low-resolution grid. For research use only.")
    parser.add_argument("--version", action="version", version=f"lowresseg {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(commands)
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command line.

    Returns:
        The exit status: 0; 1 where some of several cases failed; 2 after one sentence on standard error for bad
        usage or what a user can mend (a LowResSegError); 130 after Ctrl-C.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may have letters that the output's encoding lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    with contextlib.suppress(ValueError):  # not in the main thread
        for name in ("SIGTERM", "SIGHUP"):  # the latter where a terminal is closed; Windows does not know it
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                # An exception, so that files are put away; the status is the one that shells know.
                signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        args = parser().parse_args(arguments)
        status = int(args.run(args))
        sys.stdout.flush()  # here, where a broken pipe can be handled
        return status
    except LowResSegError as error:
        say(error)
        return _BAD_USAGE
    except MemoryError:
        say(OUT_OF_MEMORY)
        return _BAD_USAGE
    except KeyboardInterrupt:
        say("Interrupted.")
        return _INTERRUPTED
    except BrokenPipeError:  # as with `lowresseg models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
