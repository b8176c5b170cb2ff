"""Sweep and probe in a real window: they fill, stop, take the best over, and leave no trace."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QAbstractButton, QListWidget, QProgressBar

from napari_ink._layers import is_ink
from napari_ink.widgets.sweep.dialog import ProbeDialog, SweepDialog

PATIENCE = 60_000  # ms


def opened(dock, qtbot, button="sweep"):
    dock.settings.tile.setValue(0)
    getattr(dock.looks, button).click()
    dialog = dock.looks.dialog
    assert dialog is not None
    return dialog


def finished(dialog, qtbot):
    qtbot.waitUntil(lambda: not dialog.running, timeout=PATIENCE)
    return dialog


def test_buttons_wait_for_fragment_and_checkpoint(viewer, dock, qtbot):
    assert dock.looks.sweep.isEnabled()
    assert dock.looks.probe.isEnabled()
    dock.model.choose_checkpoint(None, None)
    assert not dock.looks.sweep.isEnabled()
    viewer.layers.clear()
    assert not dock.looks.isVisible()


def test_sweep_shows_every_map_and_one_click_takes_it_over(viewer, dock, qtbot):
    layers = len(viewer.layers)
    dialog = finished(opened(dock, qtbot), qtbot)
    assert isinstance(dialog, SweepDialog)
    assert dialog.maps.count() == 8  # one window, both ways, and six turns
    best = dialog.model.clearest  # none, if random weights show no strokes
    at = -1 if best is None else dialog.model.candidates.index(best)
    assert [k for k in range(8) if dialog.maps.item(k).isSelected()] == [at] * (at >= 0)
    assert dialog.take.isEnabled() == (at >= 0)
    row = next(k for k, one in enumerate(dialog.model.candidates) if one.way.reverse_depth)
    dialog.maps.setCurrentRow(row)
    dialog.take.click()
    assert dock.model.reverse_depth
    assert dock.settings.reversed.isChecked()
    assert dock.looks.dialog is None
    assert len(viewer.layers) == layers
    assert not any(map(is_ink, viewer.layers))


def test_probe_shows_letters_and_says_simulated(dock, qtbot):
    dialog = finished(opened(dock, qtbot, "probe"), qtbot)
    assert isinstance(dialog, ProbeDialog)
    words = dialog.about.text() + dialog.status.text()
    assert "imulated ink" in words
    if dialog.maps.count():  # a network of random weights may leave no room
        assert dialog.maps.item(0).text().startswith("planted letters")


def test_stop_keeps_what_is_there(dock, qtbot, monkeypatch):
    from napari_ink.analysis import sweep

    map_of_region = sweep.map_of_region

    def slowly(*given):
        import time

        time.sleep(0.3)
        return map_of_region(*given)

    monkeypatch.setattr(sweep, "map_of_region", slowly)
    dialog = opened(dock, qtbot)
    qtbot.waitUntil(lambda: dialog.maps.count() > 0, timeout=PATIENCE)
    dialog.stop.click()
    finished(dialog, qtbot)
    assert 0 < dialog.maps.count() < 8
    assert dialog.status.text().startswith("Stopped.")
    dialog.maps.setCurrentRow(0)
    assert dialog.take.isEnabled()


@pytest.mark.parametrize("end", ["close", "predict", "leave"])
def test_closing_while_it_runs_stops_it(viewer, dock, qtbot, end):
    dialog = opened(dock, qtbot)
    job = dialog._job
    qtbot.waitUntil(lambda: dialog.maps.count() > 0, timeout=PATIENCE)
    if end == "close":
        dialog.close()
    elif end == "predict":
        dock.run.predict.click()
    else:
        viewer.window.remove_dock_widget(dock)
    assert job._stop.is_set()
    qtbot.waitUntil(lambda: not job._worker.is_running, timeout=PATIENCE)
    if end == "predict":
        qtbot.waitUntil(lambda: not dock.model.running, timeout=PATIENCE)


def test_what_cannot_be_looked_at_is_said_beside_the_buttons(dock, qtbot):
    from napari_ink.widgets.predict.model import Region

    dock.model.region = Region.SHAPE
    dock.looks.sweep.click()
    assert dock.looks.dialog is None
    assert "no rectangle has been drawn" in dock.looks.problem.text()


def test_a_failure_is_told_in_the_window(dock, qtbot, monkeypatch):
    from napari_ink.analysis import sweep
    from napari_ink.errors import FragmentError

    def broken(*_):
        raise FragmentError("03.tif is truncated", "copy it again")

    monkeypatch.setattr(sweep, "map_of_region", broken)
    dialog = finished(opened(dock, qtbot), qtbot)
    assert dialog.status.text() == "03.tif is truncated: copy it again"
    assert not dialog.take.isEnabled()


def test_what_to_know_of_a_look_stands_in_sentences(dock, qtbot):
    dialog = finished(opened(dock, qtbot, "probe"), qtbot)
    dialog._on_notice("the emptiest place is not empty")
    assert dialog.notes.text().endswith("⚠ The emptiest place is not empty")


def test_every_control_has_a_tooltip(dock, qtbot):
    dialog = finished(opened(dock, qtbot), qtbot)
    for kind in (QAbstractButton, QListWidget, QProgressBar):
        for control in [*dialog.findChildren(kind), *dock.looks.findChildren(QAbstractButton)]:
            if control.isVisible():
                assert control.toolTip()


def test_not_predicted_is_grey_and_the_best_is_framed(qtbot):
    from napari_ink.widgets.sweep.maps import picture

    values = np.ones((50, 50), np.float32)
    values[:, :25] = np.nan

    def colour(framed, x, y):
        return picture(values, framed=framed).toImage().pixelColor(x, y).getRgb()[:3]

    assert np.ptp(colour(False, 30, 60)) < 6
    assert colour(False, 100, 60)[2] < colour(False, 100, 60)[0]
    assert colour(True, 2, 60) != colour(False, 2, 60)
