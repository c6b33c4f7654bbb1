"""Dues: recorded decisions that a pipeline must be retrained. Opened once, claimed once, closed once.

A claim is a compare-and-set on the ledger: of any number of runs that a repeated, late or forged event starts, one wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from store import clock, ledger, process
from store.actions import DueClaimed, DueClosed, DueOpened
from store.errors import Conflict, NotFound
from store.layout import Root
from store.ledger import Row

STALE = timedelta(hours=2)
"""A claim this old (wall clock) without an end belongs to a run that was killed on another machine: it may be claimed again."""


@dataclass(frozen=True)
class Due:
    """One due and how far it has come. ``state``: open, claimed or closed."""

    id: str
    pipeline: str
    environment: str
    opened: Row
    claimed: Row | None = None
    closed: Row | None = None

    @property
    def state(self) -> str:
        return "closed" if self.closed else "claimed" if self.claimed else "open"

    @property
    def reasons(self) -> list[str]:
        found: list[str] = self.opened.body.reasons
        return found


def listed(root: Root, pipeline: str = "", environment: str = "") -> list[Due]:
    """Every due, oldest first."""
    return _folded(ledger.rows(root), pipeline, environment)


def get(root: Root, due: str) -> Due:
    """One due by id (8 characters suffice)."""
    for found in listed(root):
        if found.id == due or (len(due) >= 8 and found.id.startswith(due)):
            return found
    raise NotFound(
        f"There is no due {due[:8]!r} in the ledger.",
        f"It holds {len(listed(root))} due(s).",
        "An event alone trains nothing: open a due with `assay monitor` or `assay train`.",
    )


def pending(root: Root, pipeline: str, environment: str) -> Due | None:
    """The due that is not closed yet, if there is one."""
    return next((due for due in listed(root, pipeline, environment) if due.state != "closed"), None)


def abandoned(due: Due) -> bool:
    """Whether the run that took it was killed: its process has ended, or, where that cannot be seen, long must have."""
    if due.state != "claimed" or due.claimed is None:
        return False
    return process.ended(due.claimed.body.process) or clock.wall() - due.claimed.recorded_at > STALE


def waiting(root: Root, pipeline: str, environment: str) -> Due | None:
    """The due that somebody should take: open, or abandoned."""
    due = pending(root, pipeline, environment)
    return due if due is not None and (due.state == "open" or abandoned(due)) else None


def open_due(
    root: Root, due: str, *, pipeline: str, environment: str, kinds: Sequence[str], reasons: Sequence[str],
    window_end: datetime, champion: str | None, actor: str, now: datetime, dry_run: bool = False,
) -> Due:  # fmt: skip
    """Record that a pipeline must be retrained, or, with ``dry_run``, tell how. Conflict while another due of it is not closed."""

    def guard(rows: Sequence[Row]) -> None:
        for other in _folded(rows, pipeline, environment):
            if other.state != "closed":
                raise Conflict(
                    f"A retraining of {pipeline} in {environment} is already {other.state}.",
                    f"Due {other.id[:8]}.",
                    "Wait for its end.",
                )

    body = DueOpened(list(kinds), list(reasons), window_end.isoformat(), champion)
    row = ledger.append(
        root, "due.opened", body, subject=pipeline, digest=due, environment=environment, actor=actor, now=now,
        reason="; ".join(reasons), request=f"due-{due}", guard=guard, dry_run=dry_run,
    )  # fmt: skip
    return Due(due, pipeline, environment, row) if dry_run else get(root, due)


def claim(
    root: Root, due: str, *, run: str, actor: str, by: str, now: datetime, reason: str = "", dry_run: bool = False
) -> Due:
    """Take a due for one run, or, with ``dry_run``, tell how.

    Conflict when it is closed, or another run has it: also when that one took over an abandoned claim. The same run may claim again what
    it holds: its process was killed, and it is tried once more in another.
    """
    found, me = get(root, due), process.identity()

    def guard(rows: Sequence[Row]) -> None:
        for other in _folded(rows, found.pipeline, found.environment):
            if other.id == found.id and other.state != "open" and not abandoned(other):
                raise _taken(other)

    row = ledger.append(
        root, "due.claimed", DueClaimed(run, by, me), subject=found.pipeline, digest=found.id, environment=found.environment,
        actor=actor, now=now, reason=reason, request=f"claim-{found.id}-{run}-{me}", guard=guard, dry_run=dry_run,
    )  # fmt: skip
    if dry_run:
        return replace(found, claimed=row)
    held = get(root, found.id)
    if held.closed or held.claimed is None or held.claimed.body.run != run:  # this run's own claim is an old one
        raise _taken(held)
    return held


def close(
    root: Root,
    due: str,
    *,
    outcome: str,
    run: str,
    by: str,
    model: str | None,
    sentence: str,
    actor: str,
    now: datetime,
) -> Due:
    """End a due: promoted, kept or failed. Closing it again the same way changes nothing; only its claimant may."""
    found = get(root, due)

    def guard(rows: Sequence[Row]) -> None:
        for other in _folded(rows, found.pipeline, found.environment):
            if other.id == found.id and (other.claimed is None or other.claimed.body.run != run or other.closed):
                holder = other.claimed.body.run if other.claimed else "nobody"
                raise Conflict(
                    f"Run {run} cannot close due {found.id[:8]}.",
                    f"It is {other.state}; {holder} has it.",
                    "Close it in the run that claimed it.",
                )

    ledger.append(
        root, "due.closed", DueClosed(outcome, run, by, model, sentence), subject=found.pipeline, digest=found.id,
        environment=found.environment, actor=actor, now=now, reason=sentence, request=f"close-{found.id}-{run}", guard=guard,
    )  # fmt: skip
    return get(root, due)


def _taken(due: Due) -> Conflict:
    holder = due.claimed.body.run if due.claimed else "nobody"
    return Conflict(f"Due {due.id[:8]} is already {due.state}.", f"Run {holder} has it.", "Nothing to do.")


def _folded(rows: Sequence[Row], pipeline: str, environment: str) -> list[Due]:
    found: dict[str, Due] = {}
    for row in rows:
        if (pipeline and row.subject != pipeline) or (environment and row.environment != environment):
            continue
        if row.action == "due.opened":
            found[row.digest] = Due(row.digest, row.subject, row.environment, row)
        elif row.action == "due.claimed":
            found[row.digest] = replace(found[row.digest], claimed=row)
        elif row.action == "due.closed":
            found[row.digest] = replace(found[row.digest], closed=row)
    return list(found.values())
