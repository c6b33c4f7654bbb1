"""The ledger knows which rows have judged a pipeline's models."""

from flows.checks import judges
from store import blobs
from store.registry import packages


def test_each_published_package_was_judged_by_its_test_rows(delivered):
    (package,) = packages.listed(delivered, "arrival_minutes")
    (found,) = judges.of(delivered, "arrival_minutes")
    tested = blobs.get_json(delivered, package.body.evidence)["trained"]["parts"]["test"]
    assert found.to_dict() == {"start": tested["start"], "end": tested["end"]}
    assert judges.of(delivered, "nobody") == ()
