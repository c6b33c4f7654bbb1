"""The append-only record of every publication, decision, approval and alias move.

One row a file, ``ledger/0000000042.parquet``, created only if absent: the file system decides who gets a number, so any
number of processes may append without a server or a lock. Who loses the race reads what the winner wrote, asks its
``guard`` again, and tries the next number. ``prev`` and ``hash`` chain the rows. ``request`` is the caller's own id and
unique: who was killed between the write and its acknowledgement finds its row on retry, so nothing happens twice.

Each file carries a seal, the SHA-256 of itself, in parquet's key-value metadata. The chain notices what was edited, but
only after the file was parsed, and Polars ends the whole process on some flipped bytes (a length of 2^61): the seal is
looked at first. A checkpoint is believed only if its chain holds and ends in the row whose file has its number;
otherwise the single files are read.

Columns: ``seq`` i64 from 1; ``recorded_at`` (wall) and ``store_time`` Datetime[us, UTC]; ``actor``, ``action``,
``subject``, ``digest``, ``environment``, ``reason``, ``payload`` (canonical JSON), ``request``, ``prev``, ``hash``: str,
never null. Order is ``seq``, never time.
"""

from __future__ import annotations

import contextlib
import io
import json
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import obstore
import polars as pl
from obstore.store import LocalStore

from store import actions, blobs, clock
from store.errors import Conflict, InvalidInput, NotFound, Refused, Unreachable
from store.layout import Root, writing

GENESIS = "0" * 64
_SEAL = b"assay sha256 "
CHECKPOINT_EVERY = 256
_TIME = pl.Datetime("us", "UTC")
SCHEMA = pl.Schema(
    {"seq": pl.Int64(), "recorded_at": _TIME, "store_time": _TIME}
    | dict.fromkeys(
        ("actor", "action", "subject", "digest", "environment", "reason", "payload", "request", "prev", "hash"),
        pl.String(),
    )
)


@dataclass(frozen=True)
class Row:
    """One line of the ledger. ``body`` is the payload in its action's dataclass."""

    seq: int
    recorded_at: datetime
    store_time: datetime
    actor: str
    action: str
    subject: str
    digest: str
    environment: str
    reason: str
    payload: str
    request: str
    prev: str
    hash: str

    @cached_property
    def body(self) -> Any:
        return actions.payload(self.action, json.loads(self.payload))

    def computed_hash(self) -> str:
        """SHA-256 over ``prev`` and every other field but ``hash`` itself, as canonical JSON."""
        content = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "hash"}
        content |= {name: content[name].isoformat() for name in ("recorded_at", "store_time")}
        return blobs.digest(blobs.canonical(content))


Guard = Callable[[Sequence[Row]], None]


def append(
    root: Root,
    action: str,
    payload: Any,
    *,
    subject: str,
    digest: str = "",
    environment: str = "",
    actor: str,
    now: datetime,
    reason: str = "",
    request: str | None = None,
    guard: Guard | None = None,
    dry_run: bool = False,
) -> Row:
    """Append one row and return it, or return the row this ``request`` has already written.

    With ``dry_run`` the row is returned as it would be written now, and nothing is. ``guard`` sees all rows before each
    attempt and raises to refuse (usually Conflict). Raises InvalidInput when the payload is not the action's, Conflict when
    the request id was used for something else.
    """
    if isinstance(payload, type) or not is_dataclass(payload) or type(payload) is not actions.ACTIONS.get(action):
        raise InvalidInput(
            f"{type(payload).__name__} is not what {action!r} records.",
            f"Actions: {', '.join(actions.ACTIONS)}.",
            "Give the payload of that action.",
        )
    text = blobs.canonical(asdict(payload)).decode()  # type: ignore[arg-type]
    asked = (action, subject, digest, environment, text)
    request = request or uuid.uuid4().hex
    while True:
        known = rows(root)
        if done := _by_request(root).get(request):
            if (done.action, done.subject, done.digest, done.environment, done.payload) != asked:
                raise Conflict(
                    f"The request id {request!r} was already used.",
                    f"Row {done.seq} used it for {done.action} of {done.subject}.",
                    "Use a fresh request id for another action.",
                )
            return done
        if guard is not None:
            guard(known)
        row = _row(known, actor, reason, request, asked, clock.utc(now))
        if dry_run:
            return row
        if _create(root, row):
            if row.seq % CHECKPOINT_EVERY == 0:
                checkpoint(root, row.seq)
            return row


def rows(root: Root) -> Sequence[Row]:
    """All rows in order of ``seq``. Only files that are new since this process last asked are read."""
    return _cache(root).refreshed()


def head(root: Root) -> int:
    """The newest ``seq``, 0 for an empty ledger."""
    known = rows(root)
    return known[-1].seq if known else 0


def find(
    root: Root, *, action: str | Sequence[str] = (), subject: str = "", digest: str = "", environment: str = ""
) -> list[Row]:
    """Rows that match everything given, oldest first."""
    wanted = {action} - {""} if isinstance(action, str) else set(action)
    return [
        row
        for row in rows(root)
        if (not wanted or row.action in wanted)
        and (not subject or row.subject == subject)
        and (not digest or row.digest == digest)
        and (not environment or row.environment == environment)
    ]


def frame(root: Root) -> pl.DataFrame:
    """The whole ledger as a frame of ``SCHEMA``."""
    return pl.DataFrame([_stored(row) for row in rows(root)], schema=SCHEMA, orient="row")


def verify(root: Root) -> int:
    """Read every file afresh and check numbers, hashes and the chain; return how many rows are good.

    Raises Refused naming the first row that is missing, changed or out of the chain. Rows cut off at the very end are
    missed only by what came after them: a checkpoint here, and any process that has read them.
    """
    prev, count = GENESIS, 0
    for count, path in enumerate(sorted(root.ledger.glob("[0-9]*.parquet")), start=1):
        if path.name != _name(count):
            raise _missing(root, count)
        row = _read(path.read_bytes(), path)
        if row.seq != count or row.computed_hash() != row.hash:
            raise Refused(f"Ledger row {count} has been changed.", f"File {path}.", "Restore it from a copy.")
        if row.prev != prev:
            raise Refused(
                f"Ledger row {count} does not follow row {count - 1}.", f"File {path}.", "Restore from a copy."
            )
        actions.payload(row.action, json.loads(row.payload))
        prev = row.hash
    if count < _newest(root):
        raise _missing(root, count + 1)
    return count


class _Cache:
    """The rows a process has read, in order; verified against the chain as they come."""

    def __init__(self, root: Root) -> None:
        self.root, self.rows, self.requests, self.lock = root, list[Row](), dict[str, Row](), threading.Lock()
        self.whole = False

    def refreshed(self) -> Sequence[Row]:
        with self.lock:
            least = 0 if self.whole else _newest(self.root)
            if not self.rows:
                self._checkpointed()
            while (path := self.root.ledger / _name(len(self.rows) + 1)).exists():
                self._extend([_read(path.read_bytes(), path)])
            if len(self.rows) < least:  # reading on from a gap would bring back what was decided before it
                raise _missing(self.root, len(self.rows) + 1)
            self.whole = True
            return tuple(self.rows)

    def _checkpointed(self) -> None:
        """The newest checkpoint's rows; none of them, if it is damaged or is not the history of the single files."""
        found = sorted((self.root.ledger / "checkpoints").glob(_FILES))
        if not found:
            return
        last = self.root.ledger / found[-1].name
        try:
            self._extend(_parsed(found[-1].read_bytes(), found[-1]))
            believed = self.rows[-1:] == [_read(last.read_bytes(), last)]
        except (Refused, FileNotFoundError):
            believed = False
        if not believed:
            self.rows.clear()
            self.requests.clear()

    def _extend(self, new: Sequence[Row]) -> None:
        for row in new:
            prev = self.rows[-1].hash if self.rows else GENESIS
            if row.seq != len(self.rows) + 1 or row.prev != prev or row.computed_hash() != row.hash:
                raise Refused(
                    f"Ledger row {len(self.rows) + 1} has been changed or does not follow the one before.",
                    f"Ledger {self.root.ledger}.",
                    "Run `assay ledger verify`, and restore what it names from a copy.",
                )
            self.rows.append(row)
            self.requests[row.request] = row


_caches: dict[Path, _Cache] = {}


def _cache(root: Root) -> _Cache:
    return _caches.setdefault(root.path, _Cache(root))


def _by_request(root: Root) -> dict[str, Row]:
    return _cache(root).requests


def _row(known: Sequence[Row], actor: str, reason: str, request: str, asked: tuple[str, ...], now: datetime) -> Row:
    action, subject, digest, environment, text = asked
    prev = known[-1].hash if known else GENESIS
    draft = Row(
        len(known) + 1, clock.wall(), now, actor, action, subject, digest, environment, reason, text, request, prev, ""
    )
    return replace(draft, hash=draft.computed_hash())


def _stored(row: Row) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in SCHEMA)


_FILES = "[0-9]" * 10 + ".parquet"


def _name(seq: int) -> str:
    return f"{seq:010d}.parquet"


def _newest(root: Root) -> int:
    """The largest number that any file speaks of, 0 for none: a checkpoint is never ahead of its row."""
    return max((int(path.stem) for path in root.ledger.rglob(_FILES)), default=0)


def _missing(root: Root, seq: int) -> Refused:
    return Refused(f"Ledger row {seq} is missing.", f"Later rows exist in {root.ledger}.", "Restore it from a copy.")


def _create(root: Root, row: Row) -> bool:
    """Put the row under its number if nobody has: the ledger's one primitive."""
    try:
        with writing(root.ledger / _name(row.seq)):
            obstore.put(LocalStore(root.ledger), _name(row.seq), _bytes([row]), mode="create")
    except obstore.exceptions.AlreadyExistsError:
        return False
    return True


def _bytes(some: Sequence[Row]) -> bytes:
    buffer = io.BytesIO()
    frame = pl.DataFrame([_stored(row) for row in some], schema=SCHEMA, orient="row")
    frame.write_parquet(buffer, metadata={"seal": (_SEAL + b"0" * 64).decode()})
    data = buffer.getvalue()
    start = data.rindex(_SEAL) + len(_SEAL)
    return data[:start] + blobs.digest(data).encode() + data[start + 64 :]


def _intact(data: bytes) -> bool:
    """Whether the file is what its seal says; one without a seal is left to its hash and the chain."""
    start = data.rfind(_SEAL) + len(_SEAL)
    return (
        start < len(_SEAL)
        or blobs.digest(data[:start] + b"0" * 64 + data[start + 64 :]).encode() == data[start : start + 64]
    )


def _read(data: bytes, path: Path) -> Row:
    found = _parsed(data, path)
    if len(found) != 1:
        raise Refused(
            f"Ledger file {path.name} holds {len(found)} rows.", f"It lies at {path}.", "Restore it from a copy."
        )
    return found[0]


def _parsed(data: bytes, path: Path) -> list[Row]:
    try:
        if not _intact(data):
            raise ValueError("its bytes are not those that were written")
        return [Row(*stored) for stored in pl.read_parquet(data).select(list(SCHEMA)).iter_rows()]
    except (pl.exceptions.PolarsError, ValueError, OSError) as error:
        raise Refused(
            f"Ledger file {path.name} cannot be read: {error}.", f"It lies at {path}.", "Restore it from a copy."
        ) from error


def checkpoint(root: Root, seq: int) -> None:
    """All rows so far in one file, so that a new process reads one file instead of thousands. Only a cache."""
    folder = root.ledger / "checkpoints"
    with contextlib.suppress(obstore.exceptions.AlreadyExistsError, Unreachable), writing(folder / _name(seq)):
        folder.mkdir(exist_ok=True)
        obstore.put(LocalStore(folder), _name(seq), _bytes(rows(root)[:seq]), mode="create")


def one(root: Root, seq: int) -> Row:
    """The row with this number."""
    known = rows(root)
    if not 1 <= seq <= len(known):
        raise NotFound(
            f"There is no ledger row {seq}.", f"The ledger holds rows 1 to {len(known)}.", "See `assay ledger`."
        )
    return known[seq - 1]
