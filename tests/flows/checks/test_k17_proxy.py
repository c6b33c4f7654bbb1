"""K17: no single column tells the label."""

from __future__ import annotations

import dataclasses

import polars as pl
import pytest

from flows.checks import k17_proxy
from flows.checks.check import Verdict, judge
from tests.flows.checks import shop


def _finding(world, **components):
    return judge(k17_proxy.CHECK, world.planted(dataclasses.replace(world.pipeline, **components)))


def _from_size(model, *more):
    names = (shop.OneHotEncoder(handle_unknown="ignore"), ["shop"])
    return shop.make_pipeline(
        shop.make_column_transformer(names, (shop.StandardScaler(), ["size", "hour", *more])), model
    )


def _written(share, minutes=False):
    """The dataset with a size that was written down when the order came, so far as ``share`` goes."""
    honest = shop.minutes_dataset if minutes else shop.dataset

    def dataset(read, window):
        came = read("outcomes", window).select("order_id", came="minutes")
        rows = honest(read, window).join(came, on="order_id", how="left", maintain_order="left")
        return rows.with_columns((pl.col("size") + share * pl.col("came").fill_null(0)).alias("size")).drop("came")

    return dataset


def test_clean_columns_pass_and_the_strongest_is_named(clean, minutes):
    """The label itself would be seen."""
    for world in (clean, minutes):
        finding = _finding(world)
        assert finding.verdict is Verdict.PASS, finding.sentence
        assert "amount alone orders the evaluation rows best" in finding.sentence
        assert finding.control == 0.5
        assert 0.5 < finding.numbers["share_of_lift"] < 1


@pytest.mark.parametrize("reason", ["", "the shop tells it when it takes the order"])
def test_a_column_written_with_the_answer_is_seen_until_it_is_declared_with_a_reason(clean, reason):
    """The reason is shown."""
    finding = _finding(
        clean, dataset=_written(1.0), inputs=("shop", "size", "hour"), features=(),
        estimator=lambda parameters: _from_size(shop.LogisticRegression()), legitimate={"size": reason} if reason else {},
    )  # fmt: skip

    assert finding.verdict is (Verdict.PASS if reason else Verdict.FAIL)
    if reason:
        assert finding.sentence.endswith(f"size is declared legitimate: {reason}.")
        assert finding.numbers["declared"] == 1
    else:
        assert "size alone orders the evaluation rows" in finding.sentence
        assert "legitimate={'size': ...}" in finding.sentence
        assert finding.numbers["without_it"] < 0.95


def test_a_proxy_of_a_value_that_leaks_through_noise_is_seen(minutes):
    """Not the label itself, but nearly."""
    finding = _finding(
        minutes, dataset=_written(0.3, minutes=True), inputs=("shop", "size", "hour"), features=(),
        estimator=lambda parameters: _from_size(shop.Ridge()),
    )  # fmt: skip

    assert finding.verdict is Verdict.FAIL
    assert k17_proxy.VALUES <= finding.numbers["strongest"] < 1


def test_a_good_predictor_of_a_value_is_no_proxy(minutes):
    """Correlated with nine tenths and more, as an area with a price: a concordance of 0.95 that would be a class's proxy."""
    finding = _finding(
        minutes, dataset=_written(0.1, minutes=True), inputs=("shop", "size", "hour"), features=(),
        estimator=lambda parameters: _from_size(shop.Ridge()),
    )  # fmt: skip

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert k17_proxy.PROXY < finding.numbers["strongest"] < k17_proxy.VALUES


def test_two_proxies_that_hide_each_other_are_seen_together(clean):
    """One is the other in another unit."""

    def twice(rows):
        return shop.prepare(rows).with_columns((-60 * pl.col("size")).round(3).alias("seconds"))

    finding = _finding(
        clean, dataset=_written(1.0), prepare=twice, inputs=("shop", "size", "hour", "seconds"), features=(),
        estimator=lambda parameters: _from_size(shop.LogisticRegression(), "seconds"),
    )  # fmt: skip

    assert finding.verdict is Verdict.FAIL


@pytest.mark.parametrize("told", [7 - pl.col("label"), pl.col("label").cast(pl.String), pl.col("label") == 1])
def test_the_label_under_another_name_is_seen_whatever_else_orders_the_rows(clean, told):
    """A number, a text, a truth."""
    finding = _finding(
        clean, prepare=lambda rows: shop.prepare(rows).with_columns(told.alias("told")), inputs=("shop", "size", "hour", "told")
    )  # fmt: skip

    assert finding.verdict is Verdict.FAIL
    assert finding.sentence.startswith("told is the label under another name")


def test_the_values_of_a_regression_are_the_label_only_in_its_order(minutes):
    """All values differ, and so do all labels: that alone tells nothing."""
    rows = minutes.rows.filter(pl.col("label").is_not_null()).with_columns((3 * pl.col("label")).alias("told"))

    assert k17_proxy._one_to_one(rows, "told")
    assert not k17_proxy._one_to_one(rows, "size")


def test_one_of_several_columns_that_tell_the_same_is_no_false_alarm(clean):
    """Without one of them the others order the rows as well."""
    random = pl.Series(shop.np.random.default_rng(0).normal(size=clean.rows.height))
    other = pl.Series(shop.np.random.default_rng(1).normal(size=clean.rows.height))
    petals = clean.rows.with_columns(
        (pl.col("label") * 3 + random).alias("size"), (pl.col("label") * 3 + other).alias("amount")
    )
    world = dataclasses.replace(clean)
    world.__dict__.update(
        {name: value for name, value in clean.__dict__.items() if name in ("scratch", "spine")} | {"rows": petals}
    )
    finding = judge(k17_proxy.CHECK, world)

    assert finding.verdict is Verdict.PASS, finding.sentence
    assert finding.numbers["suspects"] == 2


def test_a_level_that_lasts_is_no_false_alarm(minutes):
    """The last answer known by then tells as much."""

    def lasting(rows):
        ready = shop.prepare(rows).sort("event_time")
        if "label" not in ready.columns:
            return ready.with_columns(level=0.0)
        level = pl.Series(shop.np.cumsum(shop.np.random.default_rng(0).normal(size=ready.height)))
        ready = ready.with_columns(level.alias("label"), level=level).with_columns(
            pl.col("level").shift(1).fill_null(0.0)
        )
        return ready.with_columns(pl.col("event_time").shift(-1).fill_null(pl.col("label_time")).alias("label_time"))

    finding = _finding(
        minutes, prepare=lasting, inputs=("size", "level"), features=(), estimator=lambda parameters: shop.Ridge()
    )

    assert finding.numbers["strongest"] > 0.95
    assert finding.verdict is Verdict.PASS, finding.sentence


def test_an_answer_that_is_known_at_once_is_not_its_own_past(minutes):
    """The label of a file is known with its question: that excuses no proxy."""

    def at_once(rows):
        return shop.prepare(rows).with_columns(pl.col("event_time").alias("label_time"))

    finding = _finding(
        minutes, dataset=_written(0.3, minutes=True), prepare=at_once, inputs=("shop", "size", "hour"), features=(),
        estimator=lambda parameters: _from_size(shop.Ridge()),
    )  # fmt: skip

    assert finding.verdict is Verdict.FAIL


def test_a_reason_for_a_column_that_is_not_there_is_refused(clean):
    """It says which there are."""
    finding = _finding(clean, legitimate={"sise": "a typing error"})

    assert finding.verdict is Verdict.FAIL
    assert "declares sise legitimate, and the model has no such column: it has ['shop', 'size'" in finding.sentence


def test_a_column_of_a_group_that_is_known_at_once_is_said_to_be(clean):
    """What to look at first."""
    sales = clean.facts["sales"].with_columns(pl.col("event_time").alias("known_time"))
    world = dataclasses.replace(clean, facts={**clean.facts, "sales": sales})

    assert "All of sales is said to be known the moment it happens." in k17_proxy._said(world, "amount", 0.99, 0.6)
    assert "All of" not in k17_proxy._said(clean, "amount", 0.99, 0.6)


def test_where_no_label_differs_nothing_is_shown(minutes):
    """The label itself would be no better than chance."""
    finding = _finding(minutes, prepare=lambda rows: shop.prepare(rows).with_columns(label=pl.lit(5.0)))

    assert finding.verdict is Verdict.VACUOUS


def test_on_few_rows_the_others_are_given_the_benefit_of_the_noise():
    """Of a class of thirteen .94 may be .95; of one of three hundred it may not."""
    few, many = (pl.DataFrame({"label": [1.0] * rare + [0.0] * 2 * rare}) for rare in (13, 300))
    assert 0.90 + 2 * k17_proxy._error(0.90, few) > k17_proxy.PROXY > 0.90 + 2 * k17_proxy._error(0.90, many)


def test_where_many_values_are_alike_their_twin_reaches_less():
    """Seven in ten are zero: no noise orders those."""
    many, few = pl.Series([0.0] * 70 + list(range(1, 31)), dtype=pl.Float64), pl.Series(range(100), dtype=pl.Float64)

    assert k17_proxy._of_values(few) == pytest.approx(k17_proxy.VALUES)
    assert k17_proxy._of_values(many) == k17_proxy.PROXY
    assert k17_proxy.PROXY < k17_proxy._of_values(few // 34) < k17_proxy.VALUES
