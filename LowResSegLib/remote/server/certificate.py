"""The server's own certificate: made once, and known to clients by its fingerprint."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import ssl
from pathlib import Path

from LowResSegLib.errors import InputError
from LowResSegLib.remote.server.tokens import write_private

_FILES = ("certificate.pem", "key.pem")
_DAYS = 20 * 365  # it is trusted because it is known, not because it is young
_NAME = "LowResSeg server"


def own_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """Certificate and key of a server's folder, made if there is none yet.

    Args:
        folder: of the server.
        host: under which it listens; in the certificate beside localhost.

    Raises:
        InputError: they cannot be made, or are not usable any more.
    """
    certificate, key = (Path(folder) / name for name in _FILES)
    if not certificate.exists() and not key.exists():
        _make(certificate, key, host)
    check(certificate, key)
    return certificate, key


def check(certificate: Path, key: Path) -> None:
    """Raise InputError, with what to do, where a certificate and its key cannot be used."""
    from cryptography import x509

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"The certificate {certificate} with the key {key} cannot be used ({reason}); give two files in PEM format "
            "that belong together, or remove both to have new ones made."
        ) from error
    ends = parsed.not_valid_after_utc
    if ends < datetime.datetime.now(datetime.timezone.utc):
        raise InputError(
            f"The certificate {certificate} has expired on {ends.date()}; renew it, or remove it and its key to have "
            "new ones made. Clients must then confirm the new fingerprint."
        )


def fingerprint(certificate: Path) -> str:
    """SHA-256 of the certificate as clients see it, in pairs of capital digits."""
    der = ssl.PEM_cert_to_DER_cert(_first(certificate.read_text(encoding="ascii")))
    digits = hashlib.sha256(der).hexdigest().upper()
    return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))


def _first(text: str) -> str:
    """The server's own certificate, which comes first in a chain."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    start = text.index(begin)
    return text[start : text.index(end) + len(end)] + "\n"


def _make(certificate: Path, key: Path, host: str) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    for address in dict.fromkeys(("127.0.0.1", "::1", host)):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
        except ValueError:
            if address.isascii() and address != "localhost":
                names.append(x509.DNSName(address))
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # a Jetson's clock may be late
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    write_private(key, private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    write_private(certificate, made.public_bytes(pem))
