"""Section "Remote": another computer runs the network. The server is the stand-in of Testing/Remote, on loopback."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from remote_use import TOKEN, answer, cut, finish, give, wait
from scans import labels_of
from stand_in import Handler, StandIn, certificate, serving

from LowResSegLib.model import Fusion, load_model
from LowResSegLib.remote.protocol import Health

pytestmark = [
    pytest.mark.filterwarnings("ignore:'exec_':DeprecationWarning"),  # it is what PythonQt has
    pytest.mark.usefixtures("impatient"),
]


def test_without_the_check_box_nothing_is_asked(panel: Any, volume: Any, server: StandIn, click: Callable) -> None:
    give(panel, server.url)
    panel.remote.ui.remoteCheckBox.checked = False
    click(panel.segmenting.ui.segmentButton)
    assert finish(panel).startswith("Done") and not server.seen


def test_the_labels_are_those_of_this_computer(
    slicer: Any, panel: Any, volume: Any, server: StandIn, click: Callable, unasked: None
) -> None:
    from LowResSegSlicer.nodes import run_record

    give(panel, server.url)
    click(panel.segmenting.ui.segmentButton)
    assert panel.segmenting.ui.segmentButton.text == "Cancel" and panel.segmenting.ui.progressBar.isVisible()
    assert finish(panel).startswith("Done in ")
    assert server.runs == 1
    result = panel.context.result
    here = panel.logic.process(volume)
    np.testing.assert_array_equal(labels_of(slicer, result, volume), labels_of(slicer, here, volume))
    assert labels_of(slicer, result, volume).any()
    assert run_record(result)["remote"]["sent"] == "grid" and "remote" not in run_record(here)


def test_a_script_can_wait_for_the_server(slicer: Any, volume: Any, server: StandIn) -> None:
    from LowResSeg import LowResSegLogic
    from LowResSegLib.remote.client import Server

    logic = LowResSegLogic()
    there = logic.process(volume, server=Server(server.url, TOKEN), confidence=True)
    here = logic.process(volume, confidence=True)
    assert server.runs == 1 and logic.review(there) == logic.review(here)
    np.testing.assert_array_equal(labels_of(slicer, there, volume), labels_of(slicer, here, volume))


def test_the_question_says_what_leaves_and_where_to(panel: Any, volume: Any, server: StandIn, click: Callable) -> None:
    give(panel, server.url)
    asked = answer("Cancel")
    click(panel.segmenting.ui.segmentButton)
    sent = panel.logic.upload_bytes(volume)
    size = re.search(r"low-resolution grid of the scan, ([\d.]+) kB at most, be sent to 127.0.0.1:\d+\?", asked[0])
    assert size is not None and size[1] == str(round(sent / 1000))
    assert panel.segmenting.ui.statusLabel.text == "Nothing was sent, and nothing was segmented."
    assert not server.seen and panel.context.run is None and panel.context.result is None


def test_what_is_sent_is_what_was_said(
    panel: Any, volume: Any, server: StandIn, click: Callable, unasked: None
) -> None:
    bodies: list[int] = []

    def note(handler: Handler) -> bool:
        if handler.command == "PUT":
            bodies.append(int(handler.headers["Content-Length"]))
        return False

    server.faults.append(note)
    give(panel, server.url)
    click(panel.segmenting.ui.segmentButton)
    assert finish(panel).startswith("Done")
    assert bodies[0] == panel.logic.upload_bytes(volume)  # which is not compressed on loopback
    assert (
        panel.logic.upload_bytes(volume, passes=1) == bodies[0] // 2 == panel.logic.upload_bytes(volume, passes=4) // 2
    )


def test_who_says_no_can_have_it_here(panel: Any, volume: Any, server: StandIn, click: Callable) -> None:
    give(panel, server.url)
    asked = answer("Segment on this computer")
    click(panel.segmenting.ui.segmentButton)
    assert finish(panel).startswith("Done") and asked and not server.seen


def test_who_agrees_is_asked_again_unless_told_otherwise(
    panel: Any, open_panel: Callable, volume: Any, server: StandIn, click: Callable
) -> None:
    give(panel, server.url)
    for remember in (False, True):
        asked = answer("Send", remember)
        click(panel.segmenting.ui.segmentButton)
        assert finish(panel).startswith("Done") and len(asked) == 1
    other = open_panel()  # where it is still known
    assert other.remote.ui.remoteCheckBox.checked and other.remote.ui.remoteTokenEdit.text == TOKEN
    click(other.segmenting.ui.segmentButton)
    assert finish(other).startswith("Done") and server.runs == 3
    with serving(TOKEN) as another:  # another address is another question
        give(other, another.url)
        asked = answer("Cancel")
        click(other.segmenting.ui.segmentButton)
        assert len(asked) == 1 and not another.seen


def test_a_server_that_can_be_used_says_so(panel: Any, check: Callable, server: StandIn, picture: Callable) -> None:
    text = check(server.url)
    assert text.startswith("The other computer can be used.") and "its models: brain" in text
    assert text.endswith("The connection is not encrypted, as it does not leave this computer.")
    picture(panel, "remote")


@pytest.fixture
def of_the_server(server: StandIn) -> Any:
    """A model that the stand-in alone has: what it finds first is not the brain model's background."""
    brain = load_model("brain")
    labels = tuple(dataclasses.replace(label, name=f"{label.name} there") for label in brain.labels)
    card = {**brain.card, "title": "Brain, by the other computer"}
    server.own["theirs"] = dataclasses.replace(brain, name="theirs", digest="0" * 64, labels=labels, card=card)
    return server.own["theirs"]


def test_a_model_that_only_the_other_computer_has_is_listed_once_tested_and_can_be_used(
    slicer: Any, panel: Any, volume: Any, check: Callable, click: Callable, server: StandIn, of_the_server: Any
) -> None:
    from LowResSegSlicer.nodes import run_record

    ui = panel.segmenting.ui

    def listed() -> list[str]:
        return [ui.modelSelector.itemText(index) for index in range(ui.modelSelector.count)]

    title = "Brain, by the other computer (on the other computer)"
    assert title not in listed()
    assert re.search("its models: brain,.* theirs", check(server.url))
    assert title in listed()
    panel.remote.ui.remoteCheckBox.checked = False
    assert title not in listed()
    panel.remote.ui.remoteCheckBox.checked = True
    ui.modelSelector.setCurrentIndex(listed().index(title))
    ui.modelSelector.activated.emit(listed().index(title))
    ui.modelCardButton.checked = True
    assert "Brain, by the other computer" in ui.modelCardBrowser.plainText and ui.segmentButton.enabled
    asked = answer("Send", True)
    click(ui.segmentButton)
    assert finish(panel).startswith("Done") and server.runs == 1
    assert f"{round(panel.logic.upload_bytes(volume) / 1000)} kB" in asked[0]
    record = run_record(panel.context.result)
    assert record["model"] == "theirs" and record["remote"]["sent"] == "grid"
    assert all(label["name"].endswith(" there") for label in record["labels"])
    np.testing.assert_array_equal(
        labels_of(slicer, panel.context.result, volume), labels_of(slicer, panel.logic.process(volume), volume)
    )
    batch = panel.batch.ui
    batch.batchSection.collapsed = False
    server.faults.append(cut)
    click(batch.batchButton)
    wait(lambda: panel.context.run is None)
    assert "1 failed" in batch.batchMessage.text and not batch.batchLocalButton.isVisible()  # it is not here
    give(panel, "https://elsewhere:8765")  # of which nothing is known
    assert not batch.batchButton.enabled
    assert title not in listed() and "is not installed here" in ui.modelInfoLabel.text


def test_a_model_there_that_needs_the_scan_is_listed_with_what_to_do(
    panel: Any, volume: Any, check: Callable, server: StandIn, of_the_server: Any
) -> None:
    fusion = Fusion(np.zeros((5, 5, 5), np.int16), 7, 400, 64, 0, (4, 2, 1))
    server.own["theirs"] = dataclasses.replace(of_the_server, fusion=fusion)
    check(server.url)
    ui = panel.segmenting.ui
    panel.context.chosen.model = "theirs"
    panel.context.refresh()
    assert "install its file on this computer, too" in ui.modelProblemLabel.text and not ui.segmentButton.enabled


def test_the_test_says_what_is_wrong(panel: Any, check: Callable, server: StandIn) -> None:
    assert "token" in check(server.url, "wrong")
    assert server.tokens[-1] == "Bearer wrong"
    server.health = Health(7, 7, "99.0").to_dict()
    assert "version 7 of the protocol" in check(server.url)
    assert "Nothing listens at 127.0.0.1:9" in check("http://127.0.0.1:9")
    assert not panel.remote.runs and panel.remote.ui.testConnectionButton.text == "Test connection"


def test_a_test_can_be_cancelled(panel: Any, server: StandIn, click: Callable) -> None:
    server.faults.append(lambda handler: bool(time.sleep(3)))
    give(panel, server.url)
    click(panel.remote.ui.testConnectionButton)
    began = time.monotonic()
    wait(lambda: bool(server.seen))
    began = time.monotonic()
    click(panel.remote.ui.testConnectionButton)
    assert time.monotonic() - began < 1 and panel.context.run is None
    assert panel.remote.ui.remoteMessage.text == "Cancelled."


@pytest.mark.parametrize("address", ["http://jetson", "https://user:secret@jetson", "ftp://jetson"])
def test_an_address_that_is_none_is_told_at_once(panel: Any, volume: Any, address: str, click: Callable) -> None:
    give(panel, address)
    message = panel.remote.ui.remoteMessage.text
    assert message
    click(panel.segmenting.ui.segmentButton)
    ui = panel.segmenting.ui
    assert ui.statusLabel.text == message
    click(ui.localButton)
    assert finish(panel).startswith("Done")


def test_cancel_answers_within_a_second(
    slicer: Any, panel: Any, volume: Any, server: StandIn, click: Callable, unasked: None
) -> None:
    ui = panel.segmenting.ui
    give(panel, server.url)
    with server.lock:  # the job waits
        click(ui.segmentButton)
        wait(lambda: ui.statusLabel.text.startswith("Waiting for the other computer"))  # later with the time left
        began = time.monotonic()
        click(ui.segmentButton)
        assert time.monotonic() - began < 1 and panel.context.run is None
        assert ui.statusLabel.text == "Cancelled; the scene is unchanged."
        wait(lambda: not server.jobs, 10)  # it is cancelled there, too
    assert server.runs == 0
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None


def test_the_token_is_in_neither_scene_nor_record(
    slicer: Any, panel: Any, volume: Any, server: StandIn, click: Callable, unasked: None, tmp_path: Path
) -> None:
    from LowResSegSlicer.nodes import run_record

    give(panel, server.url)
    click(panel.segmenting.ui.segmentButton)
    assert finish(panel).startswith("Done")
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.Commit()
    scene = (tmp_path / "scene.mrml").read_text()
    address = server.url.partition("//")[2]
    assert "vtkMRMLScriptedModule" in scene or "ScriptedModule" in scene
    for text in (scene, json.dumps(run_record(panel.context.result))):
        assert TOKEN not in text and address not in text
    tip = panel.remote.ui.remoteTokenEdit.toolTip
    assert "settings file" in tip and "never written into a scene" in tip
    import qt

    assert panel.remote.ui.remoteTokenEdit.echoMode == qt.QLineEdit.Password


def test_a_token_goes_to_no_other_address(panel: Any, server: StandIn) -> None:
    ui = panel.remote.ui
    ui.remoteTokenEdit.text = TOKEN  # typed first
    ui.remoteAddressEdit.text = server.url
    ui.remoteAddressEdit.editingFinished.emit()
    assert ui.remoteTokenEdit.text == TOKEN
    ui.remoteAddressEdit.text = "https://elsewhere:8765"
    ui.remoteAddressEdit.editingFinished.emit()
    assert ui.remoteTokenEdit.text == ""
    ui.remoteAddressEdit.text = server.url
    ui.remoteAddressEdit.editingFinished.emit()
    assert ui.remoteTokenEdit.text == TOKEN


def test_a_changed_certificate_is_told_and_can_be_forgotten(
    panel: Any, check: Callable, click: Callable, answers: list[bool], tmp_path: Path
) -> None:
    from LowResSegSlicer.panel import settings

    ui = panel.remote.ui
    with serving(TOKEN, certificate(tmp_path, "old")) as server:
        assert "Its certificate is trusted from now on" in check(server.url)
        old = ui.remoteFingerprintLabel.text
        assert re.fullmatch(r"([0-9A-F]{2} ){31}[0-9A-F]{2}", old)
        assert check(server.url).endswith("Its certificate is the one that is remembered.")
        address = server.url.partition("//")[2]
        settings.remember(f"remoteLeaves/{address}", True)
        context = certificate(tmp_path, "new")
        server.socket.context.load_cert_chain(*context)
        assert "shows another certificate than before" in check(server.url)
        assert ui.remoteFingerprintLabel.text == old
        answers.append(False)
        click(ui.forgetCertificateButton)
        assert ui.remoteFingerprintLabel.text == old
        answers.append(True)
        click(ui.forgetCertificateButton)
        assert ui.remoteFingerprintLabel.text == "none is remembered yet"
        assert not settings.flag(f"remoteLeaves/{address}", True)  # who is trusted anew is asked about anew
        assert "Its certificate is trusted from now on" in check(server.url)
        assert ui.remoteFingerprintLabel.text != old


def test_the_estimate_is_said_to_be_of_this_computer(panel: Any, volume: Any) -> None:
    from LowResSegLib.estimate import Speed

    costs = {"sampling": 1e-9, "network": 1e-4, "reconstruction": 1e-9, "fixed": 1.0, "confidence": 2e-3}
    panel.logic._speeds["brain", None] = Speed("native", "", 2, memory=1.0, **costs)
    panel.remote.ui.remoteCheckBox.checked = True
    text = panel.segmenting.ui.estimateLabel.text
    assert re.fullmatch(r"Without the other computer it would take about .* on this computer\.", text)
    panel.remote.ui.remoteCheckBox.checked = False
    assert panel.segmenting.ui.estimateLabel.text.startswith("This will take")


def test_a_memory_limit_is_for_this_computer(
    panel: Any, volume: Any, server: StandIn, click: Callable, unasked: None
) -> None:
    panel.segmenting.ui.memorySpinBox.value = 1
    give(panel, server.url)
    click(panel.segmenting.ui.segmentButton)
    assert finish(panel).startswith("Done")


def test_a_batch_goes_there_and_comes_back(panel: Any, volume: Any, server: StandIn, click: Callable) -> None:
    give(panel, server.url)
    ui = panel.batch.ui
    ui.batchSection.collapsed = False
    asked = answer("Cancel")
    click(ui.batchButton)
    assert "the low-resolution grid of each of these scans" in asked[0] and not server.seen
    answer("Send", True)
    click(ui.batchButton)
    wait(lambda: panel.context.run is None)
    assert ui.batchMessage.text == "1 of 1 scans were segmented." and server.runs == 1
    assert not ui.batchLocalButton.isVisible()
    server.faults.append(cut)
    click(ui.batchButton)
    wait(lambda: panel.context.run is None)
    assert "1 failed" in ui.batchMessage.text
    click(ui.batchLocalButton)
    wait(lambda: panel.context.run is None)
    assert ui.batchMessage.text == "1 of 1 scans were segmented." and server.runs == 1
    assert not ui.batchLocalButton.isVisible()
