"""Drift of a window of rows, judged against the reference's own unrest.

Why not a fixed threshold: weather, calendars and fashions move every week. At a fixed normalised Wasserstein distance
of 0.1, 15 of the 17 flight columns "drift" in the first week after training. So each moving window of the reference is
scored against the rest of the reference, and a new window has drifted only when it stands out from *those* scores.

**The score** of a feature is a multiple of the reference's own unrest: its distance (``flows.deciding.distance``, each
side of it) over the largest distance among the reference's windows; of several sides the one that speaks loudest. So 1
is as far off as the reference's worst window was, for every feature alike.

**The threshold** is one family factor ``c = max(1, q)``. Each reference window in turn plays the newcomer: its distance
over the largest of the windows which do not overlap it, the largest over features, is how far a fresh window of the
same world exceeds what was known, and q is the ``1 - family_error`` quantile of it. Windows move and overlap, or a
quarter would hold twelve. Measured on 17 stationary features, 20 seeds of 26 weeks after 91 days: some feature is
flagged in 5% of weeks with independent rows and in 8% with autocorrelated days, and confirmed twice in a row (K = 2) in
0 and 3 of 520 weeks. Shorter references promise less: after 35 days 9% and 36% are flagged, 2 and 46 confirmed.

A side with one incident in the reference (over INCIDENT times anything elsewhere) tells nothing about the others'
unrest, so it is left out of c and dulls itself only.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from flows.deciding.distance import Floats, Shape, Steps, counts, distances, noise, shape
from store.errors import InvalidInput

NEGLIGIBLE = 0.01  # a hundredth of the rows, or of a deviation: unrest is never taken for less, however calm it was
INCIDENT = 2.0  # stationary weeks rarely exceed all others by more; the blizzard of February 2013 did, 2.7 times
MINIMUM_WINDOWS = 5  # disjoint ones: below, "the largest of the others" is a largest of three


@dataclass(frozen=True)
class Feature:
    """What is remembered of one reference feature.

    ``shares``: the reference's share of rows in each bin of ``shape``, null last; they sum to 1. ``unrest``: a value a
    side of ``shape``, the largest distance of a reference window, at least NEGLIGIBLE. ``threshold``: the multiple of
    it that a window must exceed.
    """

    name: str
    shape: Shape
    shares: tuple[float, ...]
    unrest: tuple[float, ...]
    threshold: float


@dataclass(frozen=True)
class Calibration:
    """The reference's unrest: its features, the windows it was measured on, and the family factor.

    ``windows``: how many (overlapping) reference windows were scored. ``thinnest``: the rows of the smallest of them.
    ``window`` and ``step``: their length and distance.
    """

    features: tuple[Feature, ...]
    windows: int
    thinnest: int
    factor: float
    window: timedelta
    step: timedelta

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict; durations in seconds, floats exact through ``json``."""
        durations = {"window": self.window.total_seconds(), "step": self.step.total_seconds()}
        return asdict(self) | {"features": [_listed(asdict(feature)) for feature in self.features]} | durations

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Calibration":
        """Return the calibration that ``to_dict`` wrote; InvalidInput when a field is missing or unknown."""
        try:
            features = tuple(_feature(feature) for feature in raw["features"])
            durations = {name: timedelta(seconds=raw[name]) for name in ("window", "step")}
            return cls(**{**raw, **durations, "features": features})
        except (KeyError, TypeError) as error:
            raise InvalidInput(
                asked="A drift calibration cannot be read from this dict.",
                exists=f"It has {sorted(raw)}; {type(error).__name__}: {error}.",
                remedy="Pass what Calibration.to_dict returned, or calibrate again.",
            ) from error


def calibrate(
    reference: pl.DataFrame,
    features: Sequence[str],
    *,
    time: str,
    window: timedelta = timedelta(days=7),
    step: timedelta = timedelta(days=1),
    family_error: float = 0.05,
) -> Calibration:
    """Return the thresholds of ``features``, from the unrest of the ``reference`` rows.

    ``reference``: one row an observation, all rows and not a sample; column ``time`` is ``Datetime`` in UTC without
    nulls; features are numeric, Boolean, String, Categorical, Enum or Null. ``family_error``: the chance, for a window
    like the reference, that any feature at all is flagged. ``window`` is a whole multiple of ``step``. Windows with
    under a quarter of the median rows (an outage of the feed) are left out.

    Raises InvalidInput: no rows or features, a column missing or of another type, or a reference shorter than
    MINIMUM_WINDOWS windows.
    """
    _require(reference, [time, *features], "A drift reference")
    width = _width(window, step)
    bucket = _buckets(reference[time], step)
    sizes = _rolling(np.bincount(bucket).astype(np.float64)[:, None], width)[:, 0]
    starts = _usable(sizes, width, window)
    shapes = [shape(reference[name]) for name in features]
    rows = [counts(reference[name], bins, bucket) for name, bins in zip(features, shapes, strict=True)]
    apart = [_unrest(bins, count, width)[starts] for bins, count in zip(shapes, rows, strict=True)]
    factor = _family_factor(np.hstack(apart), starts, width, family_error)
    found = tuple(
        Feature(
            name, bins, tuple((count.sum(axis=0) / reference.height).tolist()), tuple(far.max(axis=0).tolist()), factor
        )
        for name, bins, count, far in zip(features, shapes, rows, apart, strict=True)
    )
    return Calibration(found, len(starts), int(sizes[starts].min()), factor, window, step)


def score(calibration: Calibration, current: pl.DataFrame) -> pl.DataFrame:
    """Return one row a calibrated feature, in calibration order, for the rows of one ``current`` window.

    Columns: ``feature`` str, ``score`` f64 (a multiple of the reference's unrest), ``threshold`` f64 (likewise),
    ``drifted`` bool, ``null_share`` f64 (0 to 1, NaN counts as null), ``rows`` i64. No value is ever null or NaN. A
    window thinner than the thinnest of the reference has its sampling noise added to the threshold (in quadrature), so
    that 30 rows do not alarm by chance.

    Raises InvalidInput: no rows, a column missing, or text where the reference had numbers.
    """
    _require(current, [feature.name for feature in calibration.features], "A window to score")
    one = np.zeros(current.height, np.int64)
    rows = []
    for feature in calibration.features:
        count = counts(current[feature.name], feature.shape, one)
        value, threshold = _loudest(feature, count, calibration.thinnest)
        null_share = float(count[0, -1] / current.height)
        rows.append((feature.name, value, threshold, value > threshold, null_share, current.height))
    schema = {
        "feature": pl.String,
        "score": pl.Float64,
        "threshold": pl.Float64,
        "drifted": pl.Boolean,
        "null_share": pl.Float64,
        "rows": pl.Int64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def confirmed(history: Sequence[Collection[str]], windows: int) -> list[str]:
    """Return, sorted, the features flagged in each of the last ``windows`` windows of ``history`` (newest last).

    Fewer windows than that confirm nothing. Raises InvalidInput when ``windows`` is under 1.
    """
    if windows < 1:
        raise InvalidInput(
            asked=f"Drift cannot be confirmed by {windows} windows.",
            exists=f"The history has {len(history)}.",
            remedy="Set the trigger's windows to 1 or more.",
        )
    seen = Counter(name for flagged in history[-windows:] for name in set(flagged))
    return sorted(name for name, times in seen.items() if times == windows)


def _require(frame: pl.DataFrame, columns: Sequence[str], what: str) -> None:
    missing = [name for name in columns if name not in frame.columns]
    if missing or frame.is_empty() or not columns or len(set(columns)) < len(columns):
        raise InvalidInput(
            asked=f"{what} needs rows and the columns {list(columns)}, each once.",
            exists=f"It has {frame.height} rows and lacks {missing}; its columns are {frame.columns}.",
            remedy="Name features that the rows have, and give a window that holds rows.",
        )


def _buckets(time: pl.Series, step: timedelta) -> Steps:
    if not (isinstance(time.dtype, pl.Datetime) and time.dtype.time_zone == "UTC") or time.has_nulls():
        raise InvalidInput(
            asked=f"Column {time.name!r} must hold times in UTC, without nulls.",
            exists=f"Its type is {time.dtype}, with {time.null_count()} nulls.",
            remedy="Make it Datetime('us', 'UTC'), and drop or repair null times.",
        )
    since_first = time.dt.cast_time_unit("us").to_physical().to_numpy()
    return (since_first - since_first.min()) // (step // timedelta(microseconds=1))


def _width(window: timedelta, step: timedelta) -> int:
    if step <= timedelta(0) or window < step or window % step:
        raise InvalidInput(
            asked=f"The reference cannot be cut into windows of {window} every {step}.",
            exists="A window is a whole multiple of a positive step.",
            remedy="Choose, say, 7 days every 1 day.",
        )
    return window // step


def _rolling(counts: Floats, width: int) -> Floats:
    """Sums of ``width`` consecutive rows: (steps, bins) to (steps - width + 1, bins), empty if there are fewer."""
    total = np.vstack([np.zeros((1, counts.shape[1])), counts.cumsum(axis=0)])
    return total[width:] - total[:-width] if len(total) > width else total[:0]


def _listed(feature: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists, so the dict equals what JSON gives back."""
    shape = feature["shape"] | {"bins": list(feature["shape"]["bins"])}
    return feature | {"shape": shape, "shares": list(feature["shares"]), "unrest": list(feature["unrest"])}


def _feature(raw: Mapping[str, Any]) -> Feature:
    shape = Shape(**{**raw["shape"], "bins": tuple(raw["shape"]["bins"])})
    return Feature(**{**raw, "shape": shape, "shares": tuple(raw["shares"]), "unrest": tuple(raw["unrest"])})


def _unrest(shape: Shape, counts: Floats, width: int) -> Floats:
    """f64 (windows, sides): each moving window's distances from the rest of the reference, at least NEGLIGIBLE."""
    inside = _rolling(counts, width)
    rest = counts.sum(axis=0) - inside
    usable = (inside.sum(axis=1) > 0) & (rest.sum(axis=1) > 0)
    apart = np.full((len(inside), len(shape.sides)), NEGLIGIBLE)
    apart[usable] = np.maximum(distances(shape, inside[usable], rest[usable]), NEGLIGIBLE)
    return apart


def _usable(sizes: Floats, width: int, window: timedelta) -> Steps:
    """The first steps of the windows with enough rows; InvalidInput unless each has others that it does not overlap."""
    starts = np.flatnonzero(sizes >= max(1.0, float(np.median(sizes)) / 4)) if len(sizes) else np.empty(0, np.int64)
    long_enough = len(sizes) + width - 1 >= MINIMUM_WINDOWS * width
    if not long_enough or any((np.abs(starts - start) < width).all() for start in starts):
        raise InvalidInput(
            asked=f"Drift needs a reference of at least {MINIMUM_WINDOWS} windows of {window}, end to end.",
            exists=f"This one has {(len(sizes) + width - 1) / width:.1f}; {len(starts)} moving ones hold enough rows.",
            remedy="Give a longer reference, or choose a shorter window.",
        )
    return starts


def _family_factor(apart: Floats, starts: Steps, width: int, family_error: float) -> float:
    """c of the module docstring, from the distances (windows, all sides of all features) and windows' first steps."""
    others = np.array([apart[np.abs(starts - start) >= width].max(axis=0) for start in starts])
    excess = apart / others
    ordinary = excess[:, excess.max(axis=0) <= INCIDENT]
    return max(1.0, float(np.quantile(ordinary.max(axis=1), 1 - family_error))) if ordinary.shape[1] else 1.0


def _loudest(feature: Feature, count: Floats, thinnest: int) -> tuple[float, float]:
    """Score and threshold of the side that comes nearest to its threshold, or passes it furthest."""
    shares, unrest = np.array(feature.shares), np.array(feature.unrest)
    scores = distances(feature.shape, count, shares[None])[0] / unrest
    extra = max(0.0, 1 / count.sum() - 1 / thinnest)  # the sampling variance that no reference window had
    thresholds = np.sqrt(feature.threshold**2 + extra * (noise(feature.shape, shares) / unrest) ** 2)
    loudest = int(np.argmax(scores / thresholds))
    return float(scores[loudest]), float(thresholds[loudest])
