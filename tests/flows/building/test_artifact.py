"""What a stored model promises: the same bytes for the same model, and nothing built that may not be."""

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler

from flows.building import artifact
from store.errors import InvalidInput, Refused

WORKSPACE = Path(__file__).parents[3]
CHANCE = np.random.default_rng(0)
X = CHANCE.normal(size=(80, 3))
Y = (X[:, 0] + CHANCE.normal(size=80) > 0).astype(float)
TABLE = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": ["x", "y"] * 40})


def of_the_table():
    names = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=float("nan"))
    columns = make_column_transformer((names, ["c"]), remainder="passthrough")
    return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=5, categorical_features=[0], random_state=0))


MODELS = {
    "logistic": LogisticRegression,
    "forest": lambda: RandomForestClassifier(5, random_state=np.random.RandomState(3)),
    "boosting": lambda: GradientBoostingRegressor(n_estimators=5, random_state=0),
    "network": lambda: make_pipeline(StandardScaler(), MLPClassifier(max_iter=300, tol=0.1, random_state=0)),
    "calibrated": lambda: CalibratedClassifierCV(LogisticRegression()),
    "isotonic": lambda: CalibratedClassifierCV(LogisticRegression(), method="isotonic"),
    "neighbours": KNeighborsClassifier,
    "stacked": lambda: StackingClassifier([("a", LogisticRegression()), ("b", RandomForestClassifier(3))]),
}


class Own(LogisticRegression):
    """A class of the pipeline's own, as far as this module is the package."""


class Odd(LogisticRegression):
    """Holds sets, whose order is the hash seed's."""

    def fit(self, data, labels):
        self.names_ = {"alpha", "beta", "gamma", "delta"}
        self.frozen_ = frozenset({"one", "two", "three"})
        self.file = {"file": "a.npy", "__id__": 7}
        return super().fit(data, labels)


def predicted(model, data=X):
    return model.predict_proba(data) if hasattr(model, "predict_proba") else model.predict(data)


@pytest.mark.parametrize("name", MODELS)
def test_a_stored_model_predicts_as_before_and_needs_no_extra_trust(name):
    model = MODELS[name]().fit(X, Y)
    data = artifact.dumps(model)
    assert artifact.dumps(model) == data
    assert artifact.untrusted(data) == []
    assert np.array_equal(predicted(artifact.loads(data, trusted=())), predicted(model))


def test_trees_over_encoded_text_are_stored_too():
    model = of_the_table().fit(TABLE, Y)
    loaded = artifact.loads(artifact.dumps(model), trusted=())
    assert np.array_equal(predicted(loaded, TABLE), predicted(model, TABLE))


def test_one_model_has_one_digest_whatever_the_process_and_its_hash_seed():
    code = (
        "import hashlib\nfrom tests.flows.building import test_artifact as t\nfrom flows.building import artifact\n"
        "for m in (t.of_the_table().fit(t.TABLE, t.Y), t.MODELS['forest']().fit(t.X, t.Y), t.Odd().fit(t.X, t.Y)):\n"
        "    print(hashlib.sha256(artifact.dumps(m)).hexdigest())\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(WORKSPACE)},
        ).stdout
        for seed in ("0", "1")
    }  # fmt: skip
    assert len(digests) == 1
    assert len(next(iter(digests)).split()) == 3


def test_a_loaded_model_is_stored_as_the_same_bytes():
    data = artifact.dumps(of_the_table().fit(TABLE, Y))
    assert artifact.dumps(artifact.loads(data, trusted=())) == data


def test_a_class_of_the_package_may_be_built_and_of_another_may_not():
    data = artifact.dumps(Own().fit(X, Y))
    (name,) = artifact.untrusted(data)
    assert isinstance(artifact.loads(data, trusted=(), package=Own.__module__), Own)
    assert isinstance(artifact.loads(data, trusted=[name]), Own)
    with pytest.raises(Refused, match=r"Own, which must not be built.*list it in the pipeline's `trusted`"):
        artifact.loads(data, trusted=(), package=Own.__module__[:-1])


def test_sets_and_keys_that_look_like_nodes_come_back_as_they_were():
    model = Odd().fit(X, Y)
    loaded = artifact.loads(artifact.dumps(model), trusted=(), package=Odd.__module__)
    assert (loaded.names_, loaded.frozen_, loaded.file) == (model.names_, model.frozen_, model.file)


@pytest.mark.parametrize("held", [lambda x: x, print, open(os.devnull)], ids=["lambda", "print", "file"])  # noqa: SIM115
def test_what_cannot_be_stored_is_said_when_storing(held):
    model = LogisticRegression().fit(X, Y)
    model.held_ = held
    if held is print:
        assert "builtins.print" in artifact.untrusted(artifact.dumps(model))
        return
    with pytest.raises(InvalidInput, match="cannot be stored"):
        artifact.dumps(model)


def test_a_lambda_is_named():
    with pytest.raises(InvalidInput, match=r"Pipeline that holds .*<lambda> cannot be stored"):
        artifact.dumps(make_pipeline(FunctionTransformer(lambda x: x), LogisticRegression()).fit(X, Y))


# ---- crafted ------------------------------------------------------------------------------------------------------


def unzipped(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(members.pop("schema.json")), members


def zipped(schema, members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("schema.json", json.dumps(schema))
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def refused(data, match="no stored model"):
    with pytest.raises(Refused, match=match):
        artifact.loads(data, trusted=())


GOOD = artifact.dumps(RandomForestClassifier(2, random_state=np.random.RandomState(3)).fit(X, Y))


GARBAGE = [b"", b"garbage", GOOD[:-30], GOOD[100:], b"PK\x05\x06" + bytes(18), zipped([], {}), zipped({}, {})]


@pytest.mark.parametrize("data", GARBAGE)
def test_bytes_that_are_no_model_are_refused(data):
    refused(data)
    with pytest.raises(Refused):
        artifact.untrusted(data)


def test_any_cut_and_many_flips_are_refused_or_harmless():
    for place in range(0, len(GOOD), len(GOOD) // 60):
        for data in (GOOD[:place], GOOD[:place] + bytes([GOOD[place] ^ 0x55]) + GOOD[place + 1 :]):
            try:
                artifact.loads(data, trusted=())
            except Refused:
                continue
            assert len(data) == len(GOOD)  # a flip in what an archive does not use


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is_parsed(monkeypatch):
    schema, members = unzipped(GOOD)
    bomb = zipped(schema, members | {"tail.npy": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(artifact, "_members", lambda data, most=5_000_000, read=artifact._members: read(data, most))
    refused(bomb, "too large")


def test_archives_inside_the_archive_are_measured_together_with_it(monkeypatch):
    model = LogisticRegression().fit(X, Y)
    model.held_ = [scipy.sparse.csr_matrix(np.ones((300, 300))) for _ in range(5)]
    data = artifact.dumps(model)
    assert len(artifact.untrusted(data)) == 1
    monkeypatch.setattr(artifact, "MAX_BYTES", len(data) + 4_000_000)
    refused(data, "too large")


@pytest.mark.parametrize("inside", ["alone", "as the schema", "as an array", "as a member of objects"])
def test_a_renamed_pickle_is_refused_and_runs_nothing(tmp_path, inside):
    mark = tmp_path / "ran"
    evil = pickle.dumps(Evil(str(mark)))
    schema, members = unzipped(GOOD)
    name = next(name for name in members if name.endswith(".npy"))
    objects = io.BytesIO()
    np.lib.format.write_array_header_1_0(objects, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    data = {
        "alone": evil,
        "as the schema": zipped(schema, members).replace(b"schema.json", b"schema.jsan"),
        "as an array": zipped(schema, members | {name: evil}),
        "as a member of objects": zipped(schema, members | {name: objects.getvalue() + evil}),
    }[inside]
    refused(data)
    with pytest.raises(Refused):
        artifact.untrusted(data)
    assert not mark.exists()


def test_an_array_longer_than_its_header_is_refused():
    schema, members = unzipped(GOOD)
    name = next(name for name in members if name.endswith(".npy"))
    refused(zipped(schema, members | {name: members[name] + bytes(1000)}, zipfile.ZIP_DEFLATED), "has .* bytes")


def test_an_array_that_claims_a_huge_shape_is_refused():
    schema, members = unzipped(GOOD)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**11,)})
    refused(zipped(schema, dict.fromkeys(members, buffer.getvalue() + bytes(8))), "has .* bytes")


def test_a_relabelled_array_is_refused():
    schema, members = unzipped(artifact.dumps(LogisticRegression().fit(X, Y)))
    for node in artifact._nodes(schema):
        if node["__loader__"] == "NdArrayNode":
            node["__class__"] = "bytes_"
    refused(zipped(schema, members), "labelled numpy.bytes_")


def crafted_position(schema, change):
    for node in artifact._nodes(schema):
        if node["__loader__"] == "RandomStateNode":
            change(node["content"]["content"]["state"]["content"], "pos")


def test_a_patched_random_state_is_refused():
    schema, members = unzipped(GOOD)
    crafted_position(schema, lambda state, key: state[key].update(content="99999999"))
    refused(zipped(schema, members), "stands at 99999999")


def test_a_check_cannot_be_evaded_by_describing_an_object_twice():
    schema, members = unzipped(GOOD)
    evil = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "__id__": 999, "content": "9999999"}
    crafted_position(schema, lambda state, key: state.update({key: evil | {"content": "3"}}))
    schema["content"]["content"] = {"evil": evil} | schema["content"]["content"]
    refused(zipped(schema, members), "described twice")


def test_a_type_that_is_on_no_list_is_refused_by_name():
    schema, members = unzipped(artifact.dumps(LogisticRegression().fit(X, Y)))
    schema["__module__"], schema["__class__"] = "subprocess", "Popen"
    refused(zipped(schema, members), "subprocess.Popen, which must not be built")
