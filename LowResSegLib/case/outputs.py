"""A folder in which a run's files appear together or not at all."""

from __future__ import annotations

import errno
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

    Args:
        folder: Made if it is missing.
        overwrite: Whether files of before may be replaced.
        advice: What to do about a file that is there already and may not be replaced, the end of a sentence.
        staging: The hidden folder's path, in `folder`, for a caller that has to remove it if this process dies; None
            takes a new name.

    Raises:
        InputError: The folder cannot be made or written to.
    """

    def __init__(
        self, folder: Path, overwrite: bool, advice: str = "choose another name", staging: Optional[Path] = None
    ) -> None:
        self._folder = folder
        self._overwrite = overwrite
        self._advice = advice
        self._wanted = staging
        self._made: list[Path] = []
        self._staging: Optional[Path] = None
        self._published = False
        self._dropped: list[str] = []

    def __enter__(self) -> OutputFolder:
        """Make the folder and the hidden one in it."""
        try:
            for folder in reversed([self._folder, *self._folder.parents]):
                if not folder.is_dir():
                    with suppress(FileExistsError):  # another process was faster; what is no folder shows below
                        folder.mkdir()
                        self._made.append(folder)
            if self._wanted is None:
                self._staging = Path(tempfile.mkdtemp(prefix=".lowresseg-", dir=self._folder))
            else:
                self._wanted.mkdir(mode=0o700)
                self._staging = self._wanted
        except BaseException as error:
            self._clean()
            if isinstance(error, OSError):
                raise InputError(
                    f"The output folder {self._folder} cannot be written to ({error.strerror}); choose another."
                ) from error
            raise
        return self

    def new(self, name: str) -> Path:
        """Return where to write the file that will have this name; refuses a name that is taken."""
        assert self._staging is not None
        target = self._folder / name
        if target.is_dir():
            raise InputError(f"{target} is a folder, where a file has to go; move it away.")
        if target.exists() and not self._overwrite:
            raise InputError(f"{target} is there already; {self._advice}.")
        return self._staging / name

    def drop(self, name: str) -> None:
        """Let a file of before go when the others are published: it belongs to results that they replace."""
        if self._overwrite:
            self._dropped.append(name)

    def publish(self) -> list[str]:
        """Move all files to their places and return their names; if one cannot be moved, put back what was there."""
        assert self._staging is not None
        old = self._staging / "old"
        files: list[Path] = []
        try:
            files = sorted(self._staging.iterdir())
            old.mkdir()
            for file in files:
                target = self._folder / file.name
                if target.exists():
                    if not self._overwrite:  # it came during the run
                        raise FileExistsError(errno.EEXIST, f"{file.name} is there by now")
                    os.replace(target, old / file.name)
                os.replace(file, target)
            for name in self._dropped:
                if (self._folder / name).exists():
                    os.replace(self._folder / name, old / name)
        except BaseException as error:
            for file in files:
                target = self._folder / file.name
                if not file.exists() and target.exists():  # it was moved
                    os.replace(target, file)
            for name in [*(file.name for file in files), *self._dropped]:
                if (old / name).exists():
                    os.replace(old / name, self._folder / name)
            if isinstance(error, OSError):
                raise InputError(f"The results cannot be put into {self._folder} ({error.strerror}).") from error
            raise
        self._published = True
        return [file.name for file in files]

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], where: Optional[TracebackType]
    ) -> None:
        """Take away what is not to stay, and name a file that could not be written as it would have been called."""
        self._clean()
        if isinstance(error, InputError) and str(self._staging) in str(error):
            raise InputError(str(error).replace(str(self._staging), str(self._folder))) from error

    def _clean(self) -> None:
        if self._staging is not None:
            shutil.rmtree(self._staging, ignore_errors=True)
        if not self._published:
            with suppress(OSError):  # someone else may have put something there meanwhile
                for folder in reversed(self._made):
                    folder.rmdir()
