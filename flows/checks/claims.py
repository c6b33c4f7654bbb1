"""What fitted transformers claim, told by their state, and held against what they do to the rows they were fitted on.

A claim is recognised by what a transformer has learned (``mean_`` and ``scale_``, ``categories_``, ``bin_edges_`` …, its own or passed on
by a wrapper) or, for scalers of any class, by what it does: columns moved and stretched until their mean is all but 0 and their deviation
all but 1.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from flows.checks.learned import reached

CLOSE, ABOUT, MOST = 1e-6, 0.005, 0.01
Claim = Callable[["Fitted", np.ndarray], str]
"""What is wrong with an output, in words; empty if nothing is."""


@dataclass(frozen=True)
class Fitted:
    """A transformer, and the rows it was last fitted on, as it got them."""

    transformer: Any
    given: Any

    @property
    def numbers(self) -> np.ndarray:
        """The rows as floats, NaN where missing. ValueError, TypeError: they are none."""
        return dense(self.given).astype(np.float64)

    @property
    def output(self) -> np.ndarray:
        """What it makes of them; of a copy, for some write into what they are given."""
        return dense(self.transformer.transform(copy.deepcopy(self.given)))

    def has(self, *names: str) -> bool:
        """Whether it has learned all of these."""
        return all(getattr(self.transformer, name, None) is not None for name in names)

    def says(self, name: str, usual: bool = True) -> bool:
        """A switch of it, or of one below it that is off."""
        found = [getattr(one, name, usual) for one in reached(self.transformer)]
        return all(found) if usual else any(found)


def dense(rows: Any) -> np.ndarray:
    """Rows of any kind as an array of two dimensions."""
    found = (
        rows.toarray()
        if hasattr(rows, "toarray")
        else rows.to_numpy()
        if hasattr(rows, "to_numpy")
        else np.asarray(rows)
    )
    return found.reshape(-1, 1) if found.ndim == 1 else found


def claims(fitted: Fitted) -> Iterator[Claim]:
    """Everything it claims."""
    if fitted.has("encodings_") or fitted.has("infrequent_categories_"):
        return  # encoded by something else than the category
    if fitted.has("categories_"):
        yield _categories
    elif fitted.has("bin_edges_"):
        yield _bins
    elif fitted.has("statistics_"):
        yield _complete
    elif fitted.has("data_min_", "data_max_", "feature_range"):
        yield from (_within_its_range, _cancels)
    elif fitted.has("max_abs_"):
        yield from (_at_most_one, _cancels_factors)
    elif fitted.has("center_", "scale_"):
        yield from (_median_zero, _cancels)
    elif fitted.has("lambdas_") or fitted.has("func", "inverse_func"):
        yield _round_trip
    elif fitted.has("mean_", "scale_") or fitted.has("mean_", "with_mean") or _standardises(fitted):
        yield _mean_zero_deviation_one
        if fitted.says("with_mean") and fitted.says("with_std"):
            yield _cancels


# ---- scalers ------------------------------------------------------------------------------------------------------


def _standardises(fitted: Fitted) -> bool:
    """Whether it moves and stretches each column, all but to mean 0 and deviation 1."""
    try:
        before, after = fitted.numbers, fitted.output.astype(np.float64)
    except Exception:  # it is no transformer of numbers
        return False
    if before.shape != after.shape or len(before) < 10:
        return False
    varied = _varied(before)
    if not varied.any() or not np.isfinite(before).all() or not np.isfinite(after).all():
        return False
    one, other = before[:, varied], after[:, varied]
    straight = all(
        abs(np.corrcoef(left, right)[0, 1]) > 1 - CLOSE for left, right in zip(one.T, other.T) if np.ptp(right) > 0
    )
    about = (np.abs(other.std(axis=0) - 1) < ABOUT).all() and (
        (np.abs(other.mean(axis=0)) < ABOUT).all() or _knows(fitted, one.mean(axis=0))
    )
    return bool(straight and about)


def _mean_zero_deviation_one(fitted: Fitted, output: np.ndarray) -> str:
    """Mean 0 (unless it says otherwise), deviation 1: of all there is, or of a sample if that is what it holds."""
    before, varied = fitted.numbers, _varied(fitted.numbers)
    if output.shape != before.shape:
        return f"has {output.shape[1]} columns for {before.shape[1]}"
    means, deviations = np.nanmean(output, axis=0), np.nanstd(output[:, varied], axis=0)
    if fitted.says("with_mean") and np.abs(means).max() > CLOSE:
        return f"has a training mean of {means[np.abs(means).argmax()]:.6g}, not 0"
    if fitted.says("with_std") and deviations.size and np.abs(deviations - 1).max() > CLOSE:
        sample = np.nanstd(output[:, varied], axis=0, ddof=1)
        if np.abs(sample - 1).max() > CLOSE or not _knows(fitted, np.nanstd(before[:, varied], axis=0, ddof=1)):
            return f"has a training deviation of {deviations[np.abs(deviations - 1).argmax()]:.6g}, not 1"
    return ""


def _knows(fitted: Fitted, numbers: np.ndarray) -> bool:
    """Whether these numbers, one a column, stand in its state."""
    for one in reached(fitted.transformer):
        for value in vars(one).values():
            values = list(value.values()) if isinstance(value, dict) else value
            try:
                found = np.asarray(values, dtype=np.float64).ravel()
            except (TypeError, ValueError):
                continue
            if found.size >= numbers.size and all(
                np.isclose(found, number, rtol=CLOSE, atol=0).any() for number in numbers
            ):
                return True
    return False


def _varied(numbers: np.ndarray) -> np.ndarray:
    """Which columns have more than one value, for the precision they have."""
    spread, size = np.nanmax(numbers, axis=0) - np.nanmin(numbers, axis=0), np.nanmax(np.abs(numbers), axis=0)
    varied: np.ndarray = spread > 1e-9 * np.maximum(size, 1e-300)
    return varied


def _within_its_range(fitted: Fitted, output: np.ndarray) -> str:
    low, high = fitted.transformer.feature_range
    varied = _varied(fitted.numbers)
    ends = np.array([np.nanmin(output[:, varied], axis=0), np.nanmax(output[:, varied], axis=0)])
    apart = np.abs(ends - [[low], [high]])
    return (
        f"reaches from {ends[0].min():.6g} to {ends[1].max():.6g}, not {low} to {high}" if (apart > CLOSE).any() else ""
    )


def _at_most_one(fitted: Fitted, output: np.ndarray) -> str:
    largest = np.nanmax(np.abs(output[:, _varied(fitted.numbers)]), axis=0)
    return f"has a largest value of {largest.max():.6g}, not 1" if (np.abs(largest - 1) > CLOSE).any() else ""


def _median_zero(fitted: Fitted, output: np.ndarray) -> str:
    medians = np.nanmedian(output, axis=0)
    return (
        f"has a training median of {medians[np.abs(medians).argmax()]:.6g}, not 0"
        if np.abs(medians).max() > CLOSE
        else ""
    )


def _cancels(fitted: Fitted, output: np.ndarray) -> str:
    """Rows in another unit, fitted again, come out the same."""
    return _refitted(fitted, output, 3.0)


def _cancels_factors(fitted: Fitted, output: np.ndarray) -> str:
    return _refitted(fitted, output, 0.0)


def _refitted(fitted: Fitted, output: np.ndarray, offset: float) -> str:
    given = fitted.given
    if isinstance(given, pl.DataFrame):
        moved: Any = given.with_columns(pl.all() * 8.0 + offset)
    elif isinstance(given, np.ndarray):
        moved = given * 8.0 + offset
    else:
        return ""
    other = dense(copy.deepcopy(fitted.transformer).fit(moved).transform(moved))
    apart = np.nanmax(np.abs(other - output)) if other.shape == output.shape else np.inf
    return (
        f"moves by {apart:.6g} when its rows are in another unit"
        if apart > 1e-4 * max(1.0, np.nanmax(np.abs(output)))
        else ""
    )


# ---- categories, bins, gaps, and back again -----------------------------------------------------------------------


def _categories(fitted: Fitted, output: np.ndarray) -> str:
    """One column an input: the place of its category. More: each row once in each input's block."""
    given, known = dense(fitted.given), [list(names) for names in fitted.transformer.categories_]
    if output.shape[1] == given.shape[1]:
        return _ordinal(given, known, output)
    dropped = getattr(fitted.transformer, "drop_idx_", None)
    lost = 0 if dropped is None else sum(place is not None for place in dropped)
    if output.shape[1] != (expected := sum(map(len, known)) - lost):
        return f"has {output.shape[1]} columns for {expected} categories"
    sums = output.sum(axis=1)
    if lost == 0 and (wrong := int((np.abs(sums - len(known)) > CLOSE).sum())):
        return f"has {wrong:,} of {len(sums):,} training rows that do not sum to {len(known)}"
    return "" if np.isin(output, (0, 1)).all() else "holds other numbers than 0 and 1"


def _ordinal(given: np.ndarray, known: list[list[Any]], output: np.ndarray) -> str:
    wrong = 0
    for column, names, codes in zip(given.T, known, output.T, strict=True):
        places = {name: place for place, name in enumerate(names) if name == name and name is not None}
        pairs = [(places[value], code) for value, code in zip(column, codes, strict=True) if value in places]
        wrong += sum(place != code for place, code in pairs)
    return f"takes {wrong:,} categories for others" if wrong else ""


def _bins(fitted: Fitted, output: np.ndarray) -> str:
    """What is put back into the middle of its bin falls into the same one."""
    again = dense(fitted.transformer.transform(fitted.transformer.inverse_transform(output)))
    wrong = int((again != output).any(axis=1).sum())
    return f"puts {wrong:,} rows into another bin on the way back" if wrong else ""


def _complete(fitted: Fitted, output: np.ndarray) -> str:
    """Every number that was there stays, and where a column had any there is no gap."""
    try:
        before, after = fitted.numbers, output.astype(np.float64)
    except (TypeError, ValueError):  # text
        return ""
    before = before[:, ~np.isnan(before).all(axis=0)] if after.shape[1] < before.shape[1] else before
    if after.shape[1] < before.shape[1]:
        return f"has {after.shape[1]} columns for {before.shape[1]}"
    after, there = after[:, : before.shape[1]], ~np.isnan(before)
    if gaps := int(np.isnan(after[:, there.any(axis=0)]).sum()):
        return f"leaves {gaps:,} gaps"
    moved = int((after[there] != before[there]).sum())
    return f"changes {moved:,} numbers that were there" if moved else ""


def _round_trip(fitted: Fitted, output: np.ndarray) -> str:
    """The way back leads to where it came from, but for one cell in a hundred at the ends of what floats can hold."""
    before = fitted.numbers
    again = dense(fitted.transformer.inverse_transform(output)).astype(np.float64)
    if again.shape != before.shape:
        return "comes back with another shape"
    apart = ~np.isclose(again, before, rtol=CLOSE, atol=CLOSE * np.nanmax(np.abs(before)), equal_nan=True)
    return f"does not lead {int(apart.sum()):,} cells back" if apart.mean() > MOST else ""
