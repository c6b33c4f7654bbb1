"""What the pages are told, from a small root written through the store's own functions."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from console import views
from console.pages.parts import distribution, events, loop, picture, sentences, trainings, words
from store import clock, ledger
from store.actions import ACTIONS, LoadRefused
from store.layout import Root
from tests.console import COLUMNS, ENVIRONMENT, OTHER, PIPELINE, START, WEEK, WEEKS, rows, story

END = START + WEEKS * WEEK


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return story(tmp_path_factory.mktemp("views"))


@pytest.fixture
def card(root: Root) -> views.Card:
    return views.card(root, PIPELINE, ENVIRONMENT, clock.now(root))


def test_a_card_knows_what_drifts_for_how_long_and_since_when(card: views.Card) -> None:
    assert card.drift == views.Standing(("temp_f",), 2, START + 2 * WEEK)
    assert (card.level, card.fallen_weeks, card.champion_since) == ("drifts", 2, START)


def test_one_week_alone_confirms_nothing(root: Root) -> None:
    judged = views.weeks(root, PIPELINE, ENVIRONMENT)[:3]
    assert views.standing(judged, 2) is None
    assert views.fallen(judged) == 1


def test_cards_come_worst_first(root: Root) -> None:
    assert [card.pipeline for card in views.cards(root, ENVIRONMENT, END)] == [PIPELINE, OTHER]


def test_a_refused_load_is_worse_than_drift_until_a_model_is_served_again(tmp_path: Path) -> None:
    root = story(tmp_path / "root", weeks=1)
    body = LoadRefused(None, "the blob has been changed")
    ledger.append(
        root,
        "model.load_refused",
        body,
        subject=PIPELINE,
        digest="a" * 64,
        environment=ENVIRONMENT,
        actor="service",
        now=END,
    )
    found = views.card(root, PIPELINE, ENVIRONMENT, END)
    assert found.level == "broken"
    assert "refused aaaaaaaa" in sentences.verdict(found)


def test_cooling_ends_a_cool_down_after_the_last_training(root: Root, card: views.Card) -> None:
    until = START + 3 * WEEK + timedelta(days=14)
    assert card.cooling == until
    assert views.cooling(root, PIPELINE, ENVIRONMENT, card.rules, until) is None


def test_an_advantage_is_positive_where_the_baseline_is_better_whatever_the_direction(root: Root) -> None:
    judged = views.weeks(root, PIPELINE, ENVIRONMENT)
    assert views.performance(judged, "higher")["advantage"].to_list() == pytest.approx([-0.004, -0.004, 0.015, 0.015])
    assert views.performance(judged, "lower")["advantage"].to_list() == pytest.approx([0.004, 0.004, -0.015, -0.015])


def test_scores_are_one_row_a_week_and_feature_and_the_worst_comes_first(root: Root) -> None:
    scored = views.scores(views.weeks(root, PIPELINE, ENVIRONMENT))
    assert scored.schema == views.SCORES
    assert scored.height == WEEKS * len(COLUMNS)
    assert views.worst_first(scored)[0] == "temp_f"


def test_dues_and_promotions_are_marks(root: Root) -> None:
    found = views.marks(root, PIPELINE, ENVIRONMENT)
    assert found.rows() == [(START, "due"), (START, "promoted"), (START + 3 * WEEK, "due")]


def test_trainings_come_newest_first_with_what_they_decided(root: Root) -> None:
    found = views.trainings(root, PIPELINE, ENVIRONMENT)
    assert [one.outcome for one in found] == ["kept", "promoted"]
    assert trainings.comparisons(found).select("outcome", "difference").rows() == [("kept", 0.003)]


def test_retraining_begins_where_history_does(root: Root) -> None:
    assert views.since(root, PIPELINE) == START.replace(month=1)


def test_then_and_now_are_shares_in_the_same_bins(root: Root) -> None:
    end = views.weeks(root, PIPELINE, ENVIRONMENT)[-1].body.window_end
    found = distribution.read(root, PIPELINE, ENVIRONMENT, "temp_f", end)
    assert found is not None
    assert found.frame.group_by("when").agg(total=distribution.pl.col("share").sum())[
        "total"
    ].to_list() == pytest.approx([1, 1])
    assert (found.then, found.now) == (pytest.approx(40, abs=1), pytest.approx(70, abs=3))
    assert found.rows == rows(900, 0, 0).height


def test_of_a_text_feature_the_member_that_moved_most_is_named(root: Root) -> None:
    end = views.weeks(root, PIPELINE, ENVIRONMENT)[-1].body.window_end
    found = distribution.read(root, PIPELINE, ENVIRONMENT, "carrier", end)
    assert found is not None
    assert found.moved in ("UA", "B6", "EV")
    assert set(found.frame["member"]) == {"UA", "B6", "EV", "(never seen)"}


@pytest.mark.parametrize(("feature", "end"), [("unknown", None), ("temp_f", "2099-01-01T00:00:00+00:00")])
def test_what_was_not_served_is_none_instead_of_an_error(root: Root, feature: str, end: str | None) -> None:
    newest = views.weeks(root, PIPELINE, ENVIRONMENT)[-1].body.window_end
    assert distribution.read(root, PIPELINE, ENVIRONMENT, feature, end or newest) is None


def test_the_loop_counts_what_the_store_holds_and_says_how_it_is(root: Root) -> None:
    cards = views.cards(root, ENVIRONMENT, END)
    found = {one.name: one for one in loop.stations(root, ENVIRONMENT, cards, END)}
    assert tuple(found) == loop.NAMES
    assert (found["serve"].number, found["monitor"].number, found["registry"].number) == (WEEKS * 900, WEEKS, 2)
    assert (found["monitor"].level, found["monitor"].word, found["collect"].level) == ("alarm", "drift", "none")


def test_an_empty_root_has_a_loop_with_nothing_in_it(tmp_path: Path) -> None:
    found = loop.stations(Root.open(tmp_path), ENVIRONMENT, [], END)
    assert {(one.number, one.level) for one in found} == {(0, "none")}
    assert picture.draw(found, END).count("<svg") == 2


def test_the_picture_escapes_what_it_is_given() -> None:
    found = [loop.Station("<b>", 1, "rows", None, "good", "<script>")] * len(loop.NAMES)
    assert "<script>" not in picture.draw(found, END)


def test_a_verdict_begins_with_the_pipeline_and_has_a_number_and_a_time(card: views.Card) -> None:
    assert (
        sentences.verdict(card)
        == "flight_delay drifts: 1 of 3 features above its threshold for 2 weeks, since 2013-04-15 00:00 UTC."
    )


def test_every_level_has_a_verdict(root: Root, card: views.Card) -> None:
    other = views.card(root, OTHER, ENVIRONMENT, END)
    assert sentences.verdict(other) == "arrival_minutes has no champion in production yet."
    assert "asks for a look: flight_delay drifts" in sentences.overall([card, other], ENVIRONMENT)
    assert sentences.overall([other], ENVIRONMENT).startswith("Nothing is wrong in 1 pipeline")


def test_retraining_is_told_with_its_numbers(root: Root, card: views.Card) -> None:
    newest = views.trainings(root, PIPELINE, ENVIRONMENT)[0]
    assert "cooling down until 2013-05-06 00:00 UTC · in 1 week" in sentences.due(card, END)
    assert (
        "the champion stayed; challenger against champion was +.003 AUC (−.004 … +.011) on 1,300 rows"
        in sentences.decided(newest)
    )


def test_every_row_of_the_ledger_is_a_sentence_that_names_its_subject(root: Root) -> None:
    assert all(row.subject in events.told(row) or row.action == "model.judged" for row in ledger.rows(root))
    assert {row.action for row in ledger.rows(root)} <= set(ACTIONS)


@pytest.mark.parametrize(
    ("number", "signed", "said"),
    [
        (0.7424, False, ".742"),
        (0.012, True, "+.012"),
        (-0.004, True, "−.004"),
        (23.04, False, "23.0"),
        (1.0, False, "1.000"),
        (None, False, "–"),
    ],
)
def test_numbers_have_the_digits_that_mean_something(number: float | None, signed: bool, said: str) -> None:
    assert words.value(number, sign=signed) == said


def test_times_are_told_against_store_time() -> None:
    assert words.time(START, END) == "2013-04-01 00:00 UTC · 4 weeks ago"
    assert words.ago(END + timedelta(hours=5), END) == "in 5 hours"


@pytest.mark.parametrize(
    ("names", "said"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c", "d"], "a, b, c and 1 more")]
)
def test_long_lists_end_in_a_count(names: list[str], said: str) -> None:
    assert words.listed(names) == said
