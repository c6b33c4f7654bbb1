"""Lookups answer what the join would say, from files that never change under a reader."""

from __future__ import annotations

import math
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from store.errors import InvalidInput, NotFound, Unreachable
from store.features import online as module
from store.features.group import TIME, Group
from store.features.join import Use, join
from store.features.online import KEPT, lookup, materialise
from store.features.write import declare, write
from store.layout import Root
from tests.store.features import oracle

NOW = datetime(2020, 1, 1, tzinfo=UTC)
DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)
GROUP = Group("weather", {"k": pl.Int64()}, {"v": pl.Int64()}, ttl=DAY)
USE = Use("weather", ("v",))


def stored(root: Root, group: Group, *rows: tuple[Any, ...], known: bool = False) -> Group:
    """Declare and write; a row is its keys, event_time, known_time (if ``known``), values."""
    names = [*group.keys, "event_time", *(["known_time"] if known else []), *group.values]
    schema = {name: group.schema[name] for name in names}
    declare(root, group, derivation="d" * 64, actor="test", now=NOW)
    write(root, group, pl.DataFrame(list(rows), schema=schema, orient="row"), now=NOW)
    return group


def asked(root: Root, key: Any, at: datetime = NOW, use: Use = USE) -> Any:
    (found,) = lookup(root, [use], [{"k": key}], at=[at])
    return found["v"]


def files(root: Root, name: str = "weather") -> list[str]:
    return sorted((path.name for path in root.online(name).glob("*.sqlite")), key=lambda name: int(name.split(".")[0]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seeds=st.lists(st.integers(0, 10**6), min_size=1, max_size=3, unique=True),
    keys=st.sampled_from(sorted(oracle.KEYS)),
    flavour=st.sampled_from(oracle.FLAVOURS),
    ttl=st.sampled_from([None, 0, 4]),
    offset=st.integers(-1, 14),
)
def test_a_lookup_is_the_join_at_the_time_of_materialising(
    tmp_path_factory: pytest.TempPathFactory, seeds: list[int], keys: str, flavour: str, ttl: int | None, offset: int
) -> None:
    """Late rows, forecasts, ties, nulls, ttl: value for value, for known, unknown and null keys."""
    root, now = Root.open(tmp_path_factory.mktemp("root")), oracle.START + offset * MICROSECOND
    group = Group("g", oracle.KEYS[keys], oracle.VALUES, ttl=None if ttl is None else ttl * MICROSECOND)
    cases = [oracle.Case(group, seed, flavour) for seed in seeds]
    facts = [fact for case in cases for fact in case.facts()]
    names = [*group.keys, "event_time", "known_time", *group.values]
    stored(root, group, *(tuple(fact[name] for name in names) for fact in facts), known=True)
    rows = [{**row, "event_time": now} for case in cases for row in case.spine()]
    uses = [Use("g", tuple(group.values), prefix="x_"), Use("g@1", ("flag",))]
    spine = pl.DataFrame(rows, schema={**group.keys, "event_time": TIME}, orient="row")
    expected = join(root, spine, uses).select("x_number", "x_text", "x_share", "x_flag", "flag")
    materialise(root, ["g", "g@1"], now=now)
    got = pl.DataFrame(lookup(root, uses, rows, at=[now] * len(rows)), schema=expected.schema)
    assert_frame_equal(got, expected, check_exact=True)


def test_every_dtype_comes_back_as_python_has_it(root: Root) -> None:
    """Extremes, nulls, NaN, empty strings, dates before 1970."""
    values = {
        "b": pl.Boolean(), "d": pl.Date(), "t": TIME, "f": pl.Float32(), "g": pl.Float64(),
        "i": pl.Int8(), "j": pl.Int16(), "k_": pl.Int32(), "l": pl.Int64(), "s": pl.String(), "u": pl.String(),
    }  # fmt: skip
    early = NOW - 60 * 366 * DAY + MICROSECOND
    full = (False, early.date(), early, 0.5, 0.1, -128, 2**15 - 1, -(2**31), 2**63 - 1, "é" * 300, "")
    stored(
        root,
        Group("all", {"k": pl.Int64()}, values),
        (1, NOW, *full),
        (2, NOW, *[None] * 11),
        (3, NOW, *full[:-1], "x"),
    )
    materialise(root, ["all"], now=NOW)
    got = lookup(root, [Use("all", tuple(values))], [{"k": key} for key in (1, 2, 3, 4)], at=[NOW] * 4)
    assert [tuple(row.values()) for row in got] == [full, (None,) * 11, (*full[:-1], "x"), (None,) * 11]
    assert [type(value) for value in got[0].values()] == [type(value) for value in full]
    assert got[0]["t"].tzinfo is UTC


def test_ttl_is_relative_to_the_question(root: Root) -> None:
    """As old as the ttl is in, a microsecond older is out."""
    stored(root, GROUP, (1, NOW, 10))
    materialise(root, ["weather"], now=NOW)
    assert [asked(root, 1, at) for at in (NOW, NOW + DAY, NOW + DAY + MICROSECOND)] == [10, 10, None]


def test_a_question_about_the_past_never_gets_a_later_fact(root: Root) -> None:
    """Before the fact was true, or before it was known, there is no answer rather than a leak."""
    stored(root, GROUP, (1, NOW, NOW + MICROSECOND, 10), (2, NOW, NOW, 20), known=True)
    materialise(root, ["weather"], now=NOW + MICROSECOND)
    assert [asked(root, 1, at) for at in (NOW, NOW + MICROSECOND)] == [None, 10]
    assert [asked(root, 2, at) for at in (NOW - MICROSECOND, NOW)] == [None, 20]


def test_a_forecast_is_no_answer_before_it_is_true(root: Root) -> None:
    """Known long before, and true when it was materialised, but not yet at the instant asked about."""
    stored(root, GROUP, (1, NOW, NOW - DAY, 10), known=True)
    materialise(root, ["weather"], now=NOW)
    assert [asked(root, 1, at) for at in (NOW - MICROSECOND, NOW)] == [None, 10]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_ties_are_settled_as_in_the_join(root: Root, order: tuple[int, ...]) -> None:
    """By the greatest content hash, in whatever order the rows were written."""
    for value in order:
        stored(root, GROUP, (1, NOW, value))
    materialise(root, ["weather"], now=NOW)
    assert asked(root, 1) == max(order, key=lambda value: oracle.row_hash([value]))


def test_a_group_without_keys_has_one_row(root: Root) -> None:
    """Its newest."""
    stored(root, Group("calendar", {}, {"v": pl.Int64()}), (NOW - DAY, 1), (NOW, 2), (NOW + DAY, 3))
    materialise(root, ["calendar"], now=NOW)
    assert lookup(root, [Use("calendar", ("v",))], [{}, {"k": 1}], at=[NOW] * 2) == [{"v": 2}, {"v": 2}]


def test_keys_may_have_any_name(root: Root) -> None:
    """Words of SQL, and names that the file itself uses."""
    group = Group("odd", {"select": pl.Int64(), "packed": pl.Int64(), "k1": pl.Int64()}, {"v": pl.Int64()})
    stored(root, group, (1, 2, 3, NOW, 10), (3, 2, 1, NOW, 20))
    materialise(root, ["odd"], now=NOW)
    assert lookup(root, [Use("odd", ("v",))], [{"k1": 1, "packed": 2, "select": 3}], at=[NOW]) == [{"v": 20}]


def test_an_empty_group_answers_null(root: Root) -> None:
    """Declared and materialised, but nothing was written yet."""
    stored(root, GROUP)
    materialise(root, ["weather"], now=NOW)
    assert asked(root, 1) is None


def test_keys_are_mapped_and_outputs_prefixed(root: Root) -> None:
    """Origin and destination in one question; without names, an error that says so."""
    stored(root, GROUP, (1, NOW, 10), (2, NOW, 20))
    materialise(root, ["weather"], now=NOW)
    uses = [Use("weather", ("v",), {"k": "origin"}, "o_"), Use("weather", ("v",), {"k": "dest"}, "d_")]
    assert lookup(root, uses, [{"origin": 1, "dest": 2}], at=[NOW]) == [{"o_v": 10, "d_v": 20}]
    with pytest.raises(InvalidInput, match=r"\['v'\] would be there twice.*prefix"):
        lookup(root, [USE, USE], [{"k": 1}], at=[NOW])


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        (pl.Int64(), [7, np.int32(7)], ["7", 7.0, True]),
        (pl.String(), ["7", "a\0b"], [7]),
        (pl.Boolean(), [True, np.bool_(True)], [1]),
        (pl.Float64(), [0.0, -0.0, np.float32(0.0)], [1, "x"]),
        (pl.Date(), [NOW.date()], [NOW, "2020-01-01"]),
        (TIME, [NOW, NOW.astimezone()], ["2020-01-01", NOW.replace(tzinfo=None), NOW.date()]),
    ],
)
def test_a_key_is_of_the_groups_type(root: Root, dtype: pl.DataType, good: list[Any], bad: list[Any]) -> None:
    """Numpy's numbers are numbers; another kind is an error, as in the join; null finds nothing."""
    stored(root, Group("weather", {"k": dtype}, {"v": pl.Int64()}), *{(key, NOW, 10) for key in good[:2]})
    materialise(root, ["weather"], now=NOW)
    assert [asked(root, key) for key in [*good, None]] == [10] * len(good) + [None]
    for key in bad:
        with pytest.raises(InvalidInput, match=r"weather\.k is|no zone"):
            asked(root, key)


def test_keys_that_no_column_can_hold_find_nothing(root: Root) -> None:
    """An integer of 65 bits, half a surrogate pair, NaN: a stranger's request, not our error."""
    for name, dtype, key in (("a", pl.Int64(), 2**64), ("b", pl.String(), "\ud800"), ("c", pl.Float64(), math.nan)):
        stored(root, Group(name, {"k": dtype}, {"v": pl.Int64()}))
        materialise(root, [name], now=NOW)
        assert asked(root, key, use=Use(name, ("v",))) is None


def test_what_cannot_be_looked_up_is_named(root: Root) -> None:
    """Asked, exists, to do."""
    stored(root, GROUP, (1, NOW, 10))
    with pytest.raises(NotFound, match=r"no materialised feature group named 'weather'.*Materialise it first"):
        asked(root, 1)
    materialise(root, ["weather"], now=NOW)
    with pytest.raises(NotFound, match=r"named 'wether'.*Known: weather, weather@1.*Did you mean weather"):
        asked(root, 1, use=Use("wether", ("v",)))
    with pytest.raises(NotFound, match=r"no feature of weather named 'w'.*Known: v"):
        asked(root, 1, use=Use("weather", ("w",)))
    with pytest.raises(InvalidInput, match=r"no 'k', the key k of weather.*It has: origin"):
        lookup(root, [USE], [{"origin": 1}], at=[NOW])
    with pytest.raises(InvalidInput, match=r"1 rows were asked with 2 times"):
        lookup(root, [USE], [{"k": 1}], at=[NOW] * 2)
    with pytest.raises(InvalidInput, match="no zone"):
        asked(root, 1, NOW.replace(tzinfo=None))
    with pytest.raises(NotFound, match="no feature group named 'wether'"):
        materialise(root, ["wether"], now=NOW)


def test_readers_see_the_next_materialisation_at_once(root: Root) -> None:
    """The open connection is kept while the pointer stands, and replaced when it is."""
    stored(root, GROUP, (1, NOW, 10))
    materialise(root, ["weather"], now=NOW)
    assert asked(root, 1) == 10
    reader = module._reader(root, "weather")
    assert module._reader(root, "weather") is reader
    stored(root, GROUP, (1, NOW + MICROSECOND, 20))
    assert asked(root, 1, NOW + MICROSECOND) == 10
    materialise(root, ["weather"], now=NOW + MICROSECOND)
    assert asked(root, 1, NOW + MICROSECOND) == 20
    with pytest.raises(sqlite3.ProgrammingError):
        reader.connection.execute("SELECT 1")


def test_an_older_materialisation_does_not_replace_a_newer_one(root: Root) -> None:
    """Whoever was slower may finish later; the pointer stays."""
    stored(root, GROUP, (1, NOW, 10), (1, NOW + MICROSECOND, 20))
    materialise(root, ["weather"], now=NOW + MICROSECOND)
    materialise(root, ["weather"], now=NOW)
    assert asked(root, 1, NOW + MICROSECOND) == 20


def test_old_files_are_removed_but_not_what_is_pointed_to(root: Root) -> None:
    """The last few stay for readers that are just opening them; a pinned older version's file stays as well."""
    stored(root, GROUP, (1, NOW, 10))
    materialise(root, ["weather"], now=NOW)
    second = Group("weather", {"k": pl.Int64()}, {"v": pl.String()}, version=2)
    stored(root, second, (1, NOW, "new"))
    for hour in range(KEPT + 3):
        materialise(root, ["weather"], now=NOW + timedelta(hours=hour))
    assert files(root) == ["1.sqlite", "5.sqlite", "6.sqlite", "7.sqlite"]
    assert asked(root, 1, use=Use("weather@1", ("v",))) == 10
    assert asked(root, 1) == asked(root, 1, use=Use("weather@2", ("v",))) == "new"
    materialise(root, ["weather@1"], now=NOW + DAY)
    assert asked(root, 1) == "new"
    assert not [path for path in root.online("weather").iterdir() if path.name.startswith(".")]


def test_a_file_removed_between_pointer_and_opening_is_looked_for_again(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader reads the pointer anew, and gives up with an error if that never helps."""
    stored(root, GROUP, (1, NOW, 10))
    materialise(root, ["weather"], now=NOW)
    plain, calls = module._Reader, list[Path]()

    def gone_once(path: Path, name: str) -> module._Reader:
        calls.append(path)
        return plain(path.with_name("0.sqlite") if len(calls) == 1 else path, name)

    monkeypatch.setattr(module, "_Reader", gone_once)
    assert asked(root, 1) == 10
    (root.online("weather") / "1.sqlite").unlink()
    fresh = Root.open(root.path.rename(root.path.with_name("moved")))
    with pytest.raises(Unreachable, match="online file of weather cannot be opened"):
        asked(fresh, 1)


def test_two_materialisations_at_once_take_two_numbers(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number is taken by creating the file, so nobody overwrites a file that is being read."""
    stored(root, GROUP, (1, NOW, 10))
    materialise(root, ["weather"], now=NOW)
    plain, calls = module._numbers, list[Path]()

    def stale_once(folder: Path) -> list[int]:
        calls.append(folder)
        return [] if len(calls) == 1 else plain(folder)

    monkeypatch.setattr(module, "_numbers", stale_once)
    materialise(root, ["weather"], now=NOW)
    assert files(root) == ["1.sqlite", "2.sqlite"]


def test_each_thread_has_a_connection_of_its_own(root: Root) -> None:
    """Lookups from many threads at once, while materialisations go on."""
    stored(root, GROUP, *((key, NOW, key) for key in range(50)))
    materialise(root, ["weather"], now=NOW)
    wrong: list[Any] = []

    def reading() -> None:
        for key in range(200):
            if asked(root, key % 50) != key % 50:
                wrong.append(key)

    threads = [threading.Thread(target=reading) for _ in range(4)]
    for thread in threads:
        thread.start()
    for hour in range(6):
        materialise(root, ["weather"], now=NOW + timedelta(hours=hour))
    for thread in threads:
        thread.join()
    assert wrong == []
