"""The same work on several items at once."""

import threading

import pytest

from flows.checks.at_once import at_once


def test_what_comes_is_in_the_order_of_the_items_and_told_as_it_is_done():
    first_may_end, told = threading.Event(), []

    def work(item):
        if item == 0:
            assert first_may_end.wait(30)
        return item

    def tell(item):
        told.append(item)
        first_may_end.set()

    assert at_once(2, work, [0, 1, 2], tell) == [0, 1, 2]
    assert told[0] == 1


def test_what_one_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        at_once(2, lambda item: 1 / item, [1, 0], lambda item: None)
