"""Evidently's report of a window against its reference, with our thresholds and flags in it.

Evidently picks a method by the size of the sample and a threshold by the method, so on the same rows it would
contradict the monitor. Its report is told ours instead: a drift method named METHOD returns, for each column, the score
that ``flows.deciding.drift`` computed on all rows, and each column has its own threshold. What Evidently adds is the
picture, both distributions from samples. A table of our own stands above it, in plain HTML, readable without script.

The page loads nothing: script and fonts are in it. Text that applications sent stands in it as values of features, so
``<`` is taken out of them (Evidently puts them into a script as they are). Evidently's random ids are numbered, so the
same window gives the same bytes.

Importing this module takes 10 to 25 s: only ``flows.reporting.__main__`` does, in a process of its own.
"""

from __future__ import annotations

import html
import re
from typing import Any

import pandas as pd
import polars as pl
from evidently import DataDefinition, Dataset, Report
from evidently.legacy.calculations.stattests import StatTest, register_stattest
from evidently.legacy.core import ColumnType
from evidently.metrics import ValueDrift

from store.errors import InvalidInput

METHOD = "assay"
MEANING = "multiple of the reference's own unrest, computed on all rows"
MEMBERS = 30
"""As many members of a text column get a bar of their own; the rest share one."""
_SCORES = ("feature", "score", "threshold", "drifted", "null_share", "rows")
_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}")
_STYLE = """
.assay { max-width: 1180px; margin: 24px auto; padding: 0 24px; color: #1c2430; background: #fff; }
.assay { font: 15px/1.5 system-ui, sans-serif; }
.assay h1 { font-size: 22px; margin: 0 0 8px; }
.assay p { margin: 0 0 12px; }
.assay .verdict { font-size: 17px; font-weight: 600; }
.assay table { border-collapse: collapse; width: 100%; }
.assay th, .assay td { padding: 5px 10px; border-bottom: 1px solid #d5dae1; text-align: left; }
.assay .number { text-align: right; font-variant-numeric: tabular-nums; }
.assay .drifts { color: #a3260b; font-weight: 600; }
"""
_COLUMNS = """<th>Feature</th><th class="number">Score</th><th class="number">Threshold</th>
<th class="number">Missing</th><th>Verdict</th>"""


def draw(reference: pl.DataFrame, current: pl.DataFrame, scores: pl.DataFrame, *, title: str) -> bytes:
    """Return the page (UTF-8 HTML, 4 to 5 MB, self-contained) that compares ``current`` with ``reference``.

    ``reference``, ``current``: samples of rows with the columns named in ``scores`` (numeric, Boolean or text).
    ``scores``: one row a feature, as ``flows.deciding.drift.score`` gives: feature str, score f64, threshold f64,
    drifted bool, null_share f64 (0 to 1), rows i64. A feature that cannot be plotted (its column missing, or without
    values, on either side) keeps its line in the table, which says why. The same input gives the same bytes.

    Raises InvalidInput: no rows on a side, no scores, or scores of other columns.
    """
    _require(reference, current, scores)
    ordered = scores.sort(pl.col("score") / pl.col("threshold"), descending=True, maintain_order=True)
    missing = {name: why for name in ordered["feature"] if (why := unplottable(reference, current, name))}
    plotted = ordered.filter(~pl.col("feature").is_in(list(missing)))
    before, marker, after = _evidently(reference, current, plotted).partition("<body>")
    if not marker:
        remedy = "Use the Evidently that pyproject.toml names."
        raise InvalidInput("Evidently's page has no <body> to put our table into.", remedy=remedy)
    head = before.replace("<head>", f"<head>\n<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>", 1)
    return (head + marker + header(ordered, missing, title) + after).encode()


def unplottable(reference: pl.DataFrame, current: pl.DataFrame, name: str) -> str:
    """Why there is no plot of a feature, or nothing. Evidently raises on such columns, or silently drops them."""
    for side, rows in (("this window", current), ("the reference", reference)):
        if name not in rows.columns:
            return f"no such column in {side}"
        if not _usable(rows[name]).len():
            return f"no values in {side}"
    return ""


def header(scores: pl.DataFrame, missing: dict[str, str], title: str) -> str:
    """Verdict and table, as HTML: each feature with score, threshold, share missing, and flag in word and shape."""
    lines = "\n".join(_line(one, missing.get(one["feature"], "")) for one in scores.to_dicts())
    rows = f"{int(scores['rows'].sum() / scores.height):,}"
    return f"""
<section class="assay"><h1>{html.escape(title)}</h1>
<p class="verdict">{html.escape(verdict(scores))}</p>
<p>A score is a multiple of the reference's own unrest: 1 is as far off as the reference's worst window was. A feature
drifts when its score is above its threshold. Scores are computed on all {rows} rows of the window, the plots below are
drawn from samples.</p>
<table><thead><tr>{_COLUMNS}</tr></thead>
<tbody>
{lines}
</tbody></table></section>
"""


def verdict(scores: pl.DataFrame) -> str:
    """The finding in a sentence, with its numbers."""
    drifted = scores.filter("drifted")
    if drifted.is_empty():
        return f"● Calm: none of {scores.height} features is above its threshold."
    worst = drifted.sort(pl.col("score") / pl.col("threshold"), descending=True).to_dicts()[0]
    furthest = f"{worst['feature']} is furthest, {worst['score']:.2f} against {worst['threshold']:.2f}"
    return f"▲ Drift: {drifted.height} of {scores.height} features are above their threshold; {furthest}."


def _line(one: dict[str, Any], why: str) -> str:
    numbers = (f"{one['score']:.3f}", f"{one['threshold']:.3f}", f"{one['null_share']:.1%}")
    cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
    flag = '<td class="drifts">▲ drifts' if one["drifted"] else "<td>● calm"
    note = f" (no plot: {why})" if why else ""
    return f"<tr><th>{html.escape(one['feature'])}</th>{cells}{flag}{note}</td></tr>"


def _evidently(reference: pl.DataFrame, current: pl.DataFrame, scores: pl.DataFrame) -> str:
    """Evidently's page for the scored columns, judged by our method, its ids numbered in order."""
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


def _usable(column: pl.Series) -> pl.Series:
    """The values that can be plotted."""
    column = column.drop_nulls()
    return column.filter(column.is_finite()) if column.dtype.is_float() else column


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


def _require(reference: pl.DataFrame, current: pl.DataFrame, scores: pl.DataFrame) -> None:
    if missing := [name for name in _SCORES if name not in scores.columns]:
        remedy = "Pass what flows.deciding.drift.score gives."
        exists = f"They have {scores.columns}."
        raise InvalidInput(f"These are no drift scores: they lack {missing}.", exists, remedy)
    if scores.is_empty() or reference.is_empty() or current.is_empty():
        raise InvalidInput(
            "A drift report needs rows on both sides, and scores.",
            f"There are {reference.height:,} and {current.height:,} rows, and {scores.height} scores.",
            "Choose a window in which predictions were served.",
        )
