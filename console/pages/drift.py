"""What changed in the data? Features by week against their thresholds, one of them then and now, performance, Evidently's report."""

from __future__ import annotations

import html
from datetime import datetime
from pathlib import Path

import streamlit as st

from console import actions, charts, views
from console.pages.parts import distribution, frame, words
from console.views import Card, Week
from store import blobs
from store.layout import Root

QUESTION = "What changed in the data?"


def clicked() -> None:
    """A cell of the heat map becomes the chosen feature and week."""
    cells = st.session_state["heat"].selection.get(charts.CELL) or []
    if cells:
        frame.pick(feature=cells[0]["feature"], week=cells[0]["week"])


def answer(card: Card) -> None:
    """The verdict, and what it is judged by."""
    week = card.weeks[-1] if card.weeks else None
    drifted = f"Furthest: {words.listed(card.drift.features)}. " if card.drift else ""
    windows = card.rules.windows if card.rules else 2
    judged = f"Judged on {words.count(week.body.rows, 'served row')}; a score is a multiple of the reference's own unrest, and {windows} weeks in a row confirm it." if week else ""
    frame.verdict(QUESTION, card.level, words.LEVELS[card.level], words.verdict(card), drifted + judged)


def heat(root: Root, card: Card, judged: list[Week]) -> tuple[str, Week]:
    """The map, and under it the same choice by keyboard."""
    scored = views.scores(judged)
    order, ends = views.worst_first(scored), {week.body.window_end: week for week in reversed(judged) if week.body.features}
    place = st.container()
    left, right = st.columns(2)
    with left:
        feature = frame.choose("feature", "Feature", order)
    with right:
        week = ends[frame.choose("week", "Week", list(ends), show=lambda end: words.span(ends[end].start, ends[end].end))]
    with place:
        chart = charts.heat(scored, views.marks(root, card.pipeline, card.environment), order, (feature, week.end))
        st.altair_chart(chart, key="heat", on_select=clicked, selection_mode=charts.CELL)
    return feature, week


def then_and_now(root: Root, card: Card, feature: str, week: Week) -> None:
    """The chosen feature, in training and in the chosen week."""
    st.subheader("Then and now")
    found = frame.read(root, distribution.read, card.pipeline, card.environment, feature, week.body.window_end)
    if found is None:
        frame.gap(f"{feature} cannot be drawn for this week", "No served rows of that week hold it, or its champion has no calibration.")
        return
    one = week.body.features[feature]
    state = "above" if feature in week.body.drifted else "below"
    st.altair_chart(charts.distribution(found, words.span(week.start, week.end)))
    st.caption(
        f"Score {one['score']:.2f}, {state} its threshold of {one['threshold']:.2f} · missing {found.null_now:.1%} now, {found.null_then:.1%} then · "
        f"{words.count(found.rows, 'row')} served"
    )


def performance(root: Root, card: Card, judged: list[Week]) -> None:
    """Whether it harms: the champion against a baseline of recent rows."""
    st.subheader("Does it harm?")
    shown = views.performance(judged, card.rules.better if card.rules else "higher")
    if shown.is_empty() or card.rules is None:
        frame.gap("Performance cannot be told yet", "Too few labels have matured in the weeks judged so far; they come with the outcomes.", f"assay collect {card.pipeline}")
        return
    marks = views.marks(root, card.pipeline, card.environment)
    left, right = st.columns(2, gap="large")
    left.altair_chart(charts.performance(shown, marks, card.rules.metric))
    right.altair_chart(charts.advantage(shown, marks, card.rules.metric, card.rules.fall_margin))


def report(root: Root, card: Card, week: Week) -> None:
    """Evidently's report of the chosen week, or the button that has it drawn."""
    st.subheader(f"Evidently's report, {words.span(week.start, week.end)}")
    row = views.report(root, card.pipeline, card.environment, week)
    if row is not None:
        frame.markup(f"<p>Drawn from {words.count(row.body.sampled, 'sampled row')} of {row.body.rows:,}, with our thresholds and flags · {frame.identifier(row.digest)}</p>")
        st.iframe(page(str(blobs.path(root, row.digest)), row.digest), height=900, alt="Evidently's drift report")
        return
    frame.markup(
        f"<p>Not drawn yet. It compares {html.escape(words.count(week.body.rows, 'served row'))} of this week with the training rows, from samples of 5,000, "
        "in about a minute, and is kept by its digest; the ledger gets one row, report.drawn.</p>"
    )
    if st.button(f"Draw the report of {words.span(week.start, week.end)}", type="primary", key="draw"):
        with st.spinner("Asking Prefect …"):
            started = actions.start("report", {"pipeline": card.pipeline, "environment": card.environment, "window_end": week.body.window_end})
        if isinstance(started, actions.OutOfReach):
            frame.unreached("The report cannot be drawn from here", started.why, f"assay report {card.pipeline} --environment {card.environment}")
        else:
            st.session_state["drawing"] = (started.id, week.body.window_end)
    drawing = st.session_state.get("drawing")
    if drawing and drawing[1] == week.body.window_end:
        watch(root, card.pipeline, card.environment, week, drawing[0])


@st.fragment(run_every="2s")
def watch(root: Root, pipeline: str, environment: str, week: Week, run: str) -> None:
    """The run that draws it; the page follows when the ledger has the row."""
    if views.report(root, pipeline, environment, week) is not None:
        st.session_state.pop("drawing", None)
        st.rerun()
    found = actions.run(run)
    if isinstance(found, actions.OutOfReach):
        st.caption(f"The run cannot be watched: {found.why}")
    else:
        st.caption(f"{found.name}: {found.state_name.lower()}. {found.message if found.state in ('FAILED', 'CRASHED') else ''}")


@st.cache_data(show_spinner=False, max_entries=4)
def page(path: str, digest: str) -> str:
    """The HTML of a report; a digest always has the same bytes."""
    return Path(path).read_text()


def empty(card: Card) -> None:
    """No week judged: which command mends it."""
    pipeline = card.pipeline
    if card.champion is None:
        frame.gap("No champion, so nothing to compare with", "Drift is judged against the champion's training rows.", f"assay deliver {pipeline} --approve", f"assay train {pipeline}")
    else:
        frame.gap("No week has been judged yet", "The monitor judges a week (Monday to Monday, UTC) when it has ended and predictions were served in it.",
                  f"assay serve {pipeline}", f"assay collect {pipeline}", f"assay monitor {pipeline}")  # fmt: skip


def draw() -> None:
    """The page."""
    root = frame.root()
    now: datetime = frame.now(root)
    names = frame.read(root, views.pipelines)
    if not names:
        frame.verdict(QUESTION, "none", "empty", "Nothing has been built in this root yet, so nothing can have changed.")
        frame.gap("No pipeline yet", "Prove one, deliver it and train it; then its data are watched.", "assay integrate flight_delay")
        return
    left, right = st.columns([5, 2], gap="large")
    with right:
        card = frame.subject(root, now)
    with left:
        answer(card)
    pipeline, environment = card.pipeline, card.environment
    judged = frame.read(root, views.weeks, pipeline, environment)
    if not any(week.body.features for week in judged):
        empty(card)
        return
    feature, week = heat(root, card, judged)
    then_and_now(root, card, feature, week)
    performance(root, card, judged)
    report(root, card, week)


frame.within(draw)
