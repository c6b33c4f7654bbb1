"""A proving as a page: verdict first, then every check and fault with its numbers and seconds, then where the time went."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

from flows.building.job import Job

STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #64748b; --line: #d8dee6; --paper: #ffffff;
  --bad: #b42318; --good: #1b7f4b; --dull: #8a94a3; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --soft: #9aa5b4; --line: #333c48; --paper: #11161d; --bad: #ff8a7a; --good: #63d297; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem;
  margin: 2.5rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem; }
p { margin: .4rem 0; }
.soft { color: var(--soft); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.FAIL, .VACUOUS, .SURVIVED { color: var(--bad); font-weight: 600; }
.PASS, .KILLED { color: var(--good); }
.NA { color: var(--dull); }
"""


def page(found: Job) -> str:
    """HTML of a proving (see ``flows.prove.run``); it stands alone: no script, no link, nothing fetched."""
    window = f"{found['window']['start'][:16]} to {found['window']['end'][:16]} UTC"
    failed = found["failed"]
    verdict = "Not proved." if failed else "Proved."
    reasons = "".join(f"<li>{html.escape(one)}</li>" for one in failed)
    parts = [
        f"<h1>{html.escape(found['pipeline'])}: {verdict}</h1>",
        f'<p class="soft">Source {found["tree"][:8]}, {found["rows"]:,} rows of {window}.</p>',
        f'<p class="soft">{html.escape(found["since"])}</p>' if "since" in found else "",
        f"<ul>{reasons}</ul>" if reasons else f"<p>{html.escape(summary(found))}</p>",
        "<h2>Checks</h2>",
        _table(("check", "verdict", "control", "seconds", "what it saw"), map(_check, found["checks"])),
    ]
    if found["faults"]:
        rows = map(_fault, found["faults"])
        parts += [
            "<h2>Planted faults</h2>",
            _table(("fault", "fate", "by", "seconds", "what differed"), rows),
        ]
    parts += ["<h2>Where the time went</h2>", f"<p>{html.escape(time(found))}</p>"]
    head = f'<meta charset="utf-8"><title>{html.escape(found["pipeline"])} proved</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'


def summary(found: Job) -> str:
    """How many of what, in a sentence."""
    verdicts = [one["verdict"] for one in found["checks"]]
    fates = [one["fate"] for one in found["faults"]]
    checks = f"{verdicts.count('PASS')} of {len(verdicts)} checks passed, {verdicts.count('N/A')} do not apply"
    if not verdicts:
        return "Nothing was asked."
    if not fates:
        return f"{checks}; no fault was planted."
    return f"{checks}; {fates.count('KILLED')} of {len(fates)} faults were killed, {fates.count('N/A')} do not apply."


def time(found: Job) -> str:
    """Seconds in all, of the slice, and of the longest checks and faults."""
    longest = sorted((*found["checks"], *found["faults"]), key=lambda one: -one["seconds"])[:5]
    told = ", ".join(f"{one['code']} {one['seconds']:.1f} s" for one in longest)
    spent = sum(one["seconds"] for one in (*found["checks"], *found["faults"]))
    begun = f"{found['seconds']:.1f} s in all, {found['seconds_slice']:.1f} s of them for the slice"
    if not longest:
        return f"{begun}."
    return f"{begun}; {spent:.1f} s in checks and faults, several at once. The longest: {told}."


def _table(heads: Iterable[str], rows: Iterable[str]) -> str:
    return f"<table><tr>{''.join(f'<th>{one}</th>' for one in heads)}</tr>{''.join(rows)}</table>"


def _check(one: Job) -> str:
    return _row(one, one["verdict"], f"{one['control']:,.4g}")


def _fault(one: Job) -> str:
    return _row(one, one["fate"], one["check"])


def _row(one: Job, verdict: str, third: str) -> str:
    numbers = ", ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in one["numbers"].items())
    said = html.escape(one["sentence"]) + (f'<br><span class="soft">{html.escape(numbers)}</span>' if numbers else "")
    return (
        f"<tr><td>{one['code']}<br><span class='soft'>{html.escape(one['title'])}</span></td>"
        f'<td class="{verdict.replace("/", "")}">{verdict}</td><td class="number">{third}</td>'
        f'<td class="number">{one["seconds"]:.1f}</td><td>{said}</td></tr>'
    )


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:,.4g}"
