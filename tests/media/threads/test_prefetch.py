from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from s2v.media.threads.prefetch import prefetched


def test_the_values_are_the_same_and_in_order() -> None:
    with prefetched(iter(range(100))) as values:
        assert list(values) == list(range(100))


def test_no_more_are_made_ahead_than_allowed() -> None:
    made: list[int] = []
    asked = threading.Event()

    def count() -> Iterator[int]:
        for n in range(100):
            made.append(n)
            if n == 4:
                asked.set()
            yield n

    with prefetched(count(), ahead=3) as values:
        assert next(values) == 0
        assert asked.wait(10)
        assert len(made) <= 6


def test_what_goes_wrong_is_raised_after_what_came_before() -> None:
    def fail() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    with prefetched(fail()) as values:
        assert next(values) == 1
        with pytest.raises(ValueError, match="broken"):
            next(values)


def test_whoever_stops_early_leaves_nothing_running() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    with prefetched(endless()) as values:
        next(values)
    assert closed.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "s2v-prefetch"]
