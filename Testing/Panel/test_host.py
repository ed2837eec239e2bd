"""The host itself: what PythonQt refuses is refused here too, or the panel's tests would say nothing."""

from __future__ import annotations

import threading
from typing import Any

import pytest


def test_properties_are_values(slicer: Any) -> None:
    import qt

    label = qt.QLabel("text")
    assert label.text == "text"
    label.text = "other"
    assert label.text == "other"
    label.setText("third")
    assert label.text == "third"
    with pytest.raises(TypeError):
        label.text()


def test_what_a_widget_does_not_have_cannot_be_set(slicer: Any) -> None:
    import qt

    with pytest.raises(AttributeError, match="QPushButton has no attribute enable"):
        qt.QPushButton().enable = True
    with pytest.raises(AttributeError, match="qMRMLNodeComboBox has no attribute node"):
        slicer.qMRMLNodeComboBox().node = None


def test_an_unknown_signal_is_refused(slicer: Any) -> None:
    import qt

    for signal in ("pressed(bool)", "nosuch()", "clicked(int)"):
        with pytest.raises(ValueError, match="has no signal"):
            qt.QPushButton().connect(signal, print)
    with pytest.raises(ValueError, match="has no signal"):
        slicer.qMRMLNodeComboBox().connect("nodeChanged(vtkMRMLNode*)", print)


def test_slots_get_as_many_values_as_they_take(slicer: Any) -> None:
    import qt

    heard: list[Any] = []
    button = qt.QPushButton()
    button.connect("clicked(bool)", lambda: heard.append("none"))
    button.connect("clicked(bool)", lambda checked="default": heard.append(checked))
    button.click()
    assert heard == ["none", False]  # a default does not shield from the signal's value


def test_what_a_slot_raises_is_kept(slicer: Any, errors: list[BaseException]) -> None:
    import qt

    button = qt.QPushButton()
    button.connect("clicked(bool)", lambda: 1 / 0)
    button.click()
    assert [type(error) for error in errors] == [ZeroDivisionError]
    errors.clear()


def test_no_thread_of_python_runs_while_events_are_turned(slicer: Any) -> None:
    from host import pump

    counted = [0]
    going = [True]
    begin = threading.Event()  # set within pump: a thread that waits for the lock before has asked for it already

    def count() -> None:
        begin.wait()
        while going[0]:
            counted[0] += 1

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    turns = [0]

    def twenty() -> bool:
        turns[0] += 1
        begin.set()
        return turns[0] > 20

    pump.pump(twenty, 10)
    during = counted[0]
    going[0] = False
    thread.join()
    assert during == 0


def test_a_ui_file_with_an_unknown_property_is_refused(slicer: Any, tmp_path: Any) -> None:
    path = tmp_path / "wrong.ui"
    path.write_text(
        '<ui version="4.0"><class>W</class><widget class="QWidget" name="W"><property name="colour">'
        "<string>red</string></property></widget></ui>"
    )
    with pytest.raises(AssertionError, match="W has no property colour"):
        slicer.util.loadUI(str(path))
