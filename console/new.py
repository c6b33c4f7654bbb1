"""Another team's data, laid out: a feature module, a pipeline's folder, and an author's test, from one look at a file.

The file is a table of questions: one row a question, with who it is about (``keys``), when it is asked (``time``), what is known
then (every other column), and the answer (``label``), known later (``known``, a column, or ``delay``). What is laid out is honest
about that: the row's columns are facts known when it is asked, the label is a fact of its own, known when the file says; and
what is derived from labels (an entity's newest, on a grid) counts a label from the first tick at which it was known.

The text is plain code in the users' rooms, to be read and changed: it passes ``integrate`` as it stands and claims no more than
that. The floor is what a constant reaches.
"""

from __future__ import annotations

import keyword
import math
import os
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from console import laid_out
from console.looked import FEWEST, Looked, look
from flows.building import source
from store.errors import Conflict, InvalidInput
from store.layout import checked

WORKSPACE = Path(__file__).parent.parent
TASKS = ("classification", "regression")
CADENCES = (timedelta(hours=6), timedelta(days=1), timedelta(days=7), timedelta(days=28))
WINDOWS = tuple(timedelta(days=days) for days in (7, 28, 91, 364))
LONGEST = 40
SHARED = 5
"""A key whose values have fewer rows than this each tells rows apart; nothing is derived by it."""


def lay_out(
    name: str, file: Path, *, keys: Sequence[str], time: str, label: str, task: str, known: str | None = None,
    delay: timedelta | None = None, zone: str = "UTC", positive: str | None = None, leave_out: Sequence[str] = (),
    every: timedelta | None = None, owner: str = "", features: Path | None = None, pipelines: Path | None = None,
    tests: Path | None = None,
) -> list[Path]:  # fmt: skip
    """Lay out a file as features, pipeline ``name`` and test, and return what was written, ready to ``integrate``.

    ``file``: CSV or parquet. ``keys``: the columns that say who or what a row is about; with ``time`` they tell rows apart. ``time``:
    when the question is asked. Either ``known`` (a column: when the label became known) or ``delay`` (how long after ``time``).
    ``zone``: of times that have none. ``positive``: the label's text that counts as 1. ``leave_out``: columns that are not known
    when the question is asked, or no use. ``every``: the publication grid (default: by how often an entity has rows). ``features``,
    ``pipelines``, ``tests``: the folders to write to (default: the workspace's).

    NotFound: no such file or column. Conflict: a file that is there already. InvalidInput: anything else that cannot be.
    """
    _checked_name(name)
    targets = _targets(name, features, pipelines, tests)
    if there := [path for path in targets.values() if path.exists()]:
        raise Conflict(
            f"{name} is laid out already.",
            f"There is {', '.join(map(_shown, there))}.",
            "Take another name, or remove them.",
        )
    if task not in TASKS:
        raise InvalidInput(f"There is no task {task!r}.", f"Tasks: {', '.join(TASKS)}.", "Give one of these.")
    if (known is None) == (delay is None):
        raise InvalidInput(
            "When the label becomes known must be said once.",
            "It is a column of the file (`known`), or so long after the question (`delay`).",
            "Give one of the two; a label that is known at once has a delay of 0.",
        )
    if delay is not None and delay < timedelta():
        raise InvalidInput(
            f"A delay of {delay} lies before the question.", remedy="Give how long after it the label is known."
        )
    looked = look(
        file, keys=keys, time=time, label=label, known=known, zone=zone, positive=positive, leave_out=leave_out
    )
    _checked_label(looked, task)
    texts = laid_out.texts(name, _values(name, file, looked, task, delay, zone, every, owner))
    written = []
    for kind, path in targets.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8") as opened:
            opened.write(texts[kind])
        written.append(path)
    return written


def length(text: str) -> timedelta:
    """A length of time as people write it: ``90min``, ``6h``, ``91d``, ``13w``. InvalidInput says how."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(min|h|d|w)", text.strip())
    if found is None:
        raise InvalidInput(
            f"{text!r} is no length of time.", "Lengths are such as 90min, 6h, 91d or 13w.", "Write it so."
        )
    units = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    return timedelta(**{units[found[2]]: float(found[1])})


def next_steps(name: str, looked_until: str = "") -> str:
    """What to do with what was laid out, for a person to read."""
    return "\n".join(
        (
            f"assay ingest --from TIME{f' --until {looked_until}' if looked_until else ''}",
            f"assay integrate {name}",
            f'assay deliver {name} --approve --reason "…"',
            f'assay train {name} --reason "first training"',
        )
    )


def _checked_name(name: str) -> None:
    source.checked_name(checked("pipeline", name))
    if keyword.iskeyword(name) or len(name) > LONGEST:
        raise InvalidInput(
            f"A pipeline cannot be named {name!r}.",
            f"A name is a module's, of {LONGEST} characters at most.",
            "Take another name.",
        )


def _checked_label(looked: Looked, task: str) -> None:
    values = looked.rows[looked.label].drop_nulls().unique()
    if task == "classification" and set(values) != {0.0, 1.0}:
        raise InvalidInput(
            f"The label {looked.columns[looked.label]} has {values.len()} values, not the two of a classification.",
            f"They begin {sorted(values)[:5]}.",
            "Make it 0 and 1, or take the task regression.",
        )
    if task == "regression" and (looked.words or values.len() < 3):
        raise InvalidInput(
            f"The label {looked.columns[looked.label]} has two values.", remedy="Take the task classification."
        )


# ---- choosing -------------------------------------------------------------------------------------------------------


def _values(
    name: str,
    file: Path,
    looked: Looked,
    task: str,
    delay: timedelta | None,
    zone: str,
    every: timedelta | None,
    owner: str,
) -> dict[str, Any]:
    """Everything the templates say, chosen by the file."""
    rows, times = looked.rows, looked.rows[looked.time]
    span: timedelta = times.max() - times.min()  # type: ignore[operator, assignment]
    by = tuple(key for key in looked.keys if rows.height / rows[key].n_unique() >= SHARED)
    entities = rows.select(by).n_unique() if by else 1
    usual = span * entities / max(rows.height, 1)
    cadence = every or next((one for one in CADENCES if one >= usual), CADENCES[-1])
    matures = delay if delay is not None else (rows[looked.known] - rows[looked.time]).max()  # type: ignore[operator]
    assert isinstance(matures, timedelta)
    gap = timedelta(days=max(1, math.ceil(matures / timedelta(days=1))))
    part = timedelta(days=max(2, (span - 2 * gap).days // 8))
    if span < 2 * gap + 3 * part or span < 5 * cadence:
        raise InvalidInput(
            f"{file.name} spans {span.days} days, too few to train, tune and judge on.",
            f"A label matures within {gap.days} days, which lie between each two parts.",
            "Bring a longer history.",
        )
    labels = rows.drop_nulls(looked.label).sort(looked.time)[looked.label]
    newest = labels.tail(max(1, labels.len() // 5))
    constant = float((newest - labels.head(labels.len() - newest.len()).median()).abs().mean())  # type: ignore[operator, arg-type]
    low, high = float(labels.min()), float(labels.max())  # type: ignore[arg-type]
    daily = rows.height / max(span / timedelta(days=1), 1)
    window = next((one for one in WINDOWS if daily * one.days >= FEWEST / 4), WINDOWS[-1])
    test_rows, classes = int(daily * part.days), task == "classification"
    return {
        "file": file, "looked": looked, "task": task, "delay": delay, "zone": zone, "owner": owner or "its team", "by": by,
        "cadence": cadence, "over": max(28 * cadence if cadence < timedelta(days=7) else 13 * cadence, 4 * matures), "matures": matures,
        "gap": gap, "part": part, "window": window, "minimum_rows": max(20, min(500, test_rows // 4)),
        "floor": 0.5 if classes else _figures(constant, math.ceil), "margin": 0.01 if classes else constant / 50,
        "low": 0.0 if classes else _figures(low - (high - low), math.floor),
        "high": 1.0 if classes else _figures(high + (high - low), math.ceil),
        "workspace": WORKSPACE, "example": rows.sort(looked.time).row(-1, named=True),
        "sub_daily": times.dt.hour().n_unique() > 1,
    }  # fmt: skip


def _figures(number: float, towards: Callable[[float], int]) -> float:
    """Three figures, rounded up or down."""
    step = 10.0 ** (math.floor(math.log10(abs(number))) - 2) if number else 1.0
    return float(f"{towards(number / step) * step:.6g}")


def _targets(name: str, features: Path | None, pipelines: Path | None, tests: Path | None) -> dict[str, Path]:
    return {
        "features": (features or WORKSPACE / "flows" / "features") / f"{name}.py",
        "pipeline": (pipelines or WORKSPACE / "flows" / "pipelines") / name / "__init__.py",
        "test": (tests or WORKSPACE / "tests" / "flows" / "features") / f"test_{name}.py",
    }


def _shown(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
