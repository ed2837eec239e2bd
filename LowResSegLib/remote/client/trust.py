"""Which certificate a server must show.

Where no authority vouches for a server, the certificate that it showed first is kept and demanded ever after, as ssh
does with keys. The certificate is then the only one that OpenSSL is told to trust, so that it also looks at the dates.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from LowResSegLib.errors import InputError, RemoteError
from LowResSegLib.model import user_folder
from LowResSegLib.remote.client.server import SYSTEM, Server
from LowResSegLib.volume import replacing

_FILE = "servers.json"
_FOLDER_VARIABLE = "LOWRESSEG_SETTINGS"
_PARTIAL_CHAIN = 0x80000  # ssl.VERIFY_X509_PARTIAL_CHAIN, which Python 3.9 has no name for


@dataclass(frozen=True)
class Pin:
    """A certificate that is remembered.

    Attributes:
        certificate: as PEM.
        fresh: whether it was first seen in this very process.
    """

    certificate: str
    fresh: bool = False

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, 64 hexadecimal digits."""
        return fingerprint(ssl.PEM_cert_to_DER_cert(self.certificate))


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a certificate in DER, 64 hexadecimal digits."""
    return hashlib.sha256(certificate).hexdigest()


def readable(digits: str) -> str:
    """A fingerprint in pairs, as servers and browsers show it."""
    return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2)).upper()


def pins_file() -> Path:
    """Where certificates are remembered: in the user's folder of LowResSeg, or in the one LOWRESSEG_SETTINGS names."""
    named = os.environ.get(_FOLDER_VARIABLE)
    return (Path(named) if named else user_folder().parent) / _FILE


def known_pin(address: str) -> Optional[Pin]:
    """The certificate that is remembered of HOST:PORT.

    Raises:
        InputError: The file is damaged: to begin anew silently would be to trust anybody.
    """
    certificate = _read().get(address)
    return None if certificate is None else Pin(certificate)


def forget_pin(address: str) -> bool:
    """Forget the certificate of HOST:PORT, so that the next one is trusted; says whether there was one."""
    pins = _read()
    known = pins.pop(address, None) is not None
    if known:
        _write(pins)
    return known


def remember_pin(address: str, certificate: str) -> None:
    """Remember a certificate (PEM) of HOST:PORT; raises InputError where the file cannot be written."""
    _write({**_read(), address: certificate})


def _read() -> dict[str, str]:
    path = pins_file()
    try:
        pins = json.loads(path.read_text(encoding="utf-8"))["certificates"]
        for certificate in pins.values():
            ssl.PEM_cert_to_DER_cert(certificate)
        return dict(pins)
    except FileNotFoundError:
        return {}
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"The file of trusted servers, {path}, cannot be read ({type(error).__name__}); repair or remove it, after "
            "which servers are asked for their certificates anew."
        ) from error


def _write(pins: dict[str, str]) -> None:
    path = pins_file()
    with suppress(OSError):  # what is wrong shows when the file is written
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"certificates": pins}, indent=1) + "\n", encoding="utf-8")


def context_for(server: Server, timeout: float) -> tuple[Optional[ssl.SSLContext], Optional[Pin]]:
    """What TLS has to check for a server, and the certificate that it is held to.

    Of a server that is new, the certificate is asked for; nothing is sent to it for that but TLS's own greeting.

    Returns:
        None where no TLS is spoken; and None where authorities vouch for the server.

    Raises:
        RemoteError: The certificate is not the one that was demanded.
        InputError: A file of certificates cannot be read.
        OSError: The server cannot be reached, or does not speak TLS.
    """
    if not server.secure:
        return None, None
    if server.ca_file:
        return _vouched(server), None
    pin = known_pin(server.address)
    if pin is None:
        shown = _shown(server, timeout)
        if server.fingerprint and fingerprint(shown) != server.fingerprint:
            raise RemoteError(_other_than_named(server, shown))
        pin = Pin(ssl.DER_cert_to_PEM_cert(shown), fresh=True)
    elif server.fingerprint and pin.fingerprint != server.fingerprint:
        raise RemoteError(
            f"The certificate that is remembered of {server.address} has another fingerprint than the one given "
            f"({readable(server.fingerprint)}); forget it if the given one is right: lowresseg remote forget "
            f"{server.address}."
        )
    return _pinned(pin), pin


def refusal(server: Server, error: ssl.SSLError, timeout: float) -> str:
    """A sentence on why TLS did not come about with a server."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        if "WRONG_VERSION_NUMBER" in str(error) or "HTTP_REQUEST" in str(error):
            return f"{server.address} does not speak TLS; check the address and the port, or start the server with TLS."
        return f"No secure connection to {server.address} came about ({error.reason or error}); check the address."
    if error.verify_code in (_NOT_YET, _EXPIRED):
        when = "has expired" if error.verify_code == _EXPIRED else "is not valid yet"
        return (
            f"The certificate of {server.address} {when}; check the clocks of both computers, or have the server make "
            "a new certificate and forget the old one here."
        )
    if server.ca_file:
        reason = error.verify_message or str(error)
        return f"The certificate of {server.address} is not vouched for ({reason}); check the address and the CA file."
    shown: Optional[bytes] = None
    with suppress(OSError):
        shown = _shown(server, timeout)
    now = f" It is now {readable(fingerprint(shown))}." if shown is not None else ""
    return (
        f"{server.address} shows another certificate than before, so it may not be the same server, and nothing was "
        f"sent.{now} If the server was set up anew, compare that with what it prints, and forget the old certificate: "
        f"lowresseg remote forget {server.address}."
    )


_NOT_YET, _EXPIRED = 9, 10  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED


def _vouched(server: Server) -> ssl.SSLContext:
    """A context in which authorities vouch for the server's name."""
    try:
        context = ssl.create_default_context(cafile=None if server.ca_file == SYSTEM else server.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"The CA file {server.ca_file} cannot be used ({error}).") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _pinned(pin: Pin) -> ssl.SSLContext:
    """A context that trusts one certificate, whatever name it has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # the certificate itself is known
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= _PARTIAL_CHAIN  # it need not be its own authority
    context.load_verify_locations(cadata=pin.certificate)
    return context


def check_shown(server: Server, shown: Any, pin: Optional[Pin]) -> None:
    """Refuse a connection whose certificate (DER) is not the very one, but vouched for by it.

    Raises:
        RemoteError: It is another one.
    """
    digits = fingerprint(shown or b"")
    if server.fingerprint and digits != server.fingerprint:
        raise RemoteError(_other_than_named(server, shown or b""))
    if not server.ca_file and pin is not None and digits != pin.fingerprint:
        raise RemoteError(f"{server.address} shows another certificate than before; nothing was sent.")


def _other_than_named(server: Server, shown: bytes) -> str:
    return (
        f"The certificate of {server.address} has the fingerprint {readable(fingerprint(shown))}, not "
        f"{readable(server.fingerprint)}, so it is not the server that was meant; nothing was sent."
    )


def _shown(server: Server, timeout: float) -> bytes:
    """The certificate that a server shows, in DER, unchecked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection((server.host, server.port), timeout)
    with plain, context.wrap_socket(plain, server_hostname=server.host) as secured:
        return secured.getpeercert(binary_form=True) or b""
