from __future__ import annotations

from typing import get_args

from s2v.engine.behaviour.mood import MOODS, Expression, Mood


def test_every_mood_has_an_expression_and_neutral_has_none() -> None:
    assert set(MOODS) == set(get_args(Mood))
    assert MOODS["neutral"] == Expression()


def test_friendly_lifts_and_serious_lowers() -> None:
    friendly, serious = MOODS["friendly"], MOODS["serious"]
    assert friendly.corners > 0 > serious.corners
    assert friendly.brows > 0 > serious.brows
    assert friendly.cheeks > 0 == serious.cheeks
    assert serious.widen < 0
