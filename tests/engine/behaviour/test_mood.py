from __future__ import annotations

from typing import get_args

from s2v.engine.behaviour.mood import MOODS, Expression, Mood


def test_every_mood_has_its_expression_and_neutral_is_the_photo() -> None:
    assert set(MOODS) == set(get_args(Mood))
    assert MOODS["neutral"] == Expression()


def test_friendly_smiles_and_serious_frowns_a_little() -> None:
    friendly, serious = MOODS["friendly"], MOODS["serious"]
    assert friendly.corners > 0 and friendly.cheeks > 0 and friendly.brows >= 0
    assert serious.corners <= 0 and serious.brows < 0 and serious.cheeks == 0
    for one in (friendly, serious):
        assert abs(one.brows) <= 0.03 and abs(one.corners) <= 0.04 and abs(one.widen) <= 0.15 and one.cheeks <= 0.6
