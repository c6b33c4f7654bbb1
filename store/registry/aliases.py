"""Names that move. One ledger row is one move, so a promotion is one row or nothing.

Package alias ``deployed``: what an environment runs. Model aliases ``champion``, ``challenger``, or an application's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from store import ledger
from store.actions import AliasMoved
from store.errors import Conflict, InvalidInput, NotFound
from store.layout import Root, checked, checked_environment
from store.ledger import Row

DEPLOYED, CHAMPION, CHALLENGER = "deployed", "champion", "challenger"
PACKAGE_MOVES = ("package.delivered", "package.rolled_back")
MODEL_MOVES = ("model.promoted", "model.rolled_back")


def moves(rows: Sequence[Row], pipeline: str, environment: str, alias: str) -> list[Row]:
    """Every move of one alias, oldest first."""
    return [
        row
        for row in rows
        if row.action in PACKAGE_MOVES + MODEL_MOVES
        and row.subject == pipeline
        and row.environment == environment
        and row.body.alias == alias
    ]


def current(root: Root, pipeline: str, environment: str, alias: str) -> str | None:
    """The digest an alias points at, or None if it was never set."""
    return _target(ledger.rows(root), pipeline, environment, alias)


def move(
    root: Root,
    action: str,
    *,
    pipeline: str,
    environment: str,
    alias: str,
    digest: str,
    label: str,
    expected: str | None,
    actor: str,
    now: datetime,
    reason: str,
    request: str | None = None,
    dry_run: bool = False,
) -> Row:
    """Point an alias at a digest, if it still points at ``expected`` (None: was never set).

    Raises Conflict when somebody moved it meanwhile: decide again on what is there now.
    """
    checked_environment(environment), checked("alias", alias)
    if not reason:
        raise InvalidInput(f"Moving {alias} of {pipeline} needs a reason.", remedy="Say why; it stands in the ledger.")

    def guard(rows: Sequence[Row]) -> None:
        found = _target(rows, pipeline, environment, alias)
        if found != expected:
            raise Conflict(
                f"{alias} of {pipeline} in {environment} was moved meanwhile.",
                f"It points at {_short(found)}, not at {_short(expected)}.",
                "Look again, and decide on what is there now.",
            )

    payload = AliasMoved(alias=alias, previous=expected, label=label)
    return ledger.append(
        root, action, payload, subject=pipeline, digest=digest, environment=environment, actor=actor, now=now,
        reason=reason, request=request, guard=guard, dry_run=dry_run,
    )  # fmt: skip


def before(root: Root, pipeline: str, environment: str, alias: str) -> Row:
    """The move that put in place what stood before today's target: where a rollback goes.

    Rolling back twice goes back two steps, not back and forth. NotFound when there is nothing to go back to.
    """
    return _before(ledger.rows(root), pipeline, environment, alias)


def _before(rows: Sequence[Row], pipeline: str, environment: str, alias: str) -> Row:
    stack: list[Row] = []
    for row in moves(rows, pipeline, environment, alias):
        if row.action.endswith("rolled_back") and any(known.digest == row.digest for known in stack):
            while stack[-1].digest != row.digest:
                stack.pop()
        elif not stack or stack[-1].digest != row.digest:
            stack.append(row)
    if len(stack) < 2:
        raise NotFound(
            f"There is nothing to roll {alias} of {pipeline} back to in {environment}.",
            f"It points at {stack[0].body.label}, the first it ever had." if stack else "It was never set.",
            "Deliver or promote something first.",
        )
    return stack[-2]


_AS_READ = "what it points at when this is called"


def roll_back(
    root: Root, pipeline: str, environment: str, alias: str, *, actor: str, now: datetime, reason: str,
    expected: str | None = _AS_READ, dry_run: bool = False,
) -> Row:  # fmt: skip
    """Point an alias back at what it pointed at before: one row, no redeployment.

    ``expected``: what the caller saw it point at. Who asks twice with the same eyes gets a Conflict, not two steps back.
    """
    rows = ledger.rows(root)  # read once: a move in between must be a Conflict, not a step further back
    target = _before(rows, pipeline, environment, alias)
    seen = _target(rows, pipeline, environment, alias) if expected == _AS_READ else expected
    return move(
        root, "package.rolled_back" if alias == DEPLOYED else "model.rolled_back", pipeline=pipeline, environment=environment,
        alias=alias, digest=target.digest, label=target.body.label, expected=seen, actor=actor, now=now, reason=reason,
        dry_run=dry_run,
    )  # fmt: skip


def _target(rows: Sequence[Row], pipeline: str, environment: str, alias: str) -> str | None:
    found = moves(rows, pipeline, environment, alias)
    return found[-1].digest if found else None


def _short(digest: str | None) -> str:
    return digest[:8] if digest else "nothing"
