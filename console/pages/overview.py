"""Is anything wrong? What needs me? The loop with live numbers, a card a pipeline, worst first, and what happened last."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from console import actions, views
from console.pages.parts import events, frame, icons, loop, markup, picture, sentences, words
from console.pages.parts.markup import text
from console.views import Card, Week
from store import clock, ledger
from store.layout import Root

QUESTION = "Is anything wrong? What needs me?"
EVENTS, STRIP = 10, 8
STATES = {"SCHEDULED": "none", "COMPLETED": "good", "FAILED": "alarm", "CRASHED": "alarm", "CANCELLED": "watch"}
Fact = tuple[str, str, str]


def overview(root: Root, environment: str, now: datetime) -> tuple[list[Card], list[loop.Station]]:
    """Cards and stations, read together: the stations count over the cards."""
    cards = views.cards(root, environment, now)
    return cards, loop.stations(root, environment, cards, now)


def answer(cards: list[Card], environment: str) -> None:
    """The verdict over all pipelines: the worst speaks."""
    if cards:
        worst = cards[0]
        frame.verdict(QUESTION, worst.level, words.LEVELS[worst.level], sentences.overall(cards, environment))
    else:
        frame.verdict(QUESTION, "none", "empty", "Nothing has been built in this root yet.")


def begin() -> None:
    """What to do in an empty root."""
    frame.gap(
        "No pipeline yet",
        "Bring facts in, prove a pipeline, deliver it, train it: each command says what it did.",
        "assay ingest --from 2013-01-01",
        "assay integrate flight_delay",
        "assay deliver flight_delay --approve",
        "assay train flight_delay",
    )


def draw_card(one: Card, now: datetime) -> None:
    """One pipeline: verdict, what it needs, facts, and the way on."""
    badge, facts = icons.badge(one.level, words.LEVELS[one.level]), markup.facts(facts_of(one, now))
    head = f'{badge}<h2>{markup.sentence(sentences.verdict(one))}</h2><p class="a-need">{text(sentences.need(one, now))}</p>'
    chosen = {"pipeline": one.pipeline, "environment": one.environment}
    with st.container(border=True):
        frame.show(f'<div class="a-card">{head}{facts}</div>')
        with st.container(horizontal=True, vertical_alignment="center"):
            st.page_link("pages/drift.py", label="See what changed", query_params=chosen)
            st.page_link("pages/retrain.py", label="Retrain", query_params=chosen)
            identifiers(one)


def facts_of(one: Card, now: datetime) -> list[Fact]:
    """Champion, package, retraining, weeks."""
    return [_champion(one, now), _package(one, now), _retraining(one, now), _weeks(one, now)]


def identifiers(one: Card) -> None:
    """Whole ids, each with a button that copies it."""
    held = {
        "Champion": one.champion.digest if one.champion else "",
        "Package": one.package.digest if one.package else "",
        "Due": one.due.id if one.due else "",
    }
    if not any(held.values()):
        return
    with st.popover("Identifiers", type="tertiary"):
        for name, digest in held.items():
            if digest:
                st.caption(f"{name} {digest[:8]}")
                st.code(digest, language=None, wrap_lines=True)


def newest(root: Root, now: datetime) -> None:
    """The newest rows of the ledger, as sentences."""
    rows = list(reversed(ledger.rows(root)))[:EVENTS]
    if not rows:
        st.caption("Nothing yet: every publication, decision and move will stand here.")
        return
    lines = [
        (
            text(events.told(row)),
            f"{words.ago(row.store_time, now)} · {row.actor}",
            f"{clock.printed(row.store_time)} · row {row.seq}",
        )
        for row in rows
    ]
    frame.show(markup.items(lines))


@st.fragment
def runs() -> None:
    """What Prefect runs, drawn last: the store's part of the page does not wait for a server."""
    with st.spinner("Asking Prefect …"):
        found = actions.recent()
    if isinstance(found, actions.OutOfReach):
        rest = "Runs cannot be shown or started from here; all else on this page comes from the store."
        frame.unreached("Prefect is out of reach", f"{found.why} {rest}", "prefect server start")
    elif not found:
        frame.gap("No run yet", "Prefect's server answers; nothing has been started through it.")
    else:
        frame.show(markup.items(_run(run) for run in found))


def _run(run: actions.Run) -> Fact:
    badge = icons.badge(STATES.get(run.state, "busy"), run.state_name.lower())
    by = f" · started by {run.by}" if run.by else ""
    return f"{badge} {text(run.flow)} {text(run.pipeline)}", words.seconds(run.seconds), f"{run.name}{by}"


def _champion(one: Card, now: datetime) -> Fact:
    if one.champion is None or one.champion_since is None:
        return "Champion", "none", "nothing is promoted here"
    body, since = one.champion.body, words.time(one.champion_since, now)
    said = f"{words.metric(body.metric)} {words.value(body.value)} ({words.interval(body.low, body.high)})"
    return "Champion", text(said), f"{markup.identifier(one.champion.digest)} since {text(since)}"


def _package(one: Card, now: datetime) -> Fact:
    if one.package is None or one.delivered_at is None:
        return "Package", "none", "nothing is delivered here"
    since = words.time(one.delivered_at, now)
    return "Package", text(one.package.version), f"{markup.identifier(one.package.digest)} since {text(since)}"


def _retraining(one: Card, now: datetime) -> Fact:
    if one.due is not None:
        kinds = words.listed([words.REASONS[kind] for kind in one.due.opened.body.kinds])
        state = {"open": "due", "claimed": "running"}[one.due.state]
        return "Retraining", state, text(f"for {kinds}, since {words.time(one.due.opened.store_time, now)}")
    if one.cooling is not None:
        return "Retraining", "cooling down", text(f"until {words.time(one.cooling, now)}")
    return "Retraining", "none due", ""


def _weeks(one: Card, now: datetime) -> Fact:
    if not one.weeks:
        return "Weeks judged", "none", "the monitor judges a week when it has ended"
    strip = "".join(_mark(found) for found in one.weeks[-STRIP:])
    name = f"Last {min(STRIP, len(one.weeks))} of {words.count(len(one.weeks), 'week')} judged"
    newest = text(f"newest to {words.time(one.weeks[-1].end, now)}")
    return name, f'<span class="a-strip">{strip}</span>', newest


def _mark(week: Week) -> str:
    level = "alarm" if week.body.drifted or week.body.fallen else "good"
    above = f"{len(week.body.drifted)} of {len(week.body.features)} features above threshold"
    title = text(f"{words.span(week.start, week.end)}: {above}{', performance fallen' if week.body.fallen else ''}")
    return f'<span class="a-{level}" title="{title}">{icons.svg(level)}</span>'


def draw() -> None:
    """The page."""
    root = frame.root()
    now, (left, right) = frame.now(root), st.columns([5, 1], gap="medium")
    with right:
        environment = frame.environment()
    cards, stations = frame.read(root, overview, environment, now)
    with left:
        answer(cards, environment)
    if not cards:
        begin()
    frame.show(picture.draw(stations, now))
    for one in cards:
        draw_card(one, now)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("What happened last")
        newest(root, now)
    with right:
        st.subheader("What runs")
        runs()


frame.within(draw)
