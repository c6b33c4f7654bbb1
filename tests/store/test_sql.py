"""SQL's promises: a typed view of everything that is remembered, and errors that name what can be asked."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from store import actions, ledger, sql, tables
from store.errors import InvalidInput
from store.features import write
from store.features.group import Group
from store.layout import Root
from tests.conftest import NOW

GOLDEN = json.loads((Path(__file__).parent / "golden_ledger.json").read_text())
GROUP = Group("weather", {"origin": pl.String()}, {"wind": pl.Float64(), "late": pl.Boolean()})
TRAFFIC = pl.Schema({"prediction_id": pl.String(), "received_at": pl.Datetime("us", "UTC"), "prediction": pl.Float64()})
FOLDED = ["aliases", "comparisons", "decisions", "dues", "ledger", "models", "packages", "snapshots"]


def traffic(root: Root, kind: str, *instants: datetime) -> pl.DataFrame:
    path = root.traffic("test", "flights", kind)
    tables.create(path, TRAFFIC)
    frame = pl.DataFrame({"prediction_id": "a", "received_at": instants, "prediction": 0.5}, schema=TRAFFIC)
    tables.append(path, frame)
    return frame


@pytest.fixture
def filled(root: Root) -> Root:
    """One row of each action but the group's, a group with a row, predictions with two, outcomes with none."""
    for stored in GOLDEN:
        if stored["action"] != "group.declared":
            body = actions.payload(stored["action"], json.loads(stored["payload"]))
            what = {name: stored[name] for name in ("subject", "digest", "environment", "actor", "reason", "request")}
            ledger.append(root, stored["action"], body, now=datetime.fromisoformat(stored["store_time"]), **what)
    write.declare(root, GROUP, derivation="d" * 64, actor="ada", now=NOW)
    write.write(
        root, GROUP, pl.DataFrame({"origin": ["JFK"], "event_time": [NOW], "wind": [3.5], "late": [True]}), now=NOW
    )
    traffic(root, "predictions", NOW, NOW)
    traffic(root, "outcomes")
    return root


def test_every_view_is_there(filled: Root) -> None:
    """The ledger and what is folded from it, each group, each environment's traffic."""
    traffic_views = ["outcomes_test_flights", "predictions_test_flights"]
    assert sql.views(sql.connect(filled)) == sorted([*FOLDED, *traffic_views, "weather"])


def test_an_empty_root_has_its_views_too(root: Root) -> None:
    """Typed, and without a row."""
    assert sql.views(sql.connect(root)) == FOLDED
    for name in FOLDED:
        assert sql.ask(root, f"SELECT * FROM {name}").is_empty()


def test_the_ledger_view_is_the_ledger(filled: Root) -> None:
    """Every row and column, with the same dtypes."""
    assert_frame_equal(sql.ask(filled, "SELECT * FROM ledger ORDER BY seq"), ledger.frame(filled))


@pytest.mark.parametrize("name", sql.FOLDED)
def test_a_folded_view_has_its_payloads_fields_as_columns(filled: Root, name: str) -> None:
    """Every plain field typed as its dataclass says, the same on an empty root; lists and objects are JSON text."""
    found = sql.ask(filled, f"SELECT * FROM {name} ORDER BY seq")
    rows = ledger.find(filled, action=sql.FOLDED[name])
    assert found["seq"].to_list() == [row.seq for row in rows]
    assert found["pipeline"].to_list() == [row.subject for row in rows]
    assert found.schema["store_time"] == pl.Datetime("us", "UTC")
    assert {row.action for row in rows} == set(sql.FOLDED[name])
    dtypes = {"str": pl.String, "int": pl.Int64, "float": pl.Float64, "bool": pl.Boolean}
    for row, line in zip(rows, found.iter_rows(named=True), strict=True):
        for field in dataclasses.fields(row.body):
            value, kind = getattr(row.body, field.name), str(field.type).removesuffix(" | None")
            shown = json.loads(line[field.name]) if isinstance(value, dict | list) else line[field.name]
            assert shown == value
            assert found.schema[field.name] == dtypes.get(kind, pl.String)


def test_folded_views_are_typed_before_their_first_row(root: Root, filled: Root, tmp_path: Path) -> None:
    """The columns do not depend on what was recorded."""
    empty = Root.open(tmp_path / "empty")
    for name in FOLDED:
        asked = f"SELECT * FROM {name}"
        assert sql.ask(empty, asked).schema == sql.ask(filled, asked).schema


def test_groups_and_traffic_are_their_tables(filled: Root) -> None:
    """The same rows and dtypes as the store's own readers give, with and without rows."""
    for name, path in {
        "weather": filled.group("weather"),
        "predictions_test_flights": filled.traffic("test", "flights", "predictions"),
        "outcomes_test_flights": filled.traffic("test", "flights", "outcomes"),
    }.items():
        assert_frame_equal(sql.ask(filled, f"SELECT * FROM {name}"), tables.read(path))


def test_a_group_named_like_a_view_of_ours_hides_nothing(root: Root) -> None:
    """It is asked as ``features_<name>``."""
    write.declare(root, dataclasses.replace(GROUP, name="models"), derivation="d" * 64, actor="ada", now=NOW)
    assert "wind" in sql.ask(root, "SELECT * FROM features_models").columns
    assert "parameters" in sql.ask(root, "SELECT * FROM models").columns


def test_a_new_version_of_a_group_takes_over_its_view(filled: Root) -> None:
    """The view has the newest version's columns and rows."""
    newer = dataclasses.replace(GROUP, version=2, values={"gust": pl.Float64()})
    write.declare(filled, newer, derivation="e" * 64, actor="ada", now=NOW)
    assert sql.ask(filled, "SELECT gust FROM weather").is_empty()


def test_connecting_again_shows_what_came_since(filled: Root) -> None:
    """An open connection keeps the rows of its moment; a new one has the new ones."""
    before = sql.connect(filled)
    traffic(filled, "predictions", NOW)
    count = "SELECT count(*) FROM predictions_test_flights"
    assert before.sql(count).fetchall() == [(2,)]
    assert sql.connect(filled).sql(count).fetchall() == [(3,)]


def test_times_are_shown_in_utc(filled: Root) -> None:
    """Whatever zone the machine is in."""
    assert sql.ask(filled, "SELECT received_at::VARCHAR AS shown FROM predictions_test_flights LIMIT 1").item() == (
        "2013-04-01 00:00:00+00"
    )


@pytest.mark.parametrize("statement", ["SELECT nothing FROM ledger", "SELEC 1", "SELECT * FROM modells"])
def test_a_wrong_statements_error_names_the_views(filled: Root, statement: str) -> None:
    """DuckDB's own words first, then everything that can be asked."""
    with pytest.raises(InvalidInput, match=r"(?s)DuckDB cannot answer.*Error.*Views: aliases, .*weather\."):
        sql.ask(filled, statement)


def test_a_statement_without_rows_answers_without_rows(filled: Root) -> None:
    """SET and the like give an empty frame, not an error."""
    assert sql.ask(filled, "SET threads=1").is_empty()


def test_a_query_is_over_the_frames_it_is_given() -> None:
    """Each is a table by its argument's name, and nothing else is."""
    found = sql.query(
        "SELECT a, b FROM one JOIN two USING (a)",
        one=pl.DataFrame({"a": [1, 2]}),
        two=pl.DataFrame({"a": [2], "b": ["x"]}),
    )
    assert found.rows() == [(2, "x")]
    with pytest.raises(InvalidInput, match=r"Views: one\."):
        sql.query("SELECT * FROM two", one=pl.DataFrame({"a": [1]}))
