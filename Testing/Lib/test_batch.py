"""Several inputs in one call: which cases, that one failure does not stop the rest, report, summary and status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ct_scans import ct
from data import CHECKOUT
from scan_files import file, full_disk, itk, of, scan, series, with_values

from LowResSegLib.case import run as case
from LowResSegLib.cli import main
from LowResSegLib.cli import segment as command
from LowResSegLib.cli.cases import plan_cases, shard_argument, shared
from LowResSegLib.model import load_model


@pytest.fixture(autouse=True)
def model(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small model, by the name `small`; pictures, which take a second each, are not made."""
    monkeypatch.setattr(case, "write_sheet", lambda *arguments: None)
    return small_model


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder of three scans, the middle one of which is empty."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a.nii.gz", "c.mha"):
        of(name)(folder)
    (folder / "b.nii.gz").touch()
    return folder


def run(*arguments: Any) -> int:
    """The exit status of `segment` in this process."""
    try:
        return main(["segment", *(str(argument) for argument in arguments), "--model", "small", "--backend", "numpy"])
    except SystemExit as end:  # argparse
        return int(end.code or 0)


def stems(folder: Path) -> list[str]:
    """Whose results are in a folder."""
    return sorted(path.name[: -len(".seg.nrrd")] for path in folder.glob("*.seg.nrrd"))


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a report."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_failure_does_not_stop_the_rest(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, report = tmp_path / "out", tmp_path / "report.jsonl"
    assert run(scans, "-o", out, "--report", report) == 1
    assert stems(out) == ["a", "c"]
    captured = capsys.readouterr()
    sentence = f"{scans / 'b.nii.gz'} cannot be used: it is empty (zero bytes)."
    assert sentence in captured.err
    table = captured.out.splitlines()
    assert re.fullmatch(r"a +done +\d+\.\d\d", table[1]) and re.fullmatch(r"c +done +\d+\.\d\d", table[3])
    assert table[2].split(None, 2) == ["b", "failed", sentence]
    assert "2 done, 0 skipped, 1 failed" in table and "research use only" in captured.out
    first, second, third = lines(report)
    assert [line["status"] for line in (first, second, third)] == ["done", "failed", "done"]
    assert first["input"] == str(scans / "a.nii.gz") and first["error"] is None and first["seconds"] > 0
    assert {"a.seg.nrrd", "a_labels.nii.gz", "a.json"} <= set(first["outputs"])
    record = json.loads((out / "a.json").read_text())
    assert first["volumes_ml"] == {label["name"]: label["volume_ml"] for label in record["labels"]}
    assert second["error"] == sentence and second["outputs"] == [] and second["volumes_ml"] is None


def test_status_2_where_all_fail_and_0_where_none_does(scans: Path, tmp_path: Path) -> None:
    (scans / "d.nii").write_text("Hello.")
    assert run(scans / "b.nii.gz", scans / "d.nii", "-o", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()
    assert run(scans / "a.nii.gz", scans / "c.mha", "-o", tmp_path / "out") == 0


def test_an_error_of_ours_or_no_memory_in_one_case_does_not_stop_the_rest(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, raised = case.read_scan, [ValueError("a bug"), MemoryError()]

    def fail(*arguments: Any) -> Any:
        if raised:
            raise raised.pop(0)
        return read(*arguments)

    monkeypatch.setattr(case, "read_scan", fail)
    (scans / "b.nii.gz").unlink()
    of("d.nii")(scans)
    assert run(scans, "-o", tmp_path / "out") == 1
    shown = capsys.readouterr()
    assert "Traceback" in shown.err and "please report it" in shown.out and "not enough memory" in shown.out
    assert stems(tmp_path / "out") == ["d"]


def test_json_is_a_list_of_all(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(scans, "-o", tmp_path / "out", "--json") == 1
    results = json.loads(capsys.readouterr().out)
    assert [(Path(result["input"]).name, result["status"]) for result in results] == [
        ("a.nii.gz", "done"), ("b.nii.gz", "failed"), ("c.mha", "done"),
    ]  # fmt: skip
    assert results[0]["record"] == json.loads((tmp_path / "out" / "a.json").read_text())
    assert results[1]["record"] is None


def test_a_report_of_a_single_input(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.jsonl"
    assert run(scans / "a.nii.gz", "-o", tmp_path / "out", "--json", "--report", report) == 0
    assert json.loads(capsys.readouterr().out)["backend"] == "numpy"
    assert run(scans / "b.nii.gz", "-o", tmp_path / "out", "--report", report) == 2
    assert [line["status"] for line in lines(report)] == ["done", "failed"]


def test_the_model_is_loaded_once_and_a_bad_one_refused_before_any_work(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Any] = []
    monkeypatch.setattr(command, "load_model", lambda name: loaded.append(name) or load_model(name))
    assert run(scans, "-o", tmp_path / "out") == 1
    assert loaded == ["small"]
    capsys.readouterr()
    monkeypatch.setattr(case, "read_scan", lambda *arguments: pytest.fail("began to work"))
    for wrong in (["--model", "liver"], ["--backend", "abacus"]):
        assert main(["segment", str(scans), "-o", str(tmp_path / "no"), *wrong]) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1 and captured.out == "" and not (tmp_path / "no").exists()


def test_skip_existing_does_what_is_missing(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, report = tmp_path / "out", tmp_path / "report.jsonl"
    assert run(scans / "a.nii.gz", "-o", out) == 0
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert run(scans, "-o", out, "--skip-existing", "--report", report) == 1
    assert [line["status"] for line in lines(report)] == ["skipped", "failed", "done"]
    assert before.items() <= {path: path.stat().st_mtime_ns for path in out.iterdir()}.items()
    capsys.readouterr()
    assert run(scans / "a.nii.gz", "-o", out, "--skip-existing") == 0
    captured = capsys.readouterr()
    assert captured.out == "" and "left out" in captured.err


def test_a_part_of_the_results_is_neither_skipped_nor_lost(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(scans / "a.nii.gz", scans / "c.mha", "-o", out) == 0
    (out / "a.json").unlink()
    (out / "a.seg.nrrd").write_text("edited")
    assert run(scans / "a.nii.gz", scans / "c.mha", "-o", out, "--skip-existing") == 1
    assert "a.seg.nrrd is there already" in capsys.readouterr().err and (out / "a.seg.nrrd").read_text() == "edited"
    assert run(scans / "a.nii.gz", scans / "c.mha", "-o", out, "--skip-existing", "--overwrite") == 0
    assert "1 done, 1 skipped, 0 failed" in capsys.readouterr().out


def test_what_came_during_the_run_is_not_replaced(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def meanwhile(*arguments: Any) -> None:
        (out / "a_labels.nii.gz").write_text("of another process")

    monkeypatch.setattr(case, "write_sheet", meanwhile)
    assert run(scans / "a.nii.gz", "-o", out) == 2
    assert "a_labels.nii.gz is there by now" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["a_labels.nii.gz"]


def test_shards_are_all_and_each_once(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(7):
        of(f"s{number}.nii")(scans)
    whole = plan_cases([scans])
    parts = [shared(whole, (k, 4)) for k in range(1, 5)]
    assert sorted((case for part in parts for case in part), key=lambda case: case.stem) == whole and len(whole) == 10
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert run(scans, "-o", tmp_path / "out", "--shard", "3/5") == 0
    assert stems(tmp_path / "out") == [whole[2].stem, whole[7].stem]
    assert run(scans, "-o", tmp_path / "out", "--shard", "12/12", "--json") == 0
    assert capsys.readouterr().out.endswith("[]\n")


@pytest.mark.parametrize("shard", ["0/4", "5/4", "0/0", "1", "a/b", "-1/4", "1/4/2"])
def test_a_shard_out_of_range_is_refused(
    shard: str, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(scans, "-o", tmp_path / "out", f"--shard={shard}") == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and ("the count begins at 1" in text or "not of the form k/N" in text)


def test_inputs_of_one_name_are_refused_before_any_work(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more").mkdir()
    other = of("A.nrrd")(tmp_path / "more")
    assert run(scans, other, "-o", tmp_path / "out") == 2
    text = capsys.readouterr().err
    assert str(other) in text and str(scans / "a.nii.gz") in text and text.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_input_is_never_written_over(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = of("a_labels.nii.gz")(scans)
    content = path.read_bytes()
    for shard in ("1/4", "2/4"):
        assert run(scans, "-o", scans, "--overwrite", "--shard", shard) == 2
        assert str(path) in capsys.readouterr().err and path.read_bytes() == content


def test_what_is_given_twice_is_taken_once(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(scans)
    cases = plan_cases([Path("c.mha"), scans, scans / "a.nii.gz"])
    assert [case.stem for case in cases] == ["c", "a", "b"]


def test_all_frames_and_one_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, single, out = file("bold.nii.gz", lambda: series(11))(tmp_path), of("t1.nii")(tmp_path), tmp_path / "out"
    assert run(path, single, "-o", out, "--frame", "all", "--shard", "2/6") == 0
    assert stems(out) == ["bold_frame01", "bold_frame07"]
    assert json.loads((out / "bold_frame07.json").read_text())["frame"] == 7
    assert run(path, "-o", out, "--frame", "10", "--json") == 0
    assert stems(out)[-1] == "bold_frame10"
    assert plan_cases([path, single], "all")[-1].stem == "t1" and len(plan_cases([path, single], "all")) == 12
    capsys.readouterr()
    assert run(path, "-o", out, "--frame", "-1") == 2 and run(path, "-o", out, "--frame", "some") == 2
    assert "counted from 0" in capsys.readouterr().err


def test_the_record_says_how_many_voxels_were_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file("a.nii", with_values(np.nan, np.inf))(tmp_path)
    assert run(path, "-o", tmp_path / "out", "--replace-nonfinite", "--json") == 0
    assert json.loads(capsys.readouterr().out)["nonfinite_voxels_replaced"] == 2


def test_a_report_that_cannot_be_written_is_refused_before_any_work(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(scans, "-o", tmp_path / "out", "--report", tmp_path / "no" / "report.jsonl") == 2
    assert "The report" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on the size of files")
def test_a_full_disk_is_told_for_the_report_too(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.jsonl"
    with full_disk(tmp_path, 50):
        assert run(scans, "-o", tmp_path / "out", "--report", report) == 2
    assert "The report" in capsys.readouterr().err


def test_progress_of_several_goes_up_to_one(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(scans / "a.nii.gz", scans / "c.mha", "-o", tmp_path / "out", "--progress", "json") == 0
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    fractions = [line["fraction"] for line in told]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert {"a: reading", "c: network", "done"} <= {line["step"] for line in told}


def test_letters_that_the_output_cannot_show_do_not_stop_a_batch(tmp_path: Path, model: Path) -> None:
    of("頭.nii")(tmp_path)
    of("a.nii")(tmp_path)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    arguments = [str(tmp_path), "-o", str(tmp_path / "out"), "--model", str(model), "--backend", "numpy"]
    done = subprocess.run(
        [sys.executable, "-m", "LowResSegLib", "segment", *arguments],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and "2 done" in done.stdout, done.stderr


def test_the_page_on_batches_gives_a_shard_that_is_understood() -> None:
    text = (CHECKOUT / "docs" / "batch.md").read_text(encoding="utf-8")
    (shard,) = re.findall(r"--shard (\S+)", text.split("```")[1])
    values = {"SLURM_ARRAY_TASK_ID": "20", "SLURM_ARRAY_TASK_COUNT": "20"}
    assert shard_argument(re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], shard)) == (20, 20)


def test_warnings_are_told_with_the_input_and_are_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of("a.nii")(tmp_path)
    path, report = file("b.nii", lambda: itk(ct()))(tmp_path), tmp_path / "report.jsonl"
    assert run(tmp_path, "-o", tmp_path / "out", "--report", report) == 0
    assert f"lowresseg: {path}: the model random is for MR, but the scan's lowest value" in capsys.readouterr().err
    first, second = lines(report)
    assert first["warnings"] == [] and "is that of a CT" in second["warnings"][0]


def test_what_a_scan_is_refused_for_is_told_with_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where it is the model's grid that it does not fit."""
    path = file("a.nii", lambda: itk(replace(scan(), spacing=(99.0, 99.0, 99.0))))(tmp_path)
    assert run(path, "-o", tmp_path / "out") == 2
    assert f"{path} cannot be used: the volume is 1.19e+03 x" in capsys.readouterr().err
