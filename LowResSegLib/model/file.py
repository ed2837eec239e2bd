"""Reading and writing model files. A file is data, never code, and is checked whole before it is used.

A model file is a zip of `model.json` and of the network: `network.bin`, the numbers of a ternary plan's layers in the
order in which `model.json` describes them (see `packing`), or `network.onnx`, a graph (see `onnx_network`). Anything
else in the zip, and any number that does not fit, is a reason to refuse it. docs/model_file.md specifies the format.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import json
import math
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from LowResSegLib.errors import InputError, ModelError
from LowResSegLib.model.fusion import Fusion
from LowResSegLib.model.onnx_network import MAX_CONTENT, OnnxNetwork
from LowResSegLib.model.packing import pack, unpack
from LowResSegLib.model.plan import Plan, check_plan
from LowResSegLib.sampling import GridSettings, Normalisation
from LowResSegLib.volume import Label, replacing

SUFFIX = ".lowresseg"
MODALITIES = ("CT", "MR", "PT")  # DICOM's codes
FORMAT_VERSION = 1
PASSES = (1, 2, 4)
KINDS = ("ternary", "onnx")
RECONSTRUCTIONS = ("linear", "fusion")
_DESCRIPTION = "model.json"
NETWORK_FILES = {"ternary": "network.bin", "onnx": "network.onnx"}
MAX_BYTES = {_DESCRIPTION: 1 << 20, "network.bin": 8 << 20, "network.onnx": MAX_CONTENT}
MAX_FILE = 80 << 20
MAX_CLASSES = 255
# Of others, Python unpacks a whole block before it looks at how much was asked for.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, eq=False)
class Model:
    """A network with everything that a run needs and a reader wants to know.

    Attributes:
        name: short, as used on the command line.
        labels: of all classes in order, the background (value 0) first.
        grid, normalisation: how a volume is brought to the network.
        network: a ternary plan, which every engine runs, or an ONNX graph, which ONNX Runtime alone runs.
        card: title, modality, licence, training data, validation, intended use and limits: text or plain values.
        digest: SHA-256 of the network's file, and of the fusion's numbers if there is one, and of `mirror` where it is
            false; names in run records exactly what was run.
        passes: how often the network looks at a scan, 1, 2 or 4 (see `inference`).
        mirror: whether a pass may see the scan mirrored, left to right. A network that has to tell left from right, or
            was trained on one side, may not; it looks 1 or 2 times.
        fusion: how logits and the scan itself become labels; None where logits are just interpolated.
    """

    name: str
    labels: tuple[Label, ...]
    grid: GridSettings
    normalisation: Normalisation
    network: Union[Plan, OnnxNetwork]
    card: dict[str, Any]
    digest: str = ""
    passes: int = 1
    mirror: bool = True
    fusion: Optional[Fusion] = None

    @property
    def kind(self) -> str:
        """One of KINDS: what the network is."""
        return "onnx" if isinstance(self.network, OnnxNetwork) else "ternary"

    @property
    def plan(self) -> Plan:
        """The network of a ternary model; raises ModelError where the model has an ONNX graph."""
        if isinstance(self.network, OnnxNetwork):
            raise ModelError(f"The model {self.name} has an ONNX graph, no plan of ternary layers.")
        return self.network

    @property
    def modality(self) -> str:
        """One of MODALITIES: what the card says, or else what the normalisation is for."""
        stated = self.card.get("modality")
        if stated in MODALITIES:
            return str(stated)
        return "CT" if self.normalisation.kind == "window" else "MR"


def write_model(path: Path, model: Model) -> None:
    """Write a model file in one piece (temporary name, then rename).

    Raises:
        ModelError: the model would be refused when it is read.
        InputError: the file cannot be written.
    """
    network, numbers = _describe(model.network)
    description = {
        "format": "lowresseg-model",
        "version": FORMAT_VERSION,
        "name": model.name,
        "labels": [label.to_dict() for label in model.labels],
        "grid": dataclasses.asdict(model.grid),
        "normalisation": dataclasses.asdict(model.normalisation),
        "reconstruction": {
            "kind": "linear" if model.fusion is None else "fusion",
            "passes": model.passes,
            **({} if model.mirror else {"mirror": False}),
            **({} if model.fusion is None else model.fusion.to_dict()),
        },
        "network": {
            "kind": model.kind,
            "sha256": hashlib.sha256(numbers).hexdigest(),
            "logit_unit": model.network.logit_unit,
            **network,
        },
        "card": model.card,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        # A fixed date makes equal models equal files.
        described = json.dumps(description, indent=1).encode()
        for name, content in ((_DESCRIPTION, described), (NETWORK_FILES[model.kind], numbers)):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    _parse(buffer.getvalue())
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def _describe(network: Union[Plan, OnnxNetwork]) -> tuple[dict[str, Any], bytes]:
    """What is peculiar to a kind of network in `model.json`, and the content of the network's file."""
    if isinstance(network, OnnxNetwork):
        described = {"size_divisor": network.size_divisor, "reach": network.reach, "slices": network.slices}
        return described, network.content
    layers, numbers = pack(network.layers)
    return {"layers": layers}, numbers


def read_model(path: Path) -> Model:
    """Read and check a model file.

    Raises:
        ModelError: it is missing, damaged, too new or not a model file; the text names the file and the reason.
    """
    return read_content(path)[0]


def read_content(path: Path) -> tuple[Model, bytes]:
    """A checked model, and the bytes of its file, so that exactly what was checked can be copied; see `read_model`."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE:
            raise ModelError("It is far larger than any model file.")
        content = path.read_bytes()
        return _parse(content), content
    except OSError as error:
        raise ModelError(f"The model file {path} cannot be read: {error.strerror or error}.") from error
    except ModelError as error:
        reason = str(error)
        raise ModelError(f"The model file {path} is refused: {reason[:1].lower()}{reason[1:]}") from error


def _members(content: bytes) -> dict[str, bytes]:
    """The two members of the zip, no more bytes of each than a model can have."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            names = sorted(entry.filename for entry in entries)
            if names not in [sorted([_DESCRIPTION, network]) for network in NETWORK_FILES.values()]:
                raise ModelError("It is a zip archive, but not of a model.")
            members = {}
            for entry in entries:
                limit = MAX_BYTES[entry.filename]
                if entry.compress_type not in _COMPRESSIONS:
                    raise ModelError("It is compressed in a way that model files are not.")
                with archive.open(entry) as member:
                    members[entry.filename] = member.read(limit + 1)
                if len(members[entry.filename]) > limit:
                    raise ModelError("A part of it is larger than any model needs.")
            return members
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise ModelError("It is no model file, or a damaged one.") from error


def _parse(content: bytes) -> Model:
    members = _members(content)
    try:
        description = json.loads(members[_DESCRIPTION].decode("utf-8"))
        # What Python reads but JSON and files do not know, NaN and half characters, would break a run record later.
        json.dumps(description, ensure_ascii=False, allow_nan=False).encode("utf-8")
        if description["format"] != "lowresseg-model":
            raise ModelError("It is no model file.")
        version = int(description["version"])
        if version > FORMAT_VERSION:
            raise ModelError(f"It has format version {version}, made for a newer LowResSeg; update LowResSeg.")
        network = description["network"]
        if network["kind"] not in KINDS:
            raise ModelError(f"Its network is of the unknown kind {network['kind']!r}; update LowResSeg.")
        numbers = members.get(NETWORK_FILES[network["kind"]])
        if numbers is None:
            raise ModelError("Its network is damaged: it is not of the kind that its description says.")
        passes, mirror, fusion = _reconstruction(description["reconstruction"])
        digest = hashlib.sha256(numbers).hexdigest()
        if digest != network["sha256"]:
            raise ModelError("Its network is damaged: the checksum differs.")
        further = (b"" if fusion is None else fusion.content()) + (b"" if mirror else b"never mirrored")
        if further:
            digest = hashlib.sha256(numbers + further).hexdigest()
        labels = tuple(Label.from_dict(entry) for entry in description["labels"])
        model = Model(
            name=str(description["name"]),
            labels=labels,
            grid=GridSettings(**description["grid"]),
            normalisation=Normalisation(**description["normalisation"]),
            network=_network(network, numbers),
            card=dict(description["card"]),
            digest=digest,
            passes=passes,
            mirror=mirror,
            fusion=fusion,
        )
    except ModelError:
        raise
    except InputError as error:
        raise ModelError(f"Its description is damaged. {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, IndexError) as error:
        raise ModelError(f"Its description is damaged ({type(error).__name__}).") from error
    _check(model)
    return model


def _reconstruction(description: dict[str, Any]) -> tuple[int, bool, Optional[Fusion]]:
    """Passes, whether they may be mirrored, and the fusion of a description."""
    passes, mirror = description.get("passes", 1), description.get("mirror", True)
    kind, further = description["kind"], set(description) - {"kind", "passes", "mirror"}
    if kind not in RECONSTRUCTIONS or passes not in PASSES or not isinstance(mirror, bool):
        raise ModelError("It asks for an unknown reconstruction; update LowResSeg.")
    if not mirror and passes > 2:
        raise ModelError("It asks for more than 2 passes, of which some are mirrored, and for none that is.")
    if kind == "fusion":
        return int(passes), mirror, Fusion.from_dict({key: description[key] for key in further})
    if further:
        raise ModelError("It asks for an unknown reconstruction; update LowResSeg.")
    return int(passes), mirror, None


def _network(description: dict[str, Any], numbers: bytes) -> Union[Plan, OnnxNetwork]:
    """The checked network of a description."""
    unit = float(description["logit_unit"])
    if description["kind"] == "onnx":
        return OnnxNetwork(numbers, unit, description["size_divisor"], description["reach"], description["slices"])
    layers = unpack(description["layers"], numbers)
    check_plan(layers)
    return Plan(layers, unit)


def _check(model: Model) -> None:
    """What holds between the parts of a model."""
    for text in itertools.chain.from_iterable(
        (label.name, *(label.type or ()), *(label.category or ())) for label in model.labels
    ):
        if not text.isprintable() or not 0 < len(text) <= 200:
            raise ModelError("It has a label or a code that cannot be printed.")
    if [label.value for label in model.labels] != list(range(model.network.classes)):
        raise ModelError("Its labels do not fit the classes of its network.")
    if model.network.classes > MAX_CLASSES:
        raise ModelError(f"It has more than {MAX_CLASSES} classes.")
    if not (math.isfinite(model.network.logit_unit) and model.network.logit_unit > 0):
        raise ModelError("The unit of its logits is not a positive number.")
    if not re.fullmatch(r"\w[\w .-]{0,99}", model.name):
        raise ModelError("Its name is not one of letters, digits, spaces, dots and hyphens.")
    if model.grid.divisor % model.network.size_divisor:
        raise ModelError("Its grid does not fit its network.")
