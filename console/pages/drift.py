"""What changed in the data? Features by week against their thresholds, one of them then and now, performance, Evidently's report."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from console import actions, charts, views
from console.pages.parts import distribution, frame, icons, markup, sentences, words
from console.pages.parts.markup import text
from console.views import Card, Week
from store import blobs
from store.layout import Root
from store.ledger import Row

QUESTION = "What changed in the data?"
DRAWING = "drawing"


def clicked() -> None:
    """A cell of the heat map becomes the chosen feature and week."""
    cells = st.session_state["heat"].selection.get(charts.CELL) or []
    if cells:
        frame.pick(feature=cells[0]["feature"], week=cells[0]["week"])


def answer(card: Card) -> None:
    """The verdict, and what it is judged by."""
    said = []
    if card.drift is not None:
        order = [name for name in views.worst_first(views.scores(card.mine)) if name in card.drift.features]
        said.append(f"Furthest: {words.listed(order)}.")
    if card.mine and card.rules is not None:
        said.append(f"Judged on {words.count(card.mine[-1].body.rows, 'served row')}.")
        said.append(f"A threshold is the reference's own unrest; {card.rules.windows} weeks above it in a row confirm.")
    frame.verdict(QUESTION, card.level, words.LEVELS[card.level], sentences.verdict(card), " ".join(said))


def heat(root: Root, card: Card, judged: list[Week]) -> tuple[str, Week]:
    """The map, and under it the same choice by keyboard."""
    st.subheader("Features by week")
    scored, place = views.scores(judged), st.container()
    order, ends = views.worst_first(scored), {one.body.window_end: one for one in reversed(judged) if one.body.features}
    left, right = st.columns(2)
    with left:
        feature = frame.choose("feature", "Feature", order)
    with right:
        shown = {end: words.span(one.start, one.end) for end, one in ends.items()}
        week = ends[frame.choose("week", "Week", list(ends), show=lambda end: shown[end])]
    with place:
        chart = charts.heat(scored, views.marks(root, card.pipeline, card.environment), order, (feature, week.end))
        st.altair_chart(chart, key="heat", on_select=clicked, selection_mode=charts.CELL)
    return feature, week


def then_and_now(root: Root, card: Card, feature: str, week: Week) -> None:
    """The chosen feature, in training and in the chosen week."""
    st.subheader("Then and now")
    found = frame.read(root, distribution.read, card.pipeline, card.environment, feature, week.body.window_end)
    if found is None or feature not in week.body.features:
        frame.gap(
            f"{feature} cannot be drawn for this week",
            "No row served in it holds it, or its champion was not calibrated on it.",
        )
        return
    one, state = week.body.features[feature], "above" if feature in week.body.drifted else "below"
    st.altair_chart(charts.distribution(found, words.span(week.start, week.end)))
    st.caption(
        f"Score {one['score']:.2f}, {state} its threshold of {one['threshold']:.2f} · "
        f"missing {found.null_now:.1%} now, {found.null_then:.1%} then · {words.count(found.rows, 'row')} served"
    )


def performance(root: Root, card: Card, judged: list[Week]) -> None:
    """Whether it harms: the champion against a baseline of recent rows."""
    st.subheader("Does it harm?")
    shown = views.performance(judged, card.rules.better if card.rules else "higher")
    if shown.is_empty() or card.rules is None:
        why = "Too few labels have matured in the weeks judged so far; they come with the outcomes."
        frame.gap("Performance cannot be told yet", why, f"assay collect {card.pipeline}")
        return
    marks = views.marks(root, card.pipeline, card.environment)
    left, right = st.columns(2, gap="large")
    left.altair_chart(charts.performance(shown, marks, card.rules.metric))
    right.altair_chart(charts.advantage(shown, marks, card.rules.metric, card.rules.fall_margin))


def report(root: Root, card: Card, week: Week) -> None:
    """Evidently's report of the chosen week, or the button that has it drawn."""
    span = words.span(week.start, week.end)
    st.subheader(f"Evidently's report, {span}")
    row = views.report(root, card.pipeline, card.environment, week)
    if row is not None:
        embed(root, row)
        return
    drawing = st.session_state.get(DRAWING)
    if drawing and drawing[1] == week.body.window_end:
        watch(root, card.pipeline, card.environment, week, drawing[0])
        return
    st.markdown(
        f"Not drawn yet. It compares {words.count(week.body.rows, 'served row')} of this week with the training rows, "
        "from samples, in about a minute. It is kept, and the ledger gets one row that says so."
    )
    if st.button(f"Draw the report of {span}", type="primary", key="draw"):
        ask(card, week)


def embed(root: Root, row: Row) -> None:
    """The report over the whole width."""
    rows = f"{words.count(row.body.sampled, 'sampled row')} of {row.body.rows:,}"
    frame.show(f"<p>Drawn from {rows}, with our thresholds and flags · {markup.identifier(row.digest)}</p>")
    st.iframe(page(str(blobs.path(root, row.digest)), row.digest), height=900, alt="Evidently's drift report")


def ask(card: Card, week: Week) -> None:
    """Start the report's deployment for the chosen week."""
    wanted = {"pipeline": card.pipeline, "environment": card.environment, "window_end": week.body.window_end}
    with st.spinner("Asking Prefect …"):
        request = f"report-{card.pipeline}-{card.environment}-{week.model}-{week.body.window_end}-{week.decided_at.isoformat()}"
        started = actions.start("report", wanted, request)
    if isinstance(started, actions.OutOfReach):
        command = f"assay report {card.pipeline} --environment {card.environment}"
        frame.unreached("The report cannot be drawn from here", started.why, command)
    else:
        st.session_state[DRAWING] = (started.id, week.body.window_end)
        st.rerun()


@st.fragment(run_every="2s")
def watch(root: Root, pipeline: str, environment: str, week: Week, run: str) -> None:
    """The run that draws it; the page follows when the ledger has the row."""
    if views.report(root, pipeline, environment, week) is not None:
        st.session_state.pop(DRAWING, None)
        st.rerun()
    found = actions.run(run)
    if isinstance(found, actions.OutOfReach):
        st.caption(f"The run cannot be watched: {found.why}")
    elif found.state in ("FAILED", "CRASHED", "CANCELLED"):
        st.session_state.pop(DRAWING, None)
        st.error(f"{found.name} {found.state_name.lower()}: {found.message}")
    else:
        frame.show(f"<p>{icons.badge('busy', 'drawing')} {text(found.name)} is {text(found.state_name.lower())}.</p>")


@st.cache_data(show_spinner=False, max_entries=4)
def page(path: str, digest: str) -> str:
    """The HTML of a report; a digest always has the same bytes."""
    return Path(path).read_text()


def empty(card: Card) -> None:
    """No week judged: which command mends it."""
    name = card.pipeline
    if card.champion is None:
        why = "Drift is judged against the champion's training rows."
        frame.gap(
            "No champion, so nothing to compare with", why, f"assay deliver {name} --approve", f"assay train {name}"
        )
    else:
        why = "The monitor judges a week (Monday to Monday, UTC) when it has ended and predictions were served in it."
        commands = (f"assay serve {name}", f"assay collect {name}", f"assay monitor {name}")
        frame.gap("No week has been judged yet", why, *commands)


def draw() -> None:
    """The page."""
    root = frame.root()
    now = frame.now(root)
    if not frame.read(root, views.pipelines):
        frame.verdict(
            QUESTION, "none", "empty", "Nothing has been built in this root yet, so nothing can have changed."
        )
        frame.gap(
            "No pipeline yet",
            "Prove one, deliver it and train it; then its data are watched.",
            "assay integrate flight_delay",
        )
        return
    left, right = st.columns([5, 2], gap="medium")
    with right:
        card = frame.subject(root, now)
    with left:
        answer(card)
    judged = frame.read(root, views.weeks, card.pipeline, card.environment)
    if not any(week.body.features for week in judged):
        empty(card)
        return
    feature, week = heat(root, card, judged)
    then_and_now(root, card, feature, week)
    performance(root, card, judged)
    report(root, card, week)


frame.within(draw)
