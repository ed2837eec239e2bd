"""What a run will take on this computer, below the button that begins it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from slicer.i18n import tr as _

from LowResSegSlicer.panel.section import Context, say, sentence


class Expectation:
    """The line with seconds and memory; a model that is not known here is measured first, once."""

    def __init__(self, context: Context, label: Any) -> None:
        """Prepare.

        Args:
            context: what the sections share.
            label: where the line is shown.
        """
        self._context, self._label = context, label
        self._begun: set[tuple[str, Optional[int]]] = set()  # models and threads whose measurement was begun

    def show(self, volume: Optional[Any], model: Optional[str], options: Mapping[str, Any]) -> None:
        """Show what segmenting will take, or begin to find out.

        Args:
            volume: the chosen one; without it there is no line.
            model: so is the model.
            options: those of the section "Segment".
        """
        if volume is None or model is None:
            say(self._label, "")
            return
        wanted = {name: options[name] for name in ("threads", "passes", "confidence")}
        text = self._context.logic.estimate_text(volume, model, **wanted)
        if text and self._context.remote.wanted():
            say(self._label, _("Without the other computer it would take {estimate}.").format(estimate=text))
        elif text:
            say(self._label, _("This will take {estimate}.").format(estimate=text))
        elif (model, options["threads"]) not in self._begun:
            say(self._label, "")
            if self._context.run is None and self._context.entered:
                self._measure(volume, model, options["threads"])

    def _measure(self, volume: Any, model: str, threads: Optional[int]) -> None:
        self._begun.add((model, threads))
        say(self._label, _("Measuring how fast this computer is…"))

        def ended(run: Optional[Any]) -> None:
            self._on_measured(run, model, threads)

        try:
            self._context.logic.estimate(volume, model, ended, threads)
        except Exception as error:  # without it, one can segment too
            self._say_unknown(error)

    def _on_measured(self, run: Optional[Any], model: str, threads: Optional[int]) -> None:
        if run is not None and run.cancelled:
            self._begun.discard((model, threads))  # it gave way to something else; to be done at the next refresh
            if self._context.run is not None:  # else it was another measurement
                say(self._label, "")
            return
        say(self._label, "")
        if run is not None and run.error is not None:
            self._say_unknown(run.error)
        self._context.refresh()

    def _say_unknown(self, error: BaseException) -> None:
        say(self._label, _("How long it will take is not known: {reason}").format(reason=sentence(error)))
