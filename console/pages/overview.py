"""Is anything wrong? What needs me? The loop with live numbers, a card a pipeline, worst first, and what happened last."""

from __future__ import annotations

import html
from datetime import datetime

import streamlit as st

from console import actions, views
from console.pages.parts import frame, icons, loop, picture, words
from console.views import Card, Week
from store import ledger
from store.layout import Root

QUESTION = "Is anything wrong? What needs me?"
EVENTS, STRIP = 10, 8
LEVEL = {"SCHEDULED": "none", "PENDING": "busy", "RUNNING": "busy", "COMPLETED": "good", "FAILED": "alarm", "CRASHED": "alarm"}


def overview(root: Root, environment: str, now: datetime) -> tuple[list[Card], list[loop.Station]]:
    """Cards and stations, read together: the stations count over the cards."""
    cards = views.cards(root, environment, now)
    return cards, loop.stations(root, environment, cards, now)


def answer(cards: list[Card], environment: str) -> None:
    """The verdict over all pipelines: the worst speaks."""
    if not cards:
        frame.verdict(QUESTION, "none", "empty", f"Nothing has been built in this root yet: {environment} has no pipeline.")
        return
    worst = cards[0]
    frame.verdict(QUESTION, worst.level, words.LEVELS[worst.level], words.overall(cards, environment))


def card(root: Root, one: Card, now: datetime) -> None:
    """One pipeline: verdict, what it needs, facts, and the way on."""
    with st.container(border=True):
        frame.markup(
            f'<div class="a-card">{icons.badge(one.level, words.LEVELS[one.level])}<h2>{html.escape(words.verdict(one))}</h2>'
            f'<p class="a-need">{html.escape(words.need(one, now))}</p><dl class="a-facts">{facts(one, now)}</dl></div>'
        )
        chosen = {"pipeline": one.pipeline, "environment": one.environment}
        with st.container(horizontal=True, vertical_alignment="center"):
            st.page_link("pages/drift.py", label="See what changed", query_params=chosen)
            st.page_link("pages/retrain.py", label="Retrain", query_params=chosen)
            identifiers(one)


def facts(one: Card, now: datetime) -> str:
    """Champion, package, retraining, last decision, weeks."""
    shown = [_champion(one, now), _package(one, now), _retraining(one, now), _last(one, now)]
    cells = [f"<div><dt>{html.escape(name)}</dt><dd><b>{main}</b><small>{rest}</small></dd></div>" for name, main, rest in shown]
    return "".join(cells)


def identifiers(one: Card) -> None:
    """Whole ids, each with a button that copies it."""
    held = {"Champion": one.champion.digest if one.champion else "", "Package": one.package.digest if one.package else "", "Due": one.due.id if one.due else ""}
    if not any(held.values()):
        return
    with st.popover("Identifiers", type="tertiary"):
        for name, digest in held.items():
            if digest:
                st.caption(f"{name} {digest[:8]}")
                st.code(digest, language=None)


def events(root: Root, now: datetime) -> None:
    """The newest rows of the ledger, as sentences."""
    rows = list(reversed(ledger.rows(root)))[:EVENTS]
    lines = [
        f'<li><span class="a-what">{html.escape(words.event(row))}</span><small class="a-who">{html.escape(words.ago(row.store_time, now))} · {html.escape(row.actor)}</small>'
        f"<small>{html.escape(frame.clock.printed(row.store_time))} · row {row.seq}</small></li>"
        for row in rows
    ]
    frame.markup(f'<ul class="a-events">{"".join(lines)}</ul>')


@st.fragment
def runs() -> None:
    """What Prefect runs, drawn last: the store's part of the page does not wait for a server."""
    with st.spinner("Asking Prefect …"):
        found = actions.recent()
    if isinstance(found, actions.OutOfReach):
        frame.unreached("Prefect is out of reach", f"{found.why} Runs cannot be shown or started from here; all else on this page comes from the store.", "prefect server start")
        return
    if not found:
        frame.gap("No run yet", "Prefect's server answers; nothing has been started through it.")
        return
    lines = [
        f'<li><span class="a-what">{icons.badge(LEVEL.get(run.state, "none"), run.state_name.lower())} {html.escape(run.flow)} {html.escape(run.pipeline)}</span>'
        f'<small class="a-who">{html.escape(words.seconds(run.seconds))}</small><small>{html.escape(run.name)}{" · by " + html.escape(run.by) if run.by else ""}</small></li>'
        for run in found
    ]
    frame.markup(f'<ul class="a-events">{"".join(lines)}</ul>')


def begin() -> None:
    """What to do in an empty root."""
    frame.gap("No pipeline yet", "The ledger is empty. Bring facts in, prove a pipeline, deliver it, train it: each command says what it did.",
              "assay ingest --from 2013-01-01", "assay integrate flight_delay", "assay deliver flight_delay --approve", "assay train flight_delay")  # fmt: skip


def _champion(one: Card, now: datetime) -> tuple[str, str, str]:
    if one.champion is None or one.champion_since is None:
        return "Champion", "none", "nothing is promoted here"
    body = one.champion.body
    value = f"{words.metric(body.metric)} {words.value(body.value)} ({words.interval(body.low, body.high)})"
    return "Champion", html.escape(value), f"{frame.identifier(one.champion.digest)} since {html.escape(words.time(one.champion_since, now))}"


def _package(one: Card, now: datetime) -> tuple[str, str, str]:
    if one.package is None or one.delivered_at is None:
        return "Package", "none", "nothing is delivered here"
    return "Package", html.escape(one.package.version), f"{frame.identifier(one.package.digest)} since {html.escape(words.time(one.delivered_at, now))}"


def _retraining(one: Card, now: datetime) -> tuple[str, str, str]:
    if one.due is not None:
        kinds = words.listed([words.REASONS[kind] for kind in one.due.opened.body.kinds])
        return "Retraining", {"open": "due", "claimed": "running"}[one.due.state], html.escape(f"for {kinds}, since {words.time(one.due.opened.store_time, now)}")
    if one.cooling is not None:
        return "Retraining", "cooling down", html.escape(f"until {words.time(one.cooling, now)}")
    return "Retraining", "none due", ""


def _last(one: Card, now: datetime) -> tuple[str, str, str]:
    if not one.weeks:
        return "Weeks judged", "none", "the monitor judges a week when it has ended"
    week = one.weeks[-1]
    strip = "".join(_mark(found) for found in one.weeks[-STRIP:])
    return f"Last {min(STRIP, len(one.weeks))} of {words.count(len(one.weeks), 'week')} judged", f'<span class="a-strip">{strip}</span>', html.escape(f"newest to {words.time(week.end, now)}")


def _mark(week: Week) -> str:
    level = "alarm" if week.body.drifted or week.body.fallen else "good"
    said = f"{words.span(week.start, week.end)}: {len(week.body.drifted)} of {len(week.body.features)} features above threshold"
    return f'<span class="a-{level}" title="{html.escape(said)}">{icons.svg(level)}</span>'


def draw() -> None:
    """The page."""
    root = frame.root()
    now, head = frame.now(root), st.columns([5, 1], vertical_alignment="top")
    with head[1]:
        environment = frame.environment()
    cards, stations = frame.read(root, overview, environment, now)
    with head[0]:
        answer(cards, environment)
    if not cards:
        begin()
    frame.markup(picture.draw(stations, now))
    for one in cards:
        card(root, one, now)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("What happened last")
        if ledger.head(root):
            events(root, now)
        else:
            st.caption("Nothing yet: every publication, decision and move will stand here.")
    with right:
        st.subheader("What runs")
        runs()


frame.within(draw)
