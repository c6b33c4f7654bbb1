"""A snapshot's promises: one id for one content, one ledger row, and the same rows again whatever came after."""

from __future__ import annotations

import io
import math
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from store import blobs, ledger, tables
from store.errors import InvalidInput, NotFound, Refused
from store.features import group as groups
from store.features import snapshot as module
from store.features.group import TIME, Group
from store.features.join import Use, join
from store.features.snapshot import Snapshot, content_digest, freeze, rebuild
from store.features.write import declare, write
from store.layout import Root

NOW = datetime(2020, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
GROUP = Group("weather", {"k": pl.Int64()}, {"v": pl.Int64(), "s": pl.String()})
USES = [Use("weather", ("v", "s"), {"k": "origin"}, "origin_")]
SPINE = pl.DataFrame(
    {"origin": [1, 2, 1, 3], "event_time": [NOW + 9 * DAY] * 3 + [NOW], "label": [0.5, None, 0.5, 1.0]}
)


@pytest.fixture
def filled(root: Root) -> Root:
    declare(root, GROUP, derivation="d" * 64, actor="test", now=NOW)
    put(root, days=[0, 1], known=[0, 1], v=[10, 20])
    return root


def put(root: Root, *, days: list[int], known: list[int], v: list[int], group: Group = GROUP) -> None:
    """One row for each of the keys 1 and 2 a day."""
    frame = pl.DataFrame({"k": [[1, 2]] * len(days), "day": days, "known": known, "v": v}).explode("k")
    times = {"event_time": pl.col("day"), "known_time": pl.col("known")}
    frame = frame.with_columns((days * DAY + NOW).name.keep().alias(name) for name, days in times.items())
    write(root, group, frame.select("k", *times, "v", s=pl.col("v").cast(pl.String)), now=NOW)


def frozen(
    root: Root, spine: pl.DataFrame = SPINE, uses: list[Use] = USES, pipeline: str = "delay", **window: Any
) -> Snapshot:
    given = {"window_start": NOW, "window_end": NOW + 10 * DAY, **window}
    return freeze(root, spine, uses, pipeline=pipeline, actor="test", now=NOW, **given)


def test_a_snapshot_is_the_join_and_its_recipe(filled: Root) -> None:
    """The frame is what ``join`` gives; the ledger's row says what it was made of."""
    snapshot = frozen(filled)
    assert_frame_equal(snapshot.frame, join(filled, SPINE, USES))
    assert (snapshot.rows, snapshot.tables) == (4, {"weather@1": 1})
    assert snapshot.content == content_digest(snapshot.frame)
    (row,) = ledger.find(filled, action="snapshot.frozen")
    assert (row.subject, row.digest, row.body.manifest) == ("delay", snapshot.id, snapshot.manifest)
    assert (row.body.window_start, row.body.rows) == (NOW.isoformat(), 4)
    assert_frame_equal(rebuild(filled, snapshot.id), snapshot.frame)


def test_it_is_rebuilt_after_more_ingestion_and_after_compaction(filled: Root) -> None:
    """Case 16: late rows, newer rows, ties, a compaction and a new version of the group: the same content hash."""
    snapshot = frozen(filled)
    put(filled, days=[1, 2, 1], known=[3, 2, 1], v=[30, 40, 21])
    tables.compact(groups.path(filled, GROUP))
    second = Group("weather", {"k": pl.Int64()}, {"v": pl.Int64(), "s": pl.String()}, version=2)
    declare(filled, second, derivation="e" * 64, actor="test", now=NOW)
    put(filled, days=[1], known=[1], v=[99], group=second)
    assert join(filled, SPINE, USES).item(0, "origin_v") == 99
    assert content_digest(rebuild(filled, snapshot.id)) == snapshot.content
    assert_frame_equal(rebuild(filled, snapshot.id), snapshot.frame)


def test_the_same_again_is_recorded_once(filled: Root) -> None:
    """One ledger row a pipeline and id, even if another window is given; another pipeline has its own."""
    first = frozen(filled)
    again = frozen(filled, window_start=NOW - DAY)
    assert (again.id, again.manifest) == (first.id, first.manifest)
    assert frozen(filled, pipeline="other").id == first.id
    assert [row.subject for row in ledger.find(filled, action="snapshot.frozen")] == ["delay", "other"]


def test_another_librarys_parquet_is_the_same_snapshot(filled: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of the stored spine may differ; id, recorded manifest and rows do not."""
    first = frozen(filled)

    def otherwise(frame: pl.DataFrame) -> bytes:
        buffer = io.BytesIO()
        frame.write_parquet(buffer, compression="uncompressed")
        return buffer.getvalue()

    monkeypatch.setattr(module, "_parquet", otherwise)
    again = frozen(filled)
    assert (again.id, again.manifest, again.content) == (first.id, first.manifest, first.content)
    assert len(ledger.find(filled, action="snapshot.frozen")) == 1


def test_the_id_is_of_what_determines_the_rows(filled: Root) -> None:
    """Spine, query, time column and table versions make it; the window does not."""
    spine = SPINE.with_columns(pl.col("event_time").alias("other_time"))
    ids = [
        frozen(filled, spine).id,
        freeze(
            filled,
            spine,
            USES,
            pipeline="delay",
            time="other_time",
            window_start=NOW,
            window_end=NOW,
            actor="test",
            now=NOW,
        ).id,
        frozen(filled, spine.reverse()).id,
        frozen(filled, spine, [Use("weather", ("v",), {"k": "origin"}, "origin_")]).id,
    ]
    put(filled, days=[5], known=[5], v=[50])
    ids.append(frozen(filled, spine).id)
    assert len(set(ids)) == 5


def test_rows_changed_past_the_write_door_are_refused(filled: Root) -> None:
    """Rebuilding and freezing again both notice that the content is not what was recorded."""
    snapshot = frozen(filled)
    (file,) = tables.files(groups.path(filled, GROUP))
    changed = pl.read_parquet(file).with_columns(pl.col("v") + 1)
    changed.write_parquet(file)
    with pytest.raises(Refused, match=rf"snapshot {snapshot.id[:8]} does not have the rows.*Recorded content"):
        rebuild(filled, snapshot.id)
    with pytest.raises(Refused, match="does not have the rows"):
        frozen(filled)


def test_a_changed_spine_is_refused(filled: Root) -> None:
    """Its blob is hashed on reading."""
    snapshot = frozen(filled)
    sha = blobs.get_json(filled, snapshot.manifest)["spine_blob"]
    blobs.path(filled, sha).write_bytes(b"something else")
    with pytest.raises(Refused, match=f"blob {sha[:8]} has been changed"):
        rebuild(filled, snapshot.id)


def test_an_unknown_snapshot_is_not_found(filled: Root) -> None:
    """The ones there are, are named."""
    with pytest.raises(NotFound, match=r"There is no snapshot yet\."):
        rebuild(filled, "0" * 64)
    snapshot = frozen(filled)
    with pytest.raises(NotFound, match=f"Known: {snapshot.id}"):
        rebuild(filled, "0" * 64)


def test_a_column_that_cannot_be_frozen_is_named(filled: Root) -> None:
    """Lists have no canonical bytes here."""
    with pytest.raises(InvalidInput, match=r"column path is List.*cannot be frozen"):
        frozen(filled, SPINE.with_columns(pl.Series("path", [[1]] * 4)))


EVERYTHING = pl.DataFrame(
    {
        "i": [1, None, -1], "f": [0.5, None, math.nan], "s": ["é", None, ""], "b": [True, None, False],
        "d": [date(2020, 1, 1), None, date(1960, 1, 1)], "t": [NOW, None, NOW - 99 * 365 * DAY],
        "naive": [NOW.replace(tzinfo=None), None, NOW.replace(tzinfo=None) - DAY], "clock": [time(1, 2), None, time(0)],
        "span": [DAY, None, -DAY], "c": pl.Series(["a", None, "b"], dtype=pl.Categorical),
        "e": pl.Series(["a", None, "b"], dtype=pl.Enum(["b", "a"])),
        "u": pl.Series([1, None, 2**64 - 1], dtype=pl.UInt64),
        "small": pl.Series([1, None, -1], dtype=pl.Int8), "single": pl.Series([0.5, None, -0.0], dtype=pl.Float32),
        "nothing": [None, None, None],
    }
)  # fmt: skip


def test_the_content_digest_never_changes() -> None:
    """This is its value for every dtype there is; on disk it stands in manifests and ledger rows."""
    assert content_digest(EVERYTHING) == "c37871b8abf02f73b5f09a947d74c0b883cef6b95b1fba1a5585842c6f26e2ac"


def test_the_content_digest_is_blind_to_how_content_is_held() -> None:
    """Chunks, parquet, and the bits of a NaN make no difference."""
    buffer = io.BytesIO()
    EVERYTHING.write_parquet(buffer, compression="uncompressed")
    assert content_digest(pl.read_parquet(buffer.getvalue())) == content_digest(EVERYTHING)
    assert content_digest(pl.concat([EVERYTHING[:1], EVERYTHING[1:]], rechunk=False)) == content_digest(EVERYTHING)
    odd = np.array([0x7FF8000000000001, 0xFFF8000000000000], dtype=np.uint64).view(np.float64)
    assert content_digest(pl.DataFrame({"f": odd})) == content_digest(pl.DataFrame({"f": [math.nan] * 2}))


@pytest.mark.parametrize("column", [name for name in EVERYTHING.columns if name != "nothing"])
def test_the_content_digest_sees_every_change(column: str) -> None:
    """Another value, a null, another name, dtype or order of any column."""
    series = EVERYTHING.get_column(column)
    changed = [
        EVERYTHING.with_columns(series.gather([0, 1, 0])),
        EVERYTHING.with_columns(series.gather([0, 1, 1])),
        EVERYTHING.with_columns(series.reverse()),
        EVERYTHING.rename({column: "renamed"}),
        EVERYTHING.drop(column),
        EVERYTHING.select("nothing", pl.exclude("nothing")),
    ]
    digests = {content_digest(frame) for frame in [EVERYTHING, *changed]}
    assert len(digests) == 7


def test_the_content_digest_sees_dtypes() -> None:
    """The same numbers as another type, unit or zone are other content."""
    instants = pl.Series("x", [NOW])
    frames = [
        pl.Series("x", [0], dtype=dtype) for dtype in (pl.Int64(), pl.UInt64(), pl.Int32(), pl.Float64(), pl.Date())
    ]
    frames += [
        instants,
        instants.dt.cast_time_unit("ms"),
        instants.dt.convert_time_zone("US/Pacific"),
        instants.cast(pl.Int64),
    ]
    assert len({content_digest(series.to_frame()) for series in frames}) == len(frames)


@settings(deadline=None)
@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), max_size=6), st.integers(0, 6))
def test_where_strings_end_is_content(texts: list[str | None], cut: int) -> None:
    """Moving a character from one row to the next is a change."""
    frame = pl.DataFrame({"s": texts}, schema={"s": pl.String()})
    joined = ["".join(text or "" for text in texts[:cut]), *texts[cut:]]
    other = pl.DataFrame({"s": joined}, schema={"s": pl.String()})
    assert (content_digest(frame) == content_digest(other)) == frame.equals(other)


def test_a_window_needs_a_zone(filled: Root) -> None:
    """As every time does."""
    with pytest.raises(InvalidInput, match="no zone"):
        frozen(filled, window_end=NOW.replace(tzinfo=None))
    assert SPINE.schema["event_time"] == TIME
