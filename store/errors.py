"""Every error a person can meet, as one tree.

AssayError
├── InvalidInput    what was given cannot be used: a missing column, an unknown name's shape, a naive time
├── NotFound        a name or id that does not exist
├── Conflict        it was true when you looked, and is not any more; or the same name with other content
├── Refused         integrity: a digest, a chain, a type or a size that must not be trusted
├── GateFailed      a gate said no: a check, a floor, an application's contract
└── Unreachable     a server or service that does not answer

Each says what was asked, what exists, and what to do, in that order. ``exit_code`` is what the CLI ends with:
0 done, 1 a gate said no, 2 usage, 3 refused, 4 out of reach.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class AssayError(Exception):
    """The root of the tree. Carries ``asked``, ``exists`` and ``remedy``: three sentences, any of the last two may be empty."""

    exit_code: ClassVar[int] = 2

    def __init__(self, asked: str, exists: str = "", remedy: str = "") -> None:
        self.asked, self.exists, self.remedy = asked, exists, remedy
        super().__init__(" ".join(part for part in (asked, exists, remedy) if part))

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (self.asked, self.exists, self.remedy)


class InvalidInput(AssayError):
    """What was given cannot be used; nothing was changed."""


class NotFound(AssayError):
    """The name or id does not exist."""

    @classmethod
    def among(cls, kind: str, asked: str, known: Iterable[str], remedy: str = "") -> NotFound:
        """An unknown name: all known ones, and the nearest of them as a question."""
        names = sorted(known)
        near = difflib.get_close_matches(asked, names, n=3)
        exists = f"Known: {', '.join(names)}." if names else f"There is no {kind} yet."
        hint = f"Did you mean {' or '.join(near)}?" if near else ""
        return cls(f"There is no {kind} named {asked!r}.", exists, " ".join(part for part in (hint, remedy) if part))


class Conflict(AssayError):
    """Somebody else was there first, or the same name already holds other content."""


class Refused(AssayError):
    """Integrity: the bytes are not what the ledger says, or may not be loaded."""

    exit_code = 3


class GateFailed(AssayError):
    """A gate said no; nothing was published or moved."""

    exit_code = 1


class Unreachable(AssayError):
    """A server, service or file share that does not answer."""

    exit_code = 4
