"""Bearer tokens: made, listed and revoked by the keeper of a server, who alone sees them, once.

A token is `lrs_ID_SECRET`. The file keeps the secret's salted hash. The secret is 256 random bits, so that a plain hash
is as good as a slow one: there is nothing to guess.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

from LowResSegLib.errors import InputError
from LowResSegLib.remote.protocol import AnswerError

_FILE = "tokens.json"
_TOKEN = re.compile(r"lrs_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[\w][\w .@-]{0,63}")


@dataclass(frozen=True)
class Token:
    """What is kept of a token.

    Attributes:
        id: tells it apart; a part of the token that is no secret.
        name: whose or what it is for.
        salt, digest: of the secret.
        created, revoked: seconds since 1970; revoked is None while it is good.
    """

    id: str
    name: str
    salt: str
    digest: str
    created: float
    revoked: Optional[float] = None


class Tokens:
    """The tokens of a server's folder; what another process changes in the file counts at once.

    Args:
        folder: of the server.
    """

    def __init__(self, folder: Path) -> None:
        self._path = Path(folder) / _FILE
        self._stamp: Optional[tuple[int, int, int]] = None
        self._tokens: dict[str, Token] = {}

    def all(self) -> list[Token]:
        """All tokens, also revoked ones, in the order in which they were made; raises InputError."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._tokens = None, {}
            return []
        except OSError as error:
            raise InputError(f"{self._path} cannot be read ({error.strerror}).") from error
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            try:
                entries = json.loads(self._path.read_text(encoding="utf-8"))["tokens"]
                self._tokens = {entry["id"]: Token(**entry) for entry in entries}
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{self._path} is damaged; put back a copy, or remove it and make new tokens."
                ) from error
            self._stamp = stamp
        return list(self._tokens.values())

    def create(self, name: str) -> str:
        """Make a token and return it; it cannot be shown again. Raises InputError where a good one has the name."""
        if not _NAME.fullmatch(name):
            raise InputError("The name of a token has up to 64 letters, digits, spaces, dots, hyphens and @.")
        tokens = self.all()
        if any(token.name == name and token.revoked is None for token in tokens):
            raise InputError(f"There is a token named {name}; revoke it first, or choose another name.")
        identity, secret, salt = secrets.token_hex(8), secrets.token_urlsafe(32), secrets.token_hex(16)
        self._write([*tokens, Token(identity, name, salt, _digest(salt, secret), time.time())])
        return f"lrs_{identity}_{secret}"

    def revoke(self, name: str) -> None:
        """End a token; raises InputError where there is none of this name."""
        tokens = self.all()
        found = [token for token in tokens if token.name == name and token.revoked is None]
        if not found:
            raise InputError(f"There is no token named {name}; `lowresseg serve token list` shows all.")
        ended = [Token(**{**asdict(token), "revoked": time.time()}) if token in found else token for token in tokens]
        self._write(ended)

    def check(self, given: str) -> Token:
        """The token that a client gave; raises AnswerError where it is unknown or revoked."""
        match = _TOKEN.fullmatch(given)
        self.all()
        known = self._tokens.get(match[1]) if match else None
        # Compared in a time that does not hang on how much of it is right, and with something in any case.
        right = hmac.compare_digest(
            _digest(known.salt if known else "", match[2] if match else ""), known.digest if known else _digest("", "-")
        )
        if known is None or not right:
            raise AnswerError("wrong_token", "The server does not know this token; check it, or ask for a new one.")
        if known.revoked is not None:
            raise AnswerError("revoked_token", "This token has been revoked; ask the keeper of the server for another.")
        return known

    def _write(self, tokens: list[Token]) -> None:
        content = json.dumps({"tokens": [asdict(token) for token in tokens]}, indent=1)
        write_private(self._path, content.encode())


def write_private(path: Path, content: bytes) -> None:
    """Write a file that its owner alone may read, in one piece; raises InputError."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(content)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another --folder.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _digest(salt: str, secret: str) -> str:
    return hashlib.sha256(f"{salt}:{secret}".encode()).hexdigest()
