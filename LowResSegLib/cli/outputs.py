"""A folder in which a run's files appear together or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Optional

from LowResSegLib.errors import InputError


class OutputFolder:
    """Collects files in a hidden folder inside the output folder until `publish` moves them into it.

    As a context manager it makes the output folder, which shows before the work whether it can be written to, and at
    the end takes away what was not published and the folders that it made in vain.

    Raises:
        InputError: The folder cannot be made or written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Path] = []
        self._staging: Optional[Path] = None
        self._published = False

    def __enter__(self) -> OutputFolder:
        """Make the folder and the hidden one in it."""
        try:
            for folder in reversed([self._folder, *self._folder.parents]):
                if not folder.is_dir():
                    folder.mkdir()
                    self._made.append(folder)
            self._staging = Path(tempfile.mkdtemp(prefix=".lowresseg-", dir=self._folder))
        except BaseException as error:
            self._clean()
            if isinstance(error, OSError):
                raise InputError(
                    f"The output folder {self._folder} cannot be written to ({error.strerror}); choose another."
                ) from error
            raise
        return self

    def new(self, name: str) -> Path:
        """Return where to write the file that will have this name."""
        assert self._staging is not None
        if (self._folder / name).is_dir():
            raise InputError(f"{self._folder / name} is a folder, where a file has to go; move it away.")
        return self._staging / name

    def publish(self) -> None:
        """Move all files to their places; if one cannot be moved, put back what was there."""
        assert self._staging is not None
        old = self._staging / "old"
        files = sorted(self._staging.iterdir())
        old.mkdir()
        try:
            for file in files:
                target = self._folder / file.name
                if target.exists():
                    os.replace(target, old / file.name)
                os.replace(file, target)
        except BaseException as error:
            for file in files:
                target = self._folder / file.name
                if not file.exists():  # it was moved
                    os.replace(target, file)
                if (old / file.name).exists():
                    os.replace(old / file.name, target)
            if isinstance(error, OSError):
                raise InputError(f"The results cannot be put into {self._folder} ({error.strerror}).") from error
            raise
        self._published = True

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], where: Optional[TracebackType]
    ) -> None:
        """Take away what is not to stay."""
        self._clean()

    def _clean(self) -> None:
        if self._staging is not None:
            shutil.rmtree(self._staging, ignore_errors=True)
        if not self._published:
            with suppress(OSError):  # someone else may have put something there meanwhile
                for folder in reversed(self._made):
                    folder.rmdir()
