"""K09: the same data gives the same model, in whatever process.

The world is built and trained here and in another process: another interpreter, order of sets (hash seed), time zone, folder, and other
global seeds, as any two trainings have. Rows, parts, chosen parameters, trials and predictions for the test rows must be the same to the
bit. So what hides its randomness, asks what time it is or where it runs, is found.

The control: a millionth of a rounding error put upon one prediction, as a wrapper with an unseeded generator would, gives another digest.

Cost: one start of a process, one build of the features and one training, all in that process.

What does not alarm: numbers of threads (both run on one; the runtime lock is the certificate's); values a search notes of wall time are no
part of its trials' values or parameters. What a model has learned is not compared, since some note their times and addresses: predictions
are.
"""

from __future__ import annotations

import numpy as np

from flows.building.fit import matrix, predict
from flows.checks import elsewhere
from flows.checks.check import Check, Seen
from flows.checks.world import World

MEANS = {
    "rows": "the rows (their features, labels or times)",
    "parts": "which rows are training, validation and test",
    "trials": "the search's trials",
    "parameters": "the chosen parameters",
    "predictions": "predictions for the same test rows",
}


def look(world: World) -> Seen:
    """Compare this process with another."""
    mine, theirs = elsewhere.here(world), elsewhere.elsewhere(world)
    other = [name for name in MEANS if mine[name] != theirs[name]]
    numbers = {"compared": len(MEANS), "different": len(other), "jitter_seen": _jitter_seen(world)}
    if other:
        said = f"In another process {MEANS[other[0]]} came out otherwise: seed every generator, and read no clock, zone or order of sets."
        return Seen(said, numbers["jitter_seen"], numbers, failed=True)
    said = "Another process with other seeds, zone and folder gave the same rows, parts, trials, choice and predictions, to the bit."
    return Seen(said, numbers["jitter_seen"], numbers)


CHECK = Check("K09", "determinism", look)


def _jitter_seen(world: World) -> int:
    """1 if predictions moved by an unseeded generator, as little as a number can move, have another digest."""
    pipeline, trained = world.pipeline, world.trained
    honest = predict(pipeline, trained.model, matrix(pipeline, trained.test))
    place = int(np.random.default_rng().integers(honest.size))
    moved = honest.copy()
    moved[place] = np.nextafter(moved[place], np.inf)
    return int(elsewhere.digest(moved) != elsewhere.digest(honest))
