"""Store time: the one clock that facts, windows, labels and decisions go by.

``now(root)`` is the wall clock in UTC, or, for a simulated root, the instant persisted in ``<root>/clock``, which only a
replayer moves. A flow reads it once and passes it down, so nothing below a flow has a clock of its own. The machinery
(``recorded_at``, spool files, schedules, timeouts) goes by ``wall()``.
"""

from __future__ import annotations

from datetime import UTC, datetime

from store.errors import InvalidInput
from store.layout import Root, write_atomically


def wall() -> datetime:
    """The machine's clock, UTC."""
    return datetime.now(UTC)


def now(root: Root) -> datetime:
    """Store time, UTC, microseconds."""
    try:
        text = root.clock.read_text()
    except FileNotFoundError:
        return wall()
    return datetime.fromisoformat(text.strip())


def simulated(root: Root) -> bool:
    """Whether the root's time is moved by a replayer instead of the machine's clock."""
    return root.clock.exists()


def move(root: Root, instant: datetime) -> None:
    """Set a simulated root's time. Refuses naive times and going back: facts already known cannot be unlearnt."""
    instant = utc(instant)
    if simulated(root) and instant < now(root):
        raise InvalidInput(
            f"Store time cannot move back to {instant:%Y-%m-%d %H:%M} UTC.",
            f"It is {now(root):%Y-%m-%d %H:%M} UTC in {root.path}.",
            "Start a new root.",
        )
    write_atomically(root.clock, instant.isoformat().encode())


def utc(instant: datetime) -> datetime:
    """The same instant in UTC; a naive one is refused, since a guess of its zone would move every join."""
    if instant.tzinfo is None:
        raise InvalidInput(
            f"The time {instant.isoformat()} has no zone.", remedy="Give it one, such as +00:00 for UTC."
        )
    return instant.astimezone(UTC)


def printed(instant: datetime) -> str:
    """As people read it: ``2013-04-14 09:00 UTC``."""
    return f"{utc(instant):%Y-%m-%d %H:%M} UTC"
