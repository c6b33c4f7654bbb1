"""The ledger as people tell it: a sentence a row."""

from __future__ import annotations

from console.pages.parts.words import REASONS, STARTED, count, listed, metric, value
from store.ledger import Row


def told(row: Row) -> str:
    """A ledger row as a sentence without its time."""
    body, short = row.body, row.digest[:8]
    where, name = f" in {row.environment}" if row.environment else "", row.subject
    found = (
        f"{metric(body.metric)} {value(body.value)}" if row.action in ("package.published", "model.registered") else ""
    )
    said = {
        "group.declared": lambda: f"Feature group {name} declared, version {body.version}",
        "snapshot.frozen": lambda: f"Training set of {name} frozen: {count(body.rows, 'row')} to {body.window_end[:10]}",
        "data.explored": lambda: f"Data of {name} analysed: {body.verdict}",
        "package.published": lambda: f"{name} {body.version} passed the gate and was published, {found}",
        "package.refused": lambda: f"{name} {body.version} was refused at the gate: {body.sentence}",
        "package.tried": lambda: f"{name} {body.version} {'kept' if body.passed else 'broke'} its applications' contract in test",
        "package.approved": lambda: f"{name} {body.version} approved for production",
        "package.delivered": lambda: f"{name} {body.label} delivered to {row.environment}",
        "package.rolled_back": lambda: f"{name} rolled back to package {body.label}{where}",
        "model.registered": lambda: f"Model {short} of {name} registered, {found}{where}",
        "model.judged": lambda: f"Challenger {short} of {name} judged: {body.outcome}",
        "model.promoted": lambda: f"Model {short} of {name} became {body.alias}{where}",
        "model.rolled_back": lambda: f"{name} rolled back to model {short}{where}",
        "model.served": lambda: f"The service of {name} answers with model {short}{where}",
        "model.load_refused": lambda: f"The service of {name} refused to load {short}: {body.error}",
        "monitor.decided": lambda: f"Week to {body.window_end[:10]} of {name} judged: {len(body.drifted)} of {len(body.features)} drift",
        "report.drawn": lambda: f"Report of {name} drawn for {body.window_start[:10]} … {body.window_end[:10]}",
        "due.opened": lambda: f"Retraining of {name} became due: {listed([REASONS[kind] for kind in body.kinds])}",
        "due.claimed": lambda: f"Retraining of {name} taken by a run of {STARTED.get(body.by, body.by)}",
        "due.closed": lambda: f"Retraining of {name} ended: {body.outcome}",
    }  # fmt: skip
    return said.get(row.action, lambda: f"{row.action} of {name}{where}")()
