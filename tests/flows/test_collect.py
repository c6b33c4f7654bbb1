"""What users did comes back as features: only through the doors, and exactly once."""

import json
import random
import subprocess
import sys
import time
from datetime import timedelta

import polars as pl
import pytest

from console.demo.replay import Replayer
from flows import collect, ingest, runner
from flows.building import catalog
from flows.pipeline import Window
from flows.serving import supervisor
from store import clock
from store.features import write
from store.layout import Root
from store.registry import packages
from store.traffic import outcomes, predictions
from tests.flows.collecting import FREE_PAGES, content
from tests.soak import times
from tests.store.test_full_disk import SMALL_DISK
from tests.worlds import NOW, START, copied

DAYS = timedelta(days=2)


@pytest.fixture(scope="module")
def asked(delivered, tmp_path_factory):
    """Two days of flights asked about and told of over HTTP, nothing collected. Read it only."""
    root = copied(delivered, tmp_path_factory.mktemp("asked") / "root")
    window = Window(NOW, NOW + DAYS)
    with (
        supervisor.running(root, "flight_delay", "production") as service,
        Replayer(root, service.url, "flight_delay", window, publish=lambda: None) as replayer,
    ):
        replayer.begin()
        replayer.until(window.end, lambda _: None)
    return root, replayer


@pytest.fixture
def spooled(asked, tmp_path):
    """A copy of ``asked`` to collect in."""
    root, replayer = asked
    return copied(root, tmp_path / "root"), replayer


@pytest.fixture(scope="module")
def whole(asked, tmp_path_factory):
    """What a collection that nothing disturbs brings in, and how many seconds it takes."""
    root = copied(asked[0], tmp_path_factory.mktemp("whole") / "root")
    began = time.monotonic()
    collect.run(root, "flight_delay")
    return content(root), time.monotonic() - began


def snapshot(root, folder) -> tuple[str, set[str]]:
    """The next training set of arrival_minutes: its id, and its flights."""
    package = packages.deployed(root, "arrival_minutes", "production")
    folder.mkdir()
    job = {
        "what": "train",
        "root": str(root.path),
        "folder": str(folder),
        "now": clock.now(root).isoformat(),
        "actor": "test",
    }
    built = runner.run(runner.unpacked(root, package), "flows.building", job)
    return built["snapshot"], set(pl.read_parquet(folder / "rows.parquet")["flight_id"])


def test_a_snapshot_grows_by_the_matured_ids_that_were_posted_and_only_once_they_are_collected(spooled, tmp_path):
    """Without collect the next snapshot's id is unchanged; with it, it has exactly the posted flights whose label is known."""
    root, replayer = spooled
    untouched, before = snapshot(root, tmp_path / "one")
    again, _ = snapshot(root, tmp_path / "two")
    assert untouched == again
    collect.run(root, "flight_delay")
    grown, after = snapshot(root, tmp_path / "three")
    assert grown != untouched
    now = clock.now(root)
    posted = pl.concat(rows for hour, rows in replayer.schedule.items() if hour <= now)
    known = catalog.load().facts["flight_schedule"].group
    waiting = write.rows(root, known, START, NOW).filter(pl.col("scheduled_arrival") + timedelta(days=1) >= NOW)
    matured = pl.concat(
        [posted.select("flight_id", "scheduled_arrival"), waiting.select("flight_id", "scheduled_arrival")]
    )
    matured = matured.filter(pl.col("scheduled_arrival") + timedelta(days=1) < now)
    assert after - before == set(matured["flight_id"])
    assert before <= after


def test_every_answered_prediction_and_outcome_is_in_the_store_once(spooled):
    """Collecting twice adds nothing; what was answered is there."""
    root, replayer = spooled
    first = collect.run(root, "flight_delay")
    second = collect.run(root, "flight_delay")
    assert (first.predictions, first.outcomes) == (replayer.traffic.asked, replayer.traffic.told)
    assert (second.predictions, second.outcomes, sum(second.facts.values()), sum(second.derived.values())) == (
        0,
        0,
        0,
        0,
    )
    assert predictions.read(root, "production", "flight_delay")["prediction_id"].n_unique() == replayer.traffic.asked
    assert outcomes.read(root, "production", "flight_delay").height == replayer.traffic.told


def test_killed_between_its_parts_it_loses_nothing(spooled, monkeypatch):
    """A collection that dies after the spool was drained is completed by the next one."""
    root, _ = spooled

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(collect, "feed", die)
    with pytest.raises(KeyboardInterrupt):
        collect.run(root, "flight_delay")
    monkeypatch.undo()
    found = collect.run(root, "flight_delay")
    assert found.predictions == 0
    assert found.facts["flight_schedule"] > 0
    assert found.derived["airport"] > 0


def test_killed_at_any_instant_it_is_completed_by_the_next_one(asked, whole, tmp_path):
    """Whichever instant a kill -9 lands at: the next run leaves the very tables that an undisturbed one leaves."""
    chance, killed = random.Random(7), 0
    for number in range(times(2, 40)):
        root = copied(asked[0], tmp_path / f"root{number}")
        command = [sys.executable, "-m", "tests.flows.collecting", "waited", str(root.path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout.readline() == "ready\n"
            child.stdin.write("go\n")
            child.stdin.flush()
            assert child.stdout.readline() == "begun\n"
            time.sleep(chance.uniform(0, whole[1]))
            child.kill()
            killed += child.stdout.read() == ""
        collect.run(root, "flight_delay")
        assert content(root) == whole[0]
    assert killed


def test_a_full_disk_stops_it_in_words_and_loses_nothing(asked, whole, tmp_path):
    """With ever more room: what fails says the disk is full, and the same again with room leaves the undisturbed tables."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run([*SMALL_DISK, str(disk), "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a small disk of their own (unshare, tmpfs)")
    command = [
        *SMALL_DISK,
        str(disk),
        sys.executable,
        "-m",
        "tests.flows.collecting",
        "full",
        str(asked[0].path),
        str(disk),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["other"] == []
    assert len(found["refused"]) > len(FREE_PAGES) / 2
    assert found["ends"] == [whole[0]] * len(FREE_PAGES)


def test_live_facts_derive_to_what_history_would_have_derived(spooled, tmp_path):
    """Collected or ingested in bulk: the same features at the same ticks, so training sees what serving saw."""
    root, _ = spooled
    collect.run(root, "flight_delay")
    bulk = Root.open(tmp_path / "bulk")
    clock.move(bulk, clock.now(root))
    ingest.run(bulk, start=START)
    end = clock.now(root) + timedelta(seconds=1)
    for name, derived in catalog.load().derived.items():
        rows = (write.rows(one, derived.group, NOW + timedelta(seconds=1), end) for one in (root, bulk))
        live, history = (one.drop("known_time").sort("event_time", *derived.group.keys) for one in rows)
        assert live.height > 0
        assert live.equals(history), name


def test_traffic_of_the_test_environment_feeds_no_features(spooled):
    """Only production's traffic becomes facts."""
    root, _ = spooled
    found = collect.run(root, "flight_delay", "test")
    assert (found.facts, found.derived) == ({}, {})
