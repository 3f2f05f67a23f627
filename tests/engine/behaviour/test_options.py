from __future__ import annotations

import re
from typing import get_args

import numpy as np
import pytest

from s2v.engine.behaviour.mood import MOODS, Mood
from s2v.engine.behaviour.options import LEAST, MOST, USUAL, check_liveliness, check_mood
from s2v.errors import S2vError


@pytest.mark.parametrize("value", [LEAST, USUAL, MOST, 1, np.float32(0.5)])
def test_a_liveliness_within_its_range_is_taken_as_a_float(value: object) -> None:
    found = check_liveliness(value)
    assert found == value and type(found) is float


@pytest.mark.parametrize("value", [-0.01, 1.51, float("nan"), True, "1", None, [1]])
def test_any_other_liveliness_is_refused_in_one_line(value: object) -> None:
    with pytest.raises(S2vError, match=re.escape(f"liveliness is {value!r}: give a number from 0 to 1.5, 1 is as it")):
        check_liveliness(value)


def test_a_mood_is_one_of_those_there_are() -> None:
    assert set(MOODS) == set(get_args(Mood)) and [check_mood(mood) for mood in MOODS] == list(MOODS)
    for value in ("cheerful", "Friendly", "", None, 1, ["neutral"]):
        with pytest.raises(S2vError, match=re.escape(f"mood is {value!r}: choose one of neutral, friendly, serious")):
            check_mood(value)
