"""Training, export and evaluation in another Python: one with PyTorch, where this one (Slicer's) has none."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Generic, Optional, TypeVar, Union

from LowResSegLib.errors import Cancelled, LowResSegError
from LowResSegLib.jobs.interface import Progress

PathLike = Union[str, Path]
Result = TypeVar("Result")

_SAYS = "lowresseg: "  # what the command line's sentences on standard error begin with
_OF_THIS_PYTHON = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "PYTHONNOUSERSITE")
_END_SECONDS = 5.0
_STEP_SECONDS = 0.05


class OtherPython:
    """LowResSegLib as another Python has it installed; its jobs are processes, and end with this one.

    Args:
        python: The other Python's program, such as `.venv/bin/python`; `lowresseg[train]` is installed for it.
        environment: Of its processes; None for this process's own, without what belongs to this Python. In Slicer give
            `slicer.util.startupEnvironment()`, which has Slicer's own libraries taken out.
    """

    def __init__(self, python: PathLike, environment: Optional[Mapping[str, str]] = None) -> None:
        self._python = str(python)
        given = os.environ if environment is None else environment
        self._environment = {key: value for key, value in given.items() if key not in _OF_THIS_PYTHON}

    def train(
        self,
        config: PathLike,
        data: PathLike,
        output: PathLike,
        resume: bool = False,
        max_minutes: float = 0,
        teacher: Optional[PathLike] = None,
        start_from: Optional[PathLike] = None,
        fold: Optional[int] = None,
    ) -> CommandJob[Path]:
        """Begin to train; the arguments are those of `LowResSegLib.train`, and the result is the path of weights.pt.

        A run that was cancelled can be resumed from its last validation.
        """
        arguments = ["train", str(config), "--data", str(data), "-o", str(output), "--max-minutes", str(max_minutes)]
        arguments += ["--resume"] if resume else []
        return self._job([*arguments, *_options(teacher=teacher, start_from=start_from, fold=fold)], _last_path, True)

    def export(self, checkpoint: PathLike, output: PathLike, card: Optional[PathLike] = None) -> CommandJob[Path]:
        """Begin to make a model file of a run's weights.pt; the result is its path."""
        arguments = ["export", str(checkpoint), "-o", str(output), *_options(card=card)]
        return self._job(arguments, lambda printed: Path(output), False)

    def evaluate(
        self,
        model: PathLike,
        data: PathLike,
        split: str = "all",
        splits: Optional[PathLike] = None,
        fold: int = 0,
        passes: Optional[int] = None,
    ) -> CommandJob[dict[str, Any]]:
        """Begin to evaluate a model; the result is what `lowresseg evaluate --json` prints (`Evaluation.to_dict`)."""
        arguments = ["evaluate", "--json", "--model", str(model), "--data", str(data), "--split", split]
        return self._job([*arguments, *_options(splits=splits, fold=fold, passes=passes)], json.loads, True)

    def _job(self, arguments: Sequence[str], read: Callable[[str], Result], tells: bool) -> CommandJob[Result]:
        progress = ["--progress", "json"] if tells else []
        command = [self._python, "-m", "LowResSegLib", *arguments, *progress]
        return CommandJob(command, self._environment, read, arguments[0])


class CommandJob(Generic[Result]):
    """A command line that runs in a process of its own; see `interface.Job`.

    Args:
        command: Program and arguments.
        environment: Of the process.
        read: Makes the result of what the process printed.
        step: What the job's progress is called until the process tells.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], read: Callable[[str], Result], step: str
    ) -> None:
        self._read = read
        self._progress = Progress(step, 0.0)
        self._said: list[str] = []
        self._rest = b""
        self._cancelled = False
        # Files, not pipes: a process whose output nobody reads goes on.
        folder = Path(tempfile.mkdtemp(prefix="lowresseg-"))
        printed, errors = folder / "printed.txt", folder / "errors.txt"
        try:
            with printed.open("wb") as output, errors.open("wb") as log:
                self._process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=log,
                    env=dict(environment),
                    start_new_session=True,  # what the process has started ends with it, and Ctrl-C is ours
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise LowResSegError(f"The Python {command[0]} cannot be started ({error}).") from error
        self._printed, self._errors = printed.open("rb"), errors.open("rb")
        self._finalizer = weakref.finalize(self, _end, self._process, (self._printed, self._errors), folder)

    def progress(self) -> Progress:
        """Return the last thing heard."""
        self._listen()
        return self._progress

    def said(self) -> list[str]:
        """Return the sentences that the process has said so far, and the warnings of its libraries."""
        self._listen()
        return list(self._said)

    def done(self) -> bool:
        """Say whether the process has ended, or was cancelled."""
        return self._cancelled or self._process.poll() is not None

    def cancel(self) -> None:
        """Begin to end the process, and do not wait for it; does nothing to one that is done."""
        if not self.done():
            self._listen()
            self._cancelled = True
            threading.Thread(target=self._finalizer).start()

    def result(self, timeout: Optional[float] = None) -> Result:
        """Wait for the end, at most `timeout` seconds, and return what the job was for.

        Raises:
            LowResSegError: The process said why it could not do it, or ended without a word.
            Cancelled: The job was cancelled.
            TimeoutError: The job has not ended in time; it goes on.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not self.done():
            if end is not None and time.monotonic() >= end:
                raise TimeoutError("The process has not ended in time.")
            time.sleep(_STEP_SECONDS)
        if self._cancelled:
            raise Cancelled("The run was cancelled.")
        self._listen()
        if self._process.returncode != 0:
            raise LowResSegError(self._reason())
        self._printed.seek(0)
        return self._read(self._printed.read().decode("utf-8", errors="replace"))

    def _listen(self) -> None:
        """Read what the process has written to standard error since the last time."""
        if self._cancelled:  # the files are being taken away
            return
        *lines, self._rest = (self._rest + self._errors.read()).split(b"\n")
        for line in (each.decode("utf-8", errors="replace").rstrip() for each in lines):
            told = _progress_of(line)
            if told is not None:
                self._progress = told
            elif line:
                self._said.append(line[len(_SAYS) :] if line.startswith(_SAYS) else line)

    def _reason(self) -> str:
        last = (self._said[-1] if self._said else "it said nothing").rstrip(".")
        if "No module named LowResSegLib" in last:
            return f"{last}: install LowResSegLib for that Python (pip install lowresseg[train])."
        if self._process.returncode == 2:
            return f"{last}."  # a sentence for users
        return f"The process ended unexpectedly (exit status {self._process.returncode}); its last words: {last}."


def _options(**given: Any) -> list[str]:
    return [
        word
        for name, value in given.items()
        if value is not None
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]


def _last_path(printed: str) -> Path:
    return Path(printed.strip().splitlines()[-1])


def _progress_of(line: str) -> Optional[Progress]:
    """What a line of `--progress json` tells; None for any other line."""
    if not line.startswith("{"):
        return None
    with suppress(ValueError, KeyError, TypeError):
        told = json.loads(line)
        return Progress(str(told["step"]), float(told["fraction"]))
    return None


def _end(process: subprocess.Popen[bytes], files: tuple[BinaryIO, ...], folder: Path) -> None:
    """End a process and what it has started, by force where it does not go; and remove what it wrote."""
    if process.poll() is None:
        _signal(process, force=False)
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            _signal(process, force=True)
            process.wait()
    for file in files:
        file.close()
    shutil.rmtree(folder, ignore_errors=True)


def _signal(process: subprocess.Popen[bytes], force: bool) -> None:
    with suppress(OSError):
        if sys.platform == "win32":
            process.terminate()
        else:
            os.killpg(process.pid, signal.SIGKILL if force else signal.SIGTERM)
