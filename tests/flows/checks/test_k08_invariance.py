"""K08: an answer depends on its own row, not on the rows beside it or their order."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

from flows.checks import k08_invariance
from flows.checks.check import Verdict, judge
from flows.pipeline import Search, Window
from tests.flows.checks import shop


def _finding(world, **components):
    return judge(k08_invariance.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


def _with_moods(world, derive):
    derived = {"mood": dataclasses.replace(shop.MOODS, derive=derive)}
    return judge(
        k08_invariance.CHECK, dataclasses.replace(world, catalog=dataclasses.replace(world.catalog, derived=derived))
    )


class SinglePrecision(LogisticRegression):
    """Computes in single precision, as networks do: the last bit depends on how many rows are multiplied at once."""

    def predict_proba(self, data):
        found = super().predict_proba(data).astype(np.float32)
        return found * np.float32(1 + 1.2e-7 * (len(found) > 100))


class BatchNorm(LogisticRegression):
    """Shares what it is asked by the deviation of the batch."""

    def predict_proba(self, data):
        return super().predict_proba(data.select(pl.all() / (1e-3 + pl.all().std().fill_null(0))))


class Cached(LogisticRegression):
    """Remembers its last answer and mixes it in."""

    def predict_proba(self, data):
        found = super().predict_proba(data)
        last, self.last = getattr(self, "last", 0.0), found[-1, 1]
        return np.clip(found + 1e-4 * last, 0, 1)


def test_a_clean_pipeline_answers_the_same_in_any_company(clean, minutes):
    for world in (clean, minutes):
        finding = _finding(world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert finding.control > 200
        assert finding.numbers["moved"] == finding.numbers["unstable"] == 0


@pytest.mark.parametrize(
    "model",
    [
        KNeighborsClassifier(4),
        KNeighborsClassifier(1, algorithm="brute"),
        MLPClassifier((8,), max_iter=20, random_state=0),
        SinglePrecision(),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_models_of_many_kinds_are_no_false_alarm(clean, model):
    finding = _finding(clean, estimator=lambda parameters: shop.prepared(model), search=Search())

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_a_neighbour_chosen_by_the_last_bit_is_counted_and_no_false_alarm(clean):
    """How many known sizes are below: its own is, or is not, by a sum whose last bit depends on the batch."""
    sizes = np.sort(clean.rows["size"].to_numpy())

    def asked(model, data):
        rounded = 1 + 3e-16 * (data.height > 100)
        return np.searchsorted(sizes, data["size"].to_numpy() * rounded).astype(float)

    finding = _finding(clean, predict=asked)

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.numbers["unstable"] > 0


@pytest.mark.parametrize("model", [BatchNorm(), Cached()], ids=lambda model: type(model).__name__)
def test_a_model_that_looks_at_the_batch_or_at_what_it_said_before_is_seen(clean, model):
    finding = _finding(clean, estimator=lambda parameters: model, inputs=("size",), features=(), search=Search())

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("The model predicts otherwise for the same row")
    assert finding.numbers["apart"] > 10


def test_a_model_that_looks_at_the_batch_is_seen_though_single_rows_of_it_stand_on_an_edge(clean):
    sizes = np.sort(clean.rows["size"].to_numpy())

    def asked(model, data):
        steps = np.searchsorted(sizes, data["size"].to_numpy()).astype(float)
        return steps - steps.mean()

    assert _finding(clean, predict=asked).verdict is Verdict.FAIL


def test_ties_broken_by_place_in_the_batch_are_seen(clean):
    def asked(model, data):
        return np.argsort(np.argsort(model.predict_proba(data)[:, 1], kind="stable"), kind="stable") / data.height

    assert _finding(clean, predict=asked).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    "size",
    [
        pl.col("size") - pl.col("size").mean(),
        pl.col("size").fill_null(strategy="forward").shift(1, fill_value=0.0),
        pl.col("size") + pl.col("shop").is_first_distinct().cast(pl.Float64),
        pl.col("size").clip(upper_bound=pl.col("size").quantile(0.99)),
    ],
    ids=["centred", "shifted", "first of its shop", "clipped"],
)
def test_an_input_that_is_computed_of_other_rows_is_seen(clean, size):
    finding = _finding(clean, prepare=lambda rows: shop.prepare(rows).with_columns(size))

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("prepare gives other inputs to the same row")


def test_an_outlier_that_moves_a_limit_is_seen_though_it_is_one_row_of_many(clean):
    one = clean.spine["order_id"][2]
    orders = clean.facts["orders"].with_columns(
        pl.when(pl.col("order_id") == one).then(40.0).otherwise("size").alias("size")
    )
    world = dataclasses.replace(clean, facts={**clean.facts, "orders": orders})
    limit = pl.col("size").mean() + 3.5 * pl.col("size").std()
    finding = _finding(
        world, prepare=lambda rows: shop.prepare(rows).with_columns(pl.col("size").clip(upper_bound=limit))
    )

    assert finding.verdict is Verdict.FAIL
    assert finding.numbers["apart"] <= 2


def test_rows_that_prepare_drops_in_some_company_are_seen(clean):
    finding = _finding(
        clean,
        prepare=lambda rows: (
            shop.prepare(rows).unique("shop", keep="first") if rows.height < 50 else shop.prepare(rows)
        ),
    )

    assert finding.verdict is Verdict.FAIL


def test_an_input_without_a_value_in_a_row_of_its_own_is_no_false_alarm(clean):
    def noted(rows):
        words = ["big" if size > 2 else None for size in rows["size"]]
        return shop.prepare(rows).with_columns(pl.Series("note", words))

    finding = _finding(clean, prepare=noted, inputs=("shop", "size", "hour", "note"))

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_a_derivation_that_runs_on_from_tick_to_tick_is_seen(clean):
    def running(read, ticks):
        return (
            shop.moods(read, ticks).sort("event_time").with_columns(pl.col("mean_1d").ewm_mean(alpha=0.3).over("shop"))
        )

    finding = _with_moods(clean, running)

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("mood derives otherwise for the same tick")


def test_a_shop_that_is_there_because_another_tick_asks_about_it_is_seen(clean):
    def dense(read, ticks):
        sales = read("sales", Window(ticks[0] - shop.DAY, ticks[-1])).select("shop").unique()
        grid = pl.DataFrame({"event_time": ticks}, schema={"event_time": pl.Datetime("us", "UTC")})
        rows = sales.join(grid, how="cross").join(shop.moods(read, ticks), on=["shop", "event_time"], how="left")
        return rows.with_columns(pl.col("sales_1d").fill_null(0))

    gone = (pl.col("shop") != "cedar") | (pl.col("event_time") < shop.END - 1.75 * shop.DAY)
    facts = {**clean.facts, "sales": clean.facts["sales"].filter(gone)}
    finding = _with_moods(dataclasses.replace(clean, facts=facts), dense)

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("mood derives otherwise for the same tick")


def test_a_tick_that_is_left_out_because_another_is_asked_for_is_seen(clean):
    def best_day(read, ticks):
        return shop.moods(read, ticks).sort("mean_1d").unique("shop", keep="last")

    finding = _with_moods(clean, best_day)

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("mood derives otherwise for the same tick")


def test_a_model_that_says_the_same_of_everybody_shows_nothing(clean):
    finding = _finding(clean, estimator=lambda parameters: DummyClassifier(), search=Search())

    assert finding.verdict is Verdict.VACUOUS
