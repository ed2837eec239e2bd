"""How tests use the section "Remote": type an address, answer the question, wait for the end."""

from __future__ import annotations

import time
from typing import Any, Callable

TOKEN = "a-token-of-this-test"


def wait(until: Callable[[], bool], seconds: float = 60.0) -> None:
    """Let the event loop turn, and the stand-in's threads run: `pump` keeps Python's lock, as Slicer does."""
    from host import pump

    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "it has not come about in time"
        pump.settle(1)
        time.sleep(0.005)
    pump.settle()


def finish(panel: Any) -> str:
    """Wait until nothing runs; returns what the panel says below the button."""
    wait(lambda: panel.context.run is None)
    return str(panel.segmenting.ui.statusLabel.text)


def give(panel: Any, url: str, token: str = TOKEN) -> None:
    """Type address and token, and check the box."""
    ui = panel.remote.ui
    ui.remoteSection.collapsed = False
    ui.remoteAddressEdit.text = url
    ui.remoteAddressEdit.editingFinished.emit()
    ui.remoteTokenEdit.text = token
    ui.remoteTokenEdit.editingFinished.emit()
    ui.remoteCheckBox.checked = True


def answer(button: str, remember: bool = False) -> list[str]:
    """Have the next question answered by a click; returns the list that its text comes into."""
    import qt

    asked: list[str] = []
    timer = qt.QTimer(qt.QApplication.instance())

    def click() -> None:
        box = qt.QApplication.activeModalWidget()
        if box is None:
            return
        timer.stop()
        timer.deleteLater()
        asked.append(f"{box.text} {box.informativeText}")
        if remember:
            box.checkBox().click()
        {each.text: each for each in box.buttons()}[button].click()

    timer.connect("timeout()", click)
    timer.start(20)
    return asked


def cut(handler: Any) -> bool:
    """A fault of the stand-in: every connection ends at once."""
    handler.cut()
    return True
