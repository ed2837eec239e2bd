"""The kernels in C give numpy's numbers, and take damaged input and cancelling, however they are compiled."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from builds import ADDRESS, ARM, OLD, PLAIN, STARVED, THREAD, X86, Build, driver, need_build, run


def each(*builds: Build) -> pytest.MarkDecorator:
    """Run a test with each build."""
    marked = [pytest.param(build, id=build.name, marks=[pytest.mark.cross] if build.runner else []) for build in builds]
    return pytest.mark.parametrize("build", marked)


@pytest.fixture
def command(build: Build, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The command that runs the driver of a build."""
    need_build(build)
    folder = tmp_path_factory.getbasetemp() / f"driver-{build.name}"
    folder.mkdir(exist_ok=True)
    return driver(build, folder)


@each(*PLAIN, *ADDRESS, *THREAD, *ARM, OLD)
def test_every_instruction_set_and_number_of_threads_gives_the_same(
    build: Build, command: tuple[str, ...], cases: Path
) -> None:
    said = run([*command, "check", cases])
    assert "as expected" in said
    sets = int(said.rsplit(" ", 1)[1], 16)
    if build is OLD:
        assert sets == 0b11  # neither AVX2 nor AVX-512
    elif build.machine in X86:
        assert sets & 0b11 == 0b11
    elif build.machine == "aarch64":
        assert sets == 0b10001


@each(*PLAIN, *ADDRESS, *ARM)
def test_damaged_input_is_refused_or_run_and_never_a_fault(build: Build, command: tuple[str, ...], cases: Path) -> None:
    assert "damaged runs" in run([*command, "damage", cases, 1, 300 if build.runner else 20000])


@each(*PLAIN, *ADDRESS, *THREAD, *ARM)
def test_runs_can_be_cancelled_and_freed_at_any_time(build: Build, command: tuple[str, ...], cases: Path) -> None:
    assert "cancelled" in run([*command, "cancel", cases, 1, 60 if build.runner else 600])


@pytest.mark.skipif(sys.platform != "linux", reason="needs the linker's --wrap")
@each(STARVED)
def test_memory_and_threads_may_run_out_at_any_time(build: Build, command: tuple[str, ...], cases: Path) -> None:
    assert "starved runs" in run([*command, "starve", cases, 1, 2000])
