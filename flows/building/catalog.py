"""What the users declared in ``flows/features/``: found by looking into the folder, not by name."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import flows.features
from flows.pipeline import Derived, Facts
from store.errors import InvalidInput, NotFound


@dataclass(frozen=True)
class Catalog:
    """All declared groups by name, facts before what is derived from them, and the digest of each one's code."""

    facts: dict[str, Facts]
    derived: dict[str, Derived]
    digests: dict[str, str]

    def inputs(self, names: Iterable[str]) -> set[str]:
        """The fact groups that these groups are or are derived from."""
        found = set()
        for name in map(base_name, names):
            if name in self.derived:
                found |= set(self.derived[name].inputs)
            elif name in self.facts:
                found.add(name)
            else:
                raise NotFound.among(
                    "feature group", name, [*self.facts, *self.derived], "Declare it in flows/features/."
                )
        return found


def base_name(reference: str) -> str:
    """A group's name without the version it is pinned to: ``airport`` of ``airport@2``."""
    return reference.partition("@")[0]


@functools.cache
def load() -> Catalog:
    """Every module's ``FEATURES`` in ``flows/features/``. InvalidInput: a name twice, or an input that nobody declares."""
    facts: dict[str, Facts] = {}
    derived: dict[str, Derived] = {}
    digests: dict[str, str] = {}
    for found in sorted(pkgutil.iter_modules(flows.features.__path__), key=lambda module: module.name):
        module = importlib.import_module(f"flows.features.{found.name}")
        for declared in _declarations(module):
            name = declared.group.name
            if name in facts or name in derived:
                raise InvalidInput(
                    f"The feature group {name} is declared twice.",
                    f"The second time in {module.__file__}.",
                    "Rename one of them.",
                )
            if isinstance(declared, Facts):
                facts[name] = declared
            else:
                derived[name] = declared
            digests[name] = _digest(module)
    for one in derived.values():
        if unknown := sorted(set(one.inputs) - set(facts)):
            raise InvalidInput(
                f"{one.group.name} is derived from {unknown}, which nobody declares.",
                f"Facts: {', '.join(facts)}.",
                "Declare it as Facts, or derive from one of these.",
            )
    return Catalog(facts, derived, digests)


def _declarations(module: ModuleType) -> tuple[Facts | Derived, ...]:
    try:
        found: tuple[Facts | Derived, ...] = module.FEATURES
    except AttributeError:
        raise InvalidInput(
            f"{module.__file__} declares no FEATURES.", remedy="End it with FEATURES = (Facts(…), Derived(…))."
        ) from None
    return found


def _digest(module: ModuleType) -> str:
    """SHA-256 of the code of the file the group is declared in, without comments and docstrings: any change of what it does asks
    for a new version of its groups."""
    tree = ast.parse(Path(str(module.__file__)).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
            node.body = [one for one in node.body if not _is_text(one)] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
