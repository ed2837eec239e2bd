"""The command line: what it writes and prints, and that it leaves nothing half-written."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from data import BRAIN_SCANS, CHECKOUT, brain_scan
from plans import random_model, random_volume

from LowResSegLib import Volume, __version__, kernels, read_volume, segment
from LowResSegLib.cli import main
from LowResSegLib.model import write_model

OUTPUTS = ["scan.json", "scan.seg.nrrd", "scan_labels.nii.gz"]


@pytest.fixture(autouse=True)
def model(small_model: Path) -> Path:
    """Every test here may name it."""
    return small_model


@pytest.fixture
def scan(tmp_path: Path, rng: np.random.Generator) -> Path:
    """An oblique scan in a file."""
    volume = random_volume(rng, (23, 27, 21), np.linalg.qr(rng.normal(size=(3, 3)))[0])
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.spacing)
    image.SetOrigin(volume.origin)
    image.SetDirection(volume.direction)
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    return tmp_path / "scan.nii.gz"


def run(*arguments: Any) -> int:
    """The exit status of a command in this process."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:  # argparse
        return int(end.code or 0)


def written(folder: Path) -> list[str]:
    """The files in a folder but for the picture, which needs matplotlib."""
    return sorted(file.name for file in folder.iterdir() if file.suffix != ".png")


def test_segment_writes_all_and_prints_the_table(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "out"
    assert run("segment", scan, "-o", folder, "--model", "small", "--backend", "numpy") == 0
    assert written(folder) == OUTPUTS
    volume = read_volume(scan)
    expected, record = segment(volume, "small", backend="numpy")
    for name in ("scan_labels.nii.gz", "scan.seg.nrrd"):
        labelmap = read_volume(folder / name)
        np.testing.assert_array_equal(labelmap.array, expected.array)
        np.testing.assert_allclose(labelmap.direction, volume.direction, rtol=0, atol=1e-15)
    assert read_volume(folder / "scan_labels.nii.gz").geometry == volume.geometry
    printed = capsys.readouterr().out
    for label in record["labels"]:
        assert f"{label['name']}" in printed and f"{label['volume_ml']:.2f}" in printed
    assert "research use only" in printed and "numpy" in printed


def test_the_record_is_complete_and_names_no_patient(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = scan.rename(tmp_path / "Jane Doe 1970.nii.gz")
    assert run("segment", scan, "-o", tmp_path / "out", "--model", "small", "--backend", "numpy", "--json") == 0
    printed = capsys.readouterr().out
    record = json.loads(printed)
    assert json.loads((tmp_path / "out" / "Jane Doe 1970.json").read_text()) == record
    assert record["backend"] == "numpy" and record["lowresseg"] == __version__
    assert "research use only" in record["notice"]
    assert all({"name", "value", "volume_ml"} <= set(label) for label in record["labels"])
    seconds = dict(record["seconds"])
    total = seconds.pop("total")
    assert {"reading", "sampling", "network", "reconstruction", "writing"} <= set(seconds)
    assert sum(seconds.values()) <= total + 0.01 and record["peak_memory_mb"] > 10
    assert "Jane" not in printed and str(tmp_path) not in printed


def test_progress_as_json_lines_goes_up_to_one(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("segment", scan, "-o", tmp_path / "out", "--model", "small", "--progress", "json", "--json") == 0
    captured = capsys.readouterr()
    json.loads(captured.out)
    lines = [json.loads(line) for line in captured.err.splitlines() if line.startswith("{")]
    fractions = [line["fraction"] for line in lines]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert {"reading", "sampling", "network", "reconstruction", "writing", "done"} <= {line["step"] for line in lines}


def test_progress_on_a_terminal_is_one_line_that_goes(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert run("segment", scan, "-o", tmp_path / "out", "--model", "small") == 0
    shown = capsys.readouterr().err
    assert "100% done" in shown and shown.count("\n") == 0 and shown.endswith("\r\033[K")
    assert run("segment", scan, "-o", tmp_path / "out2", "--model", "small", "--progress", "none") == 0
    assert capsys.readouterr().err == ""


def test_a_picture_is_made_where_matplotlib_is(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    assert run("segment", scan, "-o", tmp_path / "out", "--model", "small") == 0
    assert (tmp_path / "out" / "scan.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run("segment", scan, "-o", tmp_path / "plain", "--model", "small") == 0
    assert "matplotlib" in capsys.readouterr().err
    assert sorted(file.name for file in (tmp_path / "plain").iterdir()) == OUTPUTS


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """The one sentence with which a command is refused."""
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and captured.err.endswith(".\n")
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "truncated"])
def test_a_bad_scan_is_refused_without_a_trace(
    kind: str, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.nii.gz"
    if kind == "folder":
        bad.mkdir()
    elif kind != "missing":
        content = scan.read_bytes()
        bad.write_bytes({"empty": b"", "text": b"Hello.", "truncated": content[: len(content) // 2]}[kind])
    before = sorted(tmp_path.iterdir())
    text = refused(capsys, "segment", bad, "-o", tmp_path / "new" / "out", "--model", "small")
    assert str(bad) in text
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", ["unknown", "missing file", "damaged", "unknown backend"])
def test_a_bad_model_or_backend_is_refused_without_a_trace(
    kind: str, scan: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "scan.json").write_text("old")
    damaged = tmp_path / "damaged.lowresseg"
    damaged.write_bytes(model.read_bytes()[:-30])
    name = {"unknown": "liver", "missing file": "no.lowresseg", "damaged": str(damaged)}.get(kind, "small")
    backend = "abacus" if kind == "unknown backend" else "auto"
    assert refused(capsys, "segment", scan, "-o", folder, "--model", name, "--backend", backend, "--overwrite")
    assert [file.name for file in folder.iterdir()] == ["scan.json"]
    assert (folder / "scan.json").read_text() == "old"


def test_an_output_folder_that_cannot_be_written_to_is_refused_before_the_work(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("LowResSegLib.case.run.read_scan", lambda *arguments: pytest.fail("began to work"))
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "out"):
        assert str(folder) in refused(capsys, "segment", scan, "-o", folder, "--model", "small")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("late", [False, True])
def test_outputs_come_together_or_not_at_all(
    late: bool, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in the way of a file, and a disk that fails while the files are moved to their places."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "scan.json").write_text("old")
    if late:
        replace = os.replace

        def fail(source: Any, target: Any) -> None:
            if Path(target) == folder / "scan_labels.nii.gz":
                raise OSError(5, "Input/output error")
            replace(source, target)

        monkeypatch.setattr(os, "replace", fail)
    else:
        (folder / "scan_labels.nii.gz").mkdir()
    before = sorted(folder.iterdir())
    assert refused(capsys, "segment", scan, "-o", folder, "--model", "small", "--progress", "none", "--overwrite")
    assert sorted(folder.iterdir()) == before and (folder / "scan.json").read_text() == "old"


def test_results_of_before_are_replaced_only_where_that_is_said(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    assert run("segment", scan, "-o", folder, "--model", "small") == 0
    (folder / "scan.seg.nrrd").write_text("edited by hand")
    capsys.readouterr()
    text = refused(capsys, "segment", scan, "-o", folder, "--model", "small")
    assert "scan.seg.nrrd is there already" in text and "--overwrite" in text
    assert (folder / "scan.seg.nrrd").read_text() == "edited by hand" and written(folder) == OUTPUTS
    assert run("segment", scan, "-o", folder, "--model", "small", "--overwrite") == 0
    assert read_volume(folder / "scan.seg.nrrd").array.size > 0 and written(folder) == OUTPUTS


def test_a_picture_of_before_goes_with_the_results_it_belonged_to(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "scan.png").write_bytes(b"of an earlier run")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # matplotlib is gone
    assert run("segment", scan, "-o", output, "--model", "small", "--overwrite") == 0
    assert sorted(path.name for path in output.iterdir()) == OUTPUTS


def test_a_picture_of_before_stays_where_the_results_cannot_be_put(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "scan.png").write_bytes(b"of an earlier run")
    replace = os.replace

    def fail(source: Any, target: Any) -> None:
        if Path(target) == output / "scan_labels.nii.gz":
            raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # matplotlib is gone
    monkeypatch.setattr(os, "replace", fail)
    assert refused(capsys, "segment", scan, "-o", output, "--model", "small", "--progress", "none", "--overwrite")
    assert [path.name for path in output.iterdir()] == ["scan.png"]


def test_who_listens_to_the_progress_may_go(scan: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "LowResSegLib", "segment", str(scan), "-o", str(tmp_path / "out")]
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as nobody:
        ended = subprocess.run(
            [*command, "--model", "small", "--progress", "json"], cwd=CHECKOUT, stderr=nobody, stdout=subprocess.PIPE
        )
    assert ended.returncode == 0 and b"Structure 1" in ended.stdout
    assert written(tmp_path / "out") == OUTPUTS


def _hear_interrupts() -> None:
    """Undo what nohup and a shell's & do: they have a process ignore signals, and so do its children."""
    for number in (signal.SIGINT, 1):  # 1: SIGHUP
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (1, 129)])  # 1: SIGHUP
@pytest.mark.parametrize("step", ["reading", "sampling", "network"])
def test_ctrl_c_leaves_nothing(
    step: str, number: int, status: int, model: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    volume = random_volume(rng, (150, 150, 150))
    sitk.WriteImage(sitk.GetImageFromArray(volume.array), str(tmp_path / "big.nii"))
    write_model(model, random_model(rng, spacing=1.0))  # whose network takes seconds
    folder = tmp_path / "new" / "out"
    arguments = ["segment", str(tmp_path / "big.nii"), "-o", str(folder), "--model", "small", "--backend", "numpy"]
    process = subprocess.Popen(
        [sys.executable, "-m", "LowResSegLib", *arguments, "--progress", "json"],
        cwd=CHECKOUT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_interrupts,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line)["step"] == step:
            assert folder.is_dir()
            process.send_signal(number)
            break
    rest = process.stderr.read()
    assert process.wait(60) == status, rest
    assert "Traceback" not in rest
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["segment"],
        ["segment", "a.nii"],
        ["segment", "a.nii", "-o", "b", "--threads", "0"],
        ["info", "a", "b"],
    ],
)
def test_bad_usage_is_one_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--help" in refused(capsys, *arguments)


def test_models_are_listed_and_described(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model.parent / "broken.lowresseg").write_bytes(b"PK")
    assert run("models", "--json") == 0
    captured = capsys.readouterr()
    first = {"name": "small", "title": "Random", "path": str(model), "problem": None}
    listed = {entry["name"]: entry for entry in json.loads(captured.out)}
    assert first.items() <= listed["small"].items() and "no model file" in listed["broken"]["problem"]
    assert "broken" in captured.err
    assert run("models") == 0
    assert "small" in capsys.readouterr().out
    for name in ("small", model):
        assert run("info", name) == 0
        shown = capsys.readouterr().out
        assert "For tests alone." in shown and "Tiny" in shown and "Structure 3" in shown
    assert run("info", "brain") == 0  # numbers by name are one line
    assert re.search(r"review below +Cerebral white matter: \d+, Cerebral cortex: \d+, ", capsys.readouterr().out)
    assert run("info", "small", "--json") == 0
    described = json.loads(capsys.readouterr().out)
    assert described["card"]["limits"] == "For tests alone." and described["labels"][3]["name"] == "Structure 3"
    assert "liver" in refused(capsys, "info", "liver")
    assert "broken" in refused(capsys, "info", "broken")


def test_info_without_a_model_tells_what_is_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("info", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["backends"][-1] == "numpy" and found["native_kernels"]
    monkeypatch.setattr(kernels, "_load", lambda: (None, "they are elsewhere"))
    assert run("info") == 0
    shown = capsys.readouterr().out
    assert "native kernels  none: they are elsewhere\n" in shown and f"version         {__version__}\n" in shown


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert __version__ in capsys.readouterr().out
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert "segment" in shown and "worker" not in shown


@pytest.mark.parametrize("name", BRAIN_SCANS)
def test_a_real_scan_goes_the_whole_way(name: str, tmp_path: Path) -> None:
    path = brain_scan(name)
    assert run("segment", path, "-o", tmp_path / "out", "--model", "small", "--progress", "none") == 0
    scan, labelmap = read_volume(path), read_volume(tmp_path / "out" / f"{name}_labels.nii.gz")
    assert isinstance(labelmap, Volume) and labelmap.geometry == scan.geometry
    assert labelmap.array.shape == scan.array.shape
