"""A server gives the labelmap that this computer gives, and sees no more than it has to."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
from stand_in import scan, serving

from LowResSegLib import pipeline
from LowResSegLib.errors import Cancelled, InputError, ModelError, RemoteError
from LowResSegLib.model import Model, write_model
from LowResSegLib.remote.client import Server, segment_remotely, segmenting
from LowResSegLib.remote.client.arrays import TRAVELS_AS
from LowResSegLib.volume import Volume

TOKEN = "a-token-of-this-test"


@pytest.mark.parametrize("passes", [1, 2, 4])
@pytest.mark.parametrize("encoding", ["raw", "zlib"])
def test_the_labelmap_is_the_one_of_this_computer(
    small_model: Model,
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    passes: int,
    encoding: str,
) -> None:
    write_model(tmp_path / "models" / "looking.lowresseg", dataclasses.replace(small_model, passes=4))
    monkeypatch.setattr(segmenting, "is_loopback", lambda host: encoding == "raw")
    volume = scan(rng)
    expected, record = pipeline.segment(volume, "looking", passes=passes)
    with serving() as server:
        labelmap, told, confidence = segment_remotely(volume, "looking", Server(server.url), passes=passes)
    assert np.array_equal(labelmap.array, expected.array) and labelmap.geometry == volume.geometry
    assert len(np.unique(labelmap.array)) > 1
    assert confidence is None and told["labels"] == record["labels"] and told["passes"] == passes
    assert told["backend"] == "numpy" and told["model_sha256"] == record["model_sha256"]
    assert set(record) <= set(told) and told["remote"]["sent"] == "grid"
    assert server.runs == 1


def test_the_confidence_is_the_one_of_this_computer(small_model: Model, rng: np.random.Generator) -> None:
    volume = scan(rng)
    expected, record, percent = pipeline.segment_with_confidence(volume, "small")
    with serving() as server:
        labelmap, told, confidence = segment_remotely(volume, "small", Server(server.url), confidence=True)
    assert confidence is not None and np.array_equal(confidence.array, percent.array)
    assert confidence.geometry == percent.geometry
    assert told["labels"] == record["labels"]
    assert np.array_equal(labelmap.array, expected.array)


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint8", "bool", "int64", "float16", ">i2"])
def test_a_whole_volume_can_be_sent(small_model: Model, rng: np.random.Generator, dtype: str) -> None:
    volume = scan(rng)
    array = volume.array > 100 if dtype == "bool" else volume.array.astype(dtype)
    volume = volume.with_array(array)
    expected, record = pipeline.segment(volume, "small", not_a_labelmap=True)
    with serving() as server:
        labelmap, told, _ = segment_remotely(volume, "small", Server(server.url), full_volume=True, not_a_labelmap=True)
    assert np.array_equal(labelmap.array, expected.array)
    assert told["labels"] == record["labels"] and told["grid_shape"] == record["grid_shape"]
    assert (
        told["remote"]["sent"] == "volume"
        and told["remote"]["bytes_sent"] == array.astype(TRAVELS_AS.get(array.dtype.name, array.dtype.name)).nbytes
    )


def test_voxels_that_do_not_travel_are_refused(small_model: Model, rng: np.random.Generator) -> None:
    volume = scan(rng)
    large = volume.with_array(volume.array.astype(np.int64) << 40)
    with serving() as server, pytest.raises(InputError, match="too large for a server"):
        segment_remotely(large, "small", Server(server.url), full_volume=True)
    assert not server.jobs


def test_only_the_grid_is_sent_and_nothing_is_left(small_model: Model, rng: np.random.Generator) -> None:
    volume = scan(rng)
    bodies: list[bytes] = []

    def keep(handler: object) -> bool:
        bodies.extend(bytes(job["body"]) for job in server.jobs.values())
        return False

    with serving() as server:
        server.faults.append(keep)
        _, record, _ = segment_remotely(volume, "small", Server(server.url))
    grid = record["grid_shape"]
    assert {len(body) for body in bodies} == {0, 2 * int(np.prod(grid))}  # as many grids as it looks times
    assert record["remote"]["bytes_sent"] == 2 * np.prod(grid) < volume.array.nbytes
    assert not server.jobs
    requests = [(method, path.partition("?")[0].rpartition("/")[2]) for method, path in server.seen]
    assert requests[:2] == [("POST", "jobs"), ("PUT", "input")] and requests[-1][0] == "DELETE"
    assert set(requests[2:-2]) == {("GET", "result")} and requests[-2] == ("GET", "record")


def test_the_token_goes_to_the_server_and_not_into_the_record(small_model: Model, rng: np.random.Generator) -> None:
    with serving(TOKEN) as server:
        chosen = Server(server.url, TOKEN)
        _, record, _ = segment_remotely(scan(rng), "small", chosen)
    assert set(server.tokens) == {f"Bearer {TOKEN}"}
    assert TOKEN not in repr(record) and TOKEN not in repr(chosen) and server.url not in repr(record)


def test_a_model_that_is_not_here_is_taken_as_the_server_describes_it(
    small_model: Model, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = scan(rng)
    expected, record = pipeline.segment(volume, "small")
    monkeypatch.setattr(segmenting, "available_models", lambda: {})
    with serving() as server:
        labelmap, told, _ = segment_remotely(volume, "small", Server(server.url))
        with pytest.raises(
            ModelError, match=r"Neither this computer nor the server .*'liver'.*the server has: .*small"
        ):
            segment_remotely(volume, "liver", Server(server.url))
    assert np.array_equal(labelmap.array, expected.array)
    assert told["labels"] == record["labels"] and told["model_limits"] == record["model_limits"]


def test_a_model_file_is_found_on_the_server_by_its_network(
    small_model: Model, tmp_path: Path, rng: np.random.Generator
) -> None:
    from plans import random_model

    volume = scan(rng)
    copy = tmp_path / "elsewhere.lowresseg"
    write_model(copy, small_model)
    other = tmp_path / "other.lowresseg"
    write_model(other, dataclasses.replace(random_model(np.random.default_rng(9)), name="other"))
    expected, _ = pipeline.segment(volume, "small")
    with serving() as server:
        labelmap, _, _ = segment_remotely(volume, str(copy), Server(server.url))
        with pytest.raises(RemoteError, match="does not have the model other as it is here; install it there"):
            segment_remotely(volume, str(other), Server(server.url))
    assert np.array_equal(labelmap.array, expected.array)


def test_another_network_of_the_same_name_is_refused(
    small_model: Model, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from plans import random_model

    here = random_model(np.random.default_rng(9))
    here = dataclasses.replace(here, digest="0" * 64)
    monkeypatch.setattr(segmenting, "load_model", lambda name: here)
    with serving() as server, pytest.raises(RemoteError, match="model small is another one than yours"):
        segment_remotely(scan(rng), "small", Server(server.url))
    assert server.runs == 0


def test_what_is_no_scan_is_refused_before_anything_is_sent(small_model: Model) -> None:
    with serving() as server, pytest.raises(InputError):
        segment_remotely(Volume(np.zeros((9, 9, 9), np.float32)), "small", Server(server.url))
    assert not server.seen


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"backend": "numpy"}, "chooses its backend by itself"),
        ({"max_memory": 100.0}, "cannot be limited from here"),
        ({"full_volume": True, "confidence": True}, "comes with the grid alone"),
        ({"threads": 0}, "number of threads"),
        ({"passes": 4}, "looks 2 times"),
    ],
)
def test_what_cannot_be_done_remotely_is_refused(
    small_model: Model, rng: np.random.Generator, options: dict, sentence: str
) -> None:
    with serving() as server, pytest.raises(InputError, match=sentence):
        segment_remotely(scan(rng), "small", Server(server.url), **options)
    assert not server.seen


def test_progress_goes_up_and_names_each_step(small_model: Model, rng: np.random.Generator) -> None:
    heard: list[tuple[str, float]] = []
    with serving() as server:
        _, record, _ = segment_remotely(
            scan(rng), "small", Server(server.url), lambda step, share: heard.append((step, share))
        )
    steps = list(dict.fromkeys(step for step, _ in heard))
    assert [step for step in steps if step != "network"] == [
        "model",
        "sampling",
        "sending",
        "waiting",
        "receiving",
        "reconstruction",
        "done",
    ]
    shares = [share for _, share in heard]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert set(record["seconds"]) == {*segmenting._BEGINS, "total"}


@pytest.mark.parametrize("step", ["sending", "waiting", "receiving"])
def test_cancelling_ends_the_job_on_the_server_too(
    small_model: Model, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    last: list[str] = [""]

    def heard(name: str, share: float) -> None:
        last[0] = name

    with serving() as server:
        with pytest.raises(Cancelled):
            segment_remotely(scan(rng), "small", Server(server.url), heard, lambda: last[0] == step)
        assert not server.jobs
    assert step == "sending" or server.asked("DELETE") == 1


def test_a_failure_on_the_server_is_told_as_it_is(
    small_model: Model, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    import stand_in

    def fail(*arguments: object) -> tuple[bytes, dict]:
        raise InputError("The grid is of a turnip.")

    monkeypatch.setattr(stand_in, "compute", fail)
    with serving() as server:
        with pytest.raises(InputError, match="of a turnip"):
            segment_remotely(scan(rng), "small", Server(server.url), fallback=True)
        assert not server.jobs


@pytest.mark.parametrize("model", ["small", "absent"])
def test_this_computer_steps_in_where_it_may(small_model: Model, rng: np.random.Generator, model: str) -> None:
    volume = scan(rng)
    with serving() as server:
        pass
    gone = Server(server.url)
    began = time.monotonic()
    with pytest.raises(RemoteError, match=r"Nothing listens at 127\.0\.0\.1"):
        segment_remotely(volume, model, gone)
    assert time.monotonic() - began < 10  # one that was never there is not waited for
    if model == "absent":
        with pytest.raises(RemoteError, match=r"Nothing listens at 127\.0\.0\.1"):
            segment_remotely(volume, model, gone, fallback=True)
        return
    expected, _ = pipeline.segment(volume, model)
    labelmap, told, _ = segment_remotely(volume, model, gone, fallback=True)
    assert np.array_equal(labelmap.array, expected.array) and "remote" not in told
    assert len(told["warnings"]) == 1 and "This computer did the work" in told["warnings"][0]
    assert "Nothing listens" in told["warnings"][0]
    _, limited, _ = segment_remotely(volume, model, gone, fallback=True, max_memory=4000.0, backend="numpy")
    assert limited["backend"] == "numpy" and "only this computer can keep" in limited["warnings"][0]


def test_a_real_scan_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from data import brain_scan

    from LowResSegLib.volume import read_volume

    volume = read_volume(brain_scan("seg3D_MR"))
    monkeypatch.setattr(segmenting, "is_loopback", lambda host: False)
    expected, record = pipeline.segment(volume, "brain", passes=1)
    with serving() as server:
        labelmap, told, _ = segment_remotely(volume, "brain", Server(server.url), passes=1)
    assert np.array_equal(labelmap.array, expected.array)
    sent, received = told["remote"]["bytes_sent"], told["remote"]["bytes_received"]
    voxels = int(np.prod(record["grid_shape"]))
    assert sent < voxels and received < 2 * voxels * (1 + len(record["labels"])) / 30
    assert sent + received < volume.array.nbytes / 2


def test_a_model_that_looks_at_the_scan_once_more(
    small_model: Model, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its labels hang on the scan's intensities, and on classes that would win nowhere without them."""
    from LowResSegLib.model import Fusion

    fusion = Fusion(rng.integers(-900, 901, (5, 5, 5)).astype(np.int16), 7, 400, 64, 100, (4, 2, 1))
    write_model(tmp_path / "models" / "fused.lowresseg", dataclasses.replace(small_model, fusion=fusion))
    volume = scan(rng)
    expected, _ = pipeline.segment(volume, "fused")
    assert not np.array_equal(expected.array, pipeline.segment(volume, "small")[0].array)
    with serving() as server:
        labelmap, record, _ = segment_remotely(volume, "fused", Server(server.url), confidence=True)
        assert np.array_equal(labelmap.array, expected.array) and record["remote"]["sent"] == "grid"
        monkeypatch.setattr(segmenting, "available_models", lambda: {})
        for confidence in (False, True):
            with pytest.raises(InputError, match="install its file here, too, or let the whole scan be sent"):
                segment_remotely(volume, "fused", Server(server.url), confidence=confidence)
        labelmap, record, _ = segment_remotely(volume, "fused", Server(server.url), full_volume=True)
        assert np.array_equal(labelmap.array, expected.array) and record["remote"]["sent"] == "volume"
