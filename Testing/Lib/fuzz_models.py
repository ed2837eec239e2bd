"""Mutated model files: none may crash, hang, eat memory or be refused without a reason.

    python Testing/Lib/fuzz_models.py [--count 100000] [--seed 0] [--kind ternary|onnx]

Three kinds of mutation: bytes of the file; the description (with a checksum that fits the network); the network's
numbers (with a checksum that fits). Of a model with an ONNX graph, parts of the graph too: its operators, attributes,
constants and how they hang together, as far as the package onnx writes them down. A mutant that is still a valid model
is run on a small grid. Prints a table.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import copy
import hashlib
import io
import json
import signal
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]

from fusions import random_fusion  # noqa: E402
from plans import random_model, random_volume  # noqa: E402

from LowResSegLib.errors import BackendError, InputError, ModelError  # noqa: E402
from LowResSegLib.model import KINDS, Model, OnnxNetwork, read_model, write_model  # noqa: E402
from LowResSegLib.model.onnx_rules import RULES  # noqa: E402
from LowResSegLib.pipeline import segment  # noqa: E402

SECONDS = 10  # no file may take longer
EXTRA_MEMORY = 1 << 30  # nor more than this beyond what the process has
SMALL = random_volume(np.random.default_rng(0), shape=(5, 6, 7))
STRANGE: list[Any] = [
    None, True, -1, 0, 1, 2, 3, 255, 256, 65536, 2**31, 2**63, 2**64, 10**30, -(2**40), 0.5, 1e308, float("nan"),
    float("inf"), "", "x", "../../etc", "\ud800", "$\\frac$", "\x00", "ü" * 99, "9" * 5000, [], [0], [1] * 1000,
    [[[]]], {}, {"value": 1},
]  # fmt: skip
NUMBERS = [-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 5, 255, 65536, 2**31, 2**40, 2**63 - 1]


def mutate_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, cut out, doubled or cut off."""
    mutant = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        place, length = int(rng.integers(len(mutant))), int(rng.integers(1, 64))
        how = rng.integers(5)
        if how == 0:
            mutant[place] = int(rng.integers(256))
        elif how == 1:
            mutant[place] ^= 1 << int(rng.integers(8))
        elif how == 2:
            del mutant[place : place + length]
        elif how == 3:
            mutant[place:place] = mutant[place : place + length]
        else:
            del mutant[place:]
        if not mutant:
            return b""
    return bytes(mutant)


def places_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key inside a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        yield value, key
        yield from places_of(value[key])


def mutate_description(description: dict[str, Any], rng: np.random.Generator) -> None:
    """Some values replaced by strange ones, removed, doubled, or exchanged with others."""
    for _ in range(int(rng.integers(1, 4))):
        places = list(places_of(description))
        if not places:
            return
        container, key = places[rng.integers(len(places))]
        how = rng.integers(5)
        if how <= 1:
            container[key] = copy.deepcopy(STRANGE[rng.integers(len(STRANGE))])  # it may be mutated in turn
        elif how == 2 and isinstance(container[key], (int, float)) and not isinstance(container[key], bool):
            container[key] = container[key] + int(rng.integers(-3, 4))
        elif how == 3:
            del container[key]
        else:
            other, place = places[rng.integers(len(places))]
            container[key] = json.loads(json.dumps(other[place]))


def mutate_graph(content: bytes, rng: np.random.Generator) -> bytes:
    """Some parts of an ONNX graph changed, removed, doubled, or exchanged with others."""
    import onnx

    model = onnx.load_from_string(content)
    graph = model.graph
    operators = [*RULES, "Loop", "Scan", "If", "ConvInteger", "QLinearConv", "NonZero", "TopK", "Upsample"]
    for _ in range(int(rng.integers(1, 4))):
        if not graph.node:
            break
        node, how = graph.node[rng.integers(len(graph.node))], rng.integers(8)
        names = ["", graph.input[0].name, *(tensor.name for tensor in graph.initializer)]
        names += [name for other in graph.node for name in other.output]
        if how == 0:
            node.op_type = operators[rng.integers(len(operators))]
        elif how == 1 and node.input:
            node.input[rng.integers(len(node.input))] = names[rng.integers(len(names))]
        elif how == 2 and node.attribute:
            attribute = node.attribute[rng.integers(len(node.attribute))]
            for place in range(len(attribute.ints)):
                if rng.random() < 0.5:
                    attribute.ints[place] = NUMBERS[rng.integers(len(NUMBERS))]
            attribute.i = NUMBERS[rng.integers(len(NUMBERS))] if attribute.HasField("i") else attribute.i
        elif how == 3 and node.attribute:
            del node.attribute[rng.integers(len(node.attribute))]
        elif how == 4 and graph.initializer:
            tensor = graph.initializer[rng.integers(len(graph.initializer))]
            values = onnx.numpy_helper.to_array(tensor)
            strange = rng.choice(NUMBERS, values.shape).astype(np.float64)
            with np.errstate(all="ignore"):
                mixed = np.where(rng.random(values.shape) < 0.5, values, strange).astype(values.dtype)
            shape = tuple(rng.permutation(values.shape)) if rng.random() < 0.5 else values.shape
            tensor.CopyFrom(onnx.numpy_helper.from_array(mixed.reshape(shape), tensor.name))
        elif how == 5:
            del graph.node[rng.integers(len(graph.node))]
        elif how == 6:
            graph.node.insert(int(rng.integers(len(graph.node))), node)
        else:
            other = graph.node[rng.integers(len(graph.node))]
            node.output[0], other.output[0] = other.output[0], node.output[0]
    return bytes(model.SerializeToString())


def packed(description: dict[str, Any], numbers: bytes, name: str = "network.bin") -> bytes:
    """A model file of these parts, with a fitting checksum where there is a place for one."""
    network = description.get("network")
    if isinstance(network, dict):
        network["sha256"] = hashlib.sha256(numbers).hexdigest()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.json", json.dumps(description))
        archive.writestr(name, numbers)
    return buffer.getvalue()


def mutants(content: bytes, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` mutated files with the kind of their mutation."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        name = next(name for name in archive.namelist() if name != "model.json")
        text, numbers = archive.read("model.json").decode(), archive.read(name)
    rng = np.random.default_rng(seed)
    kinds = ("bytes", "description", "numbers", *(["graph"] if name == "network.onnx" else []))
    for number in range(count):
        kind = kinds[number % len(kinds)]
        description, mutant = json.loads(text), numbers
        if kind == "bytes":
            yield kind, mutate_bytes(content, rng)
            continue
        if kind == "description":
            mutate_description(description, rng)
        else:
            mutant = mutate_bytes(numbers, rng) if kind == "numbers" else mutate_graph(numbers, rng)
        yield kind, packed(description, mutant, name)


def run(model: Model) -> None:
    """Segment a small volume and describe the result, as the command line does."""
    backend = "numpy" if model.kind == "ternary" else "onnxruntime"
    labelmap, record = segment(SMALL, model, backend=backend, threads=1)
    json.dumps(record, allow_nan=False)
    assert labelmap.array.max() < len(model.labels)
    for label in model.labels:
        label.terminology_entry().encode("utf-8")


@contextlib.contextmanager
def limits() -> Iterator[Callable[[], None]]:
    """Bound this process's memory, where the system can; gives a function that starts a file's time."""
    if not hasattr(signal, "SIGALRM"):
        yield lambda: None
        return
    import resource

    def late(*_: object) -> None:
        raise TimeoutError(f"A file took more than {SECONDS} seconds.")

    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGALRM, late)
    if sys.platform == "linux":
        with open("/proc/self/statm") as statistics:
            used = int(statistics.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + EXTRA_MEMORY, before[1]))
    try:
        yield lambda: signal.alarm(SECONDS) and None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def sound_model(kind: str, seed: int) -> Model:
    """What is mutated."""
    if kind == "ternary":
        rng = np.random.default_rng(seed)
        model = random_model(rng)
        return replace(model, fusion=random_fusion(rng)) if seed % 2 else model
    from float_graphs import computed_sizes, float_model, unet_network

    if seed % 2:
        return float_model(OnnxNetwork(computed_sizes().SerializeToString(), 0.01, 4))
    return float_model(unet_network(seed, classes=3))


def fuzz(folder: Path, count: int, seed: int, model_kind: str = "ternary") -> dict[str, collections.Counter[str]]:
    """Outcomes of `count` mutants by kind of mutation: `refused` or `still a model`.

    Of an ONNX graph the latter are also those that pass the checks, and that ONNX Runtime refuses.

    Raises:
        Exception: whatever a mutant raised that is not a sentence for the user; MemoryError and TimeoutError for
            those that went beyond their bounds.
        AssertionError: a file appeared beside the mutants, or a reason is none.
    """
    path = folder / "mutant.lowresseg"
    write_model(path, sound_model(model_kind, seed))
    if model_kind == "onnx":
        run(read_model(path))  # so that what is loaded is not counted
    content = path.read_bytes()
    outcomes: dict[str, collections.Counter[str]] = {}
    with limits() as start:
        for kind, mutant in mutants(content, count, seed):
            path.write_bytes(mutant)
            start()
            outcome = "still a model"
            try:
                model = read_model(path)
            except ModelError as error:
                assert len(str(error)) > len(f"The model file {path} is refused: ."), error
                outcome = "refused"
            else:
                try:
                    run(model)
                except InputError:  # a model for other scans: its grid or normalisation does not fit the small volume
                    pass
                except ModelError as error:
                    assert model_kind == "onnx" and "no numbers" in str(error)
                except BackendError as error:
                    assert model_kind == "onnx" and "ONNX Runtime" in str(error)
            outcomes.setdefault(kind, collections.Counter())[outcome] += 1
    assert [entry.name for entry in folder.iterdir()] == [path.name]
    return outcomes


def main() -> None:
    """Fuzz, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, default="ternary")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = fuzz(Path(folder), options.count, options.seed, options.kind)
    print("| mutated | files | refused with a reason | still a valid model, which ran or refused the scan |")
    print("|---|---|---|---|")
    for kind, counter in outcomes.items():
        print(f"| {kind} | {sum(counter.values())} | {counter['refused']} | {counter['still a model']} |")


if __name__ == "__main__":
    main()
