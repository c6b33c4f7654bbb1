"""K06: what is learned of labels that mean nothing predicts nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, TimeSeriesSplit
from sklearn.pipeline import make_pipeline

from flows.building.fit import matrix
from flows.checks import k06_shuffled
from flows.checks.check import Verdict, judge
from flows.pipeline import TimeSplit, Tuned
from store.errors import InvalidInput
from tests.flows.checks import shop


def _finding(world, **components):
    return judge(k06_shuffled.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


def _told_at_once(world):
    """The orders' table holds the answer too, known when the order is placed."""
    minutes = world.facts["outcomes"].select("order_id", answer="minutes")
    orders = world.facts["orders"].join(minutes, on="order_id", how="left", maintain_order="left")
    group = dataclasses.replace(shop.ORDERS, values={**shop.ORDERS.values, "answer": pl.Float64()})
    facts = world.catalog.facts | {"orders": dataclasses.replace(world.catalog.facts["orders"], group=group)}
    catalog = dataclasses.replace(world.catalog, facts=facts)
    return dataclasses.replace(world, facts={**world.facts, "orders": orders}, catalog=catalog)


def _told(read, window):
    """The label of the answer beside the order."""
    rows = read("orders", window).drop("event_time", "known_time").filter(pl.col("answer").is_not_null())
    return rows.with_columns((pl.col("answer") > 10).cast(pl.Float64).alias("label"), label_time="due")


def test_a_clean_pipeline_is_as_good_as_chance_and_finds_what_is_planted(clean, minutes):
    """The labels are dealt out where they come from."""
    for world in (clean, minutes):
        finding = _finding(world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert finding.sentence.startswith("With labels dealt out at the source (outcomes.minutes)")
        assert finding.numbers["permutations"] == 20
        assert abs(finding.numbers["errors_from_chance"]) < 4
        assert finding.control > 0.4


def test_an_input_made_of_the_label_is_seen_though_the_source_gives_both_at_once(clean):
    """Nothing tells that the answer is later: no future changes it, and the split keeps the rows apart."""

    def leaking(read, window):
        return _told(read, window).with_columns((pl.col("size") + pl.col("answer") / 20).alias("size"))

    world = _told_at_once(clean)
    passed, seen = (_finding(world, dataset=one) for one in (_told, leaking))

    assert passed.verdict is Verdict.PASS, passed.sentence
    assert seen.verdict is Verdict.FAIL
    assert "at the source (orders.answer)" in seen.sentence
    assert seen.numbers["errors_from_chance"] > 5


def test_a_mean_of_labels_with_the_rows_own_among_them_is_seen(clean):
    """An encoding of a day of twelve orders, over all rows."""

    def encoded(rows):
        ready = shop.prepare(rows)
        if "label" not in ready.columns:
            return ready
        same = ["shop", pl.col("event_time").dt.truncate("12h")]
        return ready.with_columns(pl.col("label").mean().over(same).fill_null(0.5).alias("size"))

    finding = _finding(clean, prepare=encoded)

    assert finding.verdict is Verdict.FAIL
    assert "on another road than by learning" in finding.sentence


def test_a_mean_of_earlier_labels_is_no_false_alarm(clean):
    """A lag is known, and of labels dealt out it tells nothing."""

    def lagged(rows):
        ready = shop.prepare(rows).sort("event_time")
        if "label" not in ready.columns:
            return ready
        return ready.with_columns(pl.col("label").shift(4).rolling_mean(12, min_samples=1).fill_null(0.5).alias("size"))

    finding = _finding(clean, prepare=lagged)

    assert finding.verdict is Verdict.PASS, finding.sentence


def test_a_label_that_is_a_difference_to_what_is_known_is_dealt_out_in_the_dataset(minutes):
    """Dealt out at the source it would still be told by what is known."""

    def difference(read, window):
        rows = shop.minutes_dataset(read, window)
        return rows.with_columns(pl.col("label") - 30 * pl.col("size"))

    finding = _finding(minutes, dataset=difference)

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.sentence.startswith("With labels dealt out in what the dataset gives")


def test_orders_that_share_an_answer_are_no_false_alarm(clean):
    """Ten orders of a truck come late together: only the trucks are dealt out, and far fewer than rows."""
    ten = pl.col("order_id").str.tail(-1).cast(pl.Int64) // 10

    def by_truck(read, window):
        rows = shop.dataset(read, window)
        late = read("outcomes", window).group_by(ten.alias("truck")).agg(pl.col("minutes").first())
        joined = rows.with_columns(ten.alias("truck")).join(late, on="truck", how="left", maintain_order="left")
        return joined.with_columns((pl.col("minutes") > 0).cast(pl.Float64).alias("label")).drop("truck", "minutes")

    finding = _finding(clean, dataset=by_truck)

    assert finding.verdict is Verdict.PASS, finding.sentence


def _wide(rows):
    random, ready = np.random.default_rng(5), shop.prepare(rows)
    noise = {f"w{place}": pl.Series(random.normal(size=ready.height)) for place in range(300)}
    return ready.with_columns(**noise)


def _folded(inside, scorer=None):
    """A search that takes the ten best of three hundred columns of noise, inside each fold or before all."""

    def tune(pipeline, train, validation):
        train = train.filter(pl.col("label").is_not_null())
        data, labels = matrix(pipeline, train).to_numpy(), train["label"].to_numpy()
        chosen = SelectKBest(f_classif, k=10)
        model = make_pipeline(chosen, LogisticRegression()) if inside else LogisticRegression()
        data = data if inside else chosen.fit_transform(data, labels)
        values = []
        for known, judged in TimeSeriesSplit(3).split(data):
            model.fit(data[known], labels[known])
            values.append((scorer or pipeline.metric.compute)(labels[judged], model.predict_proba(data[judged])[:, 1]))
        return Tuned({}, [{"parameters": {}, "value": float(np.mean(values))}])

    return tune


@pytest.mark.parametrize("scorer", [None, roc_auc_score], ids=["by the contract's metric", "by a scorer of its own"])
@pytest.mark.parametrize("inside", [True, False], ids=["inside each fold", "before the folds"])
def test_columns_chosen_before_the_folds_are_seen_and_inside_them_not(clean, inside, scorer):
    """The final model is honest either way: only the trials tell."""
    finding = _finding(
        clean, prepare=_wide, inputs=tuple(f"w{place}" for place in range(300)), features=(), tune=_folded(inside, scorer),
        estimator=lambda parameters: LogisticRegression(C=0.01),
    )  # fmt: skip

    assert finding.verdict is (Verdict.PASS if inside else Verdict.FAIL), finding.sentence
    assert inside or "Choose columns inside each fold" in finding.sentence


def test_trials_that_lean_on_the_validation_rows_are_no_false_alarm(clean):
    """The best of six models by the validation rows, as early stopping takes one."""

    def stopped(pipeline, train, validation):
        known, judged = (part.filter(pl.col("label").is_not_null()) for part in (train, validation))
        labels, tries = judged["label"].to_numpy(), []
        for seed in range(6):
            some = known.sample(fraction=0.3, seed=seed)
            model = LogisticRegression().fit(some.select("size", "hour"), some["label"].to_numpy())
            tries.append(model.predict_proba(judged.select("size", "hour"))[:, 1])
        best = max(tries, key=lambda found: shop.ROC_AUC.compute(labels, found))
        return Tuned({}, [{"parameters": {}, "value": pipeline.metric.compute(labels, best)}])

    finding = _finding(clean, tune=stopped)

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.numbers["trials_from_chance"] > 0.5


def test_a_model_that_learns_nothing_shows_nothing(clean):
    """It would pass whatever leaks."""
    finding = _finding(clean, estimator=lambda parameters: DummyClassifier())

    assert finding.verdict is Verdict.VACUOUS


def _only(height):
    """A split that knows no other number of rows."""

    def split(rows):
        if rows.height < 0.97 * height:
            raise InvalidInput("These are too few.")
        return shop.by_place(rows, 0.6, 0.8)

    return split


def test_of_a_rare_class_all_rows_are_kept_and_a_split_that_needs_every_row_gets_them(clean):
    """Sixty at least, of either class."""
    rare = dataclasses.replace(
        shop.PIPELINE,
        prepare=lambda rows: shop.prepare(rows).with_columns(
            (pl.col("label") * (pl.col("size") > 1)).alias("label")
        ),
    )  # fmt: skip
    world = clean.planted(rare)
    kept, whole = k06_shuffled.some(world), world.rows.filter(pl.col("label").is_not_null())
    whole_only = dataclasses.replace(shop.PIPELINE, split=_only(clean.rows.height))

    assert kept["label"].sum() == whole["label"].sum() > 0
    assert k06_shuffled.some(clean.planted(whole_only)).height == clean.rows["label"].count()


def test_a_learner_that_needs_many_rows_gets_all_of_them(clean):
    """Nine hundred would show nothing."""
    finding = judge(k06_shuffled.CHECK, shop.slow(clean))

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.control > 0.3


def test_of_many_rows_some_are_taken(clean):
    """About nine hundred."""
    many = pl.concat(
        [clean.rows.with_columns(pl.format("{}-{}", "order_id", pl.lit(one)).alias("order_id")) for one in range(9)]
    )
    world = dataclasses.replace(
        clean, pipeline=dataclasses.replace(shop.PIPELINE, split=TimeSplit(shop.DAY * 7, shop.DAY * 7))
    )
    world.__dict__["rows"] = many

    assert 700 < k06_shuffled.some(world).height < 1300


def test_folds_that_are_shuffled_are_as_good_as_chance_too(clean):
    """K10 judges those; labels dealt out tell nothing of their neighbours."""

    def tune(pipeline, train, validation):
        train = train.filter(pl.col("label").is_not_null())
        labels, values = train["label"].to_numpy(), []
        for known, judged in KFold(2, shuffle=True, random_state=0).split(labels):
            model = pipeline.estimator({}).fit(matrix(pipeline, train[known]), labels[known])
            values.append(
                pipeline.metric.compute(labels[judged], model.predict_proba(matrix(pipeline, train[judged]))[:, 1])
            )
        return Tuned({}, [{"parameters": {}, "value": float(np.mean(values))}])

    assert _finding(clean, tune=tune).verdict is Verdict.PASS
