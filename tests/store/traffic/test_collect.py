"""The drain's promises: every spooled record is in its table exactly once."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest
from deltalake import CommitProperties, Transaction

from store import tables
from store.errors import Conflict, InvalidInput, Refused
from store.layout import Root
from store.traffic import collect, outcomes, predictions, spool

WORKSPACE = Path(__file__).parents[3]
START = datetime(2013, 4, 1, tzinfo=UTC)
TIME = pl.Datetime("us", "UTC")
MANIFEST = {
    "request": {"flight": "String", "miles": "Int64", "departs": str(TIME), "day": "Date"},
    "outcome": {"late": "Boolean", "minutes": "Float64"},
    "key": ["flight"],
    "columns": ["flight", "miles", "hour", "sky"],
}


@pytest.fixture
def root(tmp_path):
    return Root.open(tmp_path / "root")


def asked(n, **request):
    fields = {"flight": f"UA{n}", "miles": n, "departs": START + timedelta(hours=n), "day": START.date()} | request
    served = {"flight": f"UA{n}", "miles": float(n), "hour": None, "sky": "clear"}
    made = predictions.record(
        prediction_id=f"p{n}", received_at=START + timedelta(minutes=n), recorded_at=START, model="m", package="k",
        request=fields, served=served, prediction=n / 10,
    )  # fmt: skip
    return orjson.dumps(made)


def told(n, **outcome):
    made = outcomes.record(
        outcome_id=f"o{n}", received_at=START + timedelta(minutes=n), recorded_at=START, prediction_id=f"p{n}",
        outcome={"flight": f"UA{n}", "late": n % 2 == 0} | outcome,
    )  # fmt: skip
    return orjson.dumps(made)


def spooled(root, *records, segment_bytes=spool.SEGMENT_BYTES):
    writer = spool.Writer(root, "test", "tiny", segment_bytes=segment_bytes)
    for record in records:
        writer.append([record])
    writer.close()


def drained(root, manifest=MANIFEST):
    return collect.drain(root, "test", "tiny", manifest)


def ids(root):
    return sorted(predictions.read(root, "test", "tiny")["prediction_id"].to_list())


def test_what_was_spooled_is_in_the_tables_with_its_types(root):
    spooled(root, asked(1), told(1), told(2, minutes=3.5))
    moved = drained(root)
    assert predictions.read(root, "test", "tiny").row(0, named=True) == {
        "prediction_id": "p1", "received_at": START + timedelta(minutes=1), "recorded_at": START,
        "model": "m", "package": "k",
        "flight": "UA1", "miles": 1, "departs": START + timedelta(hours=1), "day": START.date(),
        "x_flight": "UA1", "x_miles": 1.0, "x_hour": None, "x_sky": "clear", "prediction": 0.1,
    }  # fmt: skip
    assert outcomes.read(root, "test", "tiny")["minutes"].to_list() == [None, 3.5]
    assert moved.predictions.equals(predictions.read(root, "test", "tiny"))
    assert moved.outcomes.height == 2


def test_draining_again_moves_nothing(root):
    spooled(root, asked(1), told(1))
    drained(root)
    again = drained(root)
    assert (again.predictions.height, again.outcomes.height) == (0, 0)
    assert predictions.read(root, "test", "tiny").height == outcomes.read(root, "test", "tiny").height == 1


def test_an_empty_spool_moves_nothing_and_leaves_the_declared_columns_to_be_read(root):
    moved = drained(root)
    assert moved.predictions.is_empty()
    assert moved.outcomes.is_empty()
    assert {"flight", "miles", "departs", "x_miles"} <= set(predictions.read(root, "test", "tiny").columns)
    assert outcomes.read(root, "test", "tiny").schema == outcomes.schema(MANIFEST)


def test_an_early_drain_does_not_decide_which_model_columns_hold_text(root):
    drained(root)
    collect.prepare(root, "test", "tiny", MANIFEST, ["sky"])
    spooled(root, asked(1))
    drained(root)
    assert predictions.read(root, "test", "tiny")["x_sky"].to_list() == ["clear"]


def test_one_drain_is_one_commit_a_table_however_many_segments(root):
    spooled(root, *(asked(n) for n in range(20)), *(told(n) for n in range(20)), segment_bytes=500)
    drained(root)
    assert tables.version(predictions.path(root, "test", "tiny")) <= 2
    assert tables.version(outcomes.path(root, "test", "tiny")) == 1
    assert predictions.read(root, "test", "tiny").height == 20


def test_consumed_segments_are_deleted_and_open_ones_stay(root):
    spooled(root, *(asked(n) for n in range(10)), segment_bytes=500)
    writer = spool.Writer(root, "test", "tiny")
    writer.append([asked(10)])
    drained(root)
    assert len(spool.segments(root, "test", "tiny")) == 1
    writer.append([asked(11)])
    drained(root)
    writer.close()
    drained(root)
    assert spool.segments(root, "test", "tiny") == []
    assert predictions.read(root, "test", "tiny").height == 12


def test_two_drains_at_once_move_each_record_once(root):
    writer = spool.Writer(root, "test", "tiny")
    collect.prepare(root, "test", "tiny", MANIFEST, ["sky"])
    moved, stop = list[str](), threading.Event()

    def work():
        while not stop.is_set():
            moved.extend(drained(root).predictions["prediction_id"].to_list())

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for n in range(60):
        writer.append([asked(n)])
    deadline = time.monotonic() + 60
    while len(moved) < 60 and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    for worker in workers:
        worker.join()
    writer.close()
    assert sorted(moved) == ids(root) == sorted(f"p{n}" for n in range(60))


def test_a_drain_that_loses_every_race_is_told_to_come_again_and_loses_nothing(root, monkeypatch):
    """Another writer commits between look and write, twenty times; the records stay in the spool for the next drain."""
    spooled(root, asked(1))
    collect.prepare(root, "test", "tiny", MANIFEST, ["sky"])
    table, real, lost = predictions.path(root, "test", "tiny"), tables.write_deltalake, []

    def overtaken(*given, **asked):
        lost.append(1)
        with ThreadPoolExecutor(1) as other:
            done = CommitProperties(app_transactions=[Transaction("another", len(lost))])
            theirs = pl.DataFrame(schema=tables.schema(table)).to_arrow()
            other.submit(real, str(table), theirs, mode="append", commit_properties=done).result()
        real(*given, **asked)

    with monkeypatch.context() as racing:
        racing.setattr(tables, "write_deltalake", overtaken)
        with pytest.raises(Conflict) as refused:
            drained(root)
    assert refused.value.asked == "Could not append to predictions."
    assert (refused.value.exists, refused.value.remedy) == ("20 attempts lost to others.", "Run it again.")
    assert (len(lost), ids(root)) == (20, [])
    drained(root)
    assert ids(root) == ["p1"]


def test_a_drain_killed_anywhere_loses_and_doubles_nothing(root):
    code = (
        "import sys, json\nfrom store.layout import Root\nfrom store.traffic import collect\n"
        "print('go', flush=True)\n"
        "while True:\n    collect.drain(Root.open(sys.argv[1]), 'test', 'tiny', json.loads(sys.argv[2]))\n"
    )
    writer, chance, n = spool.Writer(root, "test", "tiny", segment_bytes=5000), random.Random(7), 0
    for _ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(root.path), orjson.dumps(MANIFEST).decode()],
            stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(WORKSPACE)},
        )  # fmt: skip
        child.stdout.readline()
        until = time.monotonic() + chance.uniform(0.02, 0.3)
        while time.monotonic() < until:
            writer.append([asked(n), told(n)])
            n += 1
        child.send_signal(signal.SIGKILL)
        child.communicate()
    writer.close()
    drained(root)
    assert ids(root) == sorted(f"p{i}" for i in range(n))
    assert sorted(outcomes.read(root, "test", "tiny")["outcome_id"]) == sorted(f"o{i}" for i in range(n))
    assert spool.segments(root, "test", "tiny") == []


def test_a_damaged_segment_stops_the_drain_and_loses_nothing(root):
    spooled(root, asked(1), asked(2))
    (path,) = spool.segments(root, "test", "tiny")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"UA2"', b'"UA3"'))
    with pytest.raises(Refused, match=f"{path.name} is damaged"):
        drained(root)
    path.write_bytes(whole)
    drained(root)
    assert ids(root) == ["p1", "p2"]


def test_a_newer_package_may_add_fields_and_old_rows_have_null_there(root):
    spooled(root, asked(1))
    drained(root)
    newer = MANIFEST | {"request": MANIFEST["request"] | {"gate": "String"}, "columns": [*MANIFEST["columns"], "gate"]}
    collect.prepare(root, "test", "tiny", newer)
    spooled(root, asked(2, gate="B7"), asked(3))
    drained(root, MANIFEST)
    assert predictions.read(root, "test", "tiny")["gate"].to_list() == [None, "B7", None]


def test_a_field_keeps_its_dtype_for_good(root):
    collect.prepare(root, "test", "tiny", MANIFEST)
    with pytest.raises(Conflict, match="miles is Int64, not Float64"):
        collect.prepare(root, "test", "tiny", MANIFEST | {"request": MANIFEST["request"] | {"miles": "Float64"}})


def test_a_field_the_table_does_not_have_is_not_dropped(root):
    collect.prepare(root, "test", "tiny", MANIFEST, ["sky"])
    spooled(root, asked(1, gate="B7"))
    with pytest.raises(InvalidInput, match="fields that the table has not: gate"):
        drained(root)


@pytest.mark.parametrize("name", ["model", "prediction", "x_miles", "received_at"])
def test_a_request_field_cannot_take_a_name_the_table_needs(name):
    with pytest.raises(InvalidInput, match=f"cannot be called '{name}'"):
        predictions.schema(MANIFEST | {"request": {name: "String"}})


def test_a_dtype_no_table_can_hold_is_refused():
    with pytest.raises(InvalidInput, match="cannot be a List"):
        outcomes.schema(MANIFEST | {"outcome": {"late": "List(Int64)"}})


def test_reading_keeps_to_the_window(root):
    spooled(root, *(asked(n) for n in range(5)))
    drained(root)
    some = predictions.read(root, "test", "tiny", START + timedelta(minutes=1), START + timedelta(minutes=3))
    assert some["prediction_id"].to_list() == ["p1", "p2"]


def test_before_any_traffic_there_are_no_rows(root):
    assert predictions.read(root, "test", "tiny").height == outcomes.read(root, "test", "tiny").height == 0


def test_lag_counts_what_is_not_in_the_tables_yet(root):
    spooled(root, asked(1))
    assert collect.lag(root, "test", "tiny") > 100
    writer = spool.Writer(root, "test", "tiny")
    drained(root)
    assert collect.lag(root, "test", "tiny") == 0
    writer.close()


def test_a_segment_is_collected_as_far_as_both_tables_have_it(root, monkeypatch):
    """Up to where records that are only in the spool begin, of whatever kind; before any collection there is nothing to say."""
    spooled(root, asked(1))
    assert collect.collected(root, "test", "tiny") == {}
    monkeypatch.setattr(spool, "remove_consumed", lambda *_: [])
    collect.drain(root, "test", "tiny", MANIFEST)
    (first,) = spool.segments(root, "test", "tiny")
    spooled(root, asked(2))
    spooled(root, told(1))
    _, second, third = spool.segments(root, "test", "tiny")
    assert collect.collected(root, "test", "tiny") == {first.name: first.stat().st_size, second.name: 0, third.name: 0}
