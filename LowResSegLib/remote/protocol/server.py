"""What a server says of itself: that it is there, what it can do, its models."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from LowResSegLib.errors import LowResSegError
from LowResSegLib.model import PASSES, Model
from LowResSegLib.remote.protocol.checks import is_digest, is_whole
from LowResSegLib.remote.protocol.errors import ProtocolError, entries_of
from LowResSegLib.sampling import GridSettings, Normalisation
from LowResSegLib.volume import Label


@dataclass(frozen=True)
class Health:
    """The answer of `/healthz`.

    Attributes:
        least, protocol: versions of the protocol that the server speaks.
        lowresseg: its version.
    """

    least: int
    protocol: int
    lowresseg: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"status": "ok", "least": self.least, "protocol": self.protocol, "lowresseg": self.lowresseg}

    @classmethod
    def from_dict(cls, answer: object) -> Health:
        """Check and take it; raises ProtocolError, also where something that is no LowResSeg answers."""
        if not isinstance(answer, Mapping) or not is_whole(answer.get("protocol")) or "lowresseg" not in answer:
            raise ProtocolError("What answers at this address is no LowResSeg server; check address and port.")
        most = answer["protocol"]
        least = answer.get("least", most)
        return cls(least if is_whole(least) else most, most, str(answer["lowresseg"])[:40])


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Attributes:
        body_bytes: of a job's body as it travels.
        voxels: of a grid or of a volume.
        seconds: that a job may run.
        queued: jobs that upload, wait or run, of all clients; queued_per_client: of one.
        keep_seconds: how long a result is kept.
        upload_seconds: how long an upload may rest before it is given up.
        threads: that a job may use.
    """

    body_bytes: int
    voxels: int
    seconds: float
    queued: int
    queued_per_client: int
    keep_seconds: float
    upload_seconds: float
    threads: int


@dataclass(frozen=True)
class Capabilities:
    """The answer of `/v1/capabilities`.

    Attributes:
        least, protocol: versions of the protocol.
        lowresseg: the server's version.
        kinds: of jobs that it takes.
        encodings: of bodies and results.
        backends: that it can run, the preferred one first.
        instruction_set: of the native kernels; None without them.
        workers: jobs that it runs at a time.
        limits: what it takes.
    """

    least: int
    protocol: int
    lowresseg: str
    kinds: tuple[str, ...]
    encodings: tuple[str, ...]
    backends: tuple[str, ...]
    instruction_set: Optional[str]
    workers: int
    limits: Limits

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, answer: object) -> Capabilities:
        """Check and take it; raises ProtocolError."""
        entries = entries_of(answer, "The server's capabilities")
        try:
            limits = {entry.name: float(entries["limits"][entry.name]) for entry in dataclasses.fields(Limits)}
            whole = ("body_bytes", "voxels", "queued", "queued_per_client", "threads")
            return cls(
                least=int(entries["least"]),
                protocol=int(entries["protocol"]),
                lowresseg=str(entries["lowresseg"])[:40],
                kinds=tuple(map(str, entries["kinds"])),
                encodings=tuple(map(str, entries["encodings"])),
                backends=tuple(map(str, entries["backends"])),
                instruction_set=None if entries["instruction_set"] is None else str(entries["instruction_set"]),
                workers=int(entries["workers"]),
                limits=Limits(**{name: int(value) if name in whole else value for name, value in limits.items()}),  # type: ignore[arg-type]
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ProtocolError("The server's capabilities cannot be understood; update LowResSeg here.") from error


@dataclass(frozen=True)
class ModelDescription:
    """What a client needs of a model that the server has: to sample a scan, to reconstruct labels, to show a choice.

    Attributes:
        name, digest, passes, card, labels, grid, normalisation: see `model.Model`.
        kind: "ternary" or "onnx"; logits of the latter may differ by a unit from one computer to another.
        modality: DICOM's code.
        logit_unit: how much of a logit as trained one integer logit is.
        reconstruction: "linear"; or another kind, for which a client needs the model's file itself.
    """

    name: str
    digest: str
    kind: str
    modality: str
    passes: int
    logit_unit: float
    labels: tuple[Label, ...]
    grid: GridSettings
    normalisation: Normalisation
    card: Mapping[str, Any] = field(default_factory=dict)
    reconstruction: str = "linear"

    @classmethod
    def of(cls, name: str, model: Model) -> ModelDescription:
        """Describe a model that is installed by a name."""
        return cls(
            name,
            model.digest,
            model.kind,
            model.modality,
            model.passes,
            model.network.logit_unit,
            model.labels,
            model.grid,
            model.normalisation,
            model.card,
            "linear" if model.fusion is None else "fusion",
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "name": self.name,
            "digest": self.digest,
            "kind": self.kind,
            "modality": self.modality,
            "passes": self.passes,
            "logit_unit": self.logit_unit,
            "labels": [label.to_dict() for label in self.labels],
            "grid": dataclasses.asdict(self.grid),
            "normalisation": dataclasses.asdict(self.normalisation),
            "card": dict(self.card),
            "reconstruction": self.reconstruction,
        }

    @classmethod
    def from_dict(cls, answer: object) -> ModelDescription:
        """Check and take it; raises ProtocolError."""
        entries = entries_of(answer, "A model of the server's")
        try:
            labels = tuple(Label.from_dict(entry) for entry in entries["labels"])
            unit, passes = float(entries["logit_unit"]), int(entries["passes"])
            if [label.value for label in labels] != list(range(len(labels))) or not 1 <= len(labels) <= 255:
                raise ValueError("labels")
            if not is_digest(entries["digest"]) or passes not in PASSES or not 0 < unit < math.inf:
                raise ValueError("numbers")
            return cls(
                name=str(entries["name"]),
                digest=entries["digest"],
                kind=str(entries["kind"]),
                modality=str(entries["modality"]),
                passes=passes,
                logit_unit=unit,
                labels=labels,
                grid=GridSettings(**entries["grid"]),
                normalisation=Normalisation(**entries["normalisation"]),
                card=dict(entries["card"]),
                reconstruction=str(entries.get("reconstruction", "linear")),
            )
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, LowResSegError) as error:
            raise ProtocolError("A model of the server's cannot be understood; update LowResSeg here.") from error
