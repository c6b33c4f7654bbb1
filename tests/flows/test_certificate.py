"""A package goes nowhere without the certificate that was issued for its very bytes."""

import dataclasses
import functools
import json

import pytest

from flows import certificate, deliver, prove, runner, train
from flows.building import source
from flows.parts import POINTS_AT
from flows.serving import supervisor
from store import blobs, ledger
from store.actions import AliasMoved
from store.errors import Refused, Unreachable
from store.registry import aliases, packages
from tests.flows.certified import CHECK, FAULT, PROVED, issued
from tests.store.registry import made
from tests.worlds import NOW

NAME = "arrival_minutes"


def another(root, certificate_of):
    """A second package of arrival_minutes with the certificate that ``certificate_of(wheel)`` gives."""
    first = packages.get(root, NAME, "1.0.0")
    content = source.files(source.find(NAME))
    content["__init__.py"] = content["__init__.py"].replace(b'version="1.0.0"', b'version="2.0.0"')
    wheel = source.wheel(NAME, "2.0.0", content)
    body = dataclasses.replace(
        first.body, version="2.0.0", wheel=blobs.digest(wheel), tree=source.tree(content), certificate=certificate_of(wheel)
    )  # fmt: skip
    return packages.publish(root, NAME, wheel, body, actor="test", now=NOW)


def test_what_the_gate_published_holds_in_every_point(delivered_copy):
    """Form, name, wheel, source, verdicts; runtime, checks, the data read again, and the features' code."""
    bound = prove.verified(delivered_copy, packages.get(delivered_copy, NAME))
    assert [one.what for one in bound] == [
        "form",
        "name",
        "wheel",
        "source",
        "verdicts",
        "runtime",
        "Python",
        "checks",
        "data",
        "features",
    ]
    assert [one.differs for one in bound] == [""] * 10


@pytest.mark.parametrize(
    "made", ["none", "of other bytes", "failed", "survived", "unproved", "empty", "of another form"]
)
def test_without_a_valid_certificate_no_route_is_open(delivered_copy, made):
    """Deliver, dry or not, try, train, serve: each refuses before anything is written or moved."""
    root = delivered_copy

    def certificate_of(wheel):
        proved = json.loads(json.dumps(PROVED))
        if made == "none":
            return ""
        if made == "of other bytes":
            return packages.get(root, NAME, "1.0.0").body.certificate
        if made == "failed":
            proved["checks"][0]["verdict"] = "FAIL"
        if made == "survived":
            proved["faults"][0]["killed"] = False
        if made == "unproved":
            proved["faults"] = []
        if made == "empty":
            proved["checks"] = proved["faults"] = []
        digest = certificate.issue(root, NAME, "2.0.0", wheel, source.tree(source.held(wheel, NAME)), proved, NOW)
        return (
            blobs.put_json(root, blobs.get_json(root, digest) | {"format": 99}) if made == "of another form" else digest
        )

    package = another(root, certificate_of)
    head = ledger.head(root)
    for route in (deliver.run, deliver.would):
        with pytest.raises(Refused, match="certificate"):
            route(root, NAME, "2.0.0")
    with pytest.raises(Refused, match="certificate"):
        runner.unpacked(root, package)
    assert ledger.head(root) == head
    forced(root, package)
    head = ledger.head(root)
    with pytest.raises(Unreachable, match="certificate"), supervisor.running(root, NAME, "production"):
        pass
    with pytest.raises(Refused, match="certificate"):
        train.run(root, NAME)
    assert ledger.head(root) == head


def forced(root, package):
    """Somebody points production at it all the same, past every verb."""
    aliases.move(
        root, "package.delivered", pipeline=NAME, environment="production", alias=aliases.DEPLOYED, digest=package.digest,
        label=package.version, expected=aliases.current(root, NAME, "production", aliases.DEPLOYED), actor="test", now=NOW,
        reason="by force",
    )  # fmt: skip
    assert isinstance(ledger.rows(root)[-1].body, AliasMoved)


def test_a_byte_changed_in_the_blob_is_refused(delivered_copy):
    """Before it is read."""
    package = packages.get(delivered_copy, NAME)
    path = blobs.path(delivered_copy, package.body.certificate)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b'"PASS"', b'"pass"', 1))
    with pytest.raises(Refused, match="has been changed"):
        certificate.require(delivered_copy, package)


@pytest.mark.parametrize(
    ("part", "change", "what", "said"),
    [
        ("sources", lambda found: found | {"checks/k04_heldout.py": "0" * 64}, "checks", "checks/k04_heldout.py"),
        ("runtime", lambda found: found | {"packages": found["packages"] | {"scikit-learn": "0.1"}}, "runtime", "scikit-learn 0.1"),
        ("runtime", lambda found: found | {"python": "2.7.18"}, "Python", "2.7.18"),
        ("data", lambda found: found | {"content": "f" * 64}, "data", "ffffffff"),
        ("data", lambda found: found | {"features": found["features"] | {"airport": "e" * 64}}, "features", "airport eeeeeeee"),
    ],
)  # fmt: skip
def test_what_moved_on_is_named_and_stops_nobody(delivered_copy, part, change, what, said):
    """Checks, runtime, data and features of another day: verify names them; the package still runs."""
    root = delivered_copy
    whole = blobs.get_json(root, packages.get(root, NAME, "1.0.0").body.certificate)

    def certificate_of(wheel):
        fresh = blobs.get_json(root, issued(root, NAME, "2.0.0", wheel, NOW))
        return blobs.put_json(root, fresh | {"data": whole["data"]} | {part: change(whole[part])})

    package = another(root, certificate_of)
    assert runner.unpacked(root, package).pipeline == NAME
    differing = [one for one in prove.verified(root, package) if one.differs]
    assert [one.what for one in differing] == [what]
    assert said in differing[0].differs


def test_one_that_lacks_a_part_is_refused_by_name(delivered_copy):
    """And says which blob it is."""
    root = delivered_copy

    def certificate_of(wheel):
        whole = blobs.get_json(root, issued(root, NAME, "2.0.0", wheel, NOW))
        return blobs.put_json(root, {name: value for name, value in whole.items() if name != "runtime"})

    with pytest.raises(Refused, match="lacks 'runtime'"):
        certificate.verify(root, another(root, certificate_of))


def verdicts(*checks, faults=()):
    """A proving's findings, as the child gives them, beside one check that passed and the fault that proves it."""
    checks, faults = (("K11", "PASS", "blocks"), *checks), (("F10", "K11", True), *faults)
    return {
        "checks": [{"code": code, "verdict": verdict, "severity": severity, "sentence": "So."} for code, verdict, severity in checks],
        "faults": [{"code": code, "check": check, "killed": killed, "sentence": "So."} for code, check, killed in faults],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("found", "failed"),
    [
        (verdicts(("K01", "PASS", "blocks"), faults=[("F01", "K01", True)]), []),
        (verdicts(("K01", "FAIL", "blocks"), faults=[("F01", "K01", None)]), ["K01 FAIL: So."]),
        (verdicts(("K01", "VACUOUS", "blocks")), ["K01 VACUOUS: So."]),
        (verdicts(("K01", "FAIL", "warns")), []),
        (verdicts(("K01", "N/A", "blocks"), faults=[("F01", "K01", None)]), []),
        (
            verdicts(("K01", "PASS", "blocks"), faults=[("F01", "K01", True), ("F02", "K01", False)]),
            [f"F02 survived K01: So. Untested thereby is {POINTS_AT['K01']}."],
        ),
        (
            verdicts(("K01", "PASS", "blocks"), faults=[("F01", "K01", None)]),
            ["K01 passed, but no planted fault proved that it can fail."],
        ),
        (verdicts(("K01", "PASS", "warns")), []),
        (verdicts(("own", "PASS", "blocks")), []),
        (
            verdicts(("K01", "FAIL", "blocks"), ("K02", "VACUOUS", "blocks"), faults=[("F02", "K01", False)]),
            ["K01 FAIL: So.", "K02 VACUOUS: So.", f"F02 survived K01: So. Untested thereby is {POINTS_AT['K01']}."],
        ),
        ({"checks": [], "faults": []}, ["No check passed."]),
        (
            {"checks": [], "faults": [{"code": "F01", "check": "K01", "killed": False, "sentence": "So."}]},
            [f"F01 survived K01: So. Untested thereby is {POINTS_AT['K01']}."],
        ),
        (
            {"checks": [{"code": "K01", "verdict": "N/A", "severity": "blocks", "sentence": "So."}], "faults": []},
            ["No check passed."],
        ),
    ],
)
def test_what_fails_a_proving(found, failed):
    """A check that failed or saw nothing, a fault that survived, and a pass that nothing proves; a warning does not."""
    assert certificate.unproved(found) == failed


@functools.cache
def tiny():
    """The smallest wheel, built once."""
    return source.wheel("tiny", "1.0.0", {"__init__.py": b"ANSWER = 42\n"})


def published(root, of=None, recorded="", **changes):
    """A small package whose certificate speaks for the wheel ``of`` (its own) with ``changes``, and that certificate."""
    name, wheel = "tiny", tiny()
    content = source.held(wheel, name)
    digest = certificate.issue(root, name, "1.0.0", of or wheel, source.tree(content), PROVED, NOW)
    found = blobs.get_json(root, digest) | changes
    body = made.body(
        "package.published", version="1.0.0", wheel=blobs.digest(wheel), tree=recorded or source.tree(content),
        certificate=blobs.put_json(root, found),
    )  # fmt: skip
    return packages.publish(root, name, wheel, body, actor="test", now=NOW), found


def test_what_holds_for_good_is_asked_of_form_name_wheel_source_and_verdicts(root):
    """All five, in this order, and none differs where all is as it was proved."""
    package, found = published(root)
    whole = [certificate.Bound(what) for what in ("form", "name", "wheel", "source", "verdicts")]
    assert certificate.own(root, package, found) == whole
    assert certificate.require(root, package) == found


@pytest.mark.parametrize(
    ("change", "what", "said"),
    [
        ({"format": 2}, "form", "It has format 2; this assay reads 1."),
        ({"format": 0}, "form", "It has format 0; this assay reads 1."),
        ({"version": "1.0.1"}, "name", "Certified is tiny 1.0.1, there is tiny 1.0.0."),
        ({"pipeline": "other"}, "name", "Certified is other 1.0.0, there is tiny 1.0.0."),
        ({"of": b"other bytes"}, "wheel", f"Certified is {blobs.digest(b'other bytes')[:12]}, there is "),
        ({"tree": "0" * 64}, "source", "Certified is 000000000000, there is "),
        ({"faults": []}, "verdicts", "K11 passed, but no planted fault proved that it can fail."),
        ({"checks": [], "faults": []}, "verdicts", "No check passed."),
        ({"checks": [CHECK, CHECK | {"code": "K01", "verdict": "FAIL"}]}, "verdicts", f"K01 FAIL: {CHECK['sentence']}"),
        (
            {"faults": [FAULT, FAULT | {"code": "F11", "killed": False}]},
            "verdicts",
            f"F11 survived K11: {FAULT['sentence']} Untested thereby is {POINTS_AT['K11']}.",
        ),
    ],
)
def test_one_thing_that_no_longer_holds_for_good_is_named_and_refused(root, change, what, said):
    """That thing alone, with what was certified and what is there."""
    package, found = published(root, **change)
    differing = [one for one in certificate.own(root, package, found) if one.differs]
    assert [one.what for one in differing] == [what]
    assert differing[0].differs.startswith(said)
    with pytest.raises(Refused, match=f"does not hold: {what}") as refusal:
        certificate.require(root, package)
    assert said in str(refusal.value)


def test_the_first_thing_that_no_longer_holds_for_good_is_told(root):
    """In the order of form, name, wheel, source, verdicts."""
    package, _ = published(root, version="1.0.1", faults=[])
    with pytest.raises(Refused, match=r"does not hold: name\. Certified is tiny 1\.0\.1"):
        certificate.require(root, package)


def test_the_first_verdict_that_no_longer_holds_for_good_is_told(root):
    """In the order of the tables."""
    failed = [CHECK | {"code": code, "verdict": "FAIL", "sentence": code} for code in ("K01", "K02")]
    package, _ = published(root, checks=failed)
    with pytest.raises(Refused, match="K01 FAIL: K01"):
        certificate.require(root, package)


def test_a_certified_source_holds_for_good_only_where_the_ledger_names_it_too(root):
    """The tree that the ledger records is not another than the certificate's."""
    package, found = published(root, recorded="f" * 64)
    assert [one.what for one in certificate.own(root, package, found) if one.differs] == ["source"]
