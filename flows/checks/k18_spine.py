"""K18: which questions there are does not depend on what became known after they were asked.

A dataset that keeps the flights that landed, the customers who paid or the patients who came back is a sample by the
future: serving will be asked about all of them. So what became known after a question's own T is dealt out anew (each
such fact gets another row's values, and happened half an hour later), and the dataset runs again: the same questions
must come out. A question that vanishes is confirmed in a world where only what became known after *its* T is dealt out,
for every key at once, and where the questions before it must be the same, none fewer and none more. Facts that do
not name a question (a neighbour's, a shop's) are dealt out in that way from two instants on.

Where no label comes from what was known later (the source gives question and answer in one row), each column that
moves labels, and nothing that an application would send, counts as known later.

The control: labels that changed with what was dealt out. Shown besides: the share of the keys in the source that no
row asks about (``share_missing``).

Cost: two to a dozen runs of the dataset, in memory: no build of features, no training.

What does not alarm: a label that becomes null; a row left out because a fact that names no question (the next hour's
measurement) holds nothing; a fact that is missing altogether (an inner join with answers keeps
what was answered, and shows in ``share_missing``); a filter by what was known at T; a question that depends on
*another* key's earlier outcome, which the confirmation tells from its own; rows whose label would only be known within
an hour of the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from flows.checks import compare, rewrite
from flows.checks.check import Check, Seen
from flows.checks.world import ASKED, Change, World
from flows.pipeline import TIME, Group
from store.features.group import KNOWN_TIME

CONFIRMED = 8
PLACES = (0.4, 0.75)
END = 2 * rewrite.SHIFT
COLUMNS = 12


def look(world: World) -> Seen:
    """Deal out what was known later, and count the questions that come or go."""
    rows = world.questions(world.read())
    base = _asked(world, rows)
    first, control = _every_key(world, base), 0
    numbers = {"questions": float(base.height), "share_missing": _share_missing(world, base)}
    for cutoff in _cutoffs(world, base, first):
        found = _between(world, base, world.questions(world.read(_after(world, cutoff))), cutoff)
        control += found.labels
        if found.total:
            since = f"what became known from {cutoff:%Y-%m-%d %H:%M:%S.%f} UTC on"
            return _failed(numbers, control, max(found, first, key=lambda one: one.total), since)
    control += first.labels
    if not control:
        found = _given_with_the_question(world, base, rows)
        control = found.labels
        if found.total:
            return _failed(numbers, control, found, "a column that decides the label")
    numbers |= {"labels_moved": control, "lost_for_other_keys": first.lost.len()}
    sentence = (
        f"{base.height:,} questions stayed the same while {control:,} labels changed with what was known later; "
        f"{numbers['share_missing']:.1%} of the keys in the source are not asked about."
    )
    return Seen(sentence, control, numbers)


CHECK = Check("K18", "spine", look)


@dataclass(frozen=True)
class Between:
    """Two runs of the dataset told apart: the instants at which ``lost`` questions were asked, how many have ``come``,
    how many ``labels`` changed."""

    lost: pl.Series
    come: int
    labels: int

    @property
    def total(self) -> int:
        return self.lost.len() + self.come


def _asked(world: World, rows: pl.DataFrame) -> pl.DataFrame:
    """What tells and judges a question: key, event_time, label, label_time, and the instant it was asked."""
    return world.with_asked(rows.select(*world.key, "label", "label_time"))


def _between(world: World, base: pl.DataFrame, rows: pl.DataFrame, cutoff: datetime | None = None) -> Between:
    """The questions asked before ``cutoff``, and known to be answered before the end: what happens half an hour later
    may leave the last ones out."""
    settled = pl.col("label_time") < world.window.end - END
    early = pl.lit(value=True) if cutoff is None else pl.col(ASKED) < cutoff
    before, after = base.filter(early), _asked(world, rows).filter(early)
    lost = before.filter(settled).join(after, on=world.key, how="anti").sort(ASKED).get_column(ASKED)
    come = after.filter(settled).join(before, on=world.key, how="anti").height
    labels = compare.moved(before.unique(world.key), after.unique(world.key), on=world.key, columns=["label"]).rows
    return Between(lost, come, labels)


def _every_key(world: World, base: pl.DataFrame) -> Between:
    """Everything a key's own facts tell after its T dealt out, for all keys at once."""
    key = list(world.pipeline.serving.key)
    asked = base.select(*key, ASKED).unique(key)

    def change(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
        if not world.own(group):
            return rows
        times = rows.select(*key, KNOWN_TIME).join(asked, on=key, how="left", maintain_order="left")
        later = times.select((pl.col(KNOWN_TIME) > pl.col(ASKED)).fill_null(value=False)).to_series()
        return rewrite.dealt_out(group, rows, later, spared=key, moved=world.window.end)

    return _between(world, base, world.questions(world.read(change)))


def _after(world: World, cutoff: datetime) -> Change:
    """Everything that became known from an instant on dealt out; own facts move in time as well."""

    def change(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
        own, spared = world.own(group), world.pipeline.serving.key
        later, moved = rows.get_column(KNOWN_TIME) >= cutoff, world.window.end if own else None
        return rewrite.dealt_out(group, rows, later, spared=spared, moved=moved, holes=own)

    return change


def _cutoffs(world: World, base: pl.DataFrame, first: Between) -> list[datetime]:
    """Just after some of the questions that vanished; two instants, where a group names no question."""
    places = range(0, first.lost.len(), max(1, -(-first.lost.len() // CONFIRMED)))
    found = [first.lost[place] + rewrite.MICROSECOND for place in places]
    if not all(world.own(world.catalog.facts[name].group) for name in world.asked):
        times = base.get_column(ASKED).sort()
        found += [times[int(place * (times.len() - 1))] for place in PLACES if times.len()]
    return found


def _given_with_the_question(world: World, base: pl.DataFrame, rows: pl.DataFrame) -> Between:
    """Each column that moves nothing an application would send, dealt out: of those that move labels the one that moves
    most questions; if none does (a dataset that keeps one kind of answer has one kind of label), of all."""
    request = world.pipeline.serving.request
    sent = [name for name in request if name in rows.columns]
    found = [Between(pl.Series(dtype=TIME), 0, 0)]
    for name in sorted(world.asked):
        group = world.catalog.facts[name].group
        for column in [one for one in group.values if one not in request][:COLUMNS]:  # as a rule, the answer alone
            other = world.questions(world.read(_column(world, name, column)))
            between = _between(world, base, other)
            if not compare.moved(rows, other, on=world.key, columns=sent).total:
                found.append(between)
    return max(found, key=lambda one: (bool(one.labels), one.total, one.labels))


def _column(world: World, name: str, column: str) -> Change:
    def change(group: Group, rows: pl.DataFrame) -> pl.DataFrame:
        every = pl.repeat(value=True, n=rows.height, eager=True)
        spared = [one for one in group.values if one != column]
        dealt = rewrite.dealt_out(group, rows, every, spared=spared, holes=world.own(group))
        return dealt if group.name == name else rows

    return change


def _share_missing(world: World, base: pl.DataFrame) -> float:
    """The share of the keys that became known within the window and that no row asks about."""
    key = list(world.pipeline.serving.key)
    own = [world.facts[name] for name in sorted(world.asked) if world.own(world.catalog.facts[name].group)]
    if not own:
        return 0.0
    known = pl.concat([rows.select(*key, KNOWN_TIME) for rows in own]).group_by(key).agg(pl.col(KNOWN_TIME).min())
    within = known.filter(pl.col(KNOWN_TIME).is_between(world.window.start, world.window.end - END))
    return within.join(base, on=key, how="anti").height / max(1, within.height)


def _failed(numbers: dict[str, float], control: int, found: Between, since: str) -> Seen:
    said = (
        f"Dealing out {since} changed which questions there are: of {numbers['questions']:,.0f}, {found.lost.len():,} "
        f"vanished and {found.come:,} came. Keep every row that can be asked about; one without an answer has a null label."
    )
    return Seen(said, control, {**numbers, "lost": found.lost.len(), "come": found.come}, failed=True)
