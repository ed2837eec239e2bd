"""Which server, and how it is spoken to."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union
from urllib.parse import urlsplit

from LowResSegLib.errors import InputError
from LowResSegLib.remote.protocol import PORT

TOKEN_VARIABLE = "LOWRESSEG_TOKEN"
SYSTEM = "system"  # in place of a CA file: the authorities that this computer trusts
_SCHEMES = ("http", "https")
_MOST_TOKEN = 4096  # bytes of a file that is taken for a token


@dataclass(frozen=True)
class Server:
    """A server and what a client shows to it.

    Attributes:
        url: `https://HOST[:PORT][/PATH]`; `http://` is for this computer's own loopback alone. Without a scheme,
            https; without a port, 8765. A path is that of a reverse proxy.
        token: shown to the server and to nobody else; it is left out of what `repr` prints.
        ca_file: certificates of the authorities that may vouch for the server, as a PEM file, or SYSTEM; empty means
            that the server's own certificate is remembered at first use, and no other one accepted after it.
        fingerprint: SHA-256 of the certificate that must be the server's, as `lowresseg serve` prints it, so that the
            first use is safe too; empty means whatever it shows.
        patience: seconds that a server may be away or full before the client gives up.

    Raises:
        InputError: The address or the token cannot be used.
    """

    url: str
    token: str = field(default="", repr=False)
    ca_file: str = ""
    fingerprint: str = ""
    patience: float = 60.0

    def __post_init__(self) -> None:
        """Bring the address into one form and check it."""
        text = self.url.strip()
        if "://" not in text:
            text = f"https://{text}"
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InputError(f"{self.url!r} is no address of a server; write https://HOST:PORT.") from error
        if parts.scheme not in _SCHEMES or not host or parts.query or parts.fragment or not text.isprintable():
            raise InputError(f"{self.url!r} is no address of a server; write https://HOST:PORT.")
        if parts.username is not None:
            raise InputError("An address has no name and password in it; the token goes into a field of its own.")
        if parts.scheme == "http" and not is_loopback(host):
            raise InputError(
                f"{self.url} would carry the scan and the token over the network for all to read; write https:// and "
                "let the server speak TLS."
            )
        shown = f"[{host}]" if ":" in host else host
        url = f"{parts.scheme}://{shown}:{port or PORT}{parts.path.rstrip('/')}"
        object.__setattr__(self, "url", url)
        object.__setattr__(self, "token", self.token.strip())
        if not (self.token.isascii() and self.token.isprintable()) or " " in self.token:
            raise InputError("The token has characters that no token has; copy it again, as the server printed it.")
        digits = self.fingerprint.replace(":", "").replace(" ", "").lower()
        if digits and (len(digits) != 64 or set(digits) - set("0123456789abcdef")):
            raise InputError("A fingerprint has 64 hexadecimal digits (SHA-256); copy it as the server printed it.")
        object.__setattr__(self, "fingerprint", digits)

    @property
    def host(self) -> str:
        """Name or address of the computer."""
        return str(urlsplit(self.url).hostname)

    @property
    def port(self) -> int:
        """Number of the port."""
        return int(urlsplit(self.url).port or 0)

    @property
    def address(self) -> str:
        """Host and port, by which certificates are remembered and users told."""
        return urlsplit(self.url).netloc

    @property
    def path(self) -> str:
        """What comes before each path of the protocol; empty but behind a proxy."""
        return urlsplit(self.url).path

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.url.startswith("https:")

    def to_dict(self) -> dict[str, Any]:
        """For the pipe to the worker process, and nothing else: the token is in it."""
        return {
            "url": self.url,
            "token": self.token,
            "ca_file": self.ca_file,
            "fingerprint": self.fingerprint,
            "patience": self.patience,
        }


def is_loopback(host: str) -> bool:
    """Whether a host is this computer by an address that no other computer reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(path: Union[str, Path, None]) -> str:
    """The token in a file, or without one that of the environment variable LOWRESSEG_TOKEN; empty if there is none.

    Raises:
        InputError: The file cannot be read, is empty or holds more than a token.
    """
    if path is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip()
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_TOKEN + 1)
    except OSError as error:
        raise InputError(f"The token file {path} cannot be read ({error.strerror or error}).") from error
    text: Optional[str] = None
    if len(content) <= _MOST_TOKEN:
        text = content.decode("ascii", errors="replace").strip()
    if not text or len(text.split()) != 1 or "\ufffd" in text:
        raise InputError(f"The token file {path} must hold one token and nothing else.")
    return text
