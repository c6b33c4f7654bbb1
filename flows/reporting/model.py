"""A training's report, in markdown: what was trained on what, how good it is, where it is weak, who serves."""

from __future__ import annotations

from typing import Any


def markdown(built: dict[str, Any], outcome: str, reasons: list[str]) -> str:
    """The report of one training, from its result (see ``flows.building.__main__.train``)."""
    manifest, parts = built["manifest"], built["parts"]
    lines = [
        f"# {manifest['name']} {manifest['version']}: {outcome}",
        "",
        *[f"- {reason}" for reason in reasons],
        "",
        f"Snapshot `{built['snapshot'][:8]}`, {built['window']['start'][:16]} to {built['window']['end'][:16]} UTC.",
        "",
        "| part | rows | from (UTC) | to (UTC) |",
        "|---|--:|---|---|",
        *[f"| {name} | {part['rows']:,} | {part['start'][:16]} | {part['end'][:16]} |" for name, part in parts.items()],
        "",
        "| metric on the test rows | value |",
        "|---|--:|",
        *[f"| {name} | {_number(value, ',.4g')} |" for name, value in built["metrics"].items()],
        "",
        *_slices(built),
        "| trial | parameters | " + manifest["metric"] + " on validation |",
        "|--:|---|--:|",
        *[
            f"| {number} | {trial['parameters'] or 'defaults'}{_chosen(built, trial)} | {_number(trial['value'])} |"
            for number, trial in enumerate(built["trials"])
        ],
        "",
        "Time by step: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in built["seconds"].items()) + ".",
    ]
    return "\n".join(lines)


def _number(value: float | None, form: str = ".4f") -> str:
    """The number, or a dash where it is not defined (a slice with one class, a trial that gave NaN)."""
    return "–" if value is None else format(value, form)


def _chosen(built: dict[str, Any], trial: dict[str, Any]) -> str:
    return " **chosen**" if trial["parameters"] == built["parameters"] else ""


def _slices(built: dict[str, Any]) -> list[str]:
    if not built["slices"]:
        return []
    rows = [
        f"| {one['slice']} = {one['member']} | {one['rows']:,} | {_number(one['value'])} |" for one in built["slices"]
    ]
    return [f"| slice | rows | {built['manifest']['metric']} |", "|---|--:|--:|", *rows, ""]
