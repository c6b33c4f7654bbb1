"""What the store remembers, as tables for people and as JSON for programs."""

import json

import pytest

from store import blobs, ledger
from store.registry import history, models
from tests.worlds import NOW

READING = {
    ("packages",): "flight_delay",
    ("models",): "champion",
    ("dues",): "promoted",
    ("status",): "not judged yet",
    ("history", "flight_delay"): "rows were compared",
    ("ledger",): "model.promoted",
    ("ledger", "verify"): "rows, all in their chain",
    ("ledger", "row", "1"): "group.declared",
    ("sql",): "predictions_test_flight_delay",
    ("sql", "SELECT DISTINCT pipeline FROM models"): "arrival_minutes",
    ("doctor",): "all in their chain",
}


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_a_reading_verb_tells_people_and_programs_the_same(assay, delivered, words):
    """A table or sentences as text; the same data, whole, as JSON; nothing else on standard output, and the root is unchanged."""
    head = ledger.head(delivered)
    code, out, err = assay(delivered, *words)
    assert (code, err) == (0, "")
    assert READING[words] in out
    code, out, err = assay(delivered, *words, "-o", "json")
    assert (code, err) == (0, "")
    assert json.loads(out)
    assert ledger.head(delivered) == head


def test_programs_get_whole_digests_and_times_with_their_zone(assay, delivered):
    """People see eight characters and minutes."""
    (first, *_) = json.loads(assay(delivered, "models", "-o", "json")[1])
    assert len(first["digest"]) == len(first["package"]) == 64
    (package, *_) = json.loads(assay(delivered, "packages", "-o", "json")[1])
    assert package["published"].endswith("+00:00")
    assert first["digest"] not in assay(delivered, "models")[1]


def test_why_tells_where_a_model_comes_from(assay, delivered):
    """Package and tree, snapshot and its tables, the due's reasons, the judgement, when it served."""
    champion = models.champion(delivered, "flight_delay", "production")
    told = json.loads(assay(delivered, "why", champion.digest[:8], "-o", "json")[1])
    assert (told["model"], told["pipeline"]) == (champion.version, "flight_delay")
    assert told["snapshot"] == champion.body.snapshot
    assert told["table versions"]
    assert any("a test trains" in reason for reason in told["why trained"])
    assert "promoted" in told["decided"][0]
    assert told["served"][0].endswith(champion_reason(delivered))
    code, out, _ = assay(delivered, "why", champion.version)
    assert code == 0
    assert "why trained" in out


def champion_reason(root):
    return history.reigns(root, "flight_delay", "production")[-1].reason


def test_history_tells_model_package_and_data_of_a_second(assay, delivered):
    """From the second of the promotion on; before it, what there was is said."""
    since = history.reigns(delivered, "flight_delay", "production")[0].start
    told = json.loads(assay(delivered, "history", "flight_delay", "--at", since.isoformat(), "-o", "json")[1])
    champion = models.champion(delivered, "flight_delay", "production")
    assert (told["digest"], told["package digest"]) == (champion.digest, champion.body.package)
    assert told["snapshot"] == champion.body.snapshot
    code, out, err = assay(delivered, "history", "flight_delay", "--at", "2012-12-31T23:59:59")
    assert (code, out) == (2, "")
    assert f"{NOW:%Y-%m-%d}" in err


def test_a_blob_named_by_a_reading_verb_can_be_read(assay, delivered):
    """The digests that programs get are those of the store."""
    for package in json.loads(assay(delivered, "packages", "-o", "json")[1]):
        assert blobs.digest(blobs.get(delivered, package["digest"])) == package["digest"]
