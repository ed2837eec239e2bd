"""The tests that run inside the Slicer application, one item each: `SLICER_EXECUTABLE=... make test-slicer`.

Where there is no Slicer they are skipped by name. That they would be found, run and reported is tested with slicer-core
and the stand-ins in the application's place.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import in_application
import pytest
from scans import REPOSITORY

SCRIPT = Path(in_application.__file__)
SLICER = os.environ.get("SLICER_EXECUTABLE", "")
ARGUMENTS = ("--no-splash", "--no-main-window", "--testing")
MINUTES = 60
# What a Slicer that is not there does with its arguments: the stand-ins are its application.
PRETENDED = """
import runpy, sys
import slicer, slicer.util, standins
standins.install(slicer)
slicer.app.exit = slicer.util.exit = sys.exit
assert sys.argv[1:4] == ["--no-splash", "--no-main-window", "--testing"], sys.argv
assert sys.argv[4] == "--python-script"
sys.argv = sys.argv[5:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_slicer(executable: str, report: Path, only: str = "") -> tuple[int, dict[str, str], str]:
    """Run the tests in a Slicer: its exit status, the outcome of each test, and what it printed."""
    environment = {**os.environ, "LOWRESSEG_TEST_REPORT": str(report), "LOWRESSEG_TEST_ONLY": only}
    command = [*shlex.split(executable), *ARGUMENTS, "--python-script", str(SCRIPT)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60 * MINUTES)
    outcomes = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
    return run.returncode, outcomes, run.stdout + run.stderr


@pytest.fixture(scope="module")
def in_slicer(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, str], str]:
    return run_slicer(SLICER, tmp_path_factory.mktemp("slicer") / "report.json")


@pytest.mark.parametrize("name", in_application.names())
def test_in_slicer(name: str, request: pytest.FixtureRequest) -> None:
    if not SLICER:
        pytest.skip(f"SLICER_EXECUTABLE is not set: {name}")  # with the name, lest all become one line
    _, outcomes, printed = request.getfixturevalue("in_slicer")
    if name not in outcomes and "pytest is not installed" in printed:
        pytest.skip("pytest is not installed in that Slicer's Python")
    outcome = outcomes.get(name, f"not run: {printed[-3000:]}")
    if outcome.startswith("skipped"):
        pytest.skip(outcome)
    assert outcome == "passed", outcome


@pytest.mark.skipif(not SLICER, reason="SLICER_EXECUTABLE is not set")
def test_slicer_exits_well(in_slicer: tuple[int, dict[str, str], str]) -> None:
    status, _, printed = in_slicer
    assert status == 0, printed[-3000:]


@pytest.fixture
def pretended(tmp_path: Path, application: object) -> str:
    """The command of a program that takes Slicer's arguments and has slicer-core and the stand-ins inside."""
    program = tmp_path / "pretended_slicer.py"
    folders = [str(SCRIPT.parent), str(REPOSITORY / "LowResSeg"), str(REPOSITORY)]
    program.write_text(f"import sys; sys.path[1:1] = {folders!r}\n{PRETENDED}", encoding="utf-8")
    return shlex.join([sys.executable, str(program)])


def test_names_are_those_of_the_tests_that_are_run(pretended: str, tmp_path: Path) -> None:
    names = in_application.names()
    assert len(names) == len(set(names)) and len(names) > 5
    assert any(name.startswith("LowResSegTest.") for name in names)

    status, outcomes, printed = run_slicer(pretended, tmp_path / "report.json", only="test_seg_nrrd.py")
    assert status == 0, printed[-3000:]
    assert sorted(outcomes) == sorted(name for name in names if name.startswith("test_seg_nrrd.py"))
    assert set(outcomes.values()) == {"passed"}


def test_the_self_test_of_the_module_is_run(pretended: str, tmp_path: Path) -> None:
    status, outcomes, printed = run_slicer(pretended, tmp_path / "report.json", only="LowResSegTest")
    assert status == 0, printed[-3000:]
    assert sorted(outcomes) == sorted(name for name in in_application.names() if name.startswith("LowResSegTest"))
    assert not [outcome for outcome in outcomes.values() if outcome.startswith("failed")]


def test_a_failure_is_told_with_its_reason_and_by_the_exit_status(pretended: str, tmp_path: Path) -> None:
    broken = Path(shlex.split(pretended)[1])
    lines = (
        "from LowResSeg import LowResSegTest",
        "def fail(self): assert not 'a reason'",
        "for name in dir(LowResSegTest):",
        "    if name.startswith('test_'): setattr(LowResSegTest, name, fail)",
        "runpy.run_path",
    )
    text = broken.read_text(encoding="utf-8").replace("runpy.run_path", "\n".join(lines), 1)
    broken.write_text(text, encoding="utf-8")

    status, outcomes, _ = run_slicer(pretended, tmp_path / "report.json", only="LowResSegTest")
    assert status == 1
    assert outcomes and all(why.startswith("failed") and "a reason" in why for why in outcomes.values())


def test_nothing_that_ran_is_a_failure(pretended: str, tmp_path: Path) -> None:
    status, outcomes, _ = run_slicer(pretended, tmp_path / "report.json", only="no such test")
    assert status == 1 and outcomes == {}
