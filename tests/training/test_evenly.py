from __future__ import annotations

from s2v.training.evenly import evenly


def test_some_of_many_are_spread_over_all_of_them() -> None:
    assert evenly(range(9), 3) == [0, 4, 8]
    assert evenly("abcde", 2) == ["a", "e"]


def test_of_few_all_are_taken_in_their_order() -> None:
    assert evenly("cab", 3) == evenly("cab", 10) == ["c", "a", "b"]
    assert evenly([], 3) == []
