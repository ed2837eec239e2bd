"""What the guide and the files for boards tell people to type is understood."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from LowResSegLib.cli import parser
from LowResSegLib.remote.protocol import PORT

CHECKOUT = Path(__file__).resolve().parents[2]
JETSON = CHECKOUT / "packaging" / "jetson"
GUIDE = CHECKOUT / "docs" / "remote.md"
UNITS = sorted(JETSON.glob("*.service"))


def commands(path: Path) -> list[list[str]]:
    """The calls of `lowresseg` in a file, as lists of words: lines of code, and what is between backticks."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    # After the program, or after the container image of that name.
    calls = re.findall(r"\blowresseg (?=(?:serve|remote|segment)\b)([^`\n]*)", text)
    return [shlex.split(call, comments=True) for call in calls]


def all_commands() -> list[tuple[str, list[str]]]:
    return [(path.name, words) for path in (GUIDE, *UNITS) for words in commands(path)]


def test_there_are_commands() -> None:
    assert len(all_commands()) >= 12
    assert {name for name, _ in all_commands()} == {GUIDE.name, *(path.name for path in UNITS)}


@pytest.mark.parametrize(("name", "words"), all_commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_each_command_is_one(name: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    incomplete = {("remote", "forget"): ["HOST:1"], ("serve", "--help"): []}
    for beginning, more in incomplete.items():
        if tuple(words) == beginning:
            words = [*words, *more]
    if "--help" in words:
        return
    if words == ["segment"]:
        return
    parser().parse_args(words)


def test_the_options_in_the_guide_are_the_client_s() -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["segment", "--help"])
    known = set(re.findall(r"`(--remote[a-z-]*)", GUIDE.read_text(encoding="utf-8")))
    text = (CHECKOUT / "LowResSegLib" / "cli" / "remote.py").read_text(encoding="utf-8")
    names = {f"--remote{end}" for end in ("", "-token-file", "-ca", "-fingerprint", "-fallback", "-volume")}
    assert known == names and all(name.replace("--remote-", "") in text for name in names)


def test_the_container_speaks_at_the_port_that_is_published() -> None:
    assert f"EXPOSE {PORT}" in (JETSON / "Containerfile").read_text(encoding="utf-8")
    assert f"--publish {PORT}:{PORT}" in (JETSON / "lowresseg.service").read_text(encoding="utf-8")


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    # Its programs are not here; something that is stands for them.
    text = re.sub(r"^(Exec\w+=-?)\S+", r"\1/bin/true", unit.read_text(encoding="utf-8"), flags=re.MULTILINE)
    copy = tmp_path / unit.name
    copy.write_text(re.sub(r"^(After|Requires|Wants)=.*\n", "", text, flags=re.MULTILINE), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True)
    own = [line for line in done.stderr.splitlines() if unit.name in line]
    assert not own, own


def test_no_file_names_another_file_that_is_not_there() -> None:
    for path in (GUIDE, *JETSON.iterdir()):
        for name in re.findall(r"packaging/jetson/[\w.-]+", path.read_text(encoding="utf-8")):
            assert (CHECKOUT / name).exists(), f"{path.name} names {name}"
        for name in re.findall(r"\]\(([\w./-]+\.md)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / name).exists(), f"{path.name} links to {name}"
