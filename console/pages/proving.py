"""May this pipeline be trusted? What proved what runs, certificates side by side, the faults that prove the checks, one check over time."""

from __future__ import annotations

import streamlit as st

from console import charts, provings, views
from console.pages.parts import certificates, frame, icons, markup, mending, trust, words
from console.pages.parts.markup import text
from console.provings import Attempt
from console.views import Card
from store import blobs, clock
from store.layout import Root

QUESTION = "May this pipeline be trusted?"
SIDES = 5
SHAPES = {"killed": "good", "survived": "alarm", "does not apply": "none", "not planted": "none"}


def clicked() -> None:
    """A cell of the kill matrix becomes the chosen fault and version."""
    cells = st.session_state["kills"].selection.get(charts.CELL) or []
    if cells:
        frame.pick(fault=cells[0]["code"], attempt=cells[0]["seq"])


def mend(attempt: Attempt, pipeline: str) -> None:
    """Why the newest attempt was refused, and what its author does about it."""
    st.subheader("What to mend")
    for reason in mending.reasons(attempt, pipeline):
        with st.container(border=True):
            frame.show(markup.notice("alarm", reason.title, reason.sentence))
            look = f"**Look at** {reason.where}." if reason.where else ""
            st.markdown("  \n".join(filter(None, (reason.asks, look))))
            st.code(reason.command, language=None, wrap_lines=True)
    st.markdown(
        f"Then integrate again, under the same version if you like: nothing was published as {attempt.version}. "
        "A pipeline whose folder lies elsewhere is named by the folder's path."
    )
    st.code(f"assay integrate {pipeline}", language=None, wrap_lines=True)


def side_by_side(card: Card, attempts: list[Attempt]) -> None:
    """The newest attempts as columns, checks as rows."""
    st.subheader("Certificates side by side")
    shown = attempts[:SIDES]
    frame.show(certificates.table(shown, card.package.digest if card.package else None, card.environment))
    older = "" if len(attempts) <= SIDES else f" Older ones: `assay certificate show {card.pipeline} VERSION`."
    st.caption(f"Newest first; what is not as in the attempt before it stands out.{older}")


def history(attempts: list[Attempt]) -> None:
    """One check over the versions: how much it moved, how long it took, and what it said."""
    st.subheader("One check over the versions")
    known = provings.codes(attempts)
    code = frame.choose("check", "Check", list(known), show=lambda one: f"{one} {known[one]}")
    st.caption(mending.asks(code))
    found = provings.history(attempts, code)
    left, right = st.columns(2, gap="large")
    left.altair_chart(charts.controls(found, code))
    right.altair_chart(charts.seconds(found, code))
    lines = [
        (
            f"{icons.badge(*certificates.SAID[row['verdict']])} {text(row['sentence'])}",
            row["attempt"],
            f"{clock.printed(row['at'])} · {row['seconds']:.1f} s",
        )
        for row in reversed(found.to_dicts())
    ]
    frame.show(markup.items(lines))


def kill_matrix(root: Root, attempts: list[Attempt], pipeline: str) -> None:
    """What became of every planted fault, by version; beside it one of them in words, and the certificate it stands in."""
    st.subheader("Planted faults")
    found, by_seq = provings.kills(attempts), {str(one.seq): one for one in attempts}
    if found.is_empty():
        why = "Nothing shows that the checks can fail in this pipeline. Integrating plants the faults."
        frame.gap("No fault was planted", why, f"assay integrate {pipeline}")
        return
    titles = dict(found.select("code", "title").unique("code", keep="first", maintain_order=True).rows())
    left, right = st.columns([3, 2], gap="large")
    with right:
        fault = frame.choose("fault", "Fault", list(titles), show=lambda one: f"{one} {titles[one]}")
        seq = frame.choose("attempt", "Version", list(by_seq), show=lambda one: by_seq[one].name)
        tell(by_seq[seq], fault)
        certificate(root, by_seq[seq], pipeline)
    chart = charts.kills(found, (fault, seq))
    left.altair_chart(chart, key="kills", on_select=clicked, selection_mode=charts.CELL)


def tell(attempt: Attempt, code: str) -> None:
    """One fault in one attempt, in words."""
    fault = next((one for one in attempt.faults if one["code"] == code), None)
    if fault is None:
        frame.show(f"<p>{icons.badge('none', 'not there')} {text(attempt.name)} was proved without it.</p>")
        return
    fate = provings.fate(attempt, fault)
    by = f"by {fault['check']} in {fault['seconds']:.1f} s" if fault["killed"] else f"its check is {fault['check']}"
    frame.show(f"<p>{icons.badge(SHAPES[fate], fate)} {text(by)}</p><p>{text(fault['sentence'])}</p>")
    if fault["numbers"]:
        st.caption(certificates.numbers(fault))


def certificate(root: Root, attempt: Attempt, pipeline: str) -> None:
    """The chosen attempt's certificate, or a refused one's evidence: what it is bound to, as a file, and how to verify it."""
    st.subheader(f"{'Certificate' if attempt.package else 'Evidence'} of {attempt.name}")
    if not attempt.digest:
        why = f"{attempt.version} was published without one; a new version gets one when it is integrated."
        frame.gap("No certificate", why, f"assay integrate {pipeline}")
        return
    if attempt.unread:
        frame.unreached(
            "It cannot be read", f"{attempt.unread} Restore it from a copy of the root.", "assay ledger verify"
        )
        return
    frame.show(markup.facts(bound(attempt)))
    what = "certificate" if attempt.package else "evidence"
    st.download_button(
        f"Download the {what} as JSON",
        blobs.get(root, attempt.digest),
        file_name=f"{pipeline}-{attempt.name.replace(' ', '-')}-{what}.json",
        mime="application/json",
        key="download",
        on_click="ignore",
    )
    st.caption("The file's SHA-256 is the digest that stands in the ledger:")
    st.code(attempt.digest, language=None, wrap_lines=True)
    if attempt.package:
        st.caption("Held against what is there now, its data too:")
        st.code(f"assay certificate verify {pipeline} {attempt.version}", language=None, wrap_lines=True)


def bound(attempt: Attempt) -> list[tuple[str, str, str]]:
    """Everything the evidence speaks for: the package's bytes, its source, the data, the runtime and the checks."""
    held, content = attempt.evidence, attempt.data.get("content")
    data, span = words.count(attempt.data["rows"], "row"), text(words.span(*attempt.window))
    facts = [("Data", text(data), f"{span}, content {markup.identifier(content)}" if content else span)]
    if attempt.package is None:
        return facts
    runtime, sources = held["runtime"], words.count(len(held["sources"]), "file")
    return [
        (
            "Package",
            text(attempt.version),
            f"wheel {markup.identifier(held['wheel'])}, source {markup.identifier(held['tree'])}",
        ),
        *facts,
        ("Runtime", f"Python {text(runtime['python'])}", text(words.count(len(runtime["packages"]), "package"))),
        ("Checks and faults", text(sources), "by the digest of each"),
    ]


def draw() -> None:
    """The page."""
    root = frame.root()
    now = frame.now(root)
    if not frame.read(root, views.pipelines):
        frame.verdict(QUESTION, "none", "empty", "Nothing has been built in this root yet, so nothing is proved.")
        why = "Integrating a pipeline proves it: what comes of that stands here, whether it is published or refused."
        frame.gap("No pipeline yet", why, "assay integrate flight_delay")
        return
    left, right = st.columns([5, 2], gap="medium")
    with right:
        card = frame.subject(root, now)
    deployed = card.package.digest if card.package else None
    attempts = frame.read(root, provings.attempts, card.pipeline, deployed)
    with left:
        broken = provings.broken(root, card.package) if card.package and card.package.body.certificate else ""
        frame.verdict(QUESTION, *trust.verdict(card, attempts, broken, now))
    if attempts[0].package is None:
        mend(attempts[0], card.pipeline)
    if not any(one.evidence for one in attempts):
        why = "It was published before packages had certificates. A higher version gets one when it is integrated."
        frame.gap("No certificate yet", why, f"assay prove {card.pipeline}", f"assay integrate {card.pipeline}")
        return
    side_by_side(card, attempts)
    kill_matrix(root, attempts, card.pipeline)
    history(attempts)


frame.within(draw)
