"""Every chart of the console, in Altair: a title that says the finding, thresholds as lines with a label, one idea a chart.

One theme for light and dark: colours of text, axes and ground are left to the app's theme (``.streamlit/config.toml``), so they
follow a reader's switch at once; what carries meaning has a colour that holds on both grounds, and a shape besides. A role has
the same colour everywhere: the champion is blue, the challenger magenta, a baseline grey.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import altair as alt
import polars as pl

from console.pages.parts import words
from console.pages.parts.certificates import SAID, number
from console.pages.parts.distribution import NOW, THEN, Distribution

CHAMPION, CHALLENGER, BASELINE, ALARM, QUIET, SERVED = "#3d7fc4", "#b5529c", "#7d8794", "#d2571b", "#3f8fa8", "#c8871a"
MODELS = {"champion": (CHAMPION, "circle"), "baseline": (BASELINE, "square")}
FALLEN = {"fallen": (ALARM, "triangle-up"), "not surely": (BASELINE, "circle")}
OUTCOMES = {"promoted": (CHALLENGER, "diamond"), "kept": (CHAMPION, "circle")}
FATES = {
    "killed": (QUIET, "circle"),
    "survived": (ALARM, "triangle-up"),
    "does not apply": (BASELINE, "square"),
    "not planted": (BASELINE, "diamond"),
}
VERDICTS = {
    "passed": (QUIET, "circle"),
    "failed": (ALARM, "triangle-up"),
    "saw nothing": (ALARM, "diamond"),
    "does not apply": (BASELINE, "square"),
}
WHEN = {THEN: (BASELINE, "square"), NOW: (SERVED, "circle")}
CELL, SHOWN_WEEKS, LINE = "cell", 26, 46
WEEK, ISO, BARE = "%d %b", "%Y-%m-%dT%H:%M:%S+00:00", "replace(datum.label, '0.', '.')"
"""Weeks on an axis, a week's end as the URL has it, and axis labels as numbers are told elsewhere: .742, +.012."""


def heat(
    scores: pl.DataFrame, marks: pl.DataFrame, features: Sequence[str], chosen: tuple[str, datetime]
) -> alt.LayerChart:
    """Feature × week: how near each score is to its threshold; a triangle where it is above. A click selects a cell.

    ``scores`` of ``views.SCORES``, ``marks`` of ``views.MARKS``; ``features`` in the order they are drawn; ``chosen``: the
    feature and the end of the week that are outlined.
    """
    last: datetime = max(scores["end"])
    state = pl.when("drifted").then(pl.lit("above")).otherwise(pl.lit("below")).alias("state")
    frame = scores.filter(pl.col("end") > last - timedelta(weeks=SHOWN_WEEKS)).with_columns(
        state, pl.col("end").dt.strftime(ISO).alias("week")
    )
    starts = sorted(set(frame["start"]))
    said = "week beginning (UTC) · darker: nearer to its threshold · ▲: above"
    axis = alt.Axis(values=[_moment(one) for one in starts], format=WEEK, labelOverlap=True, grid=False, title=said)
    x = alt.X("start:T", axis=axis, scale=alt.Scale(type="utc", domain=[_moment(starts[0]), _moment(last)], nice=False))
    y = alt.Y("feature:N", sort=list(features), title=None, axis=_names(170))
    near = alt.Scale(domain=[0, 0.999, 1, 2], range=[0.03, 0.5, 0.72, 1], clamp=True)
    cells = alt.Chart(frame).mark_rect(cursor="pointer").encode(
        x=x, x2="end:T", y=y,
        color=alt.Color("state:N", scale=alt.Scale(domain=["below", "above"], range=[QUIET, ALARM]), legend=None),
        opacity=alt.Opacity("ratio:Q", scale=near, legend=None),
        tooltip=[
            "feature:N", _date("start", "week from"), _number("score"), _number("threshold"),
            _number("ratio", ".2f", "of threshold"), _number("null_share", ".1%", "missing"), _number("rows", ",", "rows served"),
        ],
    ).add_params(alt.selection_point(name=CELL, fields=["feature", "week"], empty=False, toggle=False))  # fmt: skip
    middle = "(toNumber(datum.start) + toNumber(datum.end)) / 2"
    over = alt.Chart(frame).transform_filter("datum.drifted").transform_calculate(middle=middle)
    triangles = over.mark_point(shape="triangle-up", filled=True, size=52, color="white", opacity=1, tooltip=False)
    picked = frame.filter(pl.col("feature") == chosen[0], pl.col("end") == chosen[1])
    ring = alt.Chart(picked).mark_rect(filled=False, stroke=SERVED, strokeWidth=3).encode(x=x, x2="end:T", y=y)
    layers = alt.layer(cells, triangles.encode(x="middle:T", y=y), ring, *_rules(marks, starts[0], last))
    return _themed(layers, _heat_finding(frame)).properties(height=alt.Step(23))


def distribution(found: Distribution, week: str) -> alt.LayerChart | alt.Chart:
    """One feature then (the champion's reference) and now (served in the week ``week``)."""
    return _members(found, week) if found.kind == "categorical" else _histogram(found, week)


def performance(frame: pl.DataFrame, marks: pl.DataFrame, metric: str) -> alt.LayerChart:
    """The champion and a baseline of recent rows, by week. ``frame`` of ``views.PERFORMANCE``."""
    long = frame.unpivot(["champion", "baseline"], index=["end", "matured"], variable_name="model", value_name="value")
    newest, said = frame.row(-1, named=True), words.metric(metric)
    axis = alt.Axis(tickCount=5, format=".3~r", labelExpr=BARE)
    color, shape = _roles("model", MODELS)
    tooltip = [
        _date("end", "week to"),
        "model:N",
        _number("value", ".4f", said),
        _number("matured", ",", "matured rows"),
    ]
    y = alt.Y("value:Q", title=said, scale=alt.Scale(zero=False), axis=axis)
    base = alt.Chart(long).encode(x=_week_axis(frame), y=y, color=color)
    points = base.mark_point(filled=True, size=60, opacity=1).encode(shape=shape, tooltip=tooltip)
    values = f"{said} {words.value(newest['champion'])} against a baseline's {words.value(newest['baseline'])}"
    layers = alt.layer(*_rules(marks, frame["end"][0], frame["end"][-1]), base.mark_line(strokeWidth=2.5), points)
    return _themed(layers, f"{values} in the week to {newest['end']:%Y-%m-%d}").properties(height=330)


def advantage(frame: pl.DataFrame, marks: pl.DataFrame, metric: str, margin: float) -> alt.LayerChart:
    """How much better the baseline is, by week, with its 95% interval: wholly above the margin, performance has fallen."""
    state = pl.when("fallen").then(pl.lit("fallen")).otherwise(pl.lit("not surely")).alias("state")
    shown = frame.drop_nulls(["low", "high"]).with_columns(state)
    color, shape = _roles("state", FALLEN)
    axis = alt.Axis(tickCount=5, format="+.3~f", labelExpr=BARE)
    tooltip = [_date("end", "week to"), *(_number(name, "+.4f") for name in ("advantage", "low", "high")), "state:N"]
    base = alt.Chart(shown).encode(x=_week_axis(frame), color=color, tooltip=tooltip)
    low = alt.Y("low:Q", title=f"baseline better by ({words.metric(metric)})", axis=axis)
    bars = base.mark_rule(strokeWidth=2.5).encode(y=low, y2="high:Q")
    points = base.mark_point(filled=True, size=80, opacity=1).encode(y="advantage:Q", shape=shape)
    many = f"{int(shown['fallen'].sum())} of {words.count(shown.height, 'week')}"
    lines = [*_level(0.0, "as good"), *_level(margin, f"margin {words.value(margin, sign=True)}")]
    layers = alt.layer(*lines, *_rules(marks, frame["end"][0], frame["end"][-1]), bars, points)
    title = f"The baseline was surely better, by more than {words.value(margin)}, in {many}"
    return _themed(layers, title).properties(height=330)


def comparisons(frame: pl.DataFrame, metric: str, margin: float) -> alt.LayerChart:
    """Challenger against champion, a row a training: the difference with its 95% interval; promoted when wholly above the margin.

    ``frame``: label str, outcome str (promoted or kept), difference, low, high f64, rows i64; newest first.
    """
    color, shape = _roles("outcome", OUTCOMES)
    numbers = [_number(name, "+.4f") for name in ("difference", "low", "high")]
    base = alt.Chart(frame).encode(
        y=alt.Y("label:N", sort=frame["label"].to_list(), title=None, axis=_names(150)), color=color,
        tooltip=[alt.Tooltip("label:N", title="training"), "outcome:N", *numbers, _number("rows", ",")],
    )  # fmt: skip
    axis = alt.Axis(format="+.3~f", tickCount=6, labelExpr=BARE)
    low = alt.X(
        "low:Q",
        title=f"challenger better by ({words.metric(metric)})",
        axis=axis,
        scale=alt.Scale(padding=60, nice=False),
    )
    bars = base.mark_rule(strokeWidth=3).encode(x=low, x2="high:Q")
    points = base.mark_point(filled=True, size=130, opacity=1).encode(x="difference:Q", shape=shape)
    lines = [
        *_level(0.0, "as good", upright=True),
        *_level(margin, f"margin {words.value(margin, sign=True)}", upright=True),
    ]
    title = _comparison_finding(frame, words.metric(metric), margin)
    return _themed(alt.layer(*lines, bars, points), title).properties(height=165 + 44 * frame.height)


def kills(frame: pl.DataFrame, chosen: tuple[str, str]) -> alt.LayerChart:
    """Fault × attempt: what became of each, in colour and shape; empty where an attempt did not know the fault. A click selects a cell.

    ``frame`` of ``provings.KILLS``, attempts and faults in the order they are drawn; ``chosen``: the fault's code and the attempt's row
    that are outlined.
    """
    shown = frame.with_columns((pl.col("check") + " " + pl.col("code") + " " + pl.col("title")).alias("fault"))
    names = shown["fault"].unique(maintain_order=True).to_list()
    columns = shown.sort(pl.col("seq").cast(pl.Int64), descending=True)["attempt"].unique(maintain_order=True).to_list()
    axis = _attempts(len(columns), orient="top", ticks=False, domain=False, title=None)
    x = alt.X("attempt:N", sort=columns, axis=axis, scale=alt.Scale(paddingInner=0.06))
    y = alt.Y("fault:N", sort=names, title=None, axis=_names(230), scale=alt.Scale(paddingInner=0.12))
    color, shape = _roles("fate", FATES, columns=2)
    faint = [f"{hue}{alpha}" for (hue, _), alpha in zip(FATES.values(), ("50", "c0", "1a", "1a"), strict=True)]
    base = alt.Chart(shown).encode(
        x=x, y=y,
        tooltip=[
            "fault:N", "attempt:N", "fate:N", alt.Tooltip("check:N", title="its check"), _number("seconds", ".1f", "seconds"),
            alt.Tooltip("sentence:N", title="what it said"),
        ],
    )  # fmt: skip
    cells = base.mark_rect(cursor="pointer").encode(
        color=alt.Color("fate:N", scale=alt.Scale(domain=list(FATES), range=faint), legend=None)
    )
    cells = cells.add_params(alt.selection_point(name=CELL, fields=["code", "seq"], empty=False, toggle=False))
    points = base.mark_point(filled=True, size=62, opacity=1, cursor="pointer").encode(color=color, shape=shape)
    alive = base.transform_filter("datum.fate == 'survived'").mark_point(
        shape="triangle-up", filled=True, size=62, color="white", opacity=1, tooltip=False
    )
    picked = shown.filter(pl.col("code") == chosen[0], pl.col("seq") == chosen[1])
    ring = alt.Chart(picked).mark_rect(filled=False, stroke=SERVED, strokeWidth=3).encode(x=x, y=y)
    layers = alt.layer(cells, points, alive, ring).resolve_scale(color="independent", shape="independent")
    return _themed(layers, _kill_finding(shown, columns[0])).properties(height=alt.Step(21))


def controls(frame: pl.DataFrame, code: str) -> alt.LayerChart:
    """How much moved of what should move, by attempt; at zero a check sees nothing. ``frame`` of ``provings.HISTORY``."""
    title = f"{code}'s control: {_newest(frame, 'control')}"
    return _over_attempts(frame.drop_nulls("control"), "control", "control: what moved", title)


def seconds(frame: pl.DataFrame, code: str) -> alt.LayerChart:
    """How long a check took, by attempt. ``frame`` of ``provings.HISTORY``."""
    title = f"{code} took {_newest(frame, 'seconds', ' s')}"
    return _over_attempts(frame, "seconds", "seconds", title)


def _over_attempts(frame: pl.DataFrame, field: str, said: str, title: str) -> alt.LayerChart:
    color, shape = _roles("verdict", VERDICTS, columns=2)
    frame = frame.with_columns(pl.col("verdict").replace_strict({name: said for name, (_, said) in SAID.items()}))
    x = alt.X(
        "attempt:N",
        sort=frame["attempt"].to_list(),
        title="version, oldest first",
        axis=_attempts(frame.height),
    )
    y = alt.Y(f"{field}:Q", title=said, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=4, format="~s"))
    numbers = [_number("control", ",.4~g"), _number("seconds", ".1f")]
    base = alt.Chart(frame).encode(x=x, y=y, tooltip=["attempt:N", "verdict:N", *numbers, "sentence:N"])
    points = base.mark_point(filled=True, size=110, opacity=1).encode(color=color, shape=shape)
    return _themed(alt.layer(base.mark_line(color=BASELINE, strokeWidth=1.5), points), title).properties(height=330)


def _histogram(found: Distribution, week: str) -> alt.LayerChart:
    color, _ = _roles("when", WHEN)
    last = found.frame.group_by("when", maintain_order=True).last().with_columns(low="high").select(found.frame.columns)
    base = alt.Chart(pl.concat([found.frame, last])).encode(
        x=alt.X("low:Q", title=found.feature, scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(grid=False, tickCount=8)),
        y=alt.Y("share:Q", title="share of rows", axis=alt.Axis(format="%", tickCount=4)), color=color,
        tooltip=["when:N", _number("low", ",.4~g", "from"), _number("high", ",.4~g", "to"), _number("share", ".2%")],
    )  # fmt: skip
    then = base.transform_filter(f"datum.when == '{THEN}'").mark_area(interpolate="step-after", opacity=0.45)
    now = base.transform_filter(f"datum.when == '{NOW}'").mark_line(interpolate="step-after", strokeWidth=2.5)
    title = f"{found.feature}, {week}: median {found.now:,.3g} now, {found.then:,.3g} then (training)"
    return _themed(alt.layer(then, now), title).properties(height=350)


def _members(found: Distribution, week: str) -> alt.Chart:
    color, _ = _roles("when", WHEN)
    bars = alt.Chart(found.frame).mark_bar(cornerRadiusEnd=2).encode(
        y=alt.Y("member:N", sort=None, title=found.feature, axis=_names(140)), yOffset=alt.YOffset("when:N", sort=[THEN, NOW]),
        x=alt.X("share:Q", title="share of rows", axis=alt.Axis(format="%", tickCount=5)), color=color,
        tooltip=["member:N", "when:N", _number("share", ".2%")],
    )  # fmt: skip
    title = f"{found.feature}, {week}: {found.moved} moved most, {found.now:.1%} now, {found.then:.1%} then (training)"
    return _themed(bars, title).properties(height=alt.Step(13))


def _rules(marks: pl.DataFrame, start: datetime, end: datetime) -> list[alt.Chart]:
    """Dues and promotions as vertical rules, with their words on top (one label an instant, turned inwards)."""
    only = (pl.col("kind") == "due").all().alias("only_due")
    inside = marks.filter(pl.col("at").is_between(start, end)).group_by("at", maintain_order=True)
    shown = inside.agg(pl.col("kind").unique(maintain_order=True).str.join(", ").alias("what"), only)
    if shown.is_empty():
        return []
    x, late = alt.X("at:T", scale=alt.Scale(type="utc")), pl.col("at") > start + (end - start) / 2
    dash = alt.StrokeDash("only_due:N", scale=alt.Scale(domain=[True, False], range=[[5, 4], [1, 0]]), legend=None)
    tooltip = [alt.Tooltip("what:N", title="in the ledger"), _date("at", "at")]
    layers = [alt.Chart(shown).mark_rule(color=CHALLENGER, strokeWidth=2).encode(x=x, strokeDash=dash, tooltip=tooltip)]
    for align, part in (("left", shown.filter(~late)), ("right", shown.filter(late))):
        if part.height:
            text = alt.Chart(part).mark_text(
                color=CHALLENGER, align=align, baseline="bottom", fontSize=12, fontWeight=600
            )
            layers.append(text.encode(x=x, y=alt.value(-4), text="what:N"))
    return layers


def _level(at: float, label: str, *, upright: bool = False) -> list[alt.Chart]:
    """A threshold as a line with its label; dashed unless it is zero."""
    data = alt.Chart(pl.DataFrame({"at": [at], "label": [label]}))
    rule = data.mark_rule(color=BASELINE, strokeWidth=1.5, strokeDash=[6, 4] if at else [1, 0])
    text = {"color": BASELINE, "fontSize": 12, "baseline": "bottom" if at or upright else "top"}
    if upright:
        beside = data.mark_text(align="left" if at else "right", dx=5 if at else -5, **text)
        return [rule.encode(x="at:Q"), beside.encode(x="at:Q", y=alt.value(-2), text="label:N")]
    beside = data.mark_text(align="left", dx=4, dy=-3 if at else 3, **text)
    return [rule.encode(y="at:Q"), beside.encode(x=alt.value(0), y="at:Q", text="label:N")]


def _roles(field: str, roles: dict[str, tuple[str, str]], **said: Any) -> tuple[alt.Color, alt.Shape]:
    """Colour and shape of each role, in one legend. ``said``: how the legend differs, such as its ``columns``."""
    colors, shapes = zip(*roles.values(), strict=True)
    legend, names = alt.Legend(title=None, **said), list(roles)
    return (
        alt.Color(f"{field}:N", scale=alt.Scale(domain=names, range=list(colors)), legend=legend),
        alt.Shape(f"{field}:N", scale=alt.Scale(domain=names, range=list(shapes)), legend=legend),
    )


def _week_axis(frame: pl.DataFrame) -> alt.X:
    ends, pad = frame["end"].to_list(), timedelta(days=3)
    scale = alt.Scale(type="utc", domain=[_moment(ends[0] - pad), _moment(ends[-1] + pad)], nice=False)
    axis = alt.Axis(values=[_moment(end) for end in ends], format=WEEK, grid=False, labelOverlap=True)
    return alt.X("end:T", title="week to (UTC)", scale=scale, axis=axis)


def _names(limit: int) -> alt.Axis:
    return alt.Axis(labelLimit=limit, grid=False, ticks=False, domain=False)


def _number(field: str, form: str = ".3f", title: str = "") -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", format=form, title=title or field)


def _date(field: str, title: str) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:T", title=title, format="%Y-%m-%d", formatType="utc")


def _heat_finding(frame: pl.DataFrame) -> str:
    newest = frame.filter(pl.col("end") == pl.col("end").max()).sort("ratio", descending=True)
    worst, above = newest.row(0, named=True), int(newest["drifted"].sum())
    above_of = f"Week to {worst['end']:%Y-%m-%d}: {above} of {newest.height} features above threshold"
    return f"{above_of}, {worst['feature']} furthest ({worst['ratio']:.1f} ×)"


def _newest(frame: pl.DataFrame, field: str, unit: str = "") -> str:
    """``21.0 s in 1.2.0, 7.2 s in 1.1.0``: the newest attempt, and the one before it."""
    said = [
        f"{'–' if one[field] is None else number(round(one[field], 1)) + unit} in {one['attempt']}"
        for one in reversed(frame.tail(2).to_dicts())
    ]
    return ", ".join(said)


def _attempts(many: int, **more: Any) -> alt.Axis:
    """Attempts by name, aslant where they are many."""
    return alt.Axis(labelAngle=0 if many <= 4 else -35, labelLimit=110, labelOverlap=False, grid=False, **more)


def _kill_finding(shown: pl.DataFrame, newest: str) -> str:
    fates = Counter(shown.filter(attempt=newest)["fate"])
    planted = words.count(fates["killed"] + fates["survived"], "planted fault")
    alive = shown.filter(attempt=newest, fate="survived")["code"].to_list()
    said = f"{words.listed(alive)} survived, of {planted}" if alive else f"all {planted} killed"
    idle = {"do not apply": fates["does not apply"], "not planted": fates["not planted"]}
    return "; ".join([f"{newest}: {said}", *(f"{many} {told}" for told, many in idle.items() if many)])


def _comparison_finding(frame: pl.DataFrame, metric: str, margin: float) -> str:
    if frame.height > 1:
        promoted = int((frame["outcome"] == "promoted").sum())
        return f"{promoted} of {words.count(frame.height, 'challenger')} replaced the champion"
    one = frame.row(0, named=True)
    where = "above" if one["low"] > margin else "not above"
    ends = "the challenger serves" if one["outcome"] == "promoted" else "the champion stays"
    found = f"{words.value(one['difference'], sign=True)} {metric}, lower bound {words.value(one['low'], sign=True)}"
    return f"{found} is {where} the margin of {words.value(margin)}: {ends}"


def _themed(chart: Any, title: str) -> Any:
    """The shape of the theme; its colours are the app's."""
    lines = textwrap.wrap(title, LINE)
    text = alt.TitleParams(lines, anchor="start", frame="bounds", fontSize=14, fontWeight=600, offset=14, lineHeight=19)
    plain: dict[str, Any] = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
    return (
        chart.properties(title=text, width="container")
        .configure_axis(labelPadding=6, **plain)
        .configure_legend(
            orient="top", offset=20, padding=0, columnPadding=14, symbolSize=110, symbolOpacity=1, **plain
        )
        .configure_view(strokeWidth=0)
    )


def _moment(instant: datetime) -> alt.DateTime:
    hour = {"hours": instant.hour, "minutes": instant.minute}
    return alt.DateTime(year=instant.year, month=instant.month, date=instant.day, utc=True, **hour)
