"""Every chart of the console, in Altair: a title that says the finding, thresholds as lines with a label, one idea a chart.

One theme for light and dark: colours of text, axes and ground are left to the app's theme (``.streamlit/config.toml``), so they
follow a reader's switch at once; what carries meaning has a colour that holds on both grounds, and a shape besides. A role has
the same colour everywhere: the champion is blue, the challenger magenta, a baseline grey.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import altair as alt
import polars as pl

from console.pages.parts import words
from console.pages.parts.distribution import NOW, THEN, Distribution

CHAMPION, CHALLENGER, BASELINE, ALARM, QUIET, SERVED = "#3d7fc4", "#b5529c", "#7d8794", "#d2571b", "#3f8fa8", "#c8871a"
CELL = "cell"
SHOWN_WEEKS, LINE = 26, 52
WEEK = "%d %b"


def heat(
    scores: pl.DataFrame, marks: pl.DataFrame, features: Sequence[str], chosen: tuple[str, datetime]
) -> alt.LayerChart:
    """Feature × week: how near each score is to its threshold; a triangle where it is above. A click selects a cell.

    ``scores`` of ``views.SCORES``, ``marks`` of ``views.MARKS``; ``features`` in the order they are drawn; ``chosen``: the feature and
    the end of the week that are outlined.
    """
    frame = scores.filter(pl.col("end") > scores["end"].max() - timedelta(days=7 * SHOWN_WEEKS)).with_columns(  # type: ignore[operator]
        week=pl.col("end").dt.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
        state=pl.when("drifted").then(pl.lit("above")).otherwise(pl.lit("below")),
    )
    starts = sorted(set(frame["start"].to_list()))
    axis = alt.Axis(
        values=[_moment(start) for start in starts],
        format=WEEK,
        labelOverlap=True,
        grid=False,
        title="week beginning (UTC)",
    )
    x = alt.X(
        "start:T", scale=alt.Scale(type="utc", domain=[_moment(starts[0]), _moment(frame["end"].max())], nice=False), axis=axis
    )  # type: ignore[arg-type]
    y = alt.Y(
        "feature:N",
        sort=list(features),
        title=None,
        axis=alt.Axis(labelLimit=170, grid=False, ticks=False, domain=False),
    )
    base = alt.Chart(frame)
    cells = base.mark_rect(cursor="pointer", stroke=BASELINE, strokeOpacity=0.25, strokeWidth=0.7).encode(
        x=x, x2="end:T", y=y,
        color=alt.Color("state:N", scale=alt.Scale(domain=["below", "above"], range=[QUIET, ALARM]), legend=alt.Legend(title="score against threshold")),
        opacity=alt.Opacity("ratio:Q", scale=alt.Scale(domain=[0, 0.999, 1, 2], range=[0.03, 0.5, 0.72, 1], clamp=True), legend=None),
        tooltip=_cell_tooltip(),
    ).add_params(alt.selection_point(name=CELL, fields=["feature", "week"], empty=False, toggle=False))  # fmt: skip
    middle = base.transform_filter("datum.drifted").transform_calculate(
        middle="(toNumber(datum.start) + toNumber(datum.end)) / 2"
    )
    over = middle.mark_point(shape="triangle-up", filled=True, size=52, color="white", opacity=1, tooltip=False).encode(
        x=alt.X("middle:T"), y=y
    )
    outline = base.transform_filter(
        (alt.datum.feature == chosen[0]) & (alt.datum.week == chosen[1].strftime("%Y-%m-%dT%H:%M:%S+00:00"))
    )
    ring = outline.mark_rect(filled=False, stroke=SERVED, strokeWidth=3, strokeOpacity=1).encode(x=x, x2="end:T", y=y)
    layers = alt.layer(cells, over, ring, *_rules(marks, starts[0], frame["end"].max()))
    return _themed(layers, _heat_finding(frame)).properties(height=alt.Step(23))


def distribution(found: Distribution, label: str) -> alt.LayerChart | alt.Chart:
    """One feature then (the champion's reference) and now (served in the week ``label``)."""
    return _members(found, label) if found.kind == "categorical" else _histogram(found, label)


def performance(frame: pl.DataFrame, marks: pl.DataFrame, metric: str) -> alt.LayerChart:
    """The champion and a baseline of recent rows, by week. ``frame`` of ``views.PERFORMANCE``."""
    long = frame.unpivot(["champion", "baseline"], index=["end", "matured"], variable_name="model", value_name="value")
    newest = frame.row(-1, named=True)
    said = words.metric(metric)
    x, y = (
        _week_axis(frame),
        alt.Y("value:Q", title=said, scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=5, format=".3~r")),
    )
    tooltip = [alt.Tooltip("end:T", title="week to", format="%Y-%m-%d"), alt.Tooltip("model:N"), alt.Tooltip("value:Q", title=said, format=".4f"),
               alt.Tooltip("matured:Q", title="matured rows", format=",")]  # fmt: skip
    color = alt.Color(
        "model:N",
        scale=alt.Scale(domain=["champion", "baseline"], range=[CHAMPION, BASELINE]),
        legend=alt.Legend(title=None),
    )
    shape = alt.Shape(
        "model:N",
        scale=alt.Scale(domain=["champion", "baseline"], range=["circle", "square"]),
        legend=alt.Legend(title=None),
    )
    lines = alt.Chart(long).mark_line(strokeWidth=2.5).encode(x=x, y=y, color=color)
    points = (
        alt.Chart(long)
        .mark_point(filled=True, size=60, opacity=1)
        .encode(x=x, y=y, color=color, shape=shape, tooltip=tooltip)
    )
    title = f"{said} {words.value(newest['champion'])} against a baseline's {words.value(newest['baseline'])} in the week to {newest['end']:%Y-%m-%d}"
    return _themed(alt.layer(lines, points, *_rules(marks, frame["end"][0], frame["end"].max())), title).properties(
        height=230
    )


def advantage(frame: pl.DataFrame, marks: pl.DataFrame, metric: str, margin: float) -> alt.LayerChart:
    """How much better the baseline is, by week, with its 95% interval: wholly above the margin, performance has fallen."""
    said = words.metric(metric)
    shown = frame.drop_nulls(["low", "high"]).with_columns(
        state=pl.when("fallen").then(pl.lit("fallen")).otherwise(pl.lit("not surely"))
    )
    x = _week_axis(frame)
    color = alt.Color(
        "state:N",
        scale=alt.Scale(domain=["fallen", "not surely"], range=[ALARM, BASELINE]),
        legend=alt.Legend(title=None),
    )
    shape = alt.Shape(
        "state:N",
        scale=alt.Scale(domain=["fallen", "not surely"], range=["triangle-up", "circle"]),
        legend=alt.Legend(title=None),
    )
    tooltip = [alt.Tooltip("end:T", title="week to", format="%Y-%m-%d"), alt.Tooltip("advantage:Q", format="+.4f"), alt.Tooltip("low:Q", format="+.4f"),
               alt.Tooltip("high:Q", format="+.4f"), alt.Tooltip("state:N")]  # fmt: skip
    y = alt.Y("low:Q", title=f"baseline better by ({said})", axis=alt.Axis(tickCount=5, format="+.3~f"))
    bars = alt.Chart(shown).mark_rule(strokeWidth=2.5).encode(x=x, y=y, y2="high:Q", color=color, tooltip=tooltip)
    points = (
        alt.Chart(shown)
        .mark_point(filled=True, size=80, opacity=1)
        .encode(x=x, y="advantage:Q", color=color, shape=shape, tooltip=tooltip)
    )
    down = int(shown["fallen"].sum())
    title = f"The baseline was surely better, by more than {words.value(margin)}, in {down} of {words.count(shown.height, 'week')}"
    lines = [*_level(0.0, "as good", dashed=False), *_level(margin, f"margin {words.value(margin, sign=True)}")]
    return _themed(
        alt.layer(*lines, bars, points, *_rules(marks, frame["end"][0], frame["end"].max(), labels=False)), title
    ).properties(height=230)


def comparisons(frame: pl.DataFrame, metric: str, margin: float) -> alt.LayerChart:
    """Challenger against champion, a row a training: the difference with its 95% interval; promoted when wholly above the margin.

    ``frame``: label str, outcome str (promoted or kept), difference, low, high f64, rows i64; newest first.
    """
    said, order = words.metric(metric), frame["label"].to_list()
    color = alt.Color(
        "outcome:N",
        scale=alt.Scale(domain=["promoted", "kept"], range=[CHALLENGER, CHAMPION]),
        legend=alt.Legend(title="who serves"),
    )
    shape = alt.Shape(
        "outcome:N",
        scale=alt.Scale(domain=["promoted", "kept"], range=["diamond", "circle"]),
        legend=alt.Legend(title="who serves"),
    )
    tooltip = [alt.Tooltip("label:N", title="training"), alt.Tooltip("outcome:N"), alt.Tooltip("difference:Q", format="+.4f"),
               alt.Tooltip("low:Q", format="+.4f"), alt.Tooltip("high:Q", format="+.4f"), alt.Tooltip("rows:Q", format=",")]  # fmt: skip
    base = alt.Chart(frame).encode(
        y=alt.Y("label:N", sort=order, title=None, axis=alt.Axis(labelLimit=120, grid=False, ticks=False, domain=False))
    )
    bars = base.mark_rule(strokeWidth=3).encode(
        x=alt.X("low:Q", title=f"challenger better by ({said})", axis=alt.Axis(format="+.3~f", tickCount=6)),
        x2="high:Q",
        color=color,
        tooltip=tooltip,
    )
    points = base.mark_point(filled=True, size=130, opacity=1).encode(
        x="difference:Q", color=color, shape=shape, tooltip=tooltip
    )
    lines = [*_upright(0.0, "as good", dashed=False), *_upright(margin, f"margin {words.value(margin, sign=True)}")]
    return _themed(alt.layer(*lines, bars, points), _comparison_finding(frame, said, margin)).properties(
        height=alt.Step(44)
    )


def _histogram(found: Distribution, label: str) -> alt.LayerChart:
    x = alt.X(
        "low:Q", title=found.feature, scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(grid=False, tickCount=8)
    )
    y = alt.Y("share:Q", title="share of rows", axis=alt.Axis(format="%", tickCount=4))
    color = alt.Color(
        "when:N", scale=alt.Scale(domain=[THEN, NOW], range=[BASELINE, SERVED]), legend=alt.Legend(title=None)
    )
    tooltip = [alt.Tooltip("when:N"), alt.Tooltip("low:Q", title="from", format=",.4~g"), alt.Tooltip("high:Q", title="to", format=",.4~g"),
               alt.Tooltip("share:Q", format=".2%")]  # fmt: skip
    last = found.frame.group_by("when", maintain_order=True).last().with_columns(low="high")
    steps = pl.concat([found.frame, last.select(found.frame.columns)])
    then = alt.Chart(steps.filter(pl.col("when") == THEN)).mark_area(interpolate="step-after", opacity=0.38)
    now = alt.Chart(steps.filter(pl.col("when") == NOW)).mark_line(interpolate="step-after", strokeWidth=2.5)
    both = [one.encode(x=x, y=y, color=color, tooltip=tooltip) for one in (then, now)]
    title = f"{found.feature}: median {found.now:,.3g} now ({label}), {found.then:,.3g} then (training)"
    return _themed(alt.layer(*both), title).properties(height=300)


def _members(found: Distribution, label: str) -> alt.Chart:
    color = alt.Color(
        "when:N", scale=alt.Scale(domain=[THEN, NOW], range=[BASELINE, SERVED]), legend=alt.Legend(title=None)
    )
    chart = alt.Chart(found.frame).mark_bar(cornerRadiusEnd=2).encode(
        y=alt.Y("member:N", sort=None, title=found.feature, axis=alt.Axis(ticks=False, domain=False)),
        yOffset=alt.YOffset("when:N", sort=[THEN, NOW]),
        x=alt.X("share:Q", title="share of rows", axis=alt.Axis(format="%", tickCount=5)),
        color=color,
        tooltip=[alt.Tooltip("member:N"), alt.Tooltip("when:N"), alt.Tooltip("share:Q", format=".2%")],
    )  # fmt: skip
    title = (
        f"{found.feature}: {found.moved} moved most, {found.now:.1%} now ({label}), {found.then:.1%} then (training)"
    )
    return _themed(chart, title).properties(height=alt.Step(13))


def _rules(marks: pl.DataFrame, start: Any, end: Any, *, labels: bool = True) -> list[alt.Chart]:
    """Dues and promotions as vertical rules, with their word on top."""
    shown = marks.filter(pl.col("at").is_between(start, end))
    if shown.is_empty():
        return []
    dash = alt.StrokeDash(
        "kind:N",
        scale=alt.Scale(domain=["due", "promoted", "rolled back"], range=[[5, 4], [1, 0], [2, 2]]),
        legend=None,
    )
    x = alt.X("at:T", scale=alt.Scale(type="utc"))
    rules = (
        alt.Chart(shown)
        .mark_rule(color=CHALLENGER, strokeWidth=2)
        .encode(x=x, strokeDash=dash, tooltip=["kind:N", alt.Tooltip("at:T", format="%Y-%m-%d %H:%M")])
    )
    words_above = alt.Chart(shown).mark_text(
        color=CHALLENGER, align="right", dx=-4, dy=-8, baseline="bottom", fontSize=12, fontWeight=600
    )
    return [rules, words_above.encode(x=x, y=alt.value(6), text="kind:N")] if labels else [rules]


def _level(at: float, label: str, *, dashed: bool = True) -> list[alt.Chart]:
    data = alt.Chart(pl.DataFrame({"at": [at], "label": [label]}))
    rule = data.mark_rule(color=BASELINE, strokeWidth=1.5, strokeDash=[6, 4] if dashed else [1, 0]).encode(y="at:Q")
    text = data.mark_text(align="left", dx=4, dy=-6 if dashed else 8, color=BASELINE, fontSize=12).encode(
        x=alt.value(0), y="at:Q", text="label:N"
    )
    return [rule, text]


def _upright(at: float, label: str, *, dashed: bool = True) -> list[alt.Chart]:
    data = alt.Chart(pl.DataFrame({"at": [at], "label": [label]}))
    rule = data.mark_rule(color=BASELINE, strokeWidth=1.5, strokeDash=[6, 4] if dashed else [1, 0]).encode(x="at:Q")
    side: dict[str, Any] = {"align": "left", "dx": 5} if dashed else {"align": "right", "dx": -5}
    text = data.mark_text(**side, dy=-4, color=BASELINE, fontSize=12, baseline="bottom").encode(
        x="at:Q", y=alt.value(0), text="label:N"
    )
    return [rule, text]


def _week_axis(frame: pl.DataFrame) -> alt.X:
    ends = frame["end"].to_list()
    pad = timedelta(days=3)
    scale = alt.Scale(type="utc", domain=[_moment(ends[0] - pad), _moment(ends[-1] + pad)], nice=False)
    return alt.X(
        "end:T",
        title="week to (UTC)",
        scale=scale,
        axis=alt.Axis(values=[_moment(end) for end in ends], format=WEEK, grid=False, labelOverlap=True),
    )


def _cell_tooltip() -> list[alt.Tooltip]:
    return [alt.Tooltip("feature:N"), alt.Tooltip("start:T", title="week from", format="%Y-%m-%d"), alt.Tooltip("score:Q", format=".3f"),
            alt.Tooltip("threshold:Q", format=".3f"), alt.Tooltip("ratio:Q", title="of threshold", format=".2f"),
            alt.Tooltip("null_share:Q", title="missing", format=".1%"), alt.Tooltip("rows:Q", title="rows served", format=",")]  # fmt: skip


def _heat_finding(frame: pl.DataFrame) -> str:
    newest = frame.filter(pl.col("end") == pl.col("end").max())
    worst = newest.row(int(newest["ratio"].arg_max() or 0), named=True)
    above, total = int(newest["drifted"].sum()), newest.height
    return f"{above} of {total} features above threshold in the newest week; {worst['feature']} is furthest, {worst['ratio']:.1f} × its threshold"


def _comparison_finding(frame: pl.DataFrame, metric: str, margin: float) -> str:
    if frame.height > 1:
        return f"{int((frame['outcome'] == 'promoted').sum())} of {words.count(frame.height, 'challenger')} replaced the champion"
    one = frame.row(0, named=True)
    where = "above" if one["low"] > margin else "not above"
    ends = "the challenger serves" if one["outcome"] == "promoted" else "the champion stays"
    return f"{words.value(one['difference'], sign=True)} {metric}, lower bound {words.value(one['low'], sign=True)} is {where} the margin of {words.value(margin)}: {ends}"


def _themed(chart: Any, title: str) -> Any:
    """The shape of the theme; its colours are the app's."""
    text = alt.TitleParams(
        textwrap.wrap(title, LINE),
        anchor="start",
        frame="bounds",
        fontSize=14,
        fontWeight=600,
        offset=18,
        lineHeight=19,
    )
    return (
        chart.properties(title=text, width="container")
        .configure_axis(labelFontSize=12, titleFontSize=12, titleFontWeight="normal", labelPadding=6)
        .configure_legend(orient="bottom", labelFontSize=12, titleFontSize=12, titleFontWeight="normal", symbolSize=110)
        .configure_view(strokeWidth=0)
    )


def _moment(instant: datetime) -> alt.DateTime:
    return alt.DateTime(year=instant.year, month=instant.month, date=instant.day, hours=instant.hour, minutes=instant.minute, utc=True)
