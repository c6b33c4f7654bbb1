"""Each chart's specification: the finding in its title, thresholds drawn with their label, colours by role."""

from __future__ import annotations

import json
from typing import Any

import altair as alt
import polars as pl
import pytest

from console import charts, provings, views
from console.pages.parts import certificates, distribution
from console.pages.parts.trainings import COMPARISONS
from flows.checks.check import Verdict
from store import clock
from store.layout import Root
from tests.console import ENVIRONMENT, PIPELINE, START, proved, publish, story


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return story(tmp_path_factory.mktemp("charts"))


def title(chart: Any) -> str:
    return " ".join(chart.to_dict()["title"]["text"])


def spec(chart: Any) -> str:
    return json.dumps(chart.to_dict())


def heat(root: Root) -> alt.LayerChart:
    judged = views.weeks(root, PIPELINE, ENVIRONMENT)
    scored = views.scores(judged)
    return charts.heat(
        scored, views.marks(root, PIPELINE, ENVIRONMENT), views.worst_first(scored), ("temp_f", judged[-1].end)
    )


def compared(*rows: tuple[str, str, float, float, float, int]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=COMPARISONS, orient="row")


def test_the_heat_map_says_how_many_are_above_and_which_is_furthest(root: Root) -> None:
    assert title(heat(root)).startswith("Week to 2013-04-29: 1 of 3 features above threshold, temp_f furthest (3")


def test_a_cell_above_its_threshold_has_a_shape_besides_its_colour(root: Root) -> None:
    assert '"shape": "triangle-up"' in spec(heat(root))
    assert "datum.drifted" in spec(heat(root))


def test_dues_and_promotions_stand_as_rules_with_one_label_an_instant(root: Root) -> None:
    found = spec(heat(root))
    assert '"due, promoted"' in found
    assert '"type": "rule"' in found


def test_a_click_selects_feature_and_week(root: Root) -> None:
    (parameter,) = heat(root).to_dict()["params"]
    assert (parameter["name"], parameter["select"]["fields"]) == (charts.CELL, ["feature", "week"])


def test_performance_says_both_values_and_the_champion_is_blue(root: Root) -> None:
    frame = views.performance(views.weeks(root, PIPELINE, ENVIRONMENT), "higher")
    chart = charts.performance(frame, views.marks(root, PIPELINE, ENVIRONMENT), "roc_auc")
    assert title(chart) == "AUC .702 against a baseline's .717 in the week to 2013-04-29"
    assert charts.CHAMPION in spec(chart)


def test_the_advantage_is_drawn_with_its_margin_and_interval(root: Root) -> None:
    frame = views.performance(views.weeks(root, PIPELINE, ENVIRONMENT), "higher")
    chart = charts.advantage(frame, views.marks(root, PIPELINE, ENVIRONMENT), "roc_auc", 0.005)
    assert title(chart) == "The baseline was surely better, by more than .005, in 2 of 4 weeks"
    assert '"margin +.005"' in spec(chart)
    assert '"high"' in spec(chart)


@pytest.mark.parametrize(
    ("outcome", "low", "said"),
    [
        ("kept", -0.004, "is not above the margin of .005: the champion stays"),
        ("promoted", 0.012, "is above the margin of .005: the challenger serves"),
    ],
)
def test_a_comparison_says_who_serves_and_why(outcome: str, low: float, said: str) -> None:
    chart = charts.comparisons(compared(("2013-04-22 00:00", outcome, 0.019, low, 0.027, 1300)), "roc_auc", 0.005)
    assert said in title(chart)
    assert '"margin +.005"' in spec(chart)


def test_several_comparisons_say_how_many_replaced_the_champion() -> None:
    both = compared(("b", "promoted", 0.019, 0.012, 0.027, 1300), ("a", "kept", 0.003, -0.004, 0.011, 1300))
    assert title(charts.comparisons(both, "roc_auc", 0.005)) == "1 of 2 challengers replaced the champion"


@pytest.mark.parametrize(
    ("feature", "said"), [("temp_f", "temp_f, April: median 69.6 now, 39.8 then"), ("carrier", "moved most")]
)
def test_a_distribution_says_what_moved(root: Root, feature: str, said: str) -> None:
    end = views.weeks(root, PIPELINE, ENVIRONMENT)[-1].body.window_end
    found = distribution.read(root, PIPELINE, ENVIRONMENT, feature, end)
    assert found is not None
    chart = charts.distribution(found, "April")
    assert said in title(chart)
    assert {charts.BASELINE, charts.SERVED} <= set(
        chart.to_dict()["layer" if feature == "temp_f" else "encoding"] and _colors(spec(chart))
    )


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> list[provings.Attempt]:
    """One proved, one refused with a survivor and a failed check."""
    root = Root.open(tmp_path_factory.mktemp("attempts"))
    clock.move(root, START)
    publish(root, PIPELINE, found=proved.proving(START))
    found = proved.proving(START, verdicts={"K04": Verdict.FAIL}, survived=["F01"], control=20.0)
    proved.refuse(root, PIPELINE, "1.1.0", found, START)
    return provings.attempts(root, PIPELINE, None)


def test_the_kill_matrix_says_who_survived_in_the_newest_attempt(attempts: list[provings.Attempt]) -> None:
    found = charts.kills(provings.kills(attempts), ("F01", str(attempts[0].seq)))
    assert title(found) == "1.1.0 refused: F01 survived, of 2 planted faults; 1 not planted"
    found = charts.kills(provings.kills(attempts[1:]), ("F01", str(attempts[1].seq)))
    assert title(found) == "1.0.0: all 3 planted faults killed"


def test_every_fate_and_verdict_has_a_shape_of_its_own_besides_its_colour() -> None:
    for roles in (charts.FATES, charts.VERDICTS):
        assert len({shape for _, shape in roles.values()}) == len(roles)
    assert tuple(charts.FATES) == provings.FATES
    assert {word for _, word in certificates.SAID.values()} == set(charts.VERDICTS)


def test_a_click_on_the_kill_matrix_selects_fault_and_attempt(attempts: list[provings.Attempt]) -> None:
    (parameter,) = charts.kills(provings.kills(attempts), ("F01", "1")).to_dict()["params"]
    assert (parameter["name"], parameter["select"]["fields"]) == (charts.CELL, ["code", "seq"])


def test_a_checks_charts_tell_the_newest_attempt_and_the_one_before(attempts: list[provings.Attempt]) -> None:
    history = provings.history(attempts, "K02")
    assert title(charts.controls(history, "K02")) == "K02's control: 20 in 1.1.0 refused, 113,187 in 1.0.0"
    assert title(charts.seconds(history, "K02")) == "K02 took 2.5 s in 1.1.0 refused, 2.5 s in 1.0.0"


def test_colours_of_text_and_axes_are_left_to_the_app_so_both_modes_follow_it(root: Root) -> None:
    config = heat(root).to_dict()["config"]
    assert not [name for part in config.values() if isinstance(part, dict) for name in part if name.endswith("Color")]


def _colors(text: str) -> set[str]:
    return {color for color in (charts.BASELINE, charts.SERVED) if color in text}
