"""K16: built again, the data are the same, whatever was built before and however that ended."""

from __future__ import annotations

import dataclasses
import socket

import polars as pl
import pytest

from flows.checks import k16_rebuild
from flows.checks.check import Verdict, judge
from tests.flows.checks import shop


def _finding(world, **components):
    return judge(k16_rebuild.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


def _with_moods(world, derive):
    derived = {"mood": dataclasses.replace(shop.MOODS, derive=derive)}
    return judge(
        k16_rebuild.CHECK, dataclasses.replace(world, catalog=dataclasses.replace(world.catalog, derived=derived))
    )


def test_a_clean_pipeline_is_built_again_to_the_bit(clean, minutes):
    for world in (clean, minutes):
        finding = judge(k16_rebuild.CHECK, world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert finding.numbers["kills"] >= 3
        assert finding.control > 300


def test_what_an_earlier_build_left_in_a_file_is_seen(clean, tmp_path):
    left = tmp_path / "sizes.parquet"

    def prepare(rows):
        """Goes on from the largest size that any build has seen."""
        most = rows["size"].max()
        if left.exists():
            most = max(most, pl.read_parquet(left)["size"].max())
        pl.DataFrame({"size": [most + 1]}).write_parquet(left)
        return shop.prepare(rows).with_columns(pl.col("size") / most)

    finding = _finding(clean, prepare=prepare)

    assert finding.verdict is Verdict.FAIL
    assert "most in size" in finding.sentence


@pytest.mark.parametrize("ticks_at_least", [1, 20], ids=["any", "of a whole history"])
def test_what_a_killed_derivation_left_behind_is_seen(clean, ticks_at_least):
    busy = []

    def derive(read, ticks):
        """Gives nothing while another is at work, and a killed one is so for ever."""
        if busy:
            return shop.moods(read, ticks).with_columns(sales_1d=pl.lit(0, pl.Int64))
        if len(ticks) >= ticks_at_least:
            busy.append(True)
        found = shop.moods(read, ticks)
        busy.clear()
        return found

    finding = _with_moods(clean, derive)

    assert finding.verdict is Verdict.FAIL
    assert "mood_sales_1d" in finding.sentence


def test_what_a_killed_dataset_left_behind_is_seen(clean):
    busy = []

    def dataset(read, window):
        if busy:
            return shop.dataset(read, window).with_columns(size=pl.lit(0.0))
        busy.append(True)
        found = shop.dataset(read, window)
        busy.clear()
        return found

    finding = _finding(clean, dataset=dataset)

    assert finding.verdict is Verdict.FAIL
    assert "most in size" in finding.sentence


def test_what_is_kept_and_the_same_each_time_is_no_false_alarm(clean):
    kept = {}

    def prepare(rows):
        kept.setdefault("hours", pl.DataFrame({"hour": range(24)}))
        return shop.prepare(rows)

    finding = _finding(clean, prepare=prepare)

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_a_pipeline_that_refuses_other_facts_is_no_false_alarm(clean):
    sizes = clean.facts["orders"].select("order_id", "size")

    def dataset(read, window):
        rows = shop.dataset(read, window)
        if rows.join(sizes, on=["order_id", "size"], how="anti").height:
            raise ValueError("sizes that nobody ordered")
        return rows

    finding = _finding(clean, dataset=dataset)

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_a_build_that_asks_the_network_is_refused(clean):
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]

        def prepare(rows):
            socket.create_connection(("127.0.0.1", port)).close()
            return shop.prepare(rows)

        finding = _finding(clean, prepare=prepare)

    assert finding.verdict is Verdict.FAIL
    assert "it must do without a network" in finding.sentence


def test_sockets_connect_again_afterwards(clean):
    with socket.create_server(("127.0.0.1", 0)) as door:
        with k16_rebuild._offline(), pytest.raises(ConnectionRefusedError, match="A build asked for"):
            socket.create_connection(door.getsockname())
        socket.create_connection(door.getsockname()).close()


def test_a_dataset_that_does_not_look_at_its_facts_shows_nothing(clean):
    rows = shop.dataset(clean.read(), clean.window)
    bare = dataclasses.replace(clean, catalog=dataclasses.replace(clean.catalog, derived={}))
    pipeline = dataclasses.replace(shop.PIPELINE, dataset=lambda read, window: rows, features=())

    assert judge(k16_rebuild.CHECK, bare.planted(pipeline)).verdict is Verdict.VACUOUS
