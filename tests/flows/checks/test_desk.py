"""Verdicts asked for over a socket: each question gets its own answer, and the proving lasts as long as who opened it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flows.checks import desk
from flows.checks.desk import Desk
from store.errors import Unreachable

LISTING = {"checks": [{"code": "K01", "title": "schema"}], "faults": [], "workers": 2}


def served(address, answer):
    """A desk on a thread of its own, which must not keep a failing run from ending."""
    thread = threading.Thread(target=Desk(address, LISTING, answer).serve, daemon=True)
    thread.start()
    return thread


def test_each_of_many_who_ask_at_once_gets_the_verdict_asked_for(tmp_path):
    address, together = str(tmp_path / "desk"), threading.Barrier(8, timeout=30)

    def answer(code):
        together.wait()  # all eight are being answered
        return {"code": code}

    thread = served(address, answer)
    with desk.opened(address, thread.is_alive) as there_is, ThreadPoolExecutor(8) as pool:
        codes = [f"K{number:02}" for number in range(8)]
        assert [one["code"] for one in pool.map(lambda code: desk.ask(address, code), codes)] == codes
        assert there_is == LISTING
    thread.join(30)
    assert not thread.is_alive()


def test_it_ends_with_who_opened_it_whatever_happened_there(tmp_path):
    address = str(tmp_path / "desk")
    thread = served(address, lambda code: {})
    with pytest.raises(KeyboardInterrupt), desk.opened(address, thread.is_alive):
        raise KeyboardInterrupt
    thread.join(30)
    assert not thread.is_alive()
    with pytest.raises(Unreachable, match=r"The proving is gone\. .* Run it again\."):
        desk.ask(address, "K01")


def test_a_proving_that_never_comes_is_not_waited_for(tmp_path):
    with pytest.raises(Unreachable, match="gone"), desk.opened(str(tmp_path / "desk"), lambda: False):
        pass


def test_what_judging_raises_is_not_taken_for_a_verdict(tmp_path):
    address = str(tmp_path / "desk")

    def answer(code):
        raise OSError("the disk is gone")

    thread = served(address, answer)
    with desk.opened(address, thread.is_alive), pytest.raises(Unreachable):
        desk.ask(address, "K01")
    thread.join(30)
