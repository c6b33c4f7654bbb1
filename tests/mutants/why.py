"""Why the mutants survive that do: each was looked at, and none of them makes the gate wrong.

A reason is for the lines as they were before and after; for all errors of a line where ``after`` is None.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutants.mutant import Mutant
from tests.mutants.target import Target


@dataclass(frozen=True)
class Why:
    """One reason, for mutants of ``path``."""

    path: str
    before: str
    after: str | None
    reason: str


PROMOTION = "flows/deciding/promotion.py"
LEDGER = "store/ledger.py"
ORACLE = "tests/store/features/oracle.py"
CERTIFICATE = "flows/certificate.py"
INTERVALS = "flows/deciding/performance.py"
BOOTSTRAP = "flows/deciding/bootstrap.py"
WHYS: tuple[Why, ...] = (
    Why(
        PROMOTION,
        "if ids == others and len(set(ids)) == len(ids):",
        "if ids == others and len(set(ids)) >= len(ids):",
        "Equivalent: a set never has more members than the list it is made of.",
    ),
    Why(
        PROMOTION,
        'passed = _reaches(metric, found.high if metric.better == "higher" else found.low, floor)',
        'passed = _reaches(metric, found.high if metric.better <= "higher" else found.low, floor)',
        'Equivalent: `better` is "higher" or "lower", and "lower" sorts after "higher".',
    ),
    Why(
        LEDGER,
        "start < len(_SEAL)",
        "start <= len(_SEAL)",
        "Harmless: they are alike but for a file that begins with a seal, and such a file is not parquet and cannot be read.",
    ),
    Why(
        ORACLE,
        "known += draw.randint(1, 6) * MICROSECOND",
        "known += draw.randint( 0, 6) * MICROSECOND",
        "Harmless: other worlds are drawn, with fewer late rows and as late ones.",
    ),
    *(
        Why(
            ORACLE,
            before,
            after,
            "Harmless: a range of less than nothing is empty too, so that other worlds are drawn and none is of another kind.",
        )
        for before, after in (
            (
                "found = [self._fact(draw) for _ in range(draw.randint(0, 14))]",
                "found = [self._fact(draw) for _ in range(draw.randint( -1, 14))]",
            ),
            ("for _ in range(draw.randint(0, 10))", "for _ in range(draw.randint( -1, 10))"),
        )
    ),
    Why(
        ORACLE,
        'if self.flavour in ("late", "everything") and draw.random() < 0.5:',
        'if self.flavour in ("late", "everything") and draw.random() <= 0.5:',
        "Harmless: a number drawn is as good as never the half itself.",
    ),
    Why(
        CERTIFICATE,
        'Bound("form", "" if found.get("format") == FORMAT else f"It has format {found.get(\'format\')!r}; this assay reads {FORMAT}."),',
        'Bound("form", "" if found.get("format") is FORMAT else f"It has format {found.get(\'format\')!r}; this assay reads {FORMAT}."),',
        "Equivalent for any small number, of which Python keeps one object.",
    ),
    Why(
        CERTIFICATE,
        'if one["severity"] == "blocks" and one["code"] not in killers and one["code"].startswith(OURS)',
        'if one["severity"] <= "blocks" and one["code"] not in killers and one["code"].startswith(OURS)',
        'Equivalent: `severity` is "blocks" or "warns", and "blocks" sorts first.',
    ),
    Why(
        CERTIFICATE,
        'if one["verdict"] in ("FAIL", "VACUOUS") and one["severity"] == "blocks"',
        'if one["verdict"] in ("FAIL", "VACUOUS") and one["severity"] <= "blocks"',
        'Equivalent: `severity` is "blocks" or "warns", and "blocks" sorts first.',
    ),
    Why(
        CERTIFICATE,
        'return checks + [_survived(one) for one in found["faults"] if one["killed"] is False]',
        'return checks + [_survived(one) for one in found["faults"] if one["killed"] == False]',
        "Equivalent: `killed` is true, false or null.",
    ),
    Why(
        INTERVALS,
        '"max_leaf_nodes": 15,',
        None,
        "Harmless: the baseline is a small model of any such size.",
    ),
    Why(
        INTERVALS,
        'predicted = model.predict(now) if task == "regression" else model.predict_proba(now)[:, 1]',
        'predicted = model.predict(now) if task >= "regression" else model.predict_proba(now)[:, 1]',
        'Equivalent: `task` is "regression" or "classification", which sorts before it.',
    ),
    Why(
        INTERVALS,
        "if len(set(lengths)) > 1 or unknown or lengths[0] < MINIMUM_ROWS or len(blocks) < MINIMUM_BLOCKS:",
        "if len(set(lengths)) > 1 or unknown or lengths[ -1] < MINIMUM_ROWS or len(blocks) < MINIMUM_BLOCKS:",
        "Equivalent: where this is asked, all lengths are one.",
    ),
    Why(
        BOOTSTRAP,
        "@property",
        None,
        "Equivalent: of a Protocol, which only the type checker looks at.",
    ),
    Why(
        BOOTSTRAP,
        "return np.divide(right, total, out=np.full(len(drawn), np.nan), where=total > 0)",
        "return np.divide(right, total, out=np.full(len(drawn), np.nan), where=total != 0)",
        "Equivalent: it is a number of pairs, and never negative.",
    ),
    Why(
        BOOTSTRAP,
        'if metric.name == "roc_auc" and prediction.ndim == 1 and set(np.unique(label).tolist()) == {0, 1}:',
        'if metric.name == "roc_auc" and prediction.ndim == 1 and set(np.unique(label).tolist()) is not {0, 1}:',
        "Harmless: what comes in besides is compared with the metric on all rows, and goes the long way where it differs.",
    ),
)


def why(target: Target, mutant: Mutant) -> str:
    """The reason, empty where nobody has given one."""
    for one in WHYS:
        if (one.path, one.before) == (target.path, mutant.before) and one.after in (None, mutant.after):
            return one.reason
    return ""
