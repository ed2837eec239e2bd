"""The panel on PySide6 and slicer-core, with stand-ins for the application: tests of the panel's own code.

What passes here has not run in Slicer. The host takes the place of the application in its process, so these tests run
in a process of their own: `make test-panel`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QT_LOGGING_RULES", "*.debug=false;qt.qpa.*=false")
REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(Path(__file__).parent),
    str(REPOSITORY / "Testing" / "Slicer"),
    str(REPOSITORY / "Testing" / "Remote"),
    str(REPOSITORY / "LowResSeg"),
    str(REPOSITORY),
]

from scans import load, write_scan  # noqa: E402


@pytest.fixture(scope="session")
def application(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The package `slicer` as the panel finds it in the application."""
    pytest.importorskip("PySide6", reason="PySide6 is not installed (pip install PySide6)")
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (pip install slicer-core)")
    if not hasattr(slicer, "vtkMRMLScene"):
        pytest.skip("the installed package named slicer is not slicer-core")
    if hasattr(slicer, "app"):
        pytest.skip("other stand-ins for Slicer are in this process already; run Testing/Panel by itself")
    from host import application

    return application.start(tmp_path_factory.mktemp("application"))


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """What slots of Qt and observers of VTK raise, which nobody else would see; a test must leave none."""
    from host import manners

    manners.slot_errors.clear()
    show = sys.excepthook

    def keep(kind: type[BaseException], error: BaseException, trace: Any) -> None:  # VTK prints errors through this
        manners.slot_errors.append(error)
        show(kind, error, trace)

    monkeypatch.setattr(sys, "excepthook", keep)
    yield manners.slot_errors
    assert not manners.slot_errors


@pytest.fixture
def slicer(
    application: Any, errors: list[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Slicer with an empty scene and fresh settings; models and measurements are kept in a folder of the test."""
    import qt

    monkeypatch.setenv("LOWRESSEG_MODELS", "")
    monkeypatch.setenv("LOWRESSEG_SETTINGS", str(tmp_path / "settings"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.parent / "cache"))
    qt.QSettings().clear()
    application.mrmlScene.Clear()
    yield application
    application.mrmlScene.Clear()


@pytest.fixture(autouse=True)
def unmeasured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No measurement of this computer but in the tests of it: it takes seconds each time."""
    if "slicer" in request.fixturenames and "measured" not in request.keywords:
        request.getfixturevalue("slicer")
        from LowResSegSlicer.logic import LowResSegLogic

        monkeypatch.setattr(LowResSegLogic, "estimate", lambda self, *arguments: None)


@pytest.fixture
def open_panel(slicer: Any) -> Iterator[Callable[[], Any]]:
    """A function that makes the panel and opens it, as Slicer does; all are closed afterwards."""
    import shiboken6
    from host import application, pump

    panels: list[Any] = []

    def make() -> Any:
        from LowResSeg import LowResSegWidget

        panel = LowResSegWidget(application.Parent())
        panels.append(panel)
        panel.setup()
        panel.parent.isEntered = True
        panel.enter()
        panel.parent.resize(440, 900)
        panel.parent.show()
        pump.settle()
        return panel

    yield make
    for panel in panels:
        panel.cleanup()
        panel.parent.hide()
        shiboken6.delete(panel.parent)  # at once: what is deleted later would see the scenes of the next tests
    pump.settle()


@pytest.fixture
def panel(open_panel: Callable[[], Any]) -> Any:
    """The panel, opened, with an empty scene."""
    return open_panel()


@pytest.fixture
def volume(slicer: Any, tmp_path: Path) -> Any:
    """The node of a small oblique scan."""
    return load(slicer, write_scan(tmp_path / "scan.nii.gz"))


@pytest.fixture
def click() -> Callable[[Any], None]:
    """Click a button as a user does: it must be seen and enabled."""

    def click(button: Any) -> None:
        from host import pump

        pump.settle()
        assert button.isVisible() and button.enabled, f"{button.name} cannot be clicked: {button.toolTip}"
        button.click()

    return click


@pytest.fixture
def finish() -> Callable[..., Any]:
    """A function that lets the event loop turn until nothing runs; returns the longest time without an answer."""
    from host import pump

    def finish(panel: Any, seconds: float = 60.0) -> Any:
        longest = pump.pump(lambda: panel.context.run is None, seconds)
        pump.settle()
        return longest

    return finish


@pytest.fixture
def segmented(panel: Any, volume: Any, click: Callable, finish: Callable) -> Any:
    """The panel after the small scan has been segmented with the bundled model."""
    click(panel.segmenting.ui.segmentButton)
    finish(panel)
    assert panel.context.result is not None
    return panel


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, slicer: Any) -> list[bool]:
    """What the user answers to questions, in their order; a question that is not expected fails."""
    prepared: list[bool] = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *given, **more: prepared.pop(0))
    return prepared


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[Any, str], Path]:
    """A function that keeps a picture of a panel, in the folder that LOWRESSEG_PICTURES names or the test's own."""
    from host.pictures import picture as draw

    folder = Path(os.environ.get("LOWRESSEG_PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return lambda panel, name: draw(panel.parent, folder / f"{name}.png")


@pytest.fixture
def server() -> Iterator[Any]:
    """The stand-in of Testing/Remote for another computer, on loopback."""
    from remote_use import TOKEN
    from stand_in import serving

    with serving(TOKEN) as server:
        yield server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, slicer: Any) -> None:
    """Servers that do not answer are given up soon."""
    from LowResSegSlicer.panel import remote

    monkeypatch.setattr(remote, "PATIENCE", 0.3)
    monkeypatch.setattr(remote, "_TEST_PATIENCE", 0.3)


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch, panel: Any) -> None:
    """The user agrees to everything."""
    monkeypatch.setattr(panel.remote, "_ask", lambda server, what: "send")


@pytest.fixture
def check(panel: Any, click: Callable) -> Callable[..., str]:
    """A function that types an address, presses "Test connection", and returns what the section says."""
    from remote_use import TOKEN, give, wait

    def check(url: str, token: str = TOKEN) -> str:
        give(panel, url, token)
        click(panel.remote.ui.testConnectionButton)
        assert panel.remote.ui.remoteMessage.text == "Connecting…"
        wait(lambda: panel.context.run is None)
        return str(panel.remote.ui.remoteMessage.text)

    return check
