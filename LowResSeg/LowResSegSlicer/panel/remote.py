"""Section "Remote": another computer that runs the network, whether it can be used, and leave to send it anything."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional

import qt
import slicer
from slicer.i18n import tr as _

from LowResSegLib.errors import InputError, LowResSegError
from LowResSegLib.remote.client import Check, Server, forget_pin, known_pin, readable
from LowResSegSlicer.panel import settings, words
from LowResSegSlicer.panel.section import Context, Section, say, sentence

PATIENCE = 20.0  # seconds for which a server may be away or full before the user is told
_TEST_PATIENCE = 5.0
_SEND, _HERE, _STOP = "send", "here", "stop"


class Place(NamedTuple):
    """Where a run is done: on a server, or on this computer where that is None."""

    server: Optional[Server]


class Remote(Section):
    """Address, token and certificate of the other computer.

    Tokens and leaves are kept by addresses, so that neither goes to another computer than the user meant.
    """

    ui_file = "Remote.ui"

    def __init__(self, context: Context) -> None:
        """Wire the widgets."""
        Section.__init__(self, context)
        ui = self.ui
        ui.remoteAddressEdit.text = settings.text("remoteAddress")
        self._address = self._known_address()
        ui.remoteTokenEdit.text = self._kept_token()
        self._served: list[Any] = []  # models that the computer of this address alone has
        ui.remoteCheckBox.checked = settings.flag("remote", False)
        ui.remoteSection.connect("contentsCollapsed(bool)", self.on_collapsed)
        ui.remoteCheckBox.connect("toggled(bool)", self._on_toggled)
        ui.remoteAddressEdit.connect("editingFinished()", self._on_address)
        ui.remoteTokenEdit.connect("editingFinished()", self._on_token)
        ui.testConnectionButton.connect("clicked(bool)", self._on_test)
        ui.forgetCertificateButton.connect("clicked(bool)", self._on_forget)

    def refresh(self) -> None:
        """Show the certificate, and whether there is a test."""
        ui = self.ui
        if ui.remoteSection.collapsed:
            return
        ui.testConnectionButton.text = _("Cancel") if self.runs else _("Test connection")
        ui.testConnectionButton.enabled = self.runs or (self.context.run is None and bool(ui.remoteAddressEdit.text))
        ui.forgetCertificateButton.visible = False
        try:
            pin = known_pin(self._address) if self._address else None
        except LowResSegError as error:
            ui.remoteFingerprintLabel.text = sentence(error)
            return
        ui.forgetCertificateButton.visible = pin is not None
        ui.forgetCertificateButton.enabled = self.context.run is None
        # Spaces, as a label breaks its lines at them alone.
        ui.remoteFingerprintLabel.text = (
            readable(pin.fingerprint).replace(":", " ") if pin is not None else _("none is remembered yet")
        )

    def wanted(self) -> bool:
        """Whether runs shall be done on the other computer."""
        return bool(self.ui.remoteCheckBox.checked)

    def offered(self) -> list[Any]:
        """Models that the other computer alone has, where runs shall be done there and its test has told of them."""
        return self._served if self.wanted() else []

    def place(self, what: Callable[[], str]) -> Optional[Place]:
        """Where a run shall be done. Before something is sent to an address, the user is asked.

        Args:
            what: gives a phrase for what would be sent; called where the user is asked.

        Returns:
            The place; None where the user wants no run at all.

        Raises:
            InputError: The address or the token cannot be used.
        """
        if not self.wanted():
            return Place(None)
        server = self._server(PATIENCE)
        answer = _SEND if settings.flag(_leave(server.address), False) else self._ask(server, what())
        return {_SEND: Place(server), _HERE: Place(None)}.get(answer)

    # The question

    def _ask(self, server: Server, what: str) -> str:
        box = qt.QMessageBox(self.widget)
        box.windowTitle = _("Send to another computer?")
        box.text = _("Shall {what}, be sent to {address}?").format(what=what, address=server.address)
        told = [
            _("It shows the head at a low resolution. Neither the scan itself nor any name is sent."),
            _("The answer is kept there until it is fetched, for an hour at most."),
        ]
        if server.secure and known_pin(server.address) is None:
            told.append(_("Its certificate is not known yet: test the connection first to compare its fingerprint."))
        box.informativeText = " ".join(told)
        send = box.addButton(_("Send"), qt.QMessageBox.AcceptRole)
        here = box.addButton(_("Segment on this computer"), qt.QMessageBox.NoRole)
        stop = box.addButton(_("Cancel"), qt.QMessageBox.RejectRole)
        again = qt.QCheckBox(_("Do not ask again for this address"))
        box.setCheckBox(again)
        box.setDefaultButton(stop)
        box.exec_()
        clicked, remember = box.clickedButton(), again.checked
        box.deleteLater()
        if clicked == send:
            if remember:
                settings.remember(_leave(server.address), True)
            return _SEND
        return _HERE if clicked == here else _STOP

    # What is chosen

    def _server(self, patience: float) -> Server:
        if not self.ui.remoteAddressEdit.text.strip():
            raise InputError(_("No address is given; write that of the other computer in the section Remote."))
        return Server(self.ui.remoteAddressEdit.text, self.ui.remoteTokenEdit.text, patience=patience)

    def _known_address(self) -> str:
        """Host and port of the address; empty where it is none."""
        try:
            return Server(self.ui.remoteAddressEdit.text).address if self.ui.remoteAddressEdit.text.strip() else ""
        except InputError:
            return ""

    def _kept_token(self) -> str:
        return settings.text(_token(self._address)) if self._address else ""

    def _on_toggled(self, checked: bool) -> None:
        settings.remember("remote", checked)
        self.context.refresh()

    def _on_address(self) -> None:
        settings.remember("remoteAddress", self.ui.remoteAddressEdit.text.strip())
        before, self._address = self._address, self._known_address()
        message = ""
        if self._address != before:
            self._served = []
            kept = self._kept_token()
            if before or kept:  # else it was typed before the address
                self.ui.remoteTokenEdit.text = kept
            else:
                self._on_token()
        if not self._address and self.ui.remoteAddressEdit.text.strip():
            try:
                self._server(PATIENCE)
            except InputError as error:
                message = sentence(error)
        say(self.ui.remoteMessage, message)
        self.context.refresh()

    def _on_token(self) -> None:
        if self._address:
            settings.remember(_token(self._address), self.ui.remoteTokenEdit.text.strip())

    # The test, and the certificate

    def _on_test(self, checked: bool = False) -> None:
        if self.runs:
            self.context.run.cancel()
            return
        self._on_address()
        self._on_token()
        say(self.ui.remoteMessage, words.progress_text("connecting", 0, 0))
        try:
            self.started(self.context.logic.test_server(self._server(_TEST_PATIENCE), self._on_tested))
        except Exception as error:
            say(self.ui.remoteMessage, sentence(error))
        self.context.refresh()

    def _on_tested(self, run: Any) -> None:
        self.ended()
        if run.cancelled:
            text = _("Cancelled.")
        else:
            text = _check_text(run.answer) if run.error is None else sentence(run.error)
            self._served = self.context.logic.served_models(run.answer) if run.error is None else []
        say(self.ui.remoteMessage, text)
        self.context.refresh()

    def _on_forget(self, checked: bool = False) -> None:
        question = _(
            "Shall the certificate of {address} be forgotten? Do so only if that computer was set up anew: the next"
            " certificate that it shows is trusted then. Its fingerprint should be compared."
        ).format(address=self._address)
        if not slicer.util.confirmOkCancelDisplay(question, _("Forget the certificate")):
            return
        try:
            forget_pin(self._address)
        except Exception as error:
            say(self.ui.remoteMessage, sentence(error))
        else:
            settings.remember(_leave(self._address), False)
            say(self.ui.remoteMessage, _("The certificate is forgotten. Test the connection to see the new one."))
        self.context.refresh()


def helped_here(error: BaseException) -> bool:
    """Whether a run that failed on another computer may go well on this one: not if the scan is at fault."""
    return isinstance(error, LowResSegError) and not isinstance(error, InputError)


def _check_text(check: Check) -> str:
    lines = [
        _("The other computer can be used. It has LowResSeg {version}; its models: {models}.").format(
            version=check.lowresseg, models=", ".join(model.name for model in check.models)
        )
    ]
    if check.first_use:
        lines.append(
            _("Its certificate is trusted from now on; compare the fingerprint above with what was printed there.")
        )
    elif check.fingerprint:
        lines.append(_("Its certificate is the one that is remembered."))
    if not check.secure:
        lines.append(_("The connection is not encrypted, as it does not leave this computer."))
    return "\n".join(lines)


def _token(address: str) -> str:
    return f"remoteTokens/{address}"


def _leave(address: str) -> str:
    return f"remoteLeaves/{address}"
