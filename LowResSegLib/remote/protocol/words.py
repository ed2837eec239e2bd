"""Numbers and words of the protocol: versions, states, headers, codes of errors."""

from __future__ import annotations

VERSION = 1  # of the protocol
LEAST_VERSION = 1  # that this library speaks
PREFIX = f"/v{VERSION}"
PORT = 8765  # where nothing else is said

KINDS = ("grid", "volume")
ENCODINGS = ("zlib", "raw")
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")  # little endian
MAX_WAIT = 30.0  # seconds that `wait` may ask for

UPLOADING, WAITING, RUNNING = "uploading", "waiting", "running"
DONE, FAILED, CANCELLED, EXPIRED = "done", "failed", "cancelled", "expired"
STATES = (UPLOADING, WAITING, RUNNING, DONE, FAILED, CANCELLED, EXPIRED)
ENDED = (DONE, FAILED, CANCELLED, EXPIRED)

OFFSET_HEADER = "Upload-Offset"
DIGEST_HEADER = "X-Content-SHA256"

# Codes of errors and their HTTP status.
CODES = {
    "bad_request": 400,
    "no_token": 401,
    "wrong_token": 401,
    "revoked_token": 403,
    "wrong_host": 403,
    "not_found": 404,
    "not_allowed": 405,
    "too_slow": 408,
    "wrong_offset": 409,
    "wrong_state": 409,
    "key_in_use": 409,
    "other_model": 409,
    "expired": 410,
    "too_large": 413,
    "wrong_range": 416,
    "damaged": 422,
    "bad_job": 422,
    "wrong_version": 426,
    "too_many": 429,
    "failed": 500,
    "full": 503,
    "no_disk": 507,
}
