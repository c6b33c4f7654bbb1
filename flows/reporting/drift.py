"""The drift report's page: our table and verdict in plain HTML, readable without script, above the plots of ``flows.reporting.plots``.

Without Evidently, whose import takes 10 to 25 s: ``flows.reporting.__main__`` brings the two together, in a process of its own.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import polars as pl

from store.errors import InvalidInput

Plots = Callable[[pl.DataFrame, pl.DataFrame, pl.DataFrame], str]
"""Reference, current and the scores of what can be plotted, to a page of HTML."""
_SCORES = ("feature", "score", "threshold", "drifted", "null_share", "rows")
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


def draw(reference: pl.DataFrame, current: pl.DataFrame, scores: pl.DataFrame, *, title: str, plots: Plots) -> bytes:
    """Return the page (UTF-8 HTML, 4 to 5 MB, self-contained) that compares ``current`` with ``reference``.

    ``reference``, ``current``: samples of rows with the columns named in ``scores`` (numeric, Boolean or text).
    ``scores``: one row a feature, as ``flows.deciding.drift.score`` gives: feature str, score f64, threshold f64,
    drifted bool, null_share f64 (0 to 1), rows i64. A feature that cannot be plotted (its column missing, or without
    values, on either side) keeps its line in the table, which says why. The same input gives the same bytes.
    ``plots``: ``flows.reporting.plots.page``.

    Raises InvalidInput: no rows on a side, no scores, scores of other columns, or plots that are no page.
    """
    _require(reference, current, scores)
    ordered = scores.sort(pl.col("score") / pl.col("threshold"), descending=True, maintain_order=True)
    missing = {name: why for name in ordered["feature"] if (why := unplottable(reference, current, name))}
    plotted = ordered.filter(~pl.col("feature").is_in(list(missing)))
    before, marker, after = plots(reference, current, plotted).partition("<body>")
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


def _usable(column: pl.Series) -> pl.Series:
    """The values that can be plotted."""
    column = column.drop_nulls()
    return column.filter(column.is_finite()) if column.dtype.is_float() else column


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
