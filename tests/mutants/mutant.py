"""The mutants of a source file: Cosmic Ray's, but for those of annotations, which no run can tell from the original."""

from __future__ import annotations

import ast
import difflib
import random
from collections.abc import Iterator
from dataclasses import dataclass

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from tests.mutants.target import Target

SEED = 5
Place = tuple[int, int]
"""Line from 1 and column from 0."""


@dataclass(frozen=True)
class Mutant:
    """One error. ``before`` and ``after``: the lines that differ, stripped; ``text``: the whole file with it."""

    line: int
    before: str
    after: str
    text: str


def chosen(target: Target, source: str, *, full: bool) -> tuple[list[Mutant], int]:
    """The mutants to try, in the order of their lines, and how many there are: always the same ones of the same source."""
    spots = list(_spots(target, source))
    picked = (
        spots
        if full or len(spots) <= target.sample
        else random.Random(f"{SEED} {target.name}").sample(spots, target.sample)
    )
    mutants = [_mutant(source, name, occurrence, line) for name, occurrence, line in picked]
    return sorted(mutants, key=lambda mutant: (mutant.line, mutant.after)), len(spots)


def _spots(target: Target, source: str) -> Iterator[tuple[str, int, int]]:
    """Operator, the how-manieth place of it, and line of every mutant of the target."""
    tree = ast.parse(source)
    nodes = list(ast_nodes(get_ast(source)))
    outside = list(_annotations(tree))
    inside = [
        _extent(node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in target.functions
    ]
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments():
            continue
        places = (start for node in nodes for start, _ in operator().mutation_positions(node))
        for occurrence, place in enumerate(places):
            if not _within(place, outside) and (not target.functions or _within(place, inside)):
                yield name, occurrence, place[0]


def _annotations(tree: ast.AST) -> Iterator[tuple[Place, Place]]:
    for node in ast.walk(tree):
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if part is not None:
                yield _extent(part)


def _extent(node: ast.AST) -> tuple[Place, Place]:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def _within(place: Place, extents: list[tuple[Place, Place]]) -> bool:
    return any(first <= place < last for first, last in extents)


def _mutant(source: str, name: str, occurrence: int, line: int) -> Mutant:
    text = mutate_code(source, get_operator(name)(), occurrence)
    differing = [one for one in difflib.ndiff(source.splitlines(), text.splitlines()) if one[:2] in ("- ", "+ ")]
    before, after = (" ".join(one[2:].strip() for one in differing if one[0] == sign).strip() for sign in "-+")
    return Mutant(line, before, after, text)
