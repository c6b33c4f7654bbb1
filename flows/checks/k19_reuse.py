"""K19: how often these evaluation rows have been the judge before, and what that is worth.

Whoever tries many versions on the same test rows, and keeps the best, has tuned on them: the best of K equally good models looks better
by up to σ√(2 ln K), with σ the standard error of the metric (the expected maximum of K normal deviates; Boucheron, Lugosi and Massart,
*Concentration Inequalities*, 2013, §2.5). The ledger knows every model that the gate has judged, published or refused, and on which
stretch of time; K counts those whose stretch overlaps the evaluation rows here, and this one. The metric, made worse by that margin,
must still reach the floor.

The control: the evaluation rows can be counted and the metric has a standard error above 0.

Cost: none beside the training that all share.

What does not alarm: models judged on other rows, and a metric that reaches the floor with the margin. It is a warning, and does not
block: a second version on the week's rows is a team's usual day, and the certificate says so; what helps is new data, not another try.
Not seen: versions that were scored elsewhere and never came to this gate.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from flows.checks.check import Check, Seen, Severity
from flows.checks.world import World
from flows.deciding.performance import Interval, attempted, single


def look(world: World) -> Seen:
    """Count the judgements on these rows, and hold the metric against the floor with the margin they ask for."""
    metric, floor = world.pipeline.metric, world.pipeline.floor
    rows = world.judged.drop_nulls("label")
    times = rows.get_column("event_time")
    overlaps = {one: bool(times.is_between(one.start, one.end).any()) for one in set(world.judges)}
    earlier = sum(overlaps[one] for one in world.judges)
    interval = attempted(lambda: single(rows["label"], rows["prediction"], times.dt.date(), metric), lambda why: None)
    if interval is None:
        return Seen("", excuse=f"{metric.name} has no interval on the {rows.height:,} evaluation rows of this slice.")
    error, tries = _standard_error(interval), earlier + 1
    if error == 0:
        drawn = f"the {rows.height:,} evaluation rows of this slice"
        said = f"{metric.name} is {interval.estimate:g} on every draw of {drawn}: chance has no part in it."
        return Seen("", excuse=said)
    margin = error * math.sqrt(2 * math.log(tries))
    kept = interval.estimate - margin if metric.better == "higher" else interval.estimate + margin
    missed = metric.reaches(interval.estimate, floor) and not metric.reaches(kept, floor)
    numbers = {
        "rows": rows.height,
        "judged_before": earlier,
        "standard_error": error,
        "margin": margin,
        "value": interval.estimate,
    }
    sentence = (
        f"These {rows.height:,} evaluation rows have judged {earlier} earlier models of {world.pipeline.name}; the best of {tries} "
        f"looks better by up to {margin:.4f}, and {metric.name} is then {kept:.4f} for a floor of {floor:g}."
    )
    if missed:
        sentence += " It no longer reaches it: judge the next version on newer rows."
    return Seen(sentence, error * rows.height, numbers, failed=missed)


CHECK = Check("K19", "reuse", look, Severity.WARNS)


def _standard_error(interval: Interval) -> float:
    return (interval.high - interval.low) / (2 * NormalDist().inv_cdf((1 + interval.level) / 2))
