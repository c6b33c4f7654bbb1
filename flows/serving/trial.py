"""The trial of a model that nobody has loaded yet: in a child of its own, before the process that serves takes it.

The child (``python -m flows.serving.trial``, by ``flows.runner``) has the package's code, a limit on memory, on CPU
seconds and on time. It loads the model and answers the contract's examples with it. If it crashes, hangs or takes too
much, that is the model's refusal; the serving process has seen nothing of it but the digest.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from threadpoolctl import threadpool_limits

from flows import runner
from flows.building import artifact, trial
from flows.building.job import Job, main
from flows.pipeline import Pipeline
from flows.serving.predict import Predictor, examples
from flows.serving.schema import Schema
from store import blobs
from store.errors import GateFailed, Refused
from store.layout import Root
from store.registry import packages
from store.registry.packages import Package

CPU_SECONDS = 60
SECONDS = 120.0


class Stopped(Exception):
    """Nobody waits for the outcome any more."""


@dataclass
class _Outcome:
    error: BaseException | None = None
    is_there: threading.Event = field(default_factory=threading.Event)


def attempt(root: Root, package: Package, digest: str, stop: threading.Event, seconds: float = SECONDS) -> None:
    """Load the model of this digest in a child, within so many seconds, and return if that went well.

    Refused: it does not load, or the child was lost over it. InvalidInput: it does not answer the contract's examples.
    NotFound, Unreachable: their features cannot be looked up, which is no fault of the model. Stopped: ``stop`` was set
    meanwhile; the child ends with this process at the latest.
    """
    outcome = _Outcome()
    threading.Thread(
        target=_run, args=(root, package, digest, outcome, seconds), name="assay-trial", daemon=True
    ).start()
    while not outcome.is_there.wait(0.05):
        if stop.is_set():
            raise Stopped
    if isinstance(outcome.error, GateFailed):
        raise Refused(
            f"The model {digest[:8]} did not survive its first load, in a child with limits.",
            f"{outcome.error.asked} {outcome.error.exists}",
            "It was not loaded here. Roll back, or train again.",
        ) from outcome.error
    if outcome.error:
        raise outcome.error


def _run(root: Root, package: Package, digest: str, outcome: _Outcome, seconds: float) -> None:
    job = {
        "what": "load", "root": str(root.path), "package": package.digest, "model": digest, "cpu_s": CPU_SECONDS,
    }  # fmt: skip
    try:
        runner.run(runner.unpacked(root, package), "flows.serving.trial", job, timeout_s=seconds)
    except BaseException as error:  # told to the thread that waits
        outcome.error = error
    finally:
        outcome.is_there.set()


def load(contract: Pipeline, job: Job) -> Job:
    """In the child: load, and answer the examples, within the limits."""
    root = Root.open(job["root"])
    package = packages.get(root, contract.name, job["package"])
    manifest = package.manifest(root)
    predictor, asked = Predictor(root, contract, package.body.groups), examples(Schema(manifest), manifest)
    data = blobs.get(root, job["model"])
    if asked:
        predictor.data(asked)  # what this needs, threads too, is there before the limits
    trial.processor(job["cpu_s"])
    with threadpool_limits(1), trial.memory(data):
        model = artifact.loads(data, trusted=manifest["trusted"], package=contract.name)
        predictor.rehearse(model, asked)
    return {}


if __name__ == "__main__":
    main({"load": load})
