"""Section "Remote", where something goes wrong: a sentence, and this computer one click away."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import pytest
from remote_use import TOKEN, cut, finish, give
from scans import labels_of
from stand_in import Handler, StandIn, certificate, serving

from LowResSegLib.remote.packed import pack_labels
from LowResSegLib.remote.protocol import DIGEST_HEADER, AnswerError

pytestmark = [
    pytest.mark.filterwarnings("ignore:'exec_':DeprecationWarning"),  # it is what PythonQt has
    pytest.mark.usefixtures("impatient"),
]


def gone(handler: Handler) -> bool:
    """A server that goes away as soon as it has the scan."""
    if handler.path.partition("?")[0].endswith("/result"):
        handler.server.faults[:] = [cut]
        handler.cut()
        return True
    return False


def full(handler: Handler) -> bool:
    if handler.command == "POST":
        raise AnswerError("full", "The server has as many jobs as it takes.", 0.1)
    return False


def damaged(handler: Handler) -> bool:
    """A result that is not the one whose SHA-256 is stated."""
    if handler.command == "GET" and handler.path.partition("?")[0].endswith("/result"):
        handler.close_connection = True
        handler.bytes(200, bytes(1000), {DIGEST_HEADER: "0" * 64})
        return True
    return False


def other(handler: Handler) -> bool:
    """A result of something else, which came as it was sent."""
    if handler.command == "GET" and handler.path.partition("?")[0].endswith("/result"):
        content = b"".join(pack_labels(np.zeros((3, 3, 3), np.uint8), "raw"))
        for job in handler.server.jobs.values():
            job["record"] = {}
        handler.close_connection = True
        handler.bytes(200, content, {DIGEST_HEADER: hashlib.sha256(content).hexdigest()})
        return True
    return False


def newer(handler: Handler) -> bool:
    raise AnswerError("wrong_version", "The server speaks version 7.", protocol=(7, 7))


@pytest.mark.parametrize(
    ("fault", "token", "words"),
    [
        (None, "wrong", "token"),
        (gone, TOKEN, "closed the connection|broke off|Nothing listens"),
        (full, TOKEN, "as many jobs as it takes"),
        (damaged, TOKEN, "arrived damaged, again and again, and was thrown away; check the network"),
        (other, TOKEN, "The result is damaged.*run it again"),
        (newer, TOKEN, "speaks version 7 of the protocol or newer.*update LowResSeg here"),
    ],
)
def test_what_goes_wrong_is_a_sentence_and_this_computer_a_click_away(
    slicer: Any, panel: Any, volume: Any, server: StandIn, click: Callable, unasked: None,
    fault: Optional[Callable], token: str, words: str,
) -> None:  # fmt: skip
    if fault is not None:
        server.faults.append(fault)
    give(panel, server.url, token)
    ui = panel.segmenting.ui
    click(ui.segmentButton)
    assert not ui.localButton.isVisible()
    text = finish(panel)
    assert re.search(words, text), text
    assert panel.context.result is None
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None
    seen = len(server.seen)
    click(ui.localButton)
    assert finish(panel).startswith("Done")
    assert len(server.seen) == seen and not ui.localButton.isVisible()
    assert labels_of(slicer, panel.context.result, volume).any()


def test_an_expired_certificate_is_told_and_nothing_is_sent(
    slicer: Any, panel: Any, volume: Any, check: Callable, click: Callable, unasked: None, tmp_path: Path
) -> None:
    ui = panel.segmenting.ui
    with serving(TOKEN, certificate(tmp_path, "old", (-9, -1))) as server:
        assert re.search("The certificate of .* has expired", check(server.url))
        click(ui.segmentButton)
        assert re.search("The certificate of .* has expired", finish(panel))
        assert not server.seen and not server.tokens
        assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None
        click(ui.localButton)
        assert finish(panel).startswith("Done") and not server.seen


def test_a_result_of_before_outlives_a_server_that_fails(
    slicer: Any, panel: Any, volume: Any, server: StandIn, click: Callable, unasked: None
) -> None:
    give(panel, server.url)
    click(panel.segmenting.ui.segmentButton)
    assert finish(panel).startswith("Done")
    result, labels = panel.context.result, labels_of(slicer, panel.context.result, volume)
    server.faults.append(damaged)
    click(panel.segmenting.ui.segmentButton)
    assert "damaged" in finish(panel)
    assert panel.context.result is result
    np.testing.assert_array_equal(labels_of(slicer, result, volume), labels)


def test_a_scan_that_is_at_fault_is_not_offered_again(
    slicer: Any, panel: Any, volume: Any, server: StandIn, click: Callable, unasked: None
) -> None:
    slicer.util.updateVolumeFromArray(volume, np.zeros_like(slicer.util.arrayFromVolume(volume)))
    give(panel, server.url)
    click(panel.segmenting.ui.segmentButton)
    assert not finish(panel).startswith("Done") and not panel.segmenting.ui.localButton.isVisible()
