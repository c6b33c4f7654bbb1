"""What an operator's questions are answered with: facts folded from the store, without prose and without widgets.

Every function here reads the ledger (and what it names) and returns dataclasses or Polars frames, so it can be tested
without a browser and cached by the ledger's head. All times are UTC, ``Datetime('us', 'UTC')``; a ``ratio`` is a drift
score over its threshold (above 1: drifts); an *advantage* is how much better the baseline is than the champion, in the metric's
unit, positive when better whatever the metric's direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from store import blobs, ledger
from store.actions import ChallengerJudged, MonitorDecided
from store.errors import NotFound
from store.layout import Root
from store.ledger import Row
from store.registry import aliases, dues, history, models, packages
from store.registry.dues import Due
from store.registry.models import Model
from store.registry.packages import Package

TIME = pl.Datetime("us", "UTC")
LEVELS = ("broken", "drifts", "falls", "trains", "watch", "calm", "waits")
"""How a pipeline is, worst first."""
SCORES = pl.Schema(
    {"start": TIME, "end": TIME, "feature": pl.String(), "score": pl.Float64(), "threshold": pl.Float64(),
     "ratio": pl.Float64(), "null_share": pl.Float64(), "drifted": pl.Boolean(), "rows": pl.Int64()}
)  # fmt: skip
PERFORMANCE = pl.Schema(
    {"start": TIME, "end": TIME, "champion": pl.Float64(), "baseline": pl.Float64(), "advantage": pl.Float64(),
     "low": pl.Float64(), "high": pl.Float64(), "fallen": pl.Boolean(), "matured": pl.Int64()}
)  # fmt: skip
MARKS = pl.Schema({"at": TIME, "kind": pl.String()})


@dataclass(frozen=True)
class Week:
    """One window the monitor judged: ``body`` is its decision, ``model`` the champion's digest."""

    start: datetime
    end: datetime
    model: str
    decided_at: datetime
    body: MonitorDecided


@dataclass(frozen=True)
class Standing:
    """Features above their threshold in each of the newest weeks: for how many weeks all of them, and since when."""

    features: tuple[str, ...]
    weeks: int
    since: datetime


@dataclass(frozen=True)
class Rules:
    """What a pipeline's contract says of judging it. Durations, and margins in the metric's unit."""

    metric: str
    better: str
    windows: int
    cool_down: timedelta
    fall_margin: float
    promote_margin: float


@dataclass(frozen=True)
class Card:
    """One pipeline in one environment: how it is (``level``, one of LEVELS) and what stands behind that.

    ``weeks``: every judged one; ``mine``: those of today's champion, which alone tell how it is.
    """

    pipeline: str
    environment: str
    level: str
    rules: Rules | None
    package: Package | None
    delivered_at: datetime | None
    champion: Model | None
    champion_since: datetime | None
    due: Due | None
    weeks: tuple[Week, ...]
    mine: tuple[Week, ...]
    drift: Standing | None
    fallen_weeks: int
    trouble: Row | None
    cooling: datetime | None


@dataclass(frozen=True)
class Training:
    """One retraining: the due, and, once there are any, its model and judgement. ``outcome``: open, claimed, promoted, kept, failed."""

    due: Due
    outcome: str
    model: Model | None
    judged: ChallengerJudged | None

    @property
    def seconds(self) -> float | None:
        """How long the run took, wall clock."""
        if self.due.claimed is None or self.due.closed is None:
            return None
        return (self.due.closed.recorded_at - self.due.claimed.recorded_at).total_seconds()


def pipelines(root: Root) -> list[str]:
    """Every pipeline the ledger has heard of, sorted."""
    return sorted({row.subject for row in ledger.find(root, action=("package.published", "package.refused"))})


def rules(manifest: Mapping[str, Any]) -> Rules:
    """What a package's manifest says of judging."""
    trigger = manifest["trigger"]
    cool_down = timedelta(seconds=trigger["cool_down_seconds"])
    margins = trigger["margin"], manifest["promote"]["margin"]
    return Rules(manifest["metric"], manifest["better"], trigger["windows"], cool_down, *margins)


def weeks(root: Root, pipeline: str, environment: str) -> list[Week]:
    """Every judged window, oldest first; of a window judged again for a new champion, the newer judgement."""
    found: dict[str, Week] = {}
    for row in ledger.find(root, action="monitor.decided", subject=pipeline, environment=environment):
        start, end = datetime.fromisoformat(row.body.window_start), datetime.fromisoformat(row.body.window_end)
        found[row.body.window_end] = Week(start, end, row.digest, row.store_time, row.body)
    return sorted(found.values(), key=lambda week: week.end)


def scores(judged: Sequence[Week]) -> pl.DataFrame:
    """One row a week and feature, of SCORES."""
    rows = [
        (week.start, week.end, name, one["score"], one["threshold"], one["score"] / one["threshold"], one["null_share"],
         name in week.body.drifted, week.body.rows)
        for week in judged
        for name, one in week.body.features.items()
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=SCORES, orient="row")


def worst_first(scored: pl.DataFrame) -> list[str]:
    """Features by their ratio in the newest week, then by their largest ever."""
    if scored.is_empty():
        return []
    newest = scored.filter(pl.col("end") == pl.col("end").max()).select("feature", pl.col("ratio").alias("newest"))
    largest = scored.group_by("feature").agg(pl.col("ratio").max().alias("largest"))
    return (
        largest.join(newest, on="feature", how="left")
        .sort(pl.col("newest").fill_null(-1), "largest", descending=True)["feature"]
        .to_list()
    )


def performance(judged: Sequence[Week], better: str) -> pl.DataFrame:
    """One row a week whose labels were enough to tell, of PERFORMANCE. ``low`` and ``high``: 95% interval of the advantage."""
    sign = 1.0 if better == "higher" else -1.0
    rows = [
        (week.start, week.end, one.champion_value, one.baseline_value, sign * (one.baseline_value - one.champion_value),
         one.low, one.high, one.fallen, one.matured)
        for week in judged
        if (one := week.body).champion_value is not None and one.baseline_value is not None
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=PERFORMANCE, orient="row")


def marks(root: Root, pipeline: str, environment: str) -> pl.DataFrame:
    """When dues opened and champions changed: at, kind (due, promoted, rolled back). For vertical rules in charts."""
    kinds = {"due.opened": "due", "model.promoted": "promoted", "model.rolled_back": "rolled back"}
    found = ledger.find(root, action=tuple(kinds), subject=pipeline, environment=environment)
    return pl.DataFrame([(row.store_time, kinds[row.action]) for row in found], schema=MARKS, orient="row")


def standing(judged: Sequence[Week], windows: int) -> Standing | None:
    """The features that drifted in each of the newest ``windows`` weeks of the newest champion, if there are any."""
    mine = [week for week in judged if week.model == judged[-1].model]
    if len(mine) < windows:
        return None
    names = set(mine[-1].body.drifted).intersection(*(week.body.drifted for week in mine[-windows:]))
    if not names:
        return None
    run = next((back for back, week in enumerate(reversed(mine)) if not names <= set(week.body.drifted)), len(mine))
    return Standing(tuple(sorted(names)), run, mine[-run].start)


def fallen(judged: Sequence[Week]) -> int:
    """For how many of the newest weeks of the newest champion performance had fallen."""
    mine = [week for week in judged if week.model == judged[-1].model]
    return next((back for back, week in enumerate(reversed(mine)) if not week.body.fallen), len(mine))


def card(root: Root, pipeline: str, environment: str, now: datetime) -> Card:
    """How one pipeline is."""
    package, champion = _deployed(root, pipeline, environment), models.champion(root, pipeline, environment)
    contract = package if champion is None else packages.get(root, pipeline, champion.body.package)
    asked = rules(contract.manifest(root)) if contract else None
    judged = tuple(weeks(root, pipeline, environment))
    mine = tuple(week for week in judged if champion is None or week.model == champion.digest)
    drift, down = standing(mine, asked.windows) if mine and asked else None, fallen(mine) if mine else 0
    due, trouble = dues.pending(root, pipeline, environment), _trouble(root, pipeline, environment)
    reigns = history.reigns(root, pipeline, environment)
    moved = aliases.moves(ledger.rows(root), pipeline, environment, aliases.DEPLOYED)
    return Card(
        pipeline, environment, _level(asked, champion, mine, drift, down, due, trouble), asked, package,
        moved[-1].store_time if moved else None, champion, reigns[-1].start if reigns else None, due, judged, mine, drift,
        down, trouble, cooling(root, pipeline, environment, asked, now),
    )  # fmt: skip


def cards(root: Root, environment: str, now: datetime) -> list[Card]:
    """Every pipeline's card, worst first."""
    found = [card(root, pipeline, environment, now) for pipeline in pipelines(root)]
    return sorted(found, key=lambda one: (LEVELS.index(one.level), one.pipeline))


def cooling(root: Root, pipeline: str, environment: str, asked: Rules | None, now: datetime) -> datetime | None:
    """Until when the monitor opens no due, if that is still to come. A person may all the same."""
    ended = [due.closed.store_time for due in dues.listed(root, pipeline, environment) if due.closed and due.claimed]
    if asked is None or not ended or max(ended) + asked.cool_down <= now:
        return None
    return max(ended) + asked.cool_down


def trainings(root: Root, pipeline: str, environment: str) -> list[Training]:
    """Every retraining, newest first."""
    known = {model.digest: model for model in models.listed(root, pipeline, environment)}
    judged = {
        row.digest: row.body
        for row in ledger.find(root, action="model.judged", subject=pipeline, environment=environment)
    }
    found = []
    for due in reversed(dues.listed(root, pipeline, environment)):
        model = due.closed.body.model if due.closed else None
        outcome = due.closed.body.outcome if due.closed else due.state
        found.append(Training(due, outcome, known.get(model or ""), judged.get(model or "")))
    return found


def since(root: Root, pipeline: str) -> datetime | None:
    """Where the pipeline's history begins: the earliest window it was ever frozen from."""
    frozen = [row.body.window_start for row in ledger.find(root, action="snapshot.frozen", subject=pipeline)]
    return min(map(datetime.fromisoformat, frozen), default=None)


def report(root: Root, pipeline: str, environment: str, week: Week) -> Row | None:
    """The drift report drawn for a week, if there is one: its row's digest is the HTML blob."""
    drawn = ledger.find(root, action="report.drawn", subject=pipeline, environment=environment)
    return next(
        (row for row in reversed(drawn) if row.body.kind == "drift" and row.body.window_end == week.body.window_end),
        None,
    )


def calibration(root: Root, pipeline: str, environment: str, week: Week) -> dict[str, Any] | None:
    """What the week's champion was calibrated with, as ``flows.deciding.drift.Calibration.to_dict`` wrote it."""
    found: dict[str, Any] = blobs.get_json(root, models.get(root, pipeline, environment, week.model).body.report)
    return found.get("calibration")


def _deployed(root: Root, pipeline: str, environment: str) -> Package | None:
    try:
        return packages.deployed(root, pipeline, environment)
    except NotFound:
        return None


def _trouble(root: Root, pipeline: str, environment: str) -> Row | None:
    """What nobody has mended yet: a model the service refused, a training that failed."""
    loads = ledger.find(root, action=("model.served", "model.load_refused"), subject=pipeline, environment=environment)
    ends = ledger.find(root, action="due.closed", subject=pipeline, environment=environment)
    found = [rows[-1] for rows in (loads, ends) if rows]
    bad = [row for row in found if row.action == "model.load_refused" or getattr(row.body, "outcome", "") == "failed"]
    return max(bad, key=lambda row: row.seq, default=None)


def _level(
    asked: Rules | None, champion: Model | None, judged: Sequence[Week], drift: Standing | None, down: int, due: Due | None,
    trouble: Row | None,
) -> str:  # fmt: skip
    if trouble is not None:
        return "broken"
    if drift is not None:
        return "drifts"
    if asked is not None and down >= asked.windows:
        return "falls"
    if due is not None:
        return "trains"
    if champion is None or not judged:
        return "waits"
    return "watch" if judged[-1].body.drifted or judged[-1].body.fallen else "calm"
