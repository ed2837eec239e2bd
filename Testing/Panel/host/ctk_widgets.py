"""Stand-ins for the widgets of CTK that the panel uses."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6 import QtCore, QtGui, QtWidgets

_HEADER = 26


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A header, and below it what it holds, which hides when the header is clicked."""

    SIGNALS: ClassVar[dict[str, str]] = {"contentsCollapsed(bool)": "contentsCollapsed"}
    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._collapsed = False
        self._hidden: dict[Any, bool] = {}  # while collapsed: each child, and whether it would be hidden otherwise
        self._busy = False
        self.setContentsMargins(0, _HEADER, 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Preferred)
        self.clicked.connect(lambda: self.setCollapsed(not self._collapsed))

    def isCollapsed(self) -> bool:
        return self._collapsed

    def setCollapsed(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed, self._busy = collapsed, True
        widgets = [child for child in self.children() if isinstance(child, QtWidgets.QWidget)]
        explicit = QtCore.Qt.WidgetAttribute.WA_WState_ExplicitShowHide  # else it was just not shown yet
        hidden = {child: child.isHidden() and child.testAttribute(explicit) for child in widgets}
        self._hidden = hidden if collapsed else {**hidden, **self._hidden}
        for child in widgets:
            child.setVisible(not collapsed and not self._hidden[child])
        self._busy = False
        self.setMaximumHeight(_HEADER if collapsed else 16777215)
        self.updateGeometry()
        self.update()
        self.contentsCollapsed.emit(collapsed)

    collapsed = QtCore.Property(bool, isCollapsed, setCollapsed)

    def childEvent(self, event: Any) -> None:
        if event.added() and isinstance(event.child(), QtWidgets.QWidget):
            event.child().installEventFilter(self)
        super().childEvent(event)

    def eventFilter(self, child: Any, event: Any) -> bool:
        if self._collapsed and not self._busy and event.type() == QtCore.QEvent.Type.ShowToParent:
            self._hidden[child] = False
            self._busy = True
            child.hide()
            self._busy = False
        return False

    def sizeHint(self) -> Any:
        hint = self.layout().totalSizeHint() if self.layout() is not None else QtCore.QSize(60, _HEADER)
        return QtCore.QSize(hint.width(), _HEADER if self._collapsed else hint.height())

    def minimumSizeHint(self) -> Any:
        hint = self.layout().totalMinimumSize() if self.layout() is not None else QtCore.QSize(60, _HEADER)
        return QtCore.QSize(hint.width(), _HEADER if self._collapsed else hint.height())

    def hitButton(self, place: Any) -> bool:
        return bool(place.y() < _HEADER)

    def paintEvent(self, event: Any) -> None:
        painter = QtGui.QPainter(self)
        header = QtCore.QRect(0, 0, self.width, _HEADER - 4)
        painter.setPen(self.palette.color(QtGui.QPalette.ColorRole.Mid))
        painter.setBrush(self.palette.color(QtGui.QPalette.ColorRole.Button))
        painter.drawRoundedRect(header.adjusted(0, 0, -1, -1), 3, 3)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QtCore.QRect(5, 5, 12, 12)
        element = QtWidgets.QStyle.PrimitiveElement
        kind = element.PE_IndicatorArrowRight if self._collapsed else element.PE_IndicatorArrowDown
        self.style().drawPrimitive(kind, arrow, painter, self)
        painter.setPen(self.palette.color(QtGui.QPalette.ColorRole.ButtonText))
        painter.drawText(header.adjusted(22, 0, 0, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, self.text)


class ctkPathLineEdit(QtWidgets.QWidget):
    """A path to type, and a button that would open a file dialog."""

    SIGNALS: ClassVar[dict[str, str]] = {
        "currentPathChanged(QString)": "currentPathChanged",
        "validInputChanged(bool)": "validInputChanged",
    }
    currentPathChanged = QtCore.Signal(str)
    validInputChanged = QtCore.Signal(bool)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._edit = QtWidgets.QLineEdit(self)
        self._button = QtWidgets.QToolButton(self)
        self._button.setText("…")
        self._key, self._filters, self._name_filters = "", 0, []
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit)
        layout.addWidget(self._button)
        self._edit.textChanged.connect(self.currentPathChanged)

    def path(self) -> str:
        return str(self._edit.text)

    def setCurrentPath(self, path: str) -> None:
        self._edit.setText(path)

    currentPath = QtCore.Property(str, path, setCurrentPath)
    settingKey = QtCore.Property(str, lambda self: self._key, lambda self, key: setattr(self, "_key", key))
    nameFilters = QtCore.Property(
        "QStringList", lambda self: self._name_filters, lambda self, names: setattr(self, "_name_filters", names)
    )
    filters = QtCore.Property(int, lambda self: self._filters, lambda self, value: setattr(self, "_filters", value))


class ctkMenuButton(QtWidgets.QPushButton):
    """A button with a menu at its side."""


WIDGETS = (ctkCollapsibleButton, ctkPathLineEdit, ctkMenuButton)
