"""Facts come in once, known when they could be known."""

import os
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from flows import ingest
from flows.building import catalog
from store import clock
from store.errors import InvalidInput, NotFound
from store.features import write
from store.layout import Root

NOW = datetime(2013, 1, 3, tzinfo=UTC)
START = datetime(2013, 1, 1, tzinfo=UTC)


@pytest.fixture
def ingested(tmp_path) -> Root:
    """Two days of flights."""
    root = Root.open(tmp_path / "root")
    clock.move(root, NOW)
    ingest.run(root, start=START)
    return root


def facts(root: Root, name: str) -> pl.DataFrame:
    return write.rows(root, catalog.load().facts[name].group, START, NOW + timedelta(days=9))


def weather(hour: int, temperature: float = 40.0) -> pl.DataFrame:
    values = dict.fromkeys(("dewpoint_f", "humidity_pct", "wind_mph", "precip_in", "pressure_mb", "visibility_mi"), 1.0)
    event = NOW + timedelta(hours=hour)
    return pl.DataFrame({"origin": ["JFK"], "event_time": [event], "temp_f": [temperature], **values})


def drop(root: Root, name: str, rows: pl.DataFrame) -> None:
    folder = root.inbox / "weather"
    folder.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(folder / name)


def test_nothing_is_known_before_it_happened(ingested):
    """An archive read until now gives no row that became known after now."""
    for name in catalog.load().facts:
        assert facts(ingested, name)["known_time"].max() <= NOW


def test_ingesting_the_same_window_again_adds_nothing(ingested):
    """Bulk history is idempotent."""
    assert set(ingest.run(ingested, start=START).values()) == {0}


def test_a_file_of_the_inbox_is_known_when_it_is_taken_and_taken_once(ingested):
    """Live facts are known at store time, and a file is gone once its rows are in."""
    drop(ingested, "a.parquet", weather(-1))
    assert ingest.run(ingested)["weather"] == 1
    assert ingest.run(ingested)["weather"] == 0
    row = facts(ingested, "weather").filter(pl.col("event_time") == NOW - timedelta(hours=1), pl.col("origin") == "JFK")
    assert NOW in row["known_time"].to_list()
    assert [path.name for path in (ingested.inbox / "weather").iterdir()] == [".lock"]


def test_who_is_killed_between_write_and_removal_leaves_the_rows_there_once(ingested, monkeypatch):
    """The claimed batch is found again, and its rows are not written twice even though it is later by then."""
    drop(ingested, "a.parquet", weather(-2))
    monkeypatch.setattr(ingest.shutil, "rmtree", _killed)
    with pytest.raises(KeyboardInterrupt):
        ingest.run(ingested)
    monkeypatch.undo()
    clock.move(ingested, NOW + timedelta(hours=6))
    before = facts(ingested, "weather").height
    ingest.run(ingested)
    assert facts(ingested, "weather").height == before
    assert [path.name for path in (ingested.inbox / "weather").iterdir()] == [".lock"]


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_claim_interrupted_while_files_move_loses_none(ingested, monkeypatch):
    """Files already moved aside when the process died are taken by the next run."""
    drop(ingested, "a.parquet", weather(-2))
    drop(ingested, "b.parquet", weather(-3))
    renames, rename = [], os.rename

    def dying(source, target):
        renames.append(source)
        if len(renames) == 2:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(ingest.os, "rename", dying)
    with pytest.raises(KeyboardInterrupt):
        ingest.run(ingested)
    monkeypatch.undo()
    assert ingest.run(ingested)["weather"] == 2


def test_a_file_with_other_columns_is_refused_by_name_and_changes_nothing(ingested):
    """The error names file, missing columns and what to do; the other rows stay out too."""
    drop(ingested, "bad.parquet", weather(-1).drop("temp_f"))
    before = facts(ingested, "weather").height
    with pytest.raises(InvalidInput, match=r"bad\.parquet lacks the columns \['temp_f'\]"):
        ingest.run(ingested)
    assert facts(ingested, "weather").height == before


@pytest.mark.parametrize("name", ["bad.parquet", "bad.csv"])
def test_a_file_that_cannot_be_read_is_refused_and_left_where_it_is(tmp_path, name):
    """Half a file, or none of its kind: named, with what the inbox takes; the good one beside it waits too."""
    root = Root.open(tmp_path / "root")
    clock.move(root, NOW)
    drop(root, "good.parquet", weather(-1))
    (root.inbox / "weather" / name).write_bytes(b"" if name.endswith("csv") else b"PAR1 and no more")
    with pytest.raises(InvalidInput) as refused:
        ingest.run(root)
    assert refused.value.asked.startswith(f"{name} cannot be read: ")
    assert refused.value.exists == "The inbox takes parquet and CSV for weather."
    assert refused.value.remedy == "Replace the file, and ingest again."
    assert {path.name for path in (root.inbox / "weather").iterdir()} == {".lock", name, "good.parquet"}


def test_an_unknown_group_is_named_with_those_that_exist(ingested):
    """A near miss is offered."""
    with pytest.raises(NotFound, match="Did you mean weather"):
        ingest.run(ingested, start=START, groups=("wether",))
