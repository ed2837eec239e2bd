"""Models are installed whole or not at all, under their own names, into the user's folder, and removed from it."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plans import random_model

from LowResSegLib import cli
from LowResSegLib.errors import InputError, ModelError
from LowResSegLib.model import (
    SUFFIX,
    InstalledModel,
    available_models,
    install_model,
    installed_models,
    load_model,
    read_model,
    remove_model,
    store,
    user_folder,
    write_model,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder is one of the test; returns it, not made yet."""
    monkeypatch.delenv("LOWRESSEG_MODELS", raising=False)
    folder = tmp_path / "home" / "Models"
    monkeypatch.setattr(store, "user_folder", lambda: folder)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A model named `liver` in a file of another name."""
    return written(tmp_path / f"download (1){SUFFIX}", "liver")


def written(path: Path, name: str, classes: int = 4) -> Path:
    write_model(path, replace(random_model(np.random.default_rng(0), classes), name=name))
    return path


def listed(name: str) -> InstalledModel:
    return next(model for model in installed_models() if model.name == name)


def contents(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_a_model_is_installed_under_its_own_name_and_removed(file: Path, home: Path) -> None:
    target = install_model(file)
    assert target == home / f"liver{SUFFIX}" and target.read_bytes() == file.read_bytes()
    assert contents(home) == [target.name]
    assert load_model("liver").name == "liver"
    assert listed("liver") == InstalledModel("liver", target, file.stat().st_size, True, None)
    assert not listed("brain").removable and listed("brain").error is None
    assert remove_model("liver") == target and contents(home) == []
    with pytest.raises(ModelError, match=r"no model named 'liver'; installed are: .*brain"):
        remove_model("liver")


def test_a_name_that_exists_is_refused_unless_it_may_be_overwritten(file: Path, home: Path, tmp_path: Path) -> None:
    target = install_model(file)
    other = written(tmp_path / f"other{SUFFIX}", "liver", classes=7)
    with pytest.raises(ModelError, match=r"A model named liver is at .* already"):
        install_model(other)
    assert target.read_bytes() == file.read_bytes()
    assert len(load_model("liver").labels) == 4
    install_model(other, overwrite=True)
    assert len(load_model("liver").labels) == 7 and contents(home) == [target.name]


def test_a_bundled_model_is_hidden_by_ones_own_and_comes_back(home: Path, tmp_path: Path) -> None:
    bundled = load_model("brain").digest
    own = written(tmp_path / f"x{SUFFIX}", "brain")
    with pytest.raises(ModelError, match="A model named brain"):
        install_model(own)
    with pytest.raises(ModelError, match="not in your own folder"):
        remove_model("brain")
    install_model(own, overwrite=True)
    assert load_model("brain").digest != bundled and listed("brain").removable
    remove_model("brain")
    assert load_model("brain").digest == bundled


def test_a_model_that_would_not_be_found_is_not_installed(
    file: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tmp_path / "first"
    first.mkdir()
    written(first / f"liver{SUFFIX}", "liver")
    monkeypatch.setenv("LOWRESSEG_MODELS", str(first))
    for overwrite in (False, True):
        with pytest.raises(ModelError, match="LOWRESSEG_MODELS"):
            install_model(file, overwrite)
    assert contents(home) == []
    with pytest.raises(ModelError, match="not in your own folder"):
        remove_model("liver")


@pytest.mark.parametrize("content", [b"", b"PK nonsense", b"half"])
def test_what_is_refused_is_not_installed(content: bytes, file: Path, home: Path) -> None:
    bad = file.with_name(f"bad{SUFFIX}")
    bad.write_bytes(file.read_bytes()[:200] if content == b"half" else content)
    with pytest.raises(ModelError, match="is refused"):
        install_model(bad)
    with pytest.raises(ModelError, match="cannot be read"):
        install_model(file.with_name(f"missing{SUFFIX}"))
    assert contents(home) == []


@pytest.mark.parametrize("name", ["NUL", "con.old", "liver.", "liver "])
def test_names_that_are_no_file_names_everywhere_are_refused(name: str, tmp_path: Path, home: Path) -> None:
    with pytest.raises(ModelError, match="cannot be the name of a file"):
        install_model(written(tmp_path / f"x{SUFFIX}", name))
    assert contents(home) == []


@pytest.mark.parametrize("name", ["../outside", "", ".", "..", "sub/inside", "/etc/passwd", "a\0b", "liver.lowresseg"])
def test_paths_are_no_names(name: str, file: Path, home: Path) -> None:
    install_model(file)
    outside = home.parent / f"outside{SUFFIX}"
    inside = home / "sub" / f"inside{SUFFIX}"
    inside.parent.mkdir()
    for path in (outside, inside):
        path.write_bytes(b"x")
    with pytest.raises(ModelError, match="no model named"):
        remove_model(name)
    assert outside.exists() and inside.exists() and contents(home) == [f"liver{SUFFIX}", "sub"]


def test_damaged_and_renamed_files_are_listed_under_the_files_name(file: Path, home: Path) -> None:
    home.mkdir(parents=True)
    (home / f"bad{SUFFIX}").write_bytes(b"PK")
    (home / f"folder{SUFFIX}").mkdir()
    (home / f"renamed{SUFFIX}").write_bytes(file.read_bytes())
    (home / f".123.half{SUFFIX}").write_bytes(b"x")
    assert "no model file" in str(listed("bad").error) and listed("bad").bytes == 2 and listed("bad").removable
    assert "cannot be read" in str(listed("folder").error)
    assert listed("renamed").error is None and load_model("renamed").name == "liver"
    assert not any("half" in name for name in available_models())
    remove_model("bad")
    with pytest.raises(InputError, match="cannot be removed"):
        remove_model("folder")
    assert "bad" not in available_models()


def test_a_link_is_removed_and_not_what_it_leads_to(file: Path, home: Path) -> None:
    home.mkdir(parents=True)
    link = home / f"link{SUFFIX}"
    try:
        link.symlink_to(file)
    except OSError:
        pytest.skip("this system or user cannot make links")
    remove_model("link")
    assert file.exists() and not os.path.lexists(link)


def test_a_full_disk_leaves_nothing_behind(file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = install_model(file)
    before = target.read_bytes()

    def full(path: Path, content: bytes) -> int:
        with open(path, "wb") as half:
            half.write(content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"No space left on device\); make room"):
        install_model(file, overwrite=True)
    assert target.read_bytes() == before and contents(home) == [target.name]


def test_a_folder_that_cannot_be_written_to(file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as denied:
        denied.setattr(Path, "mkdir", refuse)
        with pytest.raises(InputError, match=r"cannot be made \(Permission denied\)"):
            install_model(file)
    target = install_model(file)
    with monkeypatch.context() as denied:
        denied.setattr(os, "replace", refuse)
        with pytest.raises(InputError, match=r"cannot be written \(Permission denied\)"):
            install_model(file, overwrite=True)
        denied.setattr(Path, "unlink", refuse)
        with pytest.raises(InputError, match=r"cannot be removed \(Permission denied\)"):
            remove_model("liver")
    assert read_model(target).name == "liver"


def test_a_file_is_in_the_way_of_the_folder(file: Path, home: Path) -> None:
    home.parent.write_text("x")
    with pytest.raises(InputError, match="cannot be made"):
        install_model(file)
    assert "brain" in available_models()


def test_the_users_folder_is_where_the_system_has_such_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setenv("APPDATA", "/roaming")
    for platform, expected in (("linux", "/data"), ("win32", "/roaming"), ("darwin", "Application Support")):
        monkeypatch.setattr("sys.platform", platform)
        assert expected in user_folder().as_posix() and user_folder().parts[-2:] == ("LowResSeg", "Models")


def test_the_command_line_installs_lists_and_removes(
    file: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(status: int, *arguments: object) -> tuple[str, str]:
        assert cli.main(["models", *map(str, arguments)]) == status
        captured = capsys.readouterr()
        return captured.out, captured.err

    assert run(0, "--install", file) == (f"installed as {home / f'liver{SUFFIX}'}\n", "")
    assert "already" in run(2, "--install", file)[1]
    run(0, "--install", file, "--overwrite")
    (home / f"bad{SUFFIX}").write_bytes(b"PK")
    out, err = run(0)
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "(refused)" in lines["bad"] and "Random" in lines["liver"] and str(home) in lines["liver"]
    assert "no model file" in err
    entries = {entry["name"]: entry for entry in json.loads(run(0, "--json")[0])}
    assert entries["liver"]["bytes"] == file.stat().st_size and entries["liver"]["kind"] == "ternary"
    assert entries["liver"]["removable"] and not entries["brain"]["removable"]
    assert "is refused" in entries["bad"]["problem"] and entries["liver"]["problem"] is None
    assert "removed" in run(0, "--remove", "liver")[0]
    assert "no model named" in run(2, "--remove", "liver")[1]
    assert "not in your own folder" in run(2, "--remove", "brain")[1]
    assert "goes with --install" in run(2, "--overwrite")[1]


def test_models_are_listed_by_their_names(home: Path, tmp_path: Path) -> None:
    """Not by those of their files, in which an ending would come after a hyphen."""
    for name in ("zone-wide", "zone", "zone-small"):
        install_model(written(tmp_path / f"{name}{SUFFIX}", name))
    assert [name for name in available_models() if name.startswith("zone")] == ["zone", "zone-small", "zone-wide"]
