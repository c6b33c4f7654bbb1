"""Where a model comes from, and what served at one second: the ledger's rows of it, put together. As plain values, for people and JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from store import clock, ledger
from store.errors import NotFound
from store.layout import Root
from store.registry import aliases, dues, history, models, packages
from store.registry.models import Model


def model(root: Root, which: str) -> dict[str, Any]:
    """A model by version or digest (8 characters suffice), of whatever pipeline and environment: lineage, reasons, decisions, reigns.

    NotFound names the models there are.
    """
    found = _found(root, which)
    package = packages.get(root, found.pipeline, found.body.package)
    body = found.body
    return {
        "model": found.version,
        "digest": found.digest,
        "pipeline": found.pipeline,
        "environment": found.environment,
        "registered": found.registered_at,
        "by": found.actor,
        body.metric: body.value,
        "interval": [body.low, body.high],
        "parameters": body.parameters,
        "trained on": f"{body.train_start[:10]} … {body.train_end[:10]}, {body.rows:,} rows",
        "tested on": f"{body.test_start[:10]} … {body.test_end[:10]}",
        "package": f"{package.version} ({package.digest[:8]})",
        "commit": package.body.commit or None,
        "source tree": package.body.tree,
        "feature groups": package.body.groups,
        **_data(root, found),
        "why trained": _reasons(root, found),
        "decided": [
            f"{clock.printed(row.store_time)}: {row.body.outcome}. {' '.join(row.body.reasons)}"
            for row in ledger.find(root, action="model.judged", digest=found.digest, environment=found.environment)
        ],
        "served": [
            f"{clock.printed(one.start)} … {clock.printed(one.end) if one.end else 'now'}: {one.reason}"
            for one in history.reigns(root, found.pipeline, found.environment)
            if one.digest == found.digest
        ],
    }


def reigns(root: Root, pipeline: str, environment: str) -> list[dict[str, Any]]:
    """Every champion there was, oldest first."""
    known = {found.digest: found for found in models.listed(root, pipeline, environment)}
    return [
        {
            "from": one.start, "until": one.end, "champion": one.label, "digest": one.digest,
            "package": known[one.digest].body.package if one.digest in known else None, "by": one.actor, "why": one.reason,
        }
        for one in history.reigns(root, pipeline, environment)
    ]  # fmt: skip


def serving(root: Root, pipeline: str, environment: str, instant: datetime) -> dict[str, Any]:
    """Which model, package and data served at an instant of store time. NotFound: nothing did, or not yet."""
    reign = history.at(root, pipeline, environment, instant)
    if reign is None:
        known = history.reigns(root, pipeline, environment)
        first = f"The first serves since {clock.printed(known[0].start)}." if known else "It never had one."
        raise NotFound(
            f"{pipeline} had no champion in {environment} at {clock.printed(instant)}.",
            first,
            "Ask for a later time, or train it.",
        )
    found = models.get(root, pipeline, environment, reign.digest)
    deployed = history.at(root, pipeline, environment, instant, aliases.DEPLOYED)
    answered = [
        row
        for row in ledger.find(
            root, action="model.served", subject=pipeline, digest=reign.digest, environment=environment
        )
        if row.store_time <= instant
    ]
    return {
        "at": instant,
        "pipeline": pipeline,
        "environment": environment,
        "model": reign.label,
        "digest": reign.digest,
        "champion since": reign.start,
        "until": reign.end,
        "a service answered with it since": answered[0].store_time if answered else None,
        "why": reign.reason,
        "package": deployed.label if deployed else None,
        "package digest": deployed.digest if deployed else None,
        "trained by package": found.body.package,
        "trained on": f"{found.body.train_start[:10]} … {found.body.train_end[:10]}, {found.body.rows:,} rows",
        **_data(root, found),
    }


def _found(root: Root, which: str) -> Model:
    known = models.listed(root)
    for one in reversed(known):
        if one.version == which or (len(which) >= 8 and one.digest.startswith(which)):
            return one
    raise NotFound.among("model", which, {one.version for one in known}, "See `assay models`.")


def _data(root: Root, found: Model) -> dict[str, Any]:
    frozen = ledger.find(root, action="snapshot.frozen", digest=found.body.snapshot)
    if not frozen:
        return {"snapshot": found.body.snapshot}
    body = frozen[-1].body
    return {
        "snapshot": found.body.snapshot,
        "snapshot rows": body.rows,
        "snapshot window": f"{body.window_start[:16]} … {body.window_end[:16]} UTC",
        "table versions": body.tables,
    }


def _reasons(root: Root, found: Model) -> list[str]:
    """Why it was trained; the gate's own model had no due."""
    if found.body.due is None:
        return ["It is the model of the gate." if found.body.gate else "No due asked for it."]
    due = dues.get(root, found.body.due)
    return [f"due {due.id[:8]} of {clock.printed(due.opened.store_time)}", *due.reasons]
