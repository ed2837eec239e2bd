"""What can go wrong for a user. The text of each is one sentence that says what is wrong and what to do."""

from __future__ import annotations


class LowResSegError(Exception):
    """Base of all errors that a user can do something about; the command line exits with status 2."""


class InputError(LowResSegError):
    """A scan, or a place to write to, that cannot be used."""


class MemoryLimitError(InputError):
    """A scan that takes more memory than is allowed."""


class ModelError(LowResSegError):
    """A model that is unknown, damaged, too new or does not fit."""


class BackendError(LowResSegError):
    """An engine that is not available here or cannot run this model."""


class RemoteError(LowResSegError):
    """A server that cannot be reached, refuses, or gives an answer that cannot be used."""


class Cancelled(LowResSegError):
    """The user stopped the run."""
