"""Evidently's plots of a window against its reference, with our thresholds and flags in them.

Evidently picks a method by the size of the sample and a threshold by the method, so on the same rows it would
contradict the monitor. Its report is told ours instead: a drift method named METHOD returns, for each column, the score
that ``flows.deciding.drift`` computed on all rows, and each column has its own threshold. What Evidently adds is the
picture, both distributions from samples.

The page loads nothing: script and fonts are in it. Text that applications sent stands in it as values of features, so
``<`` is taken out of them (Evidently puts them into a script as they are). Evidently's random ids are numbered, so the
same window gives the same bytes.

Importing this module takes 10 to 25 s: only ``flows.reporting.__main__`` does, in a process of its own.
"""

from __future__ import annotations

import re

import pandas as pd
import polars as pl
from evidently import DataDefinition, Dataset, Report
from evidently.legacy.calculations.stattests import StatTest, register_stattest
from evidently.legacy.core import ColumnType
from evidently.metrics import ValueDrift

METHOD = "assay"
MEANING = "multiple of the reference's own unrest, computed on all rows"
MEMBERS = 30
"""As many members of a text column get a bar of their own; the rest share one."""
_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}")


def page(reference: pl.DataFrame, current: pl.DataFrame, scores: pl.DataFrame) -> str:
    """Evidently's page (HTML) for the scored columns, judged by our method, its ids numbered in order.

    The columns are there on both sides, with values; ``scores`` has feature str, score f64, threshold f64, drifted bool.
    """
    if scores.is_empty():
        return "<html><head></head><body></body></html>"
    known = {one["feature"]: one for one in scores.to_dicts()}
    pairs = {name: _alike(reference[name], current[name]) for name in known}
    text = [name for name, (one, _) in pairs.items() if one.dtype == pl.String]
    columns = DataDefinition(categorical_columns=text, numerical_columns=[name for name in pairs if name not in text])

    def ours(past: pd.Series, now: pd.Series, kind: ColumnType, threshold: float) -> tuple[float, bool]:
        one = known[str(past.name)]
        return one["score"], one["drifted"]

    register_stattest(StatTest(METHOD, MEANING, [ColumnType.Numerical, ColumnType.Categorical]), ours)
    metrics = [ValueDrift(column=name, method=METHOD, threshold=one["threshold"]) for name, one in known.items()]
    frames = [pd.DataFrame({name: pair[side].to_numpy() for name, pair in pairs.items()}) for side in (1, 0)]
    snapshot = Report(metrics, include_tests=True).run(*(Dataset.from_pandas(frame, columns) for frame in frames))
    return _numbered(snapshot.get_html_str(as_iframe=False))


def _alike(reference: pl.Series, current: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Both columns as Float64 with null for what is not finite, or both as String with their commonest members."""
    sides = (reference, current)
    if all(side.dtype.is_numeric() or side.dtype in (pl.Boolean, pl.Null) for side in sides):
        numbers = [side.cast(pl.Float64) for side in sides]
        return numbers[0].set(~numbers[0].is_finite(), None), numbers[1].set(~numbers[1].is_finite(), None)
    named = [side.cast(pl.String).str.replace_all("<", "‹", literal=True).alias("member") for side in sides]
    counts = pl.concat(named).drop_nulls().value_counts(name="rows").sort("rows", "member", descending=[True, False])
    rare = counts["member"].slice(MEMBERS).implode()
    member = pl.when(pl.col("member").is_in(rare)).then(pl.lit("(others)")).otherwise("member").alias("member")
    past, now = (side.to_frame().select(member).to_series() for side in named)
    return past, now


def _numbered(page: str) -> str:
    """The page with the ids of its data replaced by their order; the script that follows them holds none of them."""
    data, _, _ = page.partition("</head>")
    numbers = {found: f"{at:032x}" for at, found in enumerate(dict.fromkeys(_ID.findall(data)))}
    return _ID.sub(lambda match: numbers.get(match.group(), match.group()), page)
