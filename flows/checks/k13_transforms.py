"""K13: a transformer does to its training rows what it claims, and a value is what its author says it is.

The model is fitted once more, on 500 training rows, and whatever is asked to ``fit`` meanwhile and can ``transform`` is noted with the
rows it was given, however deep it stands and whoever wraps it. Its claims are told by what it has learned, or by what it does
(``checks.claims``): a standard scaler's training mean is 0 and its deviation 1; ranges, largest values and medians are what they should
be; rows in another unit, fitted again, come out the same; one-hot rows sum to one an input, and codes are the places of their categories;
bins, powers and logarithms lead back to where they came from; imputers leave no gap.

What an author declares is held as well (``checks.declared``): an aggregate of a derived group equals a loop over the single rows that
count, for some fifty rows at two late ticks; rows worked out by hand (``Pipeline.worked``) are prepared as they say.

The control: claims that are seen to fail when the output is moved, and cells that would be told from another value: of an aggregate from
the one without the newest row.

Cost: one fit on 500 rows, two ticks derived of each group with declared aggregates, no training but the world's own.

What does not alarm: a scaler told not to centre or not to stretch; one of its own class that divides by the deviation of a sample and
holds it; rare categories put together, and dropped ones that are declared; a constant column; weighted fits; a transformer that claims
nothing (shown as ``unclaimed``).

N/A: no transformer with a claim, and nothing declared; how many there are without is said.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import polars as pl

from flows.building.fit import fit
from flows.checks import declared
from flows.checks.check import Check, Seen
from flows.checks.claims import Claim, Fitted, claims
from flows.checks.world import World

ROWS = 500
FITS = ("fit", "fit_transform")


def look(world: World) -> Seen:
    """Fit once more, and hold each transformer to its claims; then each declared value to what was declared."""
    found, cells = transformers(world), declared.cells(world)
    with warnings.catch_warnings(action="ignore"):
        claimed = [(one, list(claims(one))) for one in found]
        held = [(one, claim, one.output) for one, some in claimed for claim in some]
        wrong = [(one, said) for one, claim, output in held if (said := claim(one, output))]
        control = sum(_seen(one, claim, output) for one, claim, output in held) + sum(cell.seen for cell in cells)
    broken = [cell.broken for cell in cells if cell.broken]
    unclaimed = sum(not some for _, some in claimed)
    numbers = {
        "transformers": len(found), "claims": len(held), "unclaimed": unclaimed, "declared": len(cells), "broken": len(wrong) + len(broken),
    }  # fmt: skip
    if not held and not cells:
        excuse = f"no transformer of {world.pipeline.name} claims anything ({unclaimed} claim nothing), and no value is declared."
        return Seen("", excuse=excuse, numbers=numbers)
    if wrong:
        one, said = wrong[0]
        sentence = f"{len(wrong)} of {len(held)} claims do not hold: on its training rows {type(one.transformer).__name__} {said}."
        return Seen(sentence, control, numbers, failed=True)
    if broken:
        return Seen(
            f"{len(broken)} of {len(cells)} declared values are not so: {broken[0]}.", control, numbers, failed=True
        )
    sentence = (
        f"{len(held)} claims of {len(found) - unclaimed} transformers hold on their training rows, {unclaimed} claim nothing; "
        f"{len(cells):,} values are as declared."
    )
    return Seen(sentence, control, numbers)


CHECK = Check("K13", "transforms", look)


def transformers(world: World) -> list[Fitted]:
    """Whatever was fitted and can transform when the model was fitted on some of its training rows; not with weights."""
    labelled = world.trained.train.filter(pl.col("label").is_not_null()).sort("label", maintain_order=True)
    rows = labelled.gather_every(-(-labelled.height // ROWS))
    found: dict[int, Fitted] = {}
    with warnings.catch_warnings(action="ignore"):
        _watched(lambda: fit(world.pipeline, world.trained.tuned.parameters, rows), found)
    return list(found.values())


def _watched(work: Callable[[], Any], found: dict[int, Fitted]) -> None:
    def heard(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or frame.f_code.co_name not in FITS or frame.f_code.co_argcount < 2:
            return
        mine = frame.f_locals
        transformer, given = (mine.get(name) for name in frame.f_code.co_varnames[:2])
        if given is None or not callable(getattr(transformer, "transform", None)):
            return
        if mine.get("sample_weight") is not None:
            found.pop(id(transformer), None)
            return
        found[id(transformer)] = Fitted(transformer, given.copy() if isinstance(given, np.ndarray) else given)

    before = sys.getprofile()
    sys.setprofile(heard)
    try:
        work()
    finally:
        sys.setprofile(before)


def _seen(one: Fitted, claim: Claim, output: np.ndarray) -> bool:
    """Whether the claim is seen to fail when the output is another."""
    moved = output.astype(np.float64) * 1.5 + 0.5
    moved[0] = np.nan
    try:
        return bool(claim(one, moved))
    except Exception:  # an inverse may refuse what it never gave
        return True
