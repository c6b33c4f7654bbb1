"""The spool: where a service writes what it was asked, before it answers. Append-only, crash-safe, one file a process.

One line is one record: ``<crc32, 8 hex> <length> <JSON>\\n``. Only a writer that was killed leaves a line without its
end; such a torn line was never acknowledged to anybody and is never read. Any other difference is damage, and refused.

A segment belongs to the process that opened it, which holds a lock on it for as long as it may still write. So a drain
can read along while it grows, and whoever gets the lock knows that nothing more will come, however the writer ended. A
writer that failed once (a full disk) never touches that file again: what a reader has seen stays where it is.

Acknowledged records survive the death of the process, and, being fsynced, of the machine.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from store.errors import InvalidInput, Refused
from store.layout import Root

SEGMENT_BYTES = 64 * 1024 * 1024


class Writer:
    """One process's end of the spool. Not for two threads at once: the caller commits in groups."""

    def __init__(self, root: Root, environment: str, pipeline: str, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = root.spool(environment, pipeline)
        self._segment_bytes = segment_bytes
        self._file: int | None = None
        self._size = 0
        self._open()

    def append(self, records: Sequence[bytes]) -> None:
        """Write each record (JSON in UTF-8, on one line) and fsync once; what this returns from is on disk.

        InvalidInput: a record with a line break. OSError: the disk said no; none of the records counts as written.
        """
        lines = b"".join(_line(record) for record in records)
        file = self._open() if self._file is None or self._size >= self._segment_bytes else self._file
        try:
            _write(file, lines)
            os.fsync(file)
        except OSError:
            self.close()
            raise
        self._size += len(lines)

    def close(self) -> None:
        """Give the segment free: nothing more will come. Appending again opens a new one."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        """A fresh segment, locked before it has its name, so that nobody ever finds it without an owner."""
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{time.time_ns()}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        hidden = path.with_name(f".{path.name}")
        file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        fcntl.flock(file, fcntl.LOCK_EX)
        os.rename(hidden, path)
        _sync_folder(self._folder)
        self._file, self._size = file, 0
        return file


def segments(root: Root, environment: str, pipeline: str) -> list[Path]:
    """Every segment of one service, oldest first."""
    return sorted(root.spool(environment, pipeline).glob("[0-9]*.jsonl"))


def read(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """The complete records from a byte offset on, and the offset to go on from. A torn last line is left for later.

    Refused, naming segment and offset: a line that is not what was written.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read()
    records = []
    start = 0
    for line in _complete(data):
        records.append(_record(line, path, offset + start))
        start += len(line) + 1
    if _overlong(data[start:]):
        raise _damaged(path, offset + start)
    return records, offset + start


def remove_consumed(
    root: Root, environment: str, pipeline: str, consumed: Mapping[str, int], *, dry_run: bool = False
) -> list[str]:
    """Delete the segments that nobody writes any more and that were consumed to their end; the deleted names.

    ``consumed``: segment name to the offset up to which its records are safe elsewhere. With ``dry_run`` they stay.
    """
    return [
        path.name
        for path in segments(root, environment, pipeline)
        if path.name in consumed and _removed(path, consumed[path.name], dry_run)
    ]


def _removed(path: Path, offset: int, dry_run: bool) -> bool:
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        records, _ = read(path, offset)
        if records:
            return False
        if not dry_run:
            path.unlink(missing_ok=True)
        return True
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(file)


def _line(record: bytes) -> bytes:
    if b"\n" in record:
        raise InvalidInput(
            "A spool record is one line of JSON.",
            "This one has a line break in it.",
            "Write it with `json.dumps`, without indent.",
        )
    return b"%08x %d %b\n" % (zlib.crc32(record), len(record), record)


def _complete(data: bytes) -> Iterator[bytes]:
    return iter(data.split(b"\n")[:-1])


def _record(line: bytes, path: Path, offset: int) -> dict[str, Any]:
    _, _, content = line.partition(b" ")
    _, _, content = content.partition(b" ")
    if _line(content) != line + b"\n":
        raise _damaged(path, offset)
    record: dict[str, Any] = orjson.loads(content)
    return record


def _overlong(tail: bytes) -> bool:
    """Whether a last line without its end is longer than a torn one can be: then its end was changed, not missing."""
    fields = tail.split(b" ", 2)
    return len(fields) == 3 and fields[1].isdigit() and len(fields[2]) > int(fields[1])


def _damaged(path: Path, offset: int) -> Refused:
    return Refused(
        f"The spool segment {path.name} is damaged at byte {offset:,}.",
        f"It lies at {path}; what stands before that byte is good and was not lost.",
        "Restore the file from a copy, or cut it off at that byte if there is none: later records in it are then lost.",
    )


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
