"""What goes into Slicer's log, which users send to others."""

from __future__ import annotations

import logging
import traceback
from typing import Optional


def log_fault(what: str, error: BaseException) -> None:
    """Log an error that nobody expected: its kind and where it was raised.

    Its text is left out, as it may name a file or a node, and so a patient.

    Args:
        what: what could not be done, a sentence without names.
        error: with what led to it.
    """
    parts = []
    fault: Optional[BaseException] = error
    while fault is not None:
        parts.append(f"{type(fault).__name__}\n{''.join(traceback.format_tb(fault.__traceback__))}")
        fault = fault.__cause__ or fault.__context__
    logging.error("LowResSeg: %s %s", what, "".join(parts))
