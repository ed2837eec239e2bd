"""Run the module's tests inside the Slicer application.

    Slicer --no-splash --no-main-window --testing --python-script Testing/Slicer/in_application.py

`LowResSegTest` runs as it is. The tests of this folder that ask nothing of the stand-ins run too where pytest is
installed in Slicer's Python (`PythonSlicer -m pip install pytest`): the application then takes the stand-ins' place.

Environment: LOWRESSEG_TEST_REPORT is a JSON file that gets the outcome of each test as soon as it is known;
LOWRESSEG_TEST_ONLY is a part of the names of the tests to run. It can be imported without Slicer, to ask for `names`.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import traceback
import types
import unittest
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
REPOSITORY = FOLDER.parents[1]
# About files, or about what is around the application: nothing in them can be otherwise inside it.
ELSEWHERE = (
    "api_names", "cmake", "guide", "in_application", "install_tree", "module_source", "render", "sampledata", "startup",
)  # fmt: skip


def names() -> list[str]:
    """Names of all tests that can run inside Slicer, as LowResSegTest.test_x and test_file.py::test_y."""
    found = [f"LowResSegTest.{name}" for name in _tests(REPOSITORY / "LowResSeg" / "LowResSeg.py", "LowResSegTest")]
    for path in _files():
        found += [f"{path.name}::{name}" for name in _tests(path)]
    return found


def _files() -> list[Path]:
    """Test files that ask nothing of the stand-ins."""
    files = sorted(FOLDER.glob("test_*.py"))
    files = [path for path in files if path.stem[len("test_") :] not in ELSEWHERE]
    return [path for path in files if "standins" not in path.read_text(encoding="utf-8")]


def _tests(path: Path, within: str = "") -> list[str]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    if within:
        (body,) = (node.body for node in body if isinstance(node, ast.ClassDef) and node.name == within)
    tests = [node for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return [node.name for node in tests if not _changes_the_application(node)]


def _changes_the_application(test: ast.FunctionDef) -> bool:
    """Whether a test replaces something of slicer: what the stand-ins let it do, the application may not."""
    calls = [node for node in ast.walk(test) if isinstance(node, ast.Call) and node.args]
    changes = [call for call in calls if ast.unparse(call.func) in ("monkeypatch.setattr", "monkeypatch.delattr")]
    return any(ast.unparse(call.args[0]).split(".")[0] == "slicer" for call in changes)


class Report:
    """The outcome of each test: "passed", or "failed" or "skipped" and why. Written at once: Slicer may crash."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self._path = os.environ.get("LOWRESSEG_TEST_REPORT")

    def add(self, name: str, outcome: str, why: str = "") -> None:
        """Note an outcome; of a test that runs several times, the worst counts."""
        kept = self.outcomes.get(name, "")
        if kept.startswith("failed") or (kept.startswith("passed") and outcome == "skipped"):
            return
        self.outcomes[name] = f"{outcome}: {why}" if why else outcome
        sys.stdout.write(f"{name} {self.outcomes[name]}\n")
        if self._path:
            Path(self._path).write_text(json.dumps(self.outcomes), encoding="utf-8")

    @property
    def failed(self) -> bool:
        """Whether a test has failed, or none has run."""
        return not self.outcomes or any(outcome.startswith("failed") for outcome in self.outcomes.values())


class _UnitTests(unittest.TextTestResult):
    report: Report

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self.report.add(_name(test), "passed")

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self.report.add(_name(test), "failed", "".join(traceback.format_exception(*err)))

    addError = addFailure

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self.report.add(_name(test), "skipped", reason)


def _name(test: Any) -> str:
    return f"LowResSegTest.{test.id().rsplit('.', 1)[-1]}"


class _Pytest:
    """A plugin of pytest that tells the report."""

    def __init__(self, report: Report, wanted: set[str]) -> None:
        self._report, self._wanted = report, wanted

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if _node(item.nodeid) in self._wanted]

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            why = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longreprtext
            self._report.add(_node(report.nodeid), report.outcome, str(why))

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._report.add(_node(report.nodeid), "failed", report.longreprtext)


def _node(identifier: str) -> str:
    return identifier.rsplit("/", 1)[-1].split("[")[0]


def _application_for_standins() -> types.ModuleType:
    """What tests take for the stand-ins: the application is there already, and its own event loop turns."""
    import slicer

    class QTimer:
        waiting: list[Any] = []  # noqa: RUF012

        @staticmethod
        def turn() -> None:
            slicer.app.processEvents()

    module = types.ModuleType("standins")
    vars(module).update(install=lambda slicer: None, QTimer=QTimer)
    return module


def main() -> int:
    """Run what LOWRESSEG_TEST_ONLY asks for; the exit status."""
    only = os.environ.get("LOWRESSEG_TEST_ONLY", "")
    report = Report()
    for folder in (FOLDER, REPOSITORY / "LowResSeg", REPOSITORY):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))  # behind: an installed module goes first
    from LowResSeg import LowResSegTest

    _UnitTests.report = report
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(LowResSegTest)
    wanted = unittest.TestSuite(test for test in tests if only in _name(test))
    unittest.TextTestRunner(stream=sys.stdout, resultclass=_UnitTests).run(wanted)
    try:
        import pytest
    except ImportError:
        sys.stdout.write("pytest is not installed in this Python, so LowResSegTest alone was run.\n")
    else:
        sys.modules["standins"] = _application_for_standins()
        options = ["--capture=no", "-p", "no:cacheprovider", "--rootdir", str(REPOSITORY)]
        chosen = {name for name in names() if only in name}
        pytest.main([*options, *map(str, _files())], plugins=[_Pytest(report, chosen)])
    return int(report.failed)


if __name__ == "__main__":
    import slicer.util

    slicer.util.exit(main())
