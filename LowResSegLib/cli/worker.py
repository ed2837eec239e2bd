"""`lowresseg worker`: the child process behind `jobs.Worker`; not for people."""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Add the sub-command, without a line in the help."""
    commands.add_parser("worker", description="Serve jobs over pipes; started by the library.").set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from LowResSegLib.jobs.child import main
    from LowResSegLib.remote.tasks import TASKS

    return main(TASKS)
