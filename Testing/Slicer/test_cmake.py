"""The CMake files: their lists against the folders, the kernels without Slicer, what the catalogue is told."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from install_tree import LIBRARY, TRAINING, cmake, needs_cmake, scripts_in
from scans import REPOSITORY

TOP = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
SCHEMA = {  # slicer-extension-catalog-entry-schema-v1.0.1.json: each property and its type
    "$schema": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "category": str,
    "enabled": bool,
    "scm_revision": str,
    "scm_type": str,
    "scm_url": str,
    "tier": int,
}
LARGEST = 100e6  # bytes of a repository, which is what the index accepts


def listed(folder: str, variable: str) -> list[str]:
    """The entries of a list in a folder's CMakeLists.txt."""
    text = (REPOSITORY / folder / "CMakeLists.txt").read_text(encoding="utf-8")
    match = re.search(rf"set\({variable}\s+([^)]*)\)", text)
    assert match, f"{variable} is not set in {folder}/CMakeLists.txt"
    return match[1].split()


def told(name: str) -> str:
    """What the extension says of itself in the top CMakeLists.txt."""
    match = re.search(rf'set\(EXTENSION_{name} "([^"]*)"\)', TOP)
    assert match, f"EXTENSION_{name} is not set"
    return match[1]


def test_list_of_the_library_has_every_script() -> None:
    assert sorted(listed("LowResSegLib", "MODULE_PYTHON_SCRIPTS")) == sorted(
        scripts_in(REPOSITORY / "LowResSegLib", TRAINING)
    )


def test_library_has_no_other_files_to_install() -> None:
    folder = REPOSITORY / "LowResSegLib"
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    other = {path.as_posix() for path in files if path.parts[0] not in TRAINING and "__pycache__" not in path.parts}
    other = {name for name in other if not name.endswith(".py")}
    sources = {name for name in other if re.fullmatch(r"kernels/src/\w+\.[ch]", name)}
    assert other - sources - {f"kernels/{LIBRARY}"} == {"CMakeLists.txt", "kernels/CMakeLists.txt"}


def test_lists_of_the_module_have_every_script_and_resource() -> None:
    folder = REPOSITORY / "LowResSeg"
    resources = {path.relative_to(folder).as_posix() for path in (folder / "Resources").rglob("*") if path.is_file()}

    assert sorted(listed("LowResSeg", "MODULE_PYTHON_SCRIPTS")) == sorted(scripts_in(folder))
    assert sorted(listed("LowResSeg", "MODULE_PYTHON_RESOURCES")) == sorted(resources)


def test_module_has_no_other_files_to_install() -> None:
    folder = REPOSITORY / "LowResSeg"
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    other = {path.as_posix() for path in files if "__pycache__" not in path.parts and path.suffix != ".py"}
    assert {name for name in other if not name.startswith("Resources/")} == {"CMakeLists.txt"}


@needs_cmake
def test_builds_just_the_kernels_without_slicer(tmp_path: Path) -> None:
    for _ in range(2):  # the second time, what the first time found is in the cache
        assert "Slicer_DIR is not set" in cmake("-S", REPOSITORY, "-B", tmp_path)
    cmake("--build", tmp_path, "--parallel", 2)
    cmake("--install", tmp_path, "--prefix", tmp_path / "prefix")
    files = [path for path in (tmp_path / "prefix").rglob("*") if path.is_file()]
    assert files == [tmp_path / "prefix" / "LowResSegLib" / "kernels" / LIBRARY]


@needs_cmake
def test_a_wrong_slicer_is_an_error(tmp_path: Path) -> None:
    command = ["cmake", "-S", str(REPOSITORY), "-B", str(tmp_path), f"-DSlicer_DIR={tmp_path / 'nosuch'}"]
    assert subprocess.run(command, capture_output=True).returncode != 0


def test_catalogue_entry_has_what_the_index_asks_for() -> None:
    entry = json.loads((REPOSITORY / "LowResSeg.json").read_text(encoding="utf-8"))

    assert {"$schema", "category", "scm_url"} <= set(entry)
    assert {name: type(value) for name, value in entry.items()} == {name: SCHEMA[name] for name in entry}
    assert entry["$schema"].endswith("/Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json#")
    assert entry["tier"] in (1, 3, 5) and entry.get("scm_type", "git") == "git"
    assert entry["scm_url"].rsplit("/", 1)[-1].startswith("Slicer")
    assert "project(LowResSeg)" in TOP  # the entry's file name
    assert told("HOMEPAGE").split("#")[0] == entry["scm_url"]
    assert told("CATEGORY") == entry["category"]
    assert ";" not in told("DESCRIPTION")  # Slicer passes it on without quotes
    assert (REPOSITORY / "LICENSE").is_file()


@pytest.mark.parametrize("name", ["ICONURL", "SCREENSHOTURLS"])
def test_pictures_that_the_catalogue_downloads_are_in_the_repository(name: str) -> None:
    entry = json.loads((REPOSITORY / "LowResSeg.json").read_text(encoding="utf-8"))
    owner = entry["scm_url"].replace("https://github.com/", "")
    base = f"https://raw.githubusercontent.com/{owner}/{entry['scm_revision']}/"
    addresses = told(name).split()
    assert addresses
    for address in addresses:
        assert address.startswith(base)
        path = REPOSITORY / address[len(base) :]
        assert path.is_file() and path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", address


def test_the_repository_is_small_enough_for_the_index() -> None:
    if not (REPOSITORY / ".git").exists():
        pytest.skip("this is no checkout")
    command = ["git", "-C", str(REPOSITORY), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
    paths = [REPOSITORY / name for name in names if name]
    assert sum(path.stat().st_size for path in paths if path.is_file()) < LARGEST / 4  # history comes on top
