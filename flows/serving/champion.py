"""The model that serves: whichever the alias ``champion`` points at, loaded beside the old one and swapped in one step.

A process serves one package, so only models of that package are loaded. While the alias points at another one's model
(the new package's process is taking over, or a package was rolled back), the last champion of this package goes on:
what serves is a function of the ledger, and a restart finds the same.

A model that nobody has loaded yet is loaded in a child first (``trial``). One that does not load leaves the old one
serving, is named in ``/health``, and is in the ledger, once. What only lacks something outside the model (features that
nobody has materialised yet) is tried again without a word there.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from flows.building import artifact, trial
from flows.serving.trial import Stopped, attempt
from store import blobs, clock, ledger
from store.actions import LoadRefused, ModelServed
from store.errors import AssayError, NotFound, Unreachable
from store.layout import Root
from store.registry import history, models
from store.registry.packages import Package

POLL_SECONDS = 0.5
RETRY_SECONDS = 30.0
"""After which a blob that is damaged is looked at again: somebody may have mended it."""
RETRIAL_SECONDS = 600.0
"""After which a model that did not load is tried again: the machine may have been short of something."""
ACTOR = "service"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Champion:
    """A loaded model. ``since``: store time of its promotion, UTC."""

    model: Any
    digest: str
    version: str
    since: datetime
    metric: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Failure:
    """Why the model that should serve does not."""

    digest: str
    message: str
    retry_at: float


class Rehearsal(Protocol):
    """What a model must pass before it serves."""

    def prepare(self) -> None:
        """NotFound, Unreachable: something outside the model is lacking."""

    def warm(self, model: Any) -> None:
        """Raises if the model cannot serve."""


class Watch:
    """Keeps ``current`` at the champion. Readers take the reference once and use it to the end."""

    def __init__(
        self, root: Root, package: Package, environment: str, trusted: list[str], rehearsal: Rehearsal
    ) -> None:
        self.current: Champion | None = None
        self.failure: Failure | None = None
        self.ready = threading.Event()
        self._root, self._package, self._environment = root, package, environment
        self._trusted, self._rehearsal = trusted, rehearsal
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="assay-champion")

    def start(self) -> None:
        """Look once, then keep looking."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Load what should serve, if it does not yet."""
        reign = self._reign()
        if reign is None or (self.current and self.current.digest == reign.digest):
            self.failure = None
        elif not self._failed(reign.digest):
            self._load(reign)

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                self.look()
            except Exception as error:  # a damaged ledger must not end the watch: it says so until it is mended
                _log.warning("cannot look for the champion: %s", error)
                self.failure = Failure("", f"{type(error).__name__}: {error}", 0.0)

    def _reign(self) -> history.Reign | None:
        """The newest reign of a model that this package trained."""
        reigns = history.reigns(self._root, self._package.pipeline, self._environment)
        listed = models.listed(self._root, self._package.pipeline, self._environment)
        own = {model.digest for model in listed if model.body.package == self._package.digest}
        mine = [reign for reign in reigns if reign.digest in own]
        return mine[-1] if mine else None

    def _failed(self, digest: str) -> bool:
        return self.failure is not None and self.failure.digest == digest and time.monotonic() < self.failure.retry_at

    def _load(self, reign: history.Reign) -> None:
        found = models.get(self._root, self._package.pipeline, self._environment, reign.digest)
        try:
            data = blobs.get(self._root, reign.digest)
        except AssayError as error:
            self._refuse(reign.digest, error, RETRY_SECONDS)
            return
        try:
            self._rehearsal.prepare()
            self._try(reign.digest)
            model = artifact.loads(data, trusted=self._trusted, package=self._package.pipeline)
            self._rehearsal.warm(model)
        except Stopped:
            return
        except (NotFound, Unreachable) as error:
            self.failure = Failure(reign.digest, str(error), time.monotonic() + POLL_SECONDS)
            return
        except Exception as error:
            self._refuse(reign.digest, error, RETRIAL_SECONDS)
            return
        body = found.body
        previous, self.current = (
            self.current,
            Champion(model, reign.digest, found.version, reign.start, body.metric, body.value, body.low, body.high),
        )
        self.failure = None
        self.ready.set()
        served = ModelServed(self._package.digest, previous.digest if previous else None, _process())
        self._record("model.served", served, reign.digest)

    def _try(self, digest: str) -> None:
        """In a child first, unless it was loaded in one before."""
        if not trial.passed(self._root, digest, self._trusted):
            attempt(self._root, self._package, digest, self._stop)
            trial.remember(self._root, digest, self._trusted)

    def _refuse(self, digest: str, error: Exception, retry_s: float) -> None:
        """Go on with what there is, and say so."""
        message = str(error) if isinstance(error, AssayError) else f"{type(error).__name__}: {error}"
        _log.warning("model %s does not load: %s", digest[:8], message)
        self.failure = Failure(digest, message, time.monotonic() + retry_s)
        known = {"subject": self._package.pipeline, "digest": digest, "environment": self._environment}
        if not ledger.find(self._root, action="model.load_refused", **known):
            serving = self.current.digest if self.current else None
            self._record("model.load_refused", LoadRefused(serving, message), digest)

    def _record(self, action: str, payload: ModelServed | LoadRefused, digest: str) -> None:
        """Into the ledger; a ledger that cannot be written does not keep a model from serving."""
        try:
            ledger.append(
                self._root, action, payload, subject=self._package.pipeline, digest=digest,
                environment=self._environment, actor=ACTOR, now=clock.now(self._root),
            )  # fmt: skip
        except (AssayError, OSError) as error:
            _log.warning("%s of %s is not in the ledger: %s", action, digest[:8], error)


def _process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
