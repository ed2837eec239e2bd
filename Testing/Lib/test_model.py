"""Model files: what is written is read, what is damaged or hostile is refused with a reason."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from fusions import random_fusion
from plans import random_model

from LowResSegLib import engine
from LowResSegLib.errors import ModelError
from LowResSegLib.model import SUFFIX, Fusion, available_models, load_model, read_model, write_model
from LowResSegLib.model.packing import pack_trits, unpack_trits


@pytest.fixture
def path(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A valid model file."""
    path = tmp_path / f"random{SUFFIX}"
    write_model(path, random_model(rng))
    return path


def test_what_is_written_is_read(path: Path, rng: np.random.Generator) -> None:
    original, read = random_model(np.random.default_rng(0)), read_model(path)
    assert (read.name, read.labels, read.grid, read.normalisation, read.card) == (
        original.name,
        original.labels,
        original.grid,
        original.normalisation,
        original.card,
    )
    grid = rng.integers(0, 128, (4, 6, 8)).astype(np.uint8)
    expected, found = (engine.run(model.plan, grid, "numpy") for model in (original, read))
    np.testing.assert_array_equal(found, expected)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_equal_models_are_equal_files(path: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "again", read_model(path))
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("count", [1, 3, 4, 5, 1000])
def test_trits_survive_packing_in_two_bits(count: int, rng: np.random.Generator) -> None:
    trits = rng.integers(-1, 2, count).astype(np.int8)
    packed = pack_trits(trits)
    assert len(packed) == -(-count // 4)
    np.testing.assert_array_equal(unpack_trits(packed, count), trits)


def test_a_code_that_is_no_trit_is_refused() -> None:
    with pytest.raises(ModelError, match="none of -1, 0 and 1"):
        unpack_trits(b"\x03", 1)


def rewrite(path: Path, change: Callable[[dict[str, Any]], object], network: Callable[[bytes], bytes] = bytes) -> None:
    """Change the description or the numbers of a model file, with a checksum that fits."""
    import hashlib

    with zipfile.ZipFile(path) as archive:
        description = json.loads(archive.read("model.json"))
        numbers = network(archive.read("network.bin"))
    description["network"]["sha256"] = hashlib.sha256(numbers).hexdigest()
    change(description)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", json.dumps(description))
        archive.writestr("network.bin", numbers)


def first_thresholds_swapped(numbers: bytes) -> bytes:
    """The three lower thresholds of the first layer made larger than the upper ones."""
    start = 3 * 27 * 2
    return (
        numbers[:start] + np.full(3, 1000, "<i4").tobytes() + np.full(3, -1000, "<i4").tobytes() + numbers[start + 24 :]
    )


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], object], Callable[[bytes], bytes], str]] = {
    "too new": (lambda d: d.update(version=2), bytes, "newer LowResSeg"),
    "other format": (lambda d: d.update(format="x"), bytes, "no model file"),
    "label without a name": (lambda d: d["labels"][1].pop("name"), bytes, "needs a whole-number value and a name"),
    "unit is no number": (lambda d: d["network"].update(logit_unit=float("nan")), bytes, "damaged"),
    "unit is negative": (lambda d: d["network"].update(logit_unit=-1.0), bytes, "unit of its logits"),
    "name with a path": (lambda d: d.update(name="../x"), bytes, "name"),
    "a layer that nobody reads": (
        lambda d: d["network"]["layers"].insert(-1, {"operation": "concatenate", "inputs": [1, 1], "channels": 6}),
        bytes,
        "no other one reads",
    ),
    "no labels": (lambda d: d.pop("labels"), bytes, "damaged"),
    "labels do not fit": (lambda d: d["labels"].pop(), bytes, "do not fit"),
    "wrong checksum": (lambda d: d["network"].update(sha256="0"), bytes, "checksum"),
    "unknown operation": (lambda d: d["network"]["layers"][2].update(operation="exec"), bytes, "unknown operation"),
    "reads a later layer": (lambda d: d["network"]["layers"][2].update(inputs=[5]), bytes, "before it"),
    "impossible channels": (lambda d: d["network"]["layers"][2].update(channels=10**9), bytes, "too early"),
    "huge kernel": (lambda d: d["network"]["layers"][3].update(kernel=[10**6] * 3), bytes, "described wrongly"),
    "even kernel": (lambda d: d["network"]["layers"][-1].update(kernel=[2] * 3), bytes, "too early"),
    "no stride at all": (lambda d: d["network"]["layers"][3].update(factor=[0, 1, 1]), bytes, "described wrongly"),
    "stride of three": (lambda d: d["network"]["layers"][3].update(factor=[1, 3, 1]), bytes, "other than 1 or 2"),
    "pools nothing": (lambda d: d["network"]["layers"][2].update(factor=[1, 1, 1]), bytes, "but does not"),
    "layers are text": (lambda d: d["network"].update(layers="abc"), bytes, "damaged"),
    "grid of no size": (lambda d: d["grid"].update(spacing=0), bytes, "damaged"),
    "grid does not fit": (lambda d: d["grid"].update(divisor=3), bytes, "does not fit"),
    "numbers too short": (lambda d: None, lambda n: n[:-1], "too early"),
    "numbers too long": (lambda d: None, lambda n: n + b"\0", "no layer"),
    "thresholds swapped": (lambda d: None, first_thresholds_swapped, "wrong order"),
    "weights too large": (lambda d: None, lambda n: b"\xff\x7f" + n[2:], "weights beyond"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_models_are_refused_with_a_reason(
    path: Path, damage: tuple[Callable[[dict[str, Any]], object], Callable[[bytes], bytes], str]
) -> None:
    change, network, reason = damage
    rewrite(path, change, network)
    with pytest.raises(ModelError, match=reason) as caught:
        read_model(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("seed", range(5))
def test_a_fusion_that_is_written_is_read(path: Path, seed: int) -> None:
    fusion, plain = random_fusion(np.random.default_rng(seed)), read_model(path)
    write_model(path, replace(plain, fusion=fusion))
    read = read_model(path)
    assert read.fusion is not None and read.fusion.to_dict() == fusion.to_dict()
    np.testing.assert_array_equal(read.fusion.corrections, fusion.corrections)
    assert read.fusion.smoothing == fusion.smoothing and read.fusion.corrections.dtype == np.int16
    # What names a model in run records tells one fusion from another, and from none.
    digests = {plain.digest, read.digest}
    for other in (replace(fusion, floor=fusion.floor + 1), replace(fusion, air=fusion.air + 1)):
        write_model(path, replace(plain, fusion=other))
        digests.add(read_model(path).digest)
    assert len(digests) == 4
    write_model(path, replace(read, fusion=None))
    assert read_model(path).digest == plain.digest


def test_a_model_that_may_not_be_mirrored_is_told_from_one_that_may(path: Path) -> None:
    plain = read_model(path)
    assert plain.mirror
    write_model(path, replace(plain, mirror=False, passes=2))
    read = read_model(path)
    assert (read.mirror, read.passes) == (False, 2) and read.digest != plain.digest
    with pytest.raises(ModelError, match="more than 2 passes"):
        write_model(path, replace(read, passes=4))
    rewrite(path, reconstruction(mirror="no"))
    with pytest.raises(ModelError, match="unknown reconstruction; update"):
        read_model(path)


def reconstruction(**changes: Any) -> Callable[[dict[str, Any]], object]:
    """Change numbers of the reconstruction; None takes one away."""

    def change(description: dict[str, Any]) -> None:
        wanted = {**description["reconstruction"], **changes}
        description["reconstruction"] = {key: value for key, value in wanted.items() if value is not None}

    return change


KEYS = ("leads", "ratios", "lead_shift", "half_life", "floor", "air", "smoothing")
FUSION_DAMAGE: dict[str, tuple[dict[str, Any], str]] = {
    "unknown kind": ({"kind": "magic"}, "unknown reconstruction; update"),
    "unknown key": ({"guided": 1}, "unknown reconstruction; update"),
    "linear with numbers": ({"kind": "linear"}, "unknown reconstruction; update"),
    "passes": ({"passes": 3}, "unknown reconstruction; update"),
    **{f"no {key}": ({key: None}, key) for key in KEYS},
    "no corrections": ({"corrections": None}, "corrections"),
    "even leads": ({"leads": 8}, "steps of its corrections"),
    "many leads": ({"leads": 67}, "leads is no whole number from 3 to 65"),
    "even ratios": ({"ratios": 4}, "steps of its corrections"),
    "other ratios": ({"ratios": 7}, "not as many as it says"),
    "far reach": ({"lead_shift": 11}, "steps of its corrections"),
    "negative shift": ({"lead_shift": -1}, "lead_shift"),
    "truth for a number": ({"floor": True}, "floor"),
    "a fraction": ({"half_life": 1.5}, "half_life"),
    "no half-life": ({"half_life": 0}, "half_life"),
    "huge floor": ({"floor": 1 << 25}, "floor"),
    "huge air": ({"air": 1 << 15}, "air"),
    "less than no air": ({"air": -1}, "air"),
    "empty smoothing": ({"smoothing": []}, "smoothing"),
    "long smoothing": ({"smoothing": [1] * 65}, "smoothing"),
    "smoothing of nothing": ({"smoothing": [0, 1]}, "begins with 0"),
    "negative smoothing": ({"smoothing": [1, -1]}, "smoothing"),
    "no base64": ({"corrections": "?"}, "not as many as it says"),
    "text that is no base64": ({"corrections": "\u00fc" * 8}, "not as many as it says"),
    "corrections too short": ({"corrections": "AAAA"}, "not as many as it says"),
}


@pytest.mark.parametrize("damage", FUSION_DAMAGE.values(), ids=FUSION_DAMAGE.keys())
def test_damaged_fusions_are_refused_with_a_reason(path: Path, damage: tuple[dict[str, Any], str]) -> None:
    good = Fusion(np.full((5, 5, 9), 7, np.int16), 4, 300, 5000, 200, (3, 2, 1))
    write_model(path, replace(read_model(path), fusion=good))
    changes, reason = damage
    rewrite(path, reconstruction(**changes))
    with pytest.raises(ModelError, match=reason):
        read_model(path)


def test_corrections_beyond_their_bound_are_not_written(path: Path) -> None:
    model, before = read_model(path), path.read_bytes()
    for value in (4096, -4096, -32768):
        bad = Fusion(np.full((5, 5, 9), value, np.int16), 4, 300, 5000, 200, (3, 2, 1))
        with pytest.raises(ModelError, match="larger than 4095"):
            write_model(path, replace(model, fusion=bad))
    assert path.read_bytes() == before


def bomb() -> bytes:
    """A zip whose description unpacks to far more than a description has."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.json", b" " * (40 << 20))
        archive.writestr("network.bin", b"")
    return buffer.getvalue()


def stranger() -> bytes:
    """A zip with a path that leads outside."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../model.json", b"{}")
        archive.writestr("network.bin", b"")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "no model file"), (b"PK nonsense", "no model file"), (bomb(), "larger"), (stranger(), "not of a model")],
    ids=["empty", "nonsense", "bomb", "path outside"],
)
def test_hostile_files_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / f"x{SUFFIX}"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=reason):
        read_model(path)


def test_every_truncation_and_many_changed_bytes_are_refused_or_harmless(path: Path) -> None:
    content, rng = path.read_bytes(), np.random.default_rng(0)
    target = path.with_name(f"mutant{SUFFIX}")
    for length in range(0, len(content), 37):
        target.write_bytes(content[:length])
        with pytest.raises(ModelError):
            read_model(target)
    refused = 0
    for _ in range(300):
        mutant = bytearray(content)
        mutant[rng.integers(len(mutant))] = rng.integers(256)
        target.write_bytes(mutant)
        try:
            read_model(target)
        except ModelError:
            refused += 1
    assert refused > 200


def test_models_are_found_by_name_in_order(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    second = tmp_path / "second"
    second.mkdir()
    write_model(second / path.name, random_model(rng, classes=7))
    monkeypatch.setenv("LOWRESSEG_MODELS", f"{path.parent}:{second}")
    assert available_models()["random"] == path
    assert len(load_model("random").labels) == 4
    monkeypatch.setenv("LOWRESSEG_MODELS", str(second))
    assert len(load_model("random").labels) == 7
    assert load_model(path).digest != load_model("random").digest


def test_an_unknown_model_is_refused_with_the_names_there_are(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWRESSEG_MODELS", str(path.parent))
    with pytest.raises(ModelError, match=r"no model named 'liver'.*random"):
        load_model("liver")
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(path.parent / f"liver{SUFFIX}")


def test_the_modality_is_that_of_the_card_or_of_the_normalisation(rng: np.random.Generator) -> None:
    model = random_model(rng)
    window = replace(model.normalisation, kind="window", low=-100.0, high=100.0)
    for card, normalisation, expected in (
        ({}, model.normalisation, "MR"),
        ({}, window, "CT"),
        ({"modality": "PT"}, window, "PT"),
        ({"modality": "CT"}, model.normalisation, "CT"),
        ({"modality": "MRI"}, model.normalisation, "MR"),
        ({"modality": ["CT"]}, model.normalisation, "MR"),
    ):
        assert replace(model, card=card, normalisation=normalisation).modality == expected
