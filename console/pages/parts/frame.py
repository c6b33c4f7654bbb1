"""The frame around every page: the verdict on top, what was chosen in the URL, reads cached by the ledger's head, designed gaps.

A page reads through ``read``: as long as nobody appended to the ledger and store time stands still, the answer comes from
memory, however many runs there were. What is chosen (pipeline, environment, feature, week) stands in the URL, so any view can be sent; it
outlives a change of page through the session.

On the first request to a fresh server Streamlit does not know ``st.navigation`` yet: if the request names a file of
``pages/``, it runs that by itself, without the app around it; ``within`` then runs the app.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from console import views
from console.pages.parts import markup
from console.views import Card
from store import clock, ledger
from store.errors import AssayError
from store.layout import ENVIRONMENTS, Root

T = TypeVar("T")
KEPT = "chosen"
APP = Path(__file__).parents[2] / "app.py"
INSIDE: ContextVar[bool] = ContextVar("inside", default=False)


def within(draw: Callable[[], None]) -> None:
    """Draw a page in the app; where Streamlit ran the page's file alone, run the app, which comes back here."""
    if INSIDE.get():
        draw()
    else:
        runpy.run_path(str(APP), run_name="__main__")


def root() -> Root:
    """The workspace's storage, from ASSAY_ROOT."""
    return Root.open()


def now(where: Root) -> datetime:
    """Store time; by the minute where the machine's clock is store time, so that reads can be cached."""
    instant = clock.now(where)
    return instant if clock.simulated(where) else instant.replace(second=0, microsecond=0)


def read(where: Root, function: Callable[..., T], *arguments: str | datetime | None) -> T:
    """``function(root, *arguments)``, from memory while the ledger's head is the same."""
    name = f"{function.__module__}.{function.__qualname__}"
    found: T = _cached(function, name, str(where.path), ledger.head(where), arguments)
    return found


@st.cache_data(show_spinner=False, max_entries=256)
def _cached(_function: Callable[..., Any], name: str, path: str, head: int, arguments: tuple[Any, ...]) -> Any:
    return _function(Root(Path(path)), *arguments)


def show(inner: str) -> None:
    """Our own HTML or SVG, as it is."""
    st.markdown(inner, unsafe_allow_html=True)


def verdict(question: str, level: str, word: str, sentence: str, beside: str = "") -> None:
    """The page's answer: its question, the status in shape and word, the sentence, and what it stands on."""
    show(markup.verdict(question, level, word, sentence, beside))


def gap(title: str, why: str, *commands: str) -> None:
    """A designed empty state: what is missing, why, and the commands that mend it."""
    _notice("none", title, why, commands)


def unreached(title: str, why: str, *commands: str) -> None:
    """A server that does not answer: what is out of reach for that, and the way round it."""
    _notice("watch", title, why, commands)


def broken(error: AssayError) -> None:
    """An error a person can meet, in its three sentences."""
    st.session_state.pop(KEPT, None)
    verdict("Something is broken", "broken", "broken", error.asked, f"{error.exists} {error.remedy}".strip())


def _notice(level: str, title: str, why: str, commands: Sequence[str]) -> None:
    with st.container(border=True):
        show(markup.notice(level, title, why))
        for command in commands:
            st.code(command, language=None, wrap_lines=True)


def choose(
    name: str, label: str, options: Sequence[str], *, default: str | None = None, show: Callable[[str], str] = str
) -> str:
    """A selectbox whose value stands in the URL under its name."""
    _settle(name, options, default or options[0])
    found: str = st.selectbox(label, options, key=name, format_func=show, on_change=_sent, args=(name,))
    return _remember(name, found)


def environment() -> str:
    """test or production, from the URL; production unless said."""
    options = list(reversed(ENVIRONMENTS))
    _settle("environment", options, "production")
    found = st.segmented_control(
        "Environment", options, key="environment", required=True, on_change=_sent, args=("environment",)
    )
    return _remember("environment", found or "production")


def subject(where: Root, instant: datetime) -> Card:
    """The pipeline and environment a page is about, chosen by two widgets; the worst pipeline unless said."""
    place = st.container()
    chosen = environment()
    cards = {card.pipeline: card for card in read(where, views.cards, chosen, instant)}
    with place:
        return cards[choose("pipeline", "Pipeline", list(cards))]


def pick(**values: str) -> None:
    """Choose from code (a click on a chart), before the selectboxes of the next run are drawn."""
    for name, value in values.items():
        st.session_state[name] = value
        st.query_params[name] = value


def _settle(name: str, options: Sequence[str], default: str) -> None:
    """Give the widget its value for this run: the session's, else the URL's, else the last page's, else the default."""
    kept = st.session_state.get(KEPT, {}).get(name)
    for value in (st.session_state.get(name), st.query_params.get(name), kept, default):
        if value in options:
            st.session_state[name] = value
            return


def _remember(name: str, value: str) -> str:
    st.session_state.setdefault(KEPT, {})[name] = value
    if st.query_params.get(name) != value:
        st.query_params[name] = value
    return value


def _sent(name: str) -> None:
    st.query_params[name] = st.session_state[name]
