from __future__ import annotations

import json

import pytest

from s2v.errors import StreamError
from s2v.streaming.session.wishes import AS_IT_IS, MAX_MESSAGE_CHARACTERS, Wishes


@pytest.mark.parametrize(
    ("message", "asks"),
    [
        ({"articulation": 0.5}, Wishes(0.5)),
        ({"liveliness": 0}, Wishes(None, 0.0)),
        ({"liveliness": 1.5, "articulation": 1}, Wishes(1.0, 1.5)),
        ({"liveliness": None}, AS_IT_IS),
        ({}, AS_IT_IS),
        ({"liveliness": 1, "more": 1}, AS_IT_IS),
        ([1], AS_IT_IS),
        ("liveliness", AS_IT_IS),
    ],
)
def test_a_message_asks_for_what_it_names_and_for_nothing_if_it_names_more(message: object, asks: Wishes) -> None:
    assert Wishes.in_message(json.dumps(message)) == asks


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"liveliness": 1' + " " * MAX_MESSAGE_CHARACTERS + "}"])
def test_what_cannot_be_read_asks_for_nothing(text: str) -> None:
    assert Wishes.in_message(text) == AS_IT_IS


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ('{"articulation": 0.49}', r"articulation is 0\.49: give a number from 0\.5 to 1\.5"),
        ('{"liveliness": 1.51}', r"liveliness is 1\.51: give a number from 0 to 1\.5"),
        ('{"liveliness": -0.01}', "liveliness is -0.01: give"),
        ('{"liveliness": NaN}', "liveliness is nan: give"),
        ('{"liveliness": true}', "liveliness is True: give"),
        ('{"articulation": 1, "liveliness": "1"}', "liveliness is '1': give"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(message: str, says: str) -> None:
    with pytest.raises(StreamError, match=says):
        Wishes.in_message(message)


def test_what_a_later_wish_leaves_out_stays_as_it_was() -> None:
    assert Wishes(liveliness=0.0).after(Wishes(0.5, 1.5)) == Wishes(0.5, 0.0)
    assert Wishes(articulation=1.5).after(Wishes(0.5, 1.5)) == Wishes(1.5, 1.5)
    assert AS_IT_IS.after(AS_IT_IS) == AS_IT_IS
