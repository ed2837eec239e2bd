"""What all sections of the panel share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, ClassVar, Optional

import slicer

from LowResSegLib.errors import LowResSegError
from LowResSegSlicer.log import log_fault


@dataclass
class Context:
    """What the sections know of the panel and of each other.

    Attributes:
        logic: the module's logic.
        resource: gives the path of a file in the module's Resources.
        refresh: shows anew, in all sections, what is chosen and what runs.
        chosen: the parameter node, or None while a scene is being closed.
        run: what runs in the worker process; there is one thing at a time.
        owner: the section that started it.
        result: the node with the present result, a segmentation or a labelmap.
        entered: whether the user is in the module.
        remote: the section that says on which computer a run is done.
    """

    logic: Any
    resource: Callable[[str], str]
    refresh: Callable[[], None]
    chosen: Optional[Any] = None
    run: Optional[Any] = None
    owner: Optional[Any] = None
    result: Optional[Any] = None
    entered: bool = False
    remote: Optional[Any] = None


class Section:
    """A part of the panel: widgets of a .ui file, and what they do."""

    ui_file: ClassVar[str]

    def __init__(self, context: Context) -> None:
        """Load the widgets; `self.ui` has them by their names."""
        self.context = context
        self.widget = slicer.util.loadUI(context.resource(f"UI/{self.ui_file}"))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.widget.setMRMLScene(slicer.mrmlScene)

    def refresh(self) -> None:
        """Show what is chosen and what runs."""

    def enter(self) -> None:
        """The user opens the module."""

    def exit(self) -> None:
        """The user goes to another module."""

    def scene_closing(self) -> None:
        """Let go of the nodes of a scene that is being closed."""

    def close(self) -> None:
        """Let go of everything: the module is reloaded or the application quits."""

    def on_collapsed(self, collapsed: bool) -> None:
        """Show all anew when a collapsible button is opened; for its signal contentsCollapsed."""
        # The button does not hear of widgets that were hidden while it was closed, and shows them.
        if not collapsed:
            self.context.refresh()

    @property
    def runs(self) -> bool:
        """Whether something that this section started is running."""
        return self.context.run is not None and self.context.owner is self

    def started(self, run: Any) -> None:
        """Keep a run that has begun, unless it has ended already."""
        if run.running:
            self.context.run, self.context.owner = run, self

    def ended(self) -> None:
        """Forget the run; to be called first when it has ended."""
        if self.context.owner is self:
            self.context.run = self.context.owner = None


def say(label: Any, text: str) -> None:
    """Show a text in a label, which takes no room without one."""
    label.text = text
    label.visible = bool(text)


def sentence(error: BaseException) -> str:
    """What the user reads of an error. What is not expected goes to the log, too, without its text."""
    if not isinstance(error, LowResSegError):
        log_fault("What the user asked for failed.", error)
    return str(error) or type(error).__name__
