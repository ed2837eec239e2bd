"""Counters for whoever watches a server, in Prometheus' text format; no names, no addresses, no files."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping

_HELP = {
    "requests_total": ("counter", "HTTP requests by status."),
    "errors_total": ("counter", "Errors that were answered, by code."),
    "received_bytes_total": ("counter", "Bytes of bodies received."),
    "sent_bytes_total": ("counter", "Bytes of bodies sent."),
    "jobs_ended_total": ("counter", "Jobs that have ended, by kind and state."),
    "job_seconds_sum": ("counter", "Seconds from a job's creation to its end, of all that are done."),
    "job_seconds_count": ("counter", "Jobs in job_seconds_sum."),
    "jobs": ("gauge", "Jobs that there are, by state."),
    "workers": ("gauge", "Worker processes."),
    "workers_busy": ("gauge", "Worker processes that run a job."),
    "uptime_seconds": ("gauge", "Seconds since the server started."),
}


class Metrics:
    """The counters; its methods may be called from any thread."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._values: Counter[tuple[str, str]] = Counter()

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        text = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        with self._lock:
            self._values[name, text] += amount  # type: ignore[assignment]

    def text(self, jobs: Mapping[str, int], workers: int, busy: int) -> str:
        """All of them, with what is so now."""
        with self._lock:
            values: dict[tuple[str, str], float] = dict(self._values)
        values.update({("jobs", f'state="{state}"'): count for state, count in jobs.items()})
        values["workers", ""], values["workers_busy", ""] = workers, busy
        values["uptime_seconds", ""] = round(time.monotonic() - self._began, 3)
        lines = []
        for name, (kind, text) in _HELP.items():
            lines += [f"# HELP lowresseg_{name} {text}", f"# TYPE lowresseg_{name} {kind}"]
            found = sorted((labels, value) for (key, labels), value in values.items() if key == name)
            lines += [f"lowresseg_{name}{{{labels}}} {value:.15g}".replace("{}", "") for labels, value in found]
        return "\n".join(lines) + "\n"
