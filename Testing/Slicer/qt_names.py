"""What the module uses of Qt's own classes, as in the documentation of Qt 5.15: Slicer's facts are without them.

A property is a value in PythonQt, and a method is called. A name that is missing here fails a test: look it up, then
add it.
"""

from __future__ import annotations

from typing import Any

QT: dict[str, dict[str, Any]] = {
    "QObject": {"base": "", "invokable": ["property(const char*)", "deleteLater()"]},
    "QWidget": {
        "base": "QObject",
        "properties": ["enabled", "geometry", "toolTip", "visible"],
        "slots": ["hide()", "show()", "setEnabled(bool)", "setVisible(bool)"],
        "invokable": ["setFixedHeight(int)"],
    },
    "QFrame": {"base": "QWidget"},
    "QAbstractScrollArea": {"base": "QFrame"},
    "QApplication": {"base": "QObject", "slots": ["processEvents()"]},
    "QAbstractButton": {
        "base": "QWidget",
        "properties": ["checkable", "checked", "text"],
        "signals": ["clicked(bool)", "toggled(bool)"],
    },
    "QPushButton": {"base": "QAbstractButton"},
    "QToolButton": {"base": "QAbstractButton"},
    "QCheckBox": {"base": "QAbstractButton"},
    "QLabel": {
        "base": "QFrame",
        "properties": ["openExternalLinks", "text", "textInteractionFlags", "wordWrap"],
        "signals": ["linkActivated(QString)"],
    },
    "QLineEdit": {
        "base": "QWidget",
        "properties": ["echoMode", "placeholderText", "text"],
        "signals": ["editingFinished()"],
    },
    "QTextBrowser": {"base": "QAbstractScrollArea", "properties": ["openExternalLinks"], "slots": ["setHtml(QString)"]},
    "QProgressBar": {"base": "QWidget", "properties": ["maximum", "minimum", "value"]},
    "QAbstractSpinBox": {"base": "QWidget", "properties": ["specialValueText"]},
    "QSpinBox": {
        "base": "QAbstractSpinBox",
        "properties": ["maximum", "minimum", "singleStep", "suffix", "value"],
        "signals": ["valueChanged(int)"],
    },
    "QComboBox": {
        "base": "QWidget",
        "properties": ["currentIndex", "currentText", "minimumContentsLength", "sizeAdjustPolicy"],
        "signals": ["activated(int)", "currentTextChanged(QString)"],
        "slots": ["clear()", "setCurrentIndex(int)"],
        "invokable": [
            "addItem(QString)",
            "addItems(QStringList)",
            "findText(QString)",
            "setItemData(int,QVariant,int)",
            "setItemText(int,QString)",
        ],
    },
    "QAbstractItemView": {
        "base": "QAbstractScrollArea",
        "properties": ["alternatingRowColors", "editTriggers", "selectionBehavior", "selectionMode"],
    },
    "QTableView": {
        "base": "QAbstractItemView",
        "properties": ["showGrid", "wordWrap"],
        "invokable": ["horizontalHeader()", "setColumnHidden(int,bool)", "setRowHeight(int,int)"],
    },
    "QTableWidget": {
        "base": "QTableView",
        "signals": ["itemChanged(QTableWidgetItem*)", "itemSelectionChanged()"],
        "invokable": [
            "currentRow()",
            "item(int,int)",
            "selectedItems()",
            "setItem(int,int,QTableWidgetItem*)",
            "setRowCount(int)",
        ],
    },
    "QTableWidgetItem": {
        "base": "",
        "invokable": [
            "checkState()",
            "column()",
            "row()",
            "setBackground(QBrush)",
            "setCheckState(Qt::CheckState)",
            "setFlags(Qt::ItemFlags)",
            "setForeground(QBrush)",
            "setIcon(QIcon)",
            "setText(QString)",
            "setTextAlignment(int)",
            "setToolTip(QString)",
        ],
    },
    "QHeaderView": {
        "base": "QAbstractItemView",
        "invokable": ["setSectionResizeMode(QHeaderView::ResizeMode)"],
        "enums": ["ResizeToContents", "Stretch"],
    },
    "QMessageBox": {
        "base": "QWidget",
        "properties": ["informativeText", "text", "windowTitle"],
        "slots": ["exec_()"],
        "invokable": [
            "addButton(QString,QMessageBox::ButtonRole)",
            "clickedButton()",
            "setCheckBox(QCheckBox*)",
            "setDefaultButton(QPushButton*)",
        ],
        "enums": ["AcceptRole", "NoRole", "RejectRole"],
    },
    "QTimer": {
        "base": "QObject",
        "signals": ["timeout()"],
        "slots": ["start()", "start(int)", "stop()"],
        "invokable": ["setSingleShot(bool)"],
    },
    "QSettings": {"base": "QObject", "invokable": ["setValue(QString,QVariant)", "value(QString,QVariant)"]},
    "QPixmap": {"base": "", "invokable": ["fill(QColor)"]},
    "QBrush": {"base": ""},
    "QColor": {"base": ""},
    "QIcon": {"base": ""},
    "QUrl": {"base": "", "enums": ["fromLocalFile"]},
    "QDesktopServices": {"base": "", "enums": ["openUrl"]},
    "QFileDialog": {"base": "QWidget", "enums": ["getOpenFileName"]},
    "Qt": {
        "base": "",
        "enums": [
            "AlignRight",
            "AlignVCenter",
            "Checked",
            "ItemIsEnabled",
            "ItemIsSelectable",
            "ItemIsUserCheckable",
            "ToolTipRole",
            "Unchecked",
        ],
    },
}  # "enums" are names taken from the class itself: values of its enumerations, and static functions
