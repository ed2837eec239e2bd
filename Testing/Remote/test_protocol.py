"""What travels is understood on the other side, or refused with a sentence."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import uuid
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from LowResSegLib import kernels, load_model
from LowResSegLib.reduction import Reduced, reduce
from LowResSegLib.remote import packed
from LowResSegLib.remote.packed import (
    compress_body,
    pack,
    pack_labels,
    pack_logits,
    read_body,
    unpack,
    unpack_labels,
    unpack_logits,
)
from LowResSegLib.remote.protocol import (
    CODES,
    DTYPES,
    VERSION,
    AnswerError,
    Capabilities,
    Health,
    JobRequest,
    JobStatus,
    Limits,
    ModelDescription,
    ProtocolError,
    check_versions,
    content_range,
    parse_content_range,
)

GRID = JobRequest(
    key=str(uuid.UUID(int=1)),
    kind="grid",
    model="brain",
    digest="0" * 64,
    shape=(2, 8, 16, 24),
    dtype="uint8",
    bytes=100,
    sha256="f" * 64,
    size=(7, 16, 20),
    passes=2,
)
VOLUME = dataclasses.replace(
    GRID, kind="volume", shape=(8, 16, 24), size=None, dtype="float32", spacing=(1.0, 0.5, 2.0), modality="MR"
)
LIMITS = Limits(1000, 2000, 3.0, 4, 5, 6.0, 7.0, 8)
CAPABILITIES = Capabilities(1, 1, "0.1", ("grid",), ("raw",), ("numpy",), None, 2, LIMITS)
STATUS = JobStatus("a" * 32, GRID.key, "failed", error=("InputError", "No."), upload=7)
SAMPLES: list[Any] = [GRID, VOLUME, CAPABILITIES, STATUS, dataclasses.replace(STATUS, state="waiting", place=3)]
SAMPLES += [Health(1, 2, "0.1")]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_there_and_back(sample: Any) -> None:
    travelled = json.loads(json.dumps(sample.to_dict(), allow_nan=False))
    assert type(sample).from_dict(travelled) == sample


def test_a_model_there_and_back() -> None:
    model = load_model("brain")
    described = ModelDescription.of("brain", model)
    found = ModelDescription.from_dict(json.loads(json.dumps(described.to_dict())))
    assert found == described and found.labels == model.labels and found.normalisation == model.normalisation


@settings(max_examples=300, deadline=None)
@given(sample=st.sampled_from(SAMPLES), data=st.data())
def test_any_json_is_taken_or_refused_with_a_sentence(sample: Any, data: st.DataObject) -> None:
    entries = sample.to_dict()
    damage = data.draw(st.sampled_from([*entries, None]))
    if damage is None:
        entries = data.draw(json_values)
    elif data.draw(st.booleans()):
        entries = {**entries, damage: data.draw(json_values)}
    else:
        entries = {key: value for key, value in entries.items() if key != damage}
    try:
        type(sample).from_dict(entries)
    except ProtocolError as error:
        assert str(error).endswith(".")


WRONG: list[tuple[JobRequest, dict[str, Any], str]] = [
    (GRID, {"key": "1"}, "key"),
    (GRID, {"key": GRID.key.replace("-", "")}, "key"),
    (GRID, {"kind": "tensor"}, "kind"),
    (GRID, {"digest": "../../etc"}, "digest"),
    (GRID, {"dtype": "int16"}, "uint8"),
    (GRID, {"shape": [3, 8, 16, 24]}, "one or two"),
    (GRID, {"shape": [1, 8, 16]}, "shape"),
    (GRID, {"shape": [1, 1 << 30, 1 << 30, 1 << 30]}, "impossible"),
    (GRID, {"size": [9, 16, 20]}, "size"),
    (GRID, {"size": None}, "size"),
    (GRID, {"bytes": 0}, "bytes"),
    (GRID, {"bytes": True}, "bytes"),
    (GRID, {"passes": 3}, "passes"),
    (GRID, {"threads": 0}, "threads"),
    (GRID, {"encoding": "gzip"}, "encoding"),
    (GRID, {"command": "rm"}, "unknown entry"),
    (VOLUME, {"dtype": "object"}, "dtype"),
    (VOLUME, {"spacing": [1, 1]}, "spacing"),
    (VOLUME, {"spacing": [1, 1, math.inf]}, "spacing"),
    (VOLUME, {"modality": "M" * 17}, "modality"),
]


@pytest.mark.parametrize(("request_", "change", "named"), WRONG, ids=lambda value: str(value)[:30])
def test_what_is_wrong_in_a_request_is_named(request_: JobRequest, change: dict[str, Any], named: str) -> None:
    with pytest.raises(ProtocolError, match=named):
        JobRequest.from_dict({**request_.to_dict(), **change})


def test_versions_that_do_not_match_get_a_sentence() -> None:
    check_versions(VERSION, VERSION)
    check_versions(1, VERSION + 7)
    with pytest.raises(ProtocolError, match="update LowResSeg on the server"):
        check_versions(0, VERSION - 1)
    with pytest.raises(ProtocolError, match="update LowResSeg here"):
        check_versions(VERSION + 1, VERSION + 2)
    with pytest.raises(ProtocolError, match="no LowResSeg server"):
        Health.from_dict({"status": "ok"})


def test_errors_there_and_back() -> None:
    for code, status in CODES.items():
        error = AnswerError(code, "A sentence.", 2.5, (1, 3))
        found = AnswerError.from_dict(json.loads(json.dumps(error.to_dict())), error.status)
        assert (found.code, found.status, str(found)) == (code, status, "A sentence.")
        assert (found.retry_after, found.protocol) == (2.5, (1, 3))
    proxys = AnswerError.from_dict("<html>", 502)
    assert proxys.status == 502 and "502" in str(proxys)


def test_content_ranges() -> None:
    assert parse_content_range(content_range(10, 20, 30)) == (10, 20, 30)
    for text in ("", "bytes 0-9", "bytes 9-3/10", "bytes 0-10/10", "bytes -1-3/10", "lines 0-1/2", "bytes 0-1/*"):
        with pytest.raises(ProtocolError):
            parse_content_range(text)


@pytest.mark.parametrize("encoding", ["zlib", "raw"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bodies_there_and_back(dtype: str, encoding: str, rng: np.random.Generator) -> None:
    array = rng.integers(0, 100, (3, 70, 1500)).astype(dtype)  # more than is unpacked at a time
    for given_ in (array, array[::-1, :, ::2], array.astype(array.dtype.newbyteorder(">"))):
        body = compress_body(given_, encoding)
        found = read_body(io.BytesIO(body), given_.shape, dtype, encoding)
        np.testing.assert_array_equal(found, given_)
        assert found.dtype == np.dtype(dtype)


def test_bodies_that_do_not_fit_are_refused() -> None:
    body = compress_body(np.zeros((4, 5, 600), np.uint8), "zlib")
    assert read_body(io.BytesIO(body), (4, 5, 600), "uint8", "zlib").shape == (4, 5, 600)
    for damaged, shape in (
        (body, (4, 5, 599)),
        (body, (4, 5, 601)),
        (body[:-3], (4, 5, 600)),
        (body + b"more", (4, 5, 600)),
        (b"no zlib", (4, 5, 600)),
        (b"", (4, 5, 600)),
        (zlib.compress(bytes(1 << 27)), (4, 5, 600)),  # would unpack to far more
    ):
        with pytest.raises(ProtocolError):
            read_body(io.BytesIO(damaged), shape, "uint8", "zlib")


@pytest.mark.parametrize("encoding", ["zlib", "raw"])
def test_results_there_and_back(encoding: str, rng: np.random.Generator) -> None:
    arrays = {
        "one": rng.integers(0, 9, (3, 4)).astype(np.uint8),
        "two": rng.integers(-999, 999, 50).astype(np.int16),
        "none": np.zeros((2, 0), np.uint16),
    }
    content = b"".join(pack(arrays, encoding))
    found = unpack(content, 1000)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    with pytest.raises(ProtocolError):
        unpack(content, 111)


def test_logits_and_labels_there_and_back(rng: np.random.Generator) -> None:
    logits = rng.integers(-4095, 4096, (5, 6, 7, 8)).astype(np.int16)
    percent = rng.integers(0, 101, (6, 7, 8)).astype(np.uint8)
    reduced = reduce(logits, (6, 7, 8))
    found, seen = unpack_logits(b"".join(pack_logits(reduced, percent, "zlib")), 5, (6, 7, 8))
    np.testing.assert_array_equal(found.argmax(0), logits.argmax(0))
    np.testing.assert_array_equal(seen, percent)
    found, seen = unpack_logits(b"".join(pack_logits(logits, None, "raw")), 5, (6, 7, 8))
    np.testing.assert_array_equal(found, logits)
    assert seen is None
    for beyond in (4096, -4096, -32768):
        wrong = logits.copy()
        wrong[1, 2, 3, 4] = beyond
        with pytest.raises(ProtocolError):
            unpack_logits(b"".join(pack_logits(wrong, None, "raw")), 5, (6, 7, 8))
    labels = b"".join(pack_labels(percent, "zlib"))
    np.testing.assert_array_equal(unpack_labels(labels, (6, 7, 8)), percent)
    for content, shape in ((labels, (6, 7, 9)), (b"".join(pack({"labels": logits}, "zlib")), logits.shape)):
        with pytest.raises(ProtocolError):
            unpack_labels(content, shape)
    with pytest.raises(ProtocolError):
        unpack_logits(b"".join(pack_logits(reduced, None, "zlib")), 6, (6, 7, 8))


@pytest.mark.parametrize("longest", [1, 2, 1 << 16])
@pytest.mark.parametrize("ways", ["native native", "native numpy", "numpy native", "numpy numpy"])
def test_winners_come_back_from_runs_of_any_length(longest: int, ways: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = [way == "native" and kernels.available() for way in ways.split()]
    winners = np.zeros((1, 5, 70000), np.uint8)
    winners[0, 1, :65536], winners[0, 3, 5::longest] = 3, 17
    reduced = Reduced(
        18, winners, np.zeros(winners.shape, np.bool_), np.zeros((3, 0), np.uint8), np.zeros(0, np.uint16)
    )
    monkeypatch.setattr(kernels, "available", lambda: there[0])
    content = b"".join(pack_logits(reduced, None, "raw"))
    monkeypatch.setattr(kernels, "available", lambda: there[1])
    found, _ = unpack_logits(content, 18, winners.shape)
    for runs, lengths in (([3], [4, 4]), ([3, 4], [4, 6]), ([3, 4], [4, 4]), ([], [])):
        with pytest.raises(ValueError, match=r"runs|lengths"):
            packed._of_runs(np.array(runs, np.uint8), np.array(lengths, np.uint16), 11)
    np.testing.assert_array_equal(found.argmax(0), winners)
    if longest > 2:
        assert len(content) < winners.size  # which is why


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), encoding=st.sampled_from(["zlib", "raw"]))
def test_a_damaged_result_never_gets_through_as_something_impossible(seed: int, encoding: str) -> None:
    rng = np.random.default_rng(seed)
    logits = np.random.default_rng(3).integers(-50, 50, (4, 3, 4, 5)).astype(np.int16)
    content = bytearray(b"".join(pack_logits(reduce(logits, (3, 4, 5)), None, encoding)))
    for _ in range(rng.integers(1, 4)):
        content[rng.integers(len(content))] = rng.integers(256)
    if rng.random() < 0.2:
        content = content[: rng.integers(len(content))]
    try:
        found, _ = unpack_logits(bytes(content), 4, (3, 4, 5))
    except ProtocolError as error:
        assert str(error).endswith(".")
    else:
        assert found.shape == logits.shape and 0 <= found.min() <= found.max() <= 8191
