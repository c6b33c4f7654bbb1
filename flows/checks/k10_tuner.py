"""K10: the search finds the best of what it tried, says so, and what it chose reaches the model.

The search runs on its own, with a scripted objective: the estimator is replaced by one that knows its parameters and answers with
their number, and the metric by one that looks the number up in a script. So whatever the search does, in whatever order and
with however many folds, it is known what it tried and what each try was worth. Scripts put the best at the first, a middle and the last
try, at each end of every parameter's values, beside ties, among NaN (of a search of the author's own one NaN, where the metric can be
undefined: what cannot come need not be handled), for a metric where more is better and for one where less is. Each
time the chosen parameters must be among the best tried, every stored trial must have the value it was given, and every try must be
stored. Over all scripts, every value of the space must have been tried.

Rows are told apart by a number put into one of the model's columns: no try may be judged on rows it was fitted on, and where the
split is by time, none on rows older than those it was fitted on; what a search is fitted and judged on are training and validation rows.

With the pipeline's own estimator: two values of each parameter make models that differ; and in the training at hand (``World.trained``)
the choice is the best of the stored trials.

The control: how many different parameters the scripts made it choose, less one.

Cost: no feature build, no training but the world's own.

A search of the author's own that judges by a score of its own is given estimators that act (``checks.acted``): told how good to be, they
answer so many rows rightly, and any score ranks them so. If it chooses the best of them in most scripts, it must in all.

What does not alarm: no search (N/A); ties, which any of the tied wins; parameters of a single value; a search that builds its estimators
in another way, as ``GridSearchCV`` with names of its steps: it cannot be scripted (shown as ``scripts`` and ``acts`` 0), and only its
stored trials are judged.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl

from flows.building import tune
from flows.checks import acted
from flows.checks.check import Check, Seen
from flows.checks.learned import learned
from flows.checks.training import parted
from flows.checks.world import World
from flows.pipeline import Metric, Pipeline, Search, TimeSplit, Tuned

ROWS = 200
BEST = 0.875
"""What the best is worth; the others are worth a half. Means of such numbers over any folds are exact."""
MOST, ACTS = 60, 12
"""So many combinations of the space are scripted at most, its ends among them; so many tries are acted as the best, the last among them."""

Parameters = Mapping[str, Any]
Script = Callable[[Parameters], float]


def look(world: World) -> Seen:
    """Script the objective, then look at the estimator and at the training at hand."""
    pipeline = world.pipeline
    if not searches(pipeline):
        return Seen("", excuse=f"{pipeline.name} searches nothing.")
    if lost := list(_never_passed(pipeline)):
        said = f"No value of {', '.join(lost)} makes another estimator: it is never passed on."
        return Seen(said, failed=True, numbers={"never_passed": len(lost)})
    stage = Stage.of(world)
    runs = list(_scripted(stage))
    numbers = {"scripts": len(runs) if runs[0].tried else 0, "tries": sum(len(run.tried) for run in runs)}
    if wrong := next((f"{run.title}: {found}." for run in runs if (found := run.wrong(stage))), ""):
        return Seen(wrong, failed=True, numbers=numbers)
    if runs[0].tried and (untried := _untried(stage, runs)):
        said = f"{len(untried)} values of the space were tried in no script, such as {untried[0][0]}={untried[0][1]!r}."
        return Seen(said, failed=True, numbers=numbers | {"untried": len(untried)})
    tuned = world.trained.tuned
    if wrong := _not_the_best(pipeline.metric, tuned):
        return Seen(f"In the training at hand {wrong}.", failed=True, numbers=numbers)
    if not runs[0].tried:
        acts = _acted(stage)
        numbers["acts"] = len(acts)
        if wrong := _wrongly_acted(stage, acts):
            return Seen(wrong, failed=True, numbers=numbers)
        values = {trial["value"] for trial in tuned.trials}
        said = "The search asks no metric of the contract; its choice is the best of the trials it stored"
        return Seen(f"{said}, of {len(values)} values.", float(len(values) - 1), numbers)
    chosen = len({_name(run.tuned.parameters) for run in runs if run.tuned})
    said = f"In {len(runs)} scripts with {numbers['tries']:,} tries it chose the best each time, {chosen} different ones in all."
    return Seen(said, float(chosen - 1), numbers | {"chosen": chosen})


CHECK = Check("K10", "tuner", look)


def searches(pipeline: Pipeline) -> bool:
    """Whether there is anything to search."""
    return pipeline.tune is not None or len(tune.candidates(pipeline.search)) > 1


def scriptable(world: World) -> bool:
    """Whether the search asks the contract's metric, so that a script can tell it what is best."""
    return bool(Stage.of(world).run("All alike", lambda parameters: 0.5).tried)


def _never_passed(pipeline: Pipeline) -> Iterator[str]:
    """Parameters of several values none of which makes an estimator unlike the others'."""
    for name, values in pipeline.search.space.items():
        if len(values) > 1 and len({_state(pipeline, {name: value}) for value in values}) == 1:
            yield name


def _state(pipeline: Pipeline, parameters: dict[str, Any]) -> str:
    return repr(sorted(learned(pipeline.estimator(parameters)).items()))


def _not_the_best(metric: Metric, tuned: Tuned) -> str:
    """What is wrong with a choice, by the trials it stored; empty if nothing is."""
    values = [trial["value"] for trial in tuned.trials if not math.isnan(trial["value"])]
    if not values:
        return ""
    best = max(values) if metric.better == "higher" else min(values)
    winners = [trial["parameters"] for trial in tuned.trials if trial["value"] == best]
    return (
        ""
        if tuned.parameters in winners
        else f"{_name(tuned.parameters)} was chosen, and {_name(winners[0])} was better ({best:g})"
    )


def _name(parameters: Parameters) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in sorted(parameters.items())) or "the defaults"


# ---- the stage ----------------------------------------------------------------------------------------------------


class Scripted:
    """An estimator that learns nothing: it knows its parameters, notes the rows it is fitted on, and answers with its number."""

    def __init__(self, run: Run, number: int) -> None:
        self.run, self.number, self.fitted = run, number, np.zeros(0)

    def fit(self, data: pl.DataFrame, labels: np.ndarray, **_: Any) -> Scripted:
        """Note the rows."""
        self.fitted = self.run.marks(data)
        return self

    def predict(self, data: pl.DataFrame) -> np.ndarray:
        """Its number, a row."""
        self.run.asked.append((self.fitted, self.run.marks(data)))
        return np.full(len(data), float(self.number))

    def predict_proba(self, data: pl.DataFrame) -> np.ndarray:
        """Its number, as the probability of class 1."""
        found = self.predict(data)
        return np.column_stack([1 - found, found])


@dataclass
class Run:
    """One scripted search: what it tried, what each try was worth, which rows it was fitted and judged on, what it chose."""

    title: str
    script: Script
    mark: str
    parameters: list[dict[str, Any]] = field(default_factory=list)
    tried: list[tuple[dict[str, Any], float]] = field(default_factory=list)
    asked: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    tuned: Tuned | None = None
    better: Literal["higher", "lower"] = "higher"

    def estimator(self, parameters: dict[str, Any]) -> Scripted:
        """An estimator with a number of its own."""
        self.parameters.append(dict(parameters))
        return Scripted(self, len(self.parameters) - 1)

    def heard(self, number: int) -> None:
        """An actor was asked."""
        self.tried.append((self.parameters[number], self.script(self.parameters[number])))

    def value(self, labels: np.ndarray, predictions: np.ndarray) -> float:
        """What the script says of the parameters that predict so."""
        parameters = self.parameters[int(predictions[0])]
        self.tried.append((parameters, self.script(parameters)))
        return self.tried[-1][1]

    def marks(self, data: Any) -> np.ndarray:
        """The rows' numbers."""
        return np.asarray(data[self.mark], dtype=np.float64)

    def wrong(self, stage: Stage) -> str:
        """What is wrong with the search, or nothing."""
        if self.tuned is None or not self.tried:
            return ""
        if found := self.not_chosen():
            return found
        given = {_name(parameters): value for parameters, value in self.tried}
        stored = {_name(trial["parameters"]): float(trial["value"]) for trial in self.tuned.trials}
        for name, value in given.items():
            if name not in stored:
                return f"{name} was tried, and is no stored trial"
            if stored[name] != value and not (math.isnan(stored[name]) and math.isnan(value)):
                return f"{name} was worth {value:g}, and {stored[name]:g} is stored"
        return self._wrong_rows(stage)

    def not_chosen(self) -> str:
        """Which of its tries was better than the one it chose; empty if none was."""
        if self.tuned is None or not self.tried:
            return ""
        given = {_name(parameters): value for parameters, value in self.tried}
        usable = [value for value in given.values() if not math.isnan(value)]
        best = max(usable) if self.better == "higher" else min(usable)
        chosen = given.get(_name(self.tuned.parameters), math.nan)
        if chosen == best:
            return ""
        winner = next(name for name, value in given.items() if value == best)
        return f"{_name(self.tuned.parameters)} was chosen ({chosen:g}), and {winner} was the best it tried ({best:g})"

    def _wrong_rows(self, stage: Stage) -> str:
        for fitted, judged in self.asked:
            if shared := np.intersect1d(fitted, judged).size:
                return f"a try was judged on {shared:,} rows it was fitted on"
            if not np.isin(np.concatenate([fitted, judged]), stage.times[0]).all():
                return "it was fitted or judged on rows that are neither training nor validation rows"
            if stage.by_time and fitted.size and judged.size and stage.time(fitted).max() > stage.time(judged).min():
                return "a try was judged on rows older than some it was fitted on"
        return ""


@dataclass(frozen=True)
class Stage:
    """A pipeline's search with its rows, numbered in the column ``mark``; ``times``: each number, and when it was asked (µs)."""

    pipeline: Pipeline
    train: pl.DataFrame
    validation: pl.DataFrame
    mark: str
    times: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, world: World) -> Stage:
        """The newest training and validation rows, numbered in a numeric column of the model's, or in the first."""
        train, validation, _ = parted(world.pipeline, world.rows)
        parts = [part.filter(pl.col("label").is_not_null()).tail(ROWS) for part in (train, validation)]
        numeric = [name for name in world.pipeline.columns if parts[0].schema[name].is_numeric()]
        mark = (numeric or list(world.pipeline.columns))[0]
        numbers = [
            pl.Series(mark, range(first, first + part.height), dtype=pl.Float64)
            for first, part in zip((0, parts[0].height), parts)
        ]
        train, validation = (part.with_columns(number) for part, number in zip(parts, numbers))
        asked = pl.concat([train, validation]).get_column("event_time").dt.epoch("us").to_numpy()
        return cls(world.pipeline, train, validation, mark, (pl.concat(numbers).to_numpy(), asked))

    @property
    def by_time(self) -> bool:
        """Whether the pipeline's split is by time."""
        return isinstance(self.pipeline.split, TimeSplit)

    def time(self, marks: np.ndarray) -> np.ndarray:
        """When the rows of these numbers were asked, µs since 1970."""
        return self.times[1][marks.astype(np.int64)]

    @property
    def space(self) -> Search:
        """The pipeline's space, all of it tried where that is not too much."""
        size = math.prod(len(values) for values in self.pipeline.search.space.values())
        return dataclasses.replace(self.pipeline.search, trials=min(size, max(MOST, self.pipeline.search.trials)))

    def act(self, title: str, script: Script) -> Run:
        """The pipeline's search with estimators that are as good as a script says. One that raises has tried nothing."""
        run, labels = (
            Run(title, script, self.mark),
            pl.concat([self.train["label"], self.validation["label"]]).to_numpy(),
        )
        stage = acted.Stage(self.mark, labels, run.heard)
        kind = acted.ClassActor if self.pipeline.task == "classification" else acted.Actor

        def estimator(parameters: dict[str, Any]) -> acted.Actor:
            run.parameters.append(dict(parameters))
            return kind(stage, len(run.parameters) - 1, script(parameters))

        acting = dataclasses.replace(self.pipeline, estimator=estimator, fit=None, predict=None, search=self.space)
        try:
            run.tuned = (self.pipeline.tune or tune.tune)(acting, self.train, self.validation)
        except Exception:  # it may ask more of an estimator than an actor can
            run.tried.clear()
        return run

    def run(self, title: str, script: Script, better: Literal["higher", "lower"] = "higher") -> Run:
        """The pipeline's search under a script. One that raises, or asks no metric, has tried nothing."""
        run = Run(title, script, self.mark, better=better)
        scripted = dataclasses.replace(
            self.pipeline, estimator=run.estimator, fit=None, predict=None, search=self.space,
            metric=Metric(self.pipeline.metric.name, better, run.value), task="regression",
        )  # fmt: skip
        try:
            run.tuned = (self.pipeline.tune or tune.tune)(scripted, self.train, self.validation)
        except Exception:  # a search of the author's own may ask more of an estimator than the script's can
            if self.pipeline.tune is None:
                raise
            run.tried.clear()
        return run


def _scripted(stage: Stage) -> Iterator[Run]:
    """The searches under every script. The first one, under which all are alike, tells in which order it tries."""
    first = stage.run("All alike", lambda parameters: 0.5)
    yield first
    order = list(dict.fromkeys(_name(parameters) for parameters, _ in first.tried))
    if not order:
        return
    places = dict(zip(("first", "middle", "last"), (order[0], order[len(order) // 2], order[-1])))
    for place, winner in places.items():
        yield stage.run(f"The {place} of its tries is the best", _best(winner))
        yield stage.run(f"The {place} of its tries is the best, where less is better", _best(winner, -1.0), "lower")
    yield stage.run("The first and the last of its tries are the best", _best(order[0], 1.0, order[-1]))
    yield from _without_values(stage, order)
    for name, value in _ends(stage.pipeline.search.space):
        yield stage.run(f"The best has {name}={value!r}", _has(name, value))


def _acted(stage: Stage) -> list[Run]:
    """The searches with actors, the best of them at each place in turn; none where nobody was asked, or the search shows no choice."""
    first = stage.act("All alike", lambda parameters: 0.5)
    order = list(dict.fromkeys(_name(parameters) for parameters, _ in first.tried))
    if first.tuned is None or len(order) < 2 or _name(first.tuned.parameters) not in order:
        return []
    shown = dict.fromkeys([*order[: ACTS - 1], order[-1]])
    return [stage.act(f"Of its tries {name} is the best", _best(name)) for name in shown]


def _wrongly_acted(stage: Stage, acts: Sequence[Run]) -> str:
    """What is wrong with a search that goes by how good its tries are, which shows in most acts; empty if nothing is."""
    metric = stage.pipeline.metric
    for act in acts:
        if act.tuned and (found := _not_the_best(metric, act.tuned)):
            return f"{act.title}: {found}."
    wrong = [f"{act.title}: {found}." for act in acts if (found := act.not_chosen())]
    if 2 * len(wrong) >= len(acts):
        return ""
    if wrong:
        return wrong[0]
    untried = _untried(stage, acts)
    if len(untried) != 1:  # who draws some of a space leaves out more
        return ""
    return f"{untried[0][0]}={untried[0][1]!r} of the space was tried in no act."


def _without_values(stage: Stage, order: Sequence[str]) -> Iterator[Run]:
    """Tries without a value: all but the last; of a search of the author's own the last alone, where its metric can be undefined."""
    if stage.pipeline.tune is None:
        yield stage.run("All but the last of its tries have no value", _only(order[-1]))
    elif len(order) > 1 and _undefined(stage.pipeline.metric):
        yield stage.run(
            "The last of its tries has no value", lambda parameters: math.nan if _name(parameters) == order[-1] else 0.5
        )


def _undefined(metric: Metric) -> bool:
    """Whether it has no value where all labels are alike."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return math.isnan(metric.compute(np.zeros(4), np.linspace(0.1, 0.4, 4)))
    except Exception:  # it raises where others give NaN: so no search is given one
        return False


def _best(winner: str, sign: float = 1.0, also: str = "") -> Script:
    return lambda parameters: sign * (BEST if _name(parameters) in (winner, also) else 0.5)


def _only(winner: str) -> Script:
    return lambda parameters: 0.5 if _name(parameters) == winner else math.nan


def _has(name: str, value: Any) -> Script:
    return lambda parameters: BEST if parameters.get(name) == value else 0.5


def _ends(space: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, Any]]:
    for name, values in space.items():
        yield from itertools.product([name], [values[0], values[-1]][: len(values)])


def _untried(stage: Stage, runs: Sequence[Run]) -> list[tuple[str, Any]]:
    """Values of the space that no script saw tried."""
    tried = [parameters for run in runs for parameters, _ in run.tried]
    return [
        (name, value)
        for name, values in stage.pipeline.search.space.items()
        for value in values
        if not any(name in parameters and parameters[name] == value for parameters in tried)
    ]
