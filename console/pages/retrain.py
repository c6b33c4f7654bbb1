"""Make it learn again: whether a retraining is due, the form that starts one, the run while it works, and what was decided."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import streamlit as st

from console import actions, charts, views
from console.pages.parts import frame, icons, markup, sentences, trainings, words
from console.pages.parts.markup import text
from console.views import Card, Training
from store import clock
from store.layout import Root
from store.registry import dues

QUESTION, FLOW, REQUEST, ENDED = "Make it learn again", "train", "request", "ended"
STATES = {"COMPLETED": "good", "FAILED": "alarm", "CRASHED": "alarm", "CANCELLED": "watch"}


def answer(card: Card, known: list[Training], now: datetime) -> None:
    """Where retraining stands, and what the last one decided and why."""
    level, word = ("none", "cooling down") if card.cooling else ("none", "none due")
    if card.due is not None:
        level, word = {"open": ("watch", "due"), "claimed": ("busy", "training")}[card.due.state]
    closed = next((one for one in known if one.due.closed), None)
    last = sentences.decided(closed) if closed else "It was never trained here."
    frame.verdict(QUESTION, level, word, sentences.due(card, now), last)


def start(root: Root, card: Card, now: datetime) -> None:
    """The form, from the deployment's own parameters, and the button that says what it will do."""
    st.subheader("Retrain")
    if card.package is None:
        why = "A retraining runs the delivered package, so there must be one."
        frame.gap("Nothing is delivered here", why, f"assay deliver {card.pipeline} --approve")
        return
    if card.due is not None and card.due.claimed is not None:
        st.caption(f"A run has taken due {card.due.id[:8]}; another one cannot start before it has ended.")
        return
    with st.spinner("Asking Prefect for the form …"):
        found = actions.deployment(FLOW)
    if isinstance(found, actions.OutOfReach):
        due = f" --due {card.due.id[:8]}" if card.due else ""
        command = f"assay train {card.pipeline} --environment {card.environment}{due} --reason 'why'"
        frame.unreached("Prefect is out of reach, so no retraining can be started from here", found.why, command)
        return
    label = _label(root, card, now)
    with st.container(border=True):
        parameters = form(found, card)
        if st.button(label, type="primary", key="ask", disabled=found.paused):
            st.session_state[REQUEST] = uuid.uuid4().hex
            confirm(card, parameters, label)
        st.caption(sentences.before_start(card, ready=found.ready, paused=found.paused))


def form(found: actions.Deployment, card: Card) -> dict[str, Any]:
    """A widget for each parameter: what this page has chosen stands there to read, the rest can be set."""
    due = card.due.id if card.due else None
    chosen = {"pipeline": card.pipeline, "environment": card.environment, "due": due}
    values: dict[str, Any] = {}
    columns = st.columns(3)
    for at, field in enumerate(field for field in found.fields if field.name != "reason"):
        with columns[at % 3]:
            if field.name in chosen:
                values[field.name] = chosen[field.name]
                said = (chosen[field.name] or "opened by hand when it starts")[:40]
                st.text_input(field.title, said, disabled=True, key=f"{field.name}-{said}", help=field.help or None)
            else:
                values[field.name] = widget(field)
    return values


def widget(field: actions.Field) -> Any:
    """The widget of a parameter's type."""
    key, said = f"field-{field.name}", field.help or None
    if field.options:
        return st.selectbox(field.title, field.options, key=key, help=said)
    if field.kind == "boolean":
        return st.toggle(field.title, bool(field.default), key=key, help=said)
    if field.kind in ("integer", "number"):
        step = 1 if field.kind == "integer" else None
        return st.number_input(field.title, value=field.default, step=step, key=key, help=said)
    return st.text_input(field.title, field.default or "", key=key, help=said) or None


@st.dialog("Start a retraining?", width="medium")
def confirm(card: Card, parameters: dict[str, Any], label: str) -> None:
    """Asks once: what will be written, and why."""
    st.markdown(f"**{label}**, {card.pipeline} in {card.environment}. The run will write to the ledger:")
    frame.show(markup.bullets(sentences.writes(card), "ol"))
    hint = (
        "The due keeps the reasons it was opened with; yours goes with the run."
        if card.due
        else "It stands in the ledger."
    )
    reason = st.text_area("Reason", key="reason", placeholder="Why it should learn again", help=hint)
    left, right = st.columns(2)
    if right.button("Cancel", key="cancel", width="stretch"):
        st.rerun()
    if not left.button("Start it", type="primary", key="start", width="stretch"):
        return
    if not reason.strip():
        st.error("A reason is needed.")
        return
    with st.spinner("Starting …"):
        started = actions.start(FLOW, parameters | {"reason": reason.strip()}, st.session_state[REQUEST])
    if isinstance(started, actions.OutOfReach):
        st.error(f"It may not have started. {started.why} Pressing again starts it once.")
        return
    st.query_params["run"] = started.id
    st.rerun()


def follow(root: Root, card: Card, now: datetime) -> bool:
    """The run in the URL, or the one that has the due: live while it works, as it ended after that. Whether it still works."""
    claimed = card.due.claimed if card.due else None
    run = st.query_params.get("run") or (claimed.body.run if claimed else "")
    if not run:
        return False
    st.subheader("The run")
    if st.session_state.get(ENDED) == run:
        progress(root, run, now)
        return False
    watch(root, run)
    return True


@st.fragment(run_every="2s")
def watch(root: Root, run: str) -> None:
    """The run while it works; when it has ended the whole page is drawn anew."""
    if progress(root, run, clock.now(root)):
        st.session_state[ENDED] = run
        st.rerun()


def progress(root: Root, run: str, now: datetime) -> bool:
    """State of the run at Prefect, and what the ledger has of it; whether it has ended."""
    found, due = actions.run(run), _taken(root, run)
    away = isinstance(found, actions.OutOfReach)
    with st.container(border=True):
        frame.show(f"<p>{_unseen(found) if isinstance(found, actions.OutOfReach) else _seen(found)}</p>")
        frame.show(trainings.steps(root, due, now))
    return bool(due and due.closed) if away else found.ended


def decided(card: Card, known: list[Training]) -> None:
    """The newest comparison: interval and margin, and every guard's sentence."""
    newest = next((one for one in known if one.judged is not None and one.due.closed is not None), None)
    if newest is None or newest.judged is None:
        return
    st.subheader("What was decided")
    compared, margin = trainings.comparisons([newest]), card.rules.promote_margin if card.rules else 0.0
    left, right = st.columns([3, 2], gap="large") if compared.height else (None, st.container())
    if left is not None:
        left.altair_chart(charts.comparisons(compared, newest.judged.metric, margin))
    with right:
        frame.show(markup.bullets(sentences.guard(reason) for reason in newest.judged.reasons))


def past(card: Card, known: list[Training], now: datetime) -> None:
    """Every training, and, with two comparisons or more, those in one picture."""
    st.subheader("All trainings")
    if not known:
        command = f"assay train {card.pipeline} --environment {card.environment}"
        frame.gap("Never trained here", "The first training makes the first champion.", command)
        return
    compared = trainings.comparisons(known)
    if compared.height > 1 and card.rules is not None:
        st.altair_chart(charts.comparisons(compared, card.rules.metric, card.rules.promote_margin))
    frame.show(trainings.table(known, now))


def _taken(root: Root, run: str) -> dues.Due | None:
    return next((due for due in reversed(dues.listed(root)) if due.claimed and due.claimed.body.run == run), None)


def _seen(found: actions.Run) -> str:
    said = found.message if found.state in ("FAILED", "CRASHED") else words.seconds(found.seconds)
    badge = icons.badge(STATES.get(found.state, "busy"), found.state_name.lower())
    return f"{badge} <b>{text(found.name)}</b> · {text(said)}"


def _unseen(found: actions.OutOfReach) -> str:
    return f"{icons.badge('watch', 'not to be asked')} {text(found.why)}"


def _label(root: Root, card: Card, now: datetime) -> str:
    began = views.since(root, card.pipeline)
    what = "Train the open due" if card.due else "Retrain"
    return f"{what} on {words.span(began, now)}" if began else f"{what} on all history to {now:%Y-%m-%d}"


def draw() -> None:
    """The page."""
    root = frame.root()
    now = frame.now(root)
    if not frame.read(root, views.pipelines):
        frame.verdict(QUESTION, "none", "empty", "Nothing has been built in this root yet, so nothing can learn.")
        commands = ("assay integrate flight_delay", "assay deliver flight_delay --approve")
        frame.gap("No pipeline yet", "Prove one and deliver it; then it can be trained here.", *commands)
        return
    left, right = st.columns([5, 2], gap="medium")
    with right:
        card = frame.subject(root, now)
    known = frame.read(root, views.trainings, card.pipeline, card.environment)
    with left:
        answer(card, known, now)
    if not follow(root, card, now):
        start(root, card, now)
    decided(card, known)
    past(card, known, now)


frame.within(draw)
