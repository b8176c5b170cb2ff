"""What the docks are built of, in a real window."""

from __future__ import annotations

from qtpy.QtWidgets import QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_ink.widgets.form import Note, warnings_text


def test_a_note_is_as_tall_as_its_text_and_grows_and_shrinks_with_it(qtbot):
    window, note = QWidget(), Note("short", small=True)
    qtbot.addWidget(window)
    QVBoxLayout(window).addWidget(note)
    window.setStyleSheet("QLabel { padding: 3px; }")
    window.resize(200, 300)
    window.show()
    qtbot.waitExposed(window)

    def has_height_of(text):
        other = QLabel(text, window)
        other.setWordWrap(True)
        other.setStyleSheet(note.styleSheet())
        other.ensurePolished()
        qtbot.waitUntil(lambda: note.height() == other.heightForWidth(note.width()), timeout=2000)
        return note.height()

    line = has_height_of("short")
    for text in ("a sentence much too long for a single line of this window " * 2, "short"):
        note.setText(text)
        assert has_height_of(text) == line or text != "short"
    note.setText("wrapped once while the window is narrow")
    assert has_height_of(note.text()) > line
    window.resize(800, 300)
    qtbot.waitUntil(lambda: note.width() > 700, timeout=2000)
    assert has_height_of(note.text()) == line


def test_warnings_are_sentences():
    assert warnings_text(["no GPU", "Two"]) == "⚠ No GPU\n⚠ Two"
    assert warnings_text([]) == ""


def test_a_dock_that_scrolls_cuts_nothing_off(dock, qtbot):
    dock.settings.advanced.expand()
    (scroll,) = dock.findChildren(QScrollArea)
    qtbot.waitUntil(scroll.verticalScrollBar().isVisible, timeout=2000)
    inside = scroll.widget()
    qtbot.waitUntil(lambda: inside.width() <= scroll.viewport().width(), timeout=2000)
    assert inside.minimumSizeHint().width() <= scroll.viewport().width()
