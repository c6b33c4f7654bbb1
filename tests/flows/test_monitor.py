"""A window is judged once, on what was served and what has matured."""

import subprocess
import sys
from datetime import timedelta

import pytest

from console.demo.replay import Replayer
from flows import collect, ingest, monitor
from flows.pipeline import Window
from flows.serving import supervisor
from store import clock, ledger
from store.errors import NotFound
from store.registry import dues, models
from tests.worlds import CLAIMS, NOW, copied

WEEK = timedelta(days=7)


@pytest.fixture(scope="module")
def watched(delivered, tmp_path_factory):
    """A week of traffic, collected on its grid. Read it only."""
    root = copied(delivered, tmp_path_factory.mktemp("watched") / "root")

    def publish() -> None:
        ingest.run(root)
        collect.run(root, "flight_delay")

    window = Window(NOW, NOW + WEEK)
    with (
        supervisor.running(root, "flight_delay", "production") as service,
        Replayer(root, service.url, "flight_delay", window, publish) as replayer,
    ):
        replayer.begin()
        replayer.until(window.end, lambda _: None)
    return root, replayer


def test_a_week_is_judged_on_all_served_rows_and_its_matured_labels(watched, tmp_path):
    """The decision counts every prediction of the window, and has numbers for drift, champion and baseline."""
    root, replayer = copied(watched[0], tmp_path / "root"), watched[1]
    row = monitor.run(root, "flight_delay")
    body = row.body
    last_hour = replayer.schedule.get(NOW + WEEK)
    asked_in_window = replayer.traffic.asked - (0 if last_hour is None else last_hour.height)
    assert (body.window_start, body.window_end) == (NOW.isoformat(), (NOW + WEEK).isoformat())
    assert body.rows == asked_in_window
    assert 0.9 * body.rows < body.matured <= body.rows
    champion = models.champion(root, "flight_delay", "production")
    manifest_columns = {"weekday", "hour"}
    assert body.features.keys().isdisjoint(manifest_columns)
    assert row.digest == champion.digest
    assert 0.5 < body.champion_value < 1
    assert body.low is not None
    assert body.unit == "passenger minutes saved per flight"
    assert set(body.drifted) == {name for name, one in body.features.items() if one["score"] > one["threshold"]}


def test_a_window_is_judged_once(watched, tmp_path):
    """However often the flow runs within the next week, the decision and the ledger stay as they are."""
    root = copied(watched[0], tmp_path / "root")
    first = monitor.run(root, "flight_delay")
    clock.move(root, clock.now(root) + timedelta(days=3))
    assert monitor.run(root, "flight_delay") == first
    assert len(ledger.find(root, action="monitor.decided")) == 1


def test_without_a_champion_there_is_nothing_to_watch(root):
    """The error says what to run."""
    with pytest.raises(NotFound, match="assay train flight_delay"):
        monitor.run(root, "flight_delay")


def test_a_due_is_told_again_until_somebody_works_for_it(root, monkeypatch):
    """Open or left by a killed run it is told each time; while a run that lives has it, and after its end, nothing is."""
    told = []
    monkeypatch.setattr(monitor, "emit", lambda event, pipeline, payload: told.append((event, pipeline, payload)))

    def events() -> int:
        told.clear()
        monitor.notify(root, "flight_delay", "production")
        return len(told)

    assert events() == 0
    opening = {"kinds": ["drift"], "reasons": ["a test says so"], "window_end": NOW, "champion": None}
    due = dues.open_due(
        root, "d" * 64, pipeline="flight_delay", environment="production", actor="test", now=NOW, **opening
    )
    assert (events(), events()) == (1, 1)
    payload = {"pipeline": "flight_delay", "environment": "production", "due": due.id}
    assert told == [("assay.retraining.due", "flight_delay", payload)]
    subprocess.run([sys.executable, "-c", CLAIMS, str(root.path), due.id], check=True)
    assert events() == 1
    dues.claim(root, due.id, run="living", actor="test", by="call", now=NOW)
    assert events() == 0
    dues.close(root, due.id, outcome="kept", run="living", by="call", model=None, sentence="", actor="test", now=NOW)
    assert events() == 0


def test_windows_lie_on_a_grid_that_begins_on_mondays():
    """A window that has not ended is not judged."""
    assert monitor.newest_window(WEEK, NOW) == Window(NOW - WEEK, NOW)
    assert monitor.newest_window(WEEK, NOW + timedelta(days=6, hours=23)) == Window(NOW - WEEK, NOW)
