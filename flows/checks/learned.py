"""What a fitted model has learned, as far as it can be reached: every number, text and array below it, by its path.

Objects are walked through their state (``__getstate__``, which compiled ones such as scikit-learn's trees have too),
so a wrapper hides nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

DEEPEST = 60
_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic)


def learned(model: Any) -> dict[str, str]:
    """Path (such as ``.steps[1][1].coef_``) to the value: text of a scalar, digest of an array's dtype, shape and
    bytes."""
    found: dict[str, str] = {}
    _walk(model, "", found, {}, 0)
    return found


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The paths whose values differ, or that only one of the two has."""
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


def reached(model: Any) -> Iterator[Any]:
    """The model and every object with attributes of its own that can be reached below it, each once."""
    seen, waiting = dict[int, Any](), [(model, 0)]
    while waiting:
        value, depth = waiting.pop()
        if id(value) in seen or depth > DEEPEST or isinstance(value, _PLAIN):
            continue
        seen[id(value)] = value
        if hasattr(value, "__dict__") and not isinstance(value, type):
            yield value
        if not (isinstance(value, np.ndarray) and value.dtype != object):
            waiting += [(part, depth + 1) for _, part in _parts(value, "", {})]


def _walk(value: Any, path: str, found: dict[str, str], seen: dict[int, Any], depth: int) -> None:
    if isinstance(value, _PLAIN):
        found[path] = repr(value)
        return
    if isinstance(value, np.ndarray) and value.dtype != object:
        plain = np.ascontiguousarray(value)
        found[path] = f"{value.dtype} {value.shape} {hashlib.blake2b(plain.tobytes(), digest_size=16).hexdigest()}"
        return
    if id(value) in seen or depth > DEEPEST:
        return
    seen[id(value)] = value  # held, so that no other object can take its id while we walk
    for step, part in _parts(value, path, found):
        _walk(part, path + step, found, seen, depth + 1)


def _parts(value: Any, path: str, found: dict[str, str]) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, list | tuple | np.ndarray):
        return [(f"[{position}]", part) for position, part in enumerate(value)]
    if isinstance(value, set | frozenset):
        return [("{}", sorted(map(repr, value)))]
    if isinstance(value, type) or (callable(value) and not hasattr(value, "__dict__")):
        found[path] = getattr(value, "__qualname__", type(value).__qualname__)
        return []
    return _state(value)


def _state(value: Any) -> list[tuple[str, Any]]:
    """The parts of an object's state: its attributes, and slots or whatever else it would be stored by."""
    try:
        state = value.__getstate__()
    except Exception:  # what cannot be stored can still be looked at
        state = getattr(value, "__dict__", None)
    if isinstance(state, dict):
        return [(f".{name}", part) for name, part in state.items()]
    return [] if state is None else [(".state", state)]
