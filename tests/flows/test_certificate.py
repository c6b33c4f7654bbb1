"""A package goes nowhere without the certificate that was issued for its very bytes."""

import dataclasses
import json

import pytest

from flows import certificate, deliver, prove, runner, train
from flows.building import source
from flows.serving import supervisor
from store import blobs, ledger
from store.actions import AliasMoved
from store.errors import Refused, Unreachable
from store.registry import aliases, packages
from tests.flows.certified import PROVED, issued
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
    """Form, name, wheel, source, verdicts; runtime, checks, and the data read again."""
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
    ]
    assert [one.differs for one in bound] == [""] * 9


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
    ],
)  # fmt: skip
def test_what_moved_on_is_named_and_stops_nobody(delivered_copy, part, change, what, said):
    """Checks, runtime and data of another day: verify names them; the package still runs."""
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
            ["F02 survived K01: So."],
        ),
        (
            verdicts(("K01", "PASS", "blocks"), faults=[("F01", "K01", None)]),
            ["K01 passed, but no planted fault proved that it can fail."],
        ),
        (verdicts(("K01", "PASS", "warns")), []),
    ],
)
def test_what_fails_a_proving(found, failed):
    """A check that failed or saw nothing, a fault that survived, and a pass that nothing proves; a warning does not."""
    assert certificate.unproved(found) == failed
