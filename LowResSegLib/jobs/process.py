"""The child process of a worker, with the private folder in which the two exchange files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Optional

from LowResSegLib.errors import LowResSegError
from LowResSegLib.jobs.protocol import CANNOT_ANSWER, send

_PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
_END_SECONDS = 1.0


class ChildProcess:
    """One `python -m LowResSegLib worker`; it is ended, and its folder removed, at the latest with this object.

    Args:
        command: What starts Python; None for the running one.

    Raises:
        LowResSegError: It cannot be started.
    """

    def __init__(self, command: Optional[Sequence[str]] = None) -> None:
        command = [sys.executable] if command is None else list(command)
        self.folder = Path(tempfile.mkdtemp(prefix="lowresseg-"))
        answers, log = self.folder / "answers.jsonl", self.folder / "log.txt"
        try:
            with answers.open("wb") as output, log.open("wb") as errors:
                self._process = subprocess.Popen(
                    [*command, "-m", "LowResSegLib", "worker"],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=errors,
                    cwd=self.folder,  # Python looks for modules there first: nothing of the user's may get in between
                    env=_environment(),
                    text=True,
                    encoding="utf-8",
                    start_new_session=True,  # Ctrl-C is the parent's; and a launcher goes with all it has started
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise LowResSegError(f"The worker {command[0]} cannot be started ({error}).") from error
        self._answers = answers.open("rb")
        self._leftover: list[Path] = []  # of the jobs that have not ended; outside of the folder, too
        self._rest = b""
        self._pids: list[int] = []  # of the Python itself, where the command is a launcher of it
        self._awaited: Optional[int] = None  # the cancelled request that has not been confirmed
        self._deadline = 0.0
        self._damaged = False
        self._finalizer = weakref.finalize(
            self, _end, self._process, self._answers, self.folder, self._pids, self._leftover, _END_SECONDS
        )
        self.send({"folder": str(self.folder)})

    def alive(self) -> bool:
        """Say whether the process runs."""
        return self._process.poll() is None

    def stopping(self) -> bool:
        """Say whether it has yet to confirm that a request was cancelled."""
        if self._awaited is not None:
            for _ in self.answers():
                pass
        return self._awaited is not None and self.alive()

    def usable(self) -> bool:
        """Say whether it can take a request now; ends a process that does not stop when asked to."""
        stopping = self.stopping()
        if self._awaited is not None and (not stopping or time.monotonic() >= self._deadline):
            self.end(seconds=0.0)  # it has ended itself, perhaps, and left the job's files
        return self._awaited is None and not self._damaged and self.alive()

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; one that finds the process dead is lost, which `alive` tells."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            send(self._process.stdin, message)

    def keep(self, *places: Path) -> None:
        """Remember folders of a job, which go with `forget`, or with this process."""
        self._leftover.extend(places)

    def forget(self) -> None:
        """Remove the folders of jobs; a file that the child still has open, on Windows, goes with its own folder."""
        while self._leftover:
            shutil.rmtree(self._leftover.pop(), ignore_errors=True)

    def cancel(self, number: int, seconds: float) -> None:
        """Ask for an end of request `number`, which must be confirmed within so many seconds."""
        self._awaited, self._deadline = number, time.monotonic() + seconds
        self.send({"id": number, "cancel": True})

    def damaged(self) -> bool:
        """Say whether an answer could not be understood, after which nothing it says can be relied on."""
        return self._damaged

    def answers(self) -> Iterator[dict[str, Any]]:
        """Yield the answers written since the last time, without waiting."""
        if self._answers.closed:
            return
        *lines, self._rest = (self._rest + self._answers.read()).split(b"\n")
        for line in lines:
            try:
                answer = json.loads(line)
            except ValueError:
                # A launcher may print a greeting, which is no JSON; but half an object was an answer.
                self._damaged = self._damaged or line.lstrip().startswith(b"{")
                continue
            if not isinstance(answer, dict):
                continue
            if "ready" in answer:
                self._pids.append(answer["ready"])
            elif self._awaited is not None and answer.get("id") == self._awaited:
                if "fraction" in answer:
                    continue
                self._awaited = None
                self.forget()
            else:
                yield answer

    def log(self) -> str:
        """Return what the process has written to standard error."""
        try:
            return (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def obituary(self) -> str:
        """Return a sentence on a process that has died by itself."""
        lines = [line.strip() for line in self.log().splitlines() if line.strip()]
        last = f"; its last words were: {lines[-1].rstrip('.')}" if lines else ""
        status = self._process.poll()
        if status == CANNOT_ANSWER:
            return (
                f"The worker process could not write into {self.folder.parent}{last}; free some disk and run it again."
            )
        # Killed from outside: mostly by the system, which takes memory back so.
        advice = "with less memory in use elsewhere" if status == -9 else "and report it if it happens again"
        return f"The worker process ended unexpectedly (exit status {status}{last}); run it again, {advice}."

    def end(self, seconds: float = _END_SECONDS) -> None:
        """End the process, by force if it has not gone in so many seconds, and remove its folder.

        Harmless the second time.
        """
        if self._finalizer.detach():
            _end(self._process, self._answers, self.folder, self._pids, self._leftover, seconds)


def _environment() -> dict[str, str]:
    """Return this process's environment, in which the child finds this very package."""
    # The child runs in another folder, so relative entries are named in full.
    paths = {
        name: [os.path.abspath(entry) for entry in os.environ.get(name, "").split(os.pathsep) if entry]
        for name in ("PYTHONPATH", "LOWRESSEG_MODELS")
    }
    paths["PYTHONPATH"].insert(0, str(_PACKAGE_FOLDER))
    return {**os.environ, **{name: os.pathsep.join(entries) for name, entries in paths.items() if entries}}


def _end(
    process: subprocess.Popen[str],
    answers: BinaryIO,
    folder: Path,
    pids: list[int],
    leftover: list[Path],
    seconds: float,
) -> None:
    """End a process and all it has started, and remove its folder and what else is left over."""
    with suppress(OSError, ValueError):
        assert process.stdin is not None
        process.stdin.close()  # at which the child ends by itself, whatever it is doing
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        for pid in [process.pid, *pids]:
            with suppress(OSError):
                _kill(pid)
        process.wait()
    answers.close()
    for place in (*leftover, folder):
        shutil.rmtree(place, ignore_errors=True)


def _kill(pid: int) -> None:
    if sys.platform == "win32":
        os.kill(pid, signal.SIGTERM)  # which is TerminateProcess there
    else:
        os.killpg(os.getpgid(pid), signal.SIGKILL)
