"""`lowresseg segment --remote` and `lowresseg remote`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from stand_in import StandIn, certificate, scan, serving

from LowResSegLib.cli import main
from LowResSegLib.model import Model

TOKEN = "a-token-of-this-test"


@pytest.fixture
def server(small_model: Model) -> Iterator[StandIn]:
    with serving(TOKEN) as server:
        yield server


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(2):
        array = scan(np.random.default_rng(number)).array
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / f"s{number}.nii.gz"))
    return folder


@pytest.fixture
def token(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return str(path)


def segment(*arguments: object) -> int:
    return main(["segment", *map(str, arguments), "--model", "small"])


def labels(folder: Path, stem: str) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{stem}_labels.nii.gz")))


def test_a_folder_is_segmented_by_a_server(
    server: StandIn, scans: Path, token: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    assert segment(scans, "-o", there, "--remote", server.url, "--remote-token-file", token, "--confidence") == 0
    assert server.runs == 2 and not server.jobs
    assert segment(scans, "-o", here, "--confidence") == 0
    assert server.runs == 2
    for stem in ("s0", "s1"):
        assert np.array_equal(labels(there, stem), labels(here, stem))
        records = [json.loads((folder / f"{stem}.json").read_text()) for folder in (there, here)]
        assert records[0]["labels"] == records[1]["labels"]
        assert records[0]["remote"]["sent"] == "grid" and "remote" not in records[1]
    assert TOKEN not in "".join(capsys.readouterr())


def test_the_token_may_be_in_the_environment_and_the_whole_scan_be_sent(
    server: StandIn, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWRESSEG_TOKEN", TOKEN)
    there, here = tmp_path / "there", tmp_path / "here"
    assert segment(scans / "s0.nii.gz", "-o", there, "--remote", server.url, "--remote-volume") == 0
    assert segment(scans / "s0.nii.gz", "-o", here) == 0
    assert np.array_equal(labels(there, "s0"), labels(here, "s0"))
    assert json.loads((there / "s0.json").read_text())["remote"]["sent"] == "volume"


def test_what_is_wrong_is_one_sentence_and_nothing_is_written(
    server: StandIn, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert segment(scans / "s0.nii.gz", "-o", out, "--remote", server.url) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "token" in error and not out.exists()


def test_this_computer_steps_in_and_says_so(
    scans: Path, small_model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, gone = tmp_path / "out", "http://127.0.0.1:9"
    assert segment(scans / "s0.nii.gz", "-o", out, "--remote", gone) == 2
    assert "Nothing listens at 127.0.0.1:9" in capsys.readouterr().err
    assert segment(scans / "s0.nii.gz", "-o", out, "--remote", gone, "--remote-fallback") == 0
    assert "this computer did the work" in capsys.readouterr().err
    assert "Nothing listens" in json.loads((out / "s0.json").read_text())["warnings"][0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--remote", "http://elsewhere"], "for all to read"),
        (["--remote", "https://elsewhere", "--backend", "numpy"], "--backend is for this computer"),
        (["--remote", "https://elsewhere", "--max-memory", "100"], "--max-memory is for this computer"),
        (["--remote", "https://elsewhere", "--remote-volume", "--confidence"], "comes with the grid alone"),
        (["--remote-volume"], "--remote-volume is of no use without --remote"),
        (["--remote-token-file", "x"], "--remote-token-file is of no use without --remote"),
        (["--remote", "https://elsewhere", "--remote-token-file", "absent"], "cannot be read"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    scans: Path, small_model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list, sentence: str
) -> None:
    assert segment(scans / "s0.nii.gz", "-o", tmp_path / "out", *options) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_server_is_tested_listed_and_forgotten(
    small_model: Model, tmp_path: Path, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(TOKEN, certificate(tmp_path, "own")) as server:
        address = server.url.partition("//")[2]
        assert main(["remote", "test", server.url, "--token-file", token]) == 0
        assert "is trusted from now on" in capsys.readouterr().out
        assert main(["remote", "test", server.url, "--token-file", token]) == 0
        assert "is the one that is remembered" in capsys.readouterr().out
        assert main(["remote", "test", server.url, "--token-file", token, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["models"][:2] == ["small", "brain"]
        assert main(["remote", "models", server.url, "--token-file", token]) == 0
        assert capsys.readouterr().out.startswith("small\tMR\t3 structures\tRandom\n")
        assert main(["remote", "forget", address]) == 0
        assert main(["remote", "forget", server.url]) == 0
        assert capsys.readouterr().out.splitlines()[0] == f"The certificate of {address} is forgotten."
    assert main(["remote", "test", server.url, "--token-file", token]) == 2
    assert "Nothing listens" in capsys.readouterr().err
