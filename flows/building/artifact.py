"""Models as bytes and back: skops, made byte-stable on the way out and bounded on the way in.

Out: skops names members and objects by memory address and stamps the archive with the time, so the same model never has
the same bytes. Here objects and members are renumbered in traversal order, sets are sorted, padding is zeroed, and the
archive is stored under a fixed date: one model, one SHA-256, whatever the process or the hash seed.

In: the types a file may build are skops' own list, a few internals of scikit-learn (``INTERNALS``), types of the
digest-verified package itself, and what its contract lists as ``trusted``; never the file's own claim. skops alone is
no boundary against a crafted file: here its size is capped before anything is parsed, every array must be as long as
its header says, and what is known to crash later (a relabelled scalar, a patched random state) is refused. The boundary
proper stands before this: the digest from the ledger, and a child process with limits for a first load.
"""

from __future__ import annotations

import io
import json
import math
import sys
import zipfile
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import skops.io

from flows.building import archive
from store.errors import InvalidInput, Refused

MAX_BYTES = 512 * 1024 * 1024
"""The most an archive may hold, unpacked."""

INTERNALS = frozenset(
    {
        "builtins.frozenset",
        "functools.partial",
        "numpy.dtype",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils.validation.check_array",
    }
)
"""What fitted HistGradientBoosting, MLP, calibrated, nearest-neighbour and tree models hold besides skops' list."""

_SCHEMA = "schema.json"
_SEEN = "CachedNode"
_LOADED = {"key_types": 0, "__reduce__": 2}  # skops loads these parts of a node first and last
_LEAVES = ("TypeNode", "FunctionNode")
_RANDOM_STATE_WORDS = 624
Node = dict[str, Any]


def dumps(model: Any) -> bytes:
    """The model as one archive. The same model has the same bytes in any process.

    InvalidInput: it holds something that cannot be stored (a lambda, a local class, an open file), which is named.
    """
    try:
        members = _members(skops.io.dumps(model))
    except Refused:
        raise
    except Exception as error:  # skops and __reduce__ of whatever the model holds raise what they like
        raise InvalidInput(
            f"A {_name(type(model))} cannot be stored: {type(error).__name__}: {error}.",
            remedy="Let the model hold estimators, arrays and plain values only.",
        ) from error
    schema = json.loads(members.pop(_SCHEMA))
    if lost := sorted({_type(node) for node in _nodes(schema) if not _importable(node)}):
        raise InvalidInput(
            f"A {_name(type(model))} that holds {', '.join(lost)} cannot be stored.",
            "A stored function or class is found again by its module and name.",
            "Define it at the top of a module of the pipeline's folder.",
        )
    return _archive(*_renumbered(schema, members))


def untrusted(data: bytes) -> list[str]:
    """The types in the archive that are neither on skops' list nor in ``INTERNALS``, sorted. Refused: as ``loads``."""
    return _audited(_archived(data))


def loads(data: bytes, *, trusted: Collection[str], package: str = "") -> Any:
    """The model back from its bytes.

    ``trusted``: full names of types the contract lists. ``package``: the package's top-level module, whose types may be
    built. Refused: not an archive of a model, too large unpacked, damaged or crafted, or holding any other type.
    """
    checked = _archived(data)
    needed = _audited(checked)
    refused = [name for name in needed if name not in trusted and not (package and name.startswith(f"{package}."))]
    if refused:
        allowed = [*sorted(trusted), *([f"{package}.*"] if package else [])]
        raise Refused(
            f"The model holds {', '.join(refused)}, which must not be built from a file.",
            f"Allowed besides skops' list: {', '.join(allowed) or 'nothing'}.",
            "If it belongs there, list it in the pipeline's `trusted`.",
        )
    try:
        return skops.io.loads(checked, trusted=[*INTERNALS, *needed])
    except Exception as error:  # MemoryError included: whatever a crafted or foreign file makes constructors raise
        raise _damaged(f"{type(error).__name__}: {error}") from error


# ---- in -----------------------------------------------------------------------------------------------------------


def _archived(data: bytes) -> bytes:
    """The same archive, measured and checked, with every member stored plainly under its own name."""
    members = _members(data)
    try:
        schema = json.loads(members[_SCHEMA])
        twins: dict[Any, Node] = {}
        left = MAX_BYTES - sum(map(len, members.values()))
        for node in _nodes(schema):
            _check_twin(node, twins)
            left -= _check_node(node, members, left)
    except Refused:
        raise
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(f"{type(error).__name__}: {error}") from error
    return _archive(schema, {name: content for name, content in members.items() if name != _SCHEMA})


def _members(data: bytes, most: int = MAX_BYTES) -> dict[str, bytes]:
    """Name to content, at most so many bytes in all."""
    try:
        return archive.members(data, most)
    except archive.TooLarge as error:
        raise Refused("The stored model is too large.", f"Found: {error}.", "Nothing was loaded.") from error
    except archive.Unreadable as error:
        raise _damaged(str(error)) from error


def _check_twin(node: Node, twins: dict[Any, Node]) -> None:
    """skops builds the first node of an id and ignores later ones: they must say the same, or a check can be evaded."""
    identity = node.get("__id__")
    if identity is not None and node["__loader__"] != _SEEN and twins.setdefault(identity, node) != node:
        raise _damaged(f"object {identity} is described twice, differently")


def _check_node(node: Node, members: Mapping[str, bytes], left: int) -> int:
    """Refuse what would crash or grow later. How many bytes of ``left`` it takes: a sparse matrix is an archive itself."""
    loader = node["__loader__"]
    if loader == "NdArrayNode" and node["type"] == "numpy":
        dtype, shape = _header(members[node["file"]])
        is_scalar = node["__module__"] == "numpy" and node["__class__"] != "ndarray"
        if is_scalar and (shape != () or dtype.type.__name__ != node["__class__"]):
            raise _damaged(f"a {dtype} array of shape {shape} is labelled {_type(node)}")
    elif loader == "SparseMatrixNode":
        parts = _members(members[node["file"]], left).values()
        for content in parts:
            _header(content)
        return sum(map(len, parts))
    elif loader == "RandomStateNode":
        position = json.loads(node["content"]["content"]["state"]["content"]["pos"]["content"])
        if not 0 <= position <= _RANDOM_STATE_WORDS:
            raise _damaged(f"a random state stands at {position} of {_RANDOM_STATE_WORDS}")
    return 0


def _header(content: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The dtype and shape of an array in numpy's format, whose length must be what they make."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise _damaged(f"an array of shape {shape} and dtype {dtype} has {len(content) - file.tell():,} bytes")
    return dtype, shape


def _audited(data: bytes) -> list[str]:
    try:
        return [name for name in skops.io.get_untrusted_types(data=data) if name not in INTERNALS]
    except Exception as error:  # its nodes raise KeyError, TypeError, RecursionError on what they do not know
        raise _damaged(f"{type(error).__name__}: {error}") from error


def _damaged(why: str) -> Refused:
    return Refused("These bytes are no stored model.", f"Found: {why}.", "Restore it from a copy, or train again.")


# ---- out ----------------------------------------------------------------------------------------------------------


def _nodes(value: Any) -> Iterator[Node]:
    """Every node of a skops tree, parents first. A user's dictionary inside one is no node, whatever its keys."""
    if isinstance(value, dict):
        if _is_node(value):
            yield value
        for child in value.values():
            yield from _nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from _nodes(child)


def _is_node(value: dict[str, Any]) -> bool:
    return isinstance(value.get("__loader__"), str)


def _renumbered(schema: Node, members: Mapping[str, bytes]) -> tuple[Node, dict[str, bytes]]:
    ids, files = dict[Any, int](), dict[str, str]()

    def canonical(value: Any) -> Any:
        if isinstance(value, list):
            return [canonical(child) for child in value]
        if not isinstance(value, dict):
            return value
        if not _is_node(value):
            return {key: canonical(child) for key, child in value.items()}
        if value["__loader__"] == "JsonNode":  # which strings and numbers are one object is chance
            return {key: child for key, child in value.items() if key != "__id__"}
        seen = value.get("__id__") in ids
        node = _sorted(value)
        if "__id__" in node:
            node = node | {"__id__": ids.setdefault(node["__id__"], len(ids) + 1)}
        if seen and node["__loader__"] not in _LEAVES:  # described above; its state may be made anew at each visit
            return {key: node[key] for key in ("__id__", "__class__", "__module__")} | {"__loader__": _SEEN}
        if isinstance(old := node.get("file"), str):
            node = node | {"file": files.setdefault(old, f"{len(files) + 1}.{old.rpartition('.')[2]}")}
        order = sorted(node, key=lambda key: _LOADED.get(key, 1))
        return {key: node[key] if key == "file" else canonical(node[key]) for key in order}

    return canonical(schema), {new: _unpadded(new, members[old]) for old, new in files.items()}


def _sorted(node: Node) -> Node:
    """A set's members in a fixed order; a frozenset's stand in a list in a tuple."""
    if node["__loader__"] == "SetNode":
        return node | {"content": sorted(node["content"], key=_content)}
    if _type(node) == "builtins.frozenset":
        (items,) = node["content"]["content"]
        items = items | {"content": sorted(items["content"], key=_content)}
        return node | {"content": node["content"] | {"content": [items]}}
    return node


def _content(node: Any) -> str:
    """A node's content as text, without names that are chance."""
    if isinstance(node, dict):
        node = {key: _content(child) for key, child in node.items() if key not in ("__id__", "file")}
    elif isinstance(node, list):
        node = [_content(child) for child in node]
    return json.dumps(node)


def _unpadded(name: str, content: bytes) -> bytes:
    """An array of records with zeros between its fields, where memory happens to hold anything."""
    if not name.endswith(".npy") or (dtype := _header(content)[0]).names is None:
        return content
    array, clean = np.load(io.BytesIO(content), allow_pickle=False), io.BytesIO()
    zeroed = np.zeros(array.shape, dtype)
    for field in dtype.names or ():
        zeroed[field] = array[field]
    np.save(clean, zeroed, allow_pickle=False)
    return clean.getvalue()


def _archive(schema: Node, members: Mapping[str, bytes]) -> bytes:
    """A zip of stored members in the given order, schema first, with a fixed date."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as made:
        for name, content in {_SCHEMA: json.dumps(schema).encode(), **members}.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o600 << 16
            made.writestr(info, content)
    return buffer.getvalue()


def _importable(node: Node) -> bool:
    return hasattr(sys.modules.get(node["__module__"]), node["__class__"])


def _type(node: Node) -> str:
    return f"{node['__module__']}.{node['__class__']}"


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
