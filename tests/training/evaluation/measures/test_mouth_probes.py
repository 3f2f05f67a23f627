from __future__ import annotations

import numpy as np
import pytest

from s2v.training.evaluation.measures.mouth_probes import (
    MIN_SPOKEN,
    class_probes,
    interior_probes,
    level_probes,
    shape_probes,
)
from s2v.training.evaluation.measures.phone_classes import ClassShapes
from s2v.training.evaluation.measures.probes import between

TODAY = {"drawn_width_spread": 0.30, "drawn_width": 0.51, "drawn_speed": 0.55, "drawn_closures": 0.31}
FILM = dict.fromkeys(TODAY, 1.0)


def test_between_has_two_ends_and_nan_fails() -> None:
    assert [between("a", value, 0.6, 1.2).passed for value in (0.59, 0.6, 1.2, 1.21, float("nan"))] == [
        False, True, True, False, False,
    ]  # fmt: skip
    assert "0.6 to 1.2" in between("a", 1, 0.6, 1.2, "here").line()


def test_a_mouth_of_one_shape_fails_and_the_film_passes() -> None:
    assert [probe.passed for probe in shape_probes({"a": [TODAY, TODAY]}, "drawn_")] == [False] * 4
    assert [probe.passed for probe in shape_probes({"a": [FILM]}, "drawn_")] == [True] * 4


def test_the_set_farthest_off_decides_to_either_side() -> None:
    wild = FILM | {"drawn_width_spread": 2.0, "drawn_speed": 1.4}
    spread, _, speed, _ = shape_probes({"fine": [FILM], "wild": [wild], "low": [FILM | {"drawn_speed": 0.5}]}, "drawn_")
    assert (spread.found, spread.where) == (2.0, "wild")
    assert (speed.found, speed.where) == (0.5, "low")  # half is farther off than 1.4 times


def test_medians_leave_out_clips_that_have_nothing_to_say() -> None:
    nothing = {"drawn_closures": float("nan")}
    probes = shape_probes({"a": [FILM, nothing], "b": [nothing]}, "drawn_")
    assert [probe.found for probe in probes] == [1, 1, 1, 1]
    assert shape_probes({"b": [nothing]}, "drawn_") == []  # not asked where there is nothing to ask
    assert shape_probes({"a": [FILM]}, "") == []


def shapes(opening: float, closed: float, width: float, spoken: int = MIN_SPOKEN) -> ClassShapes:
    return ClassShapes(*(np.full(spoken, value) for value in (opening, closed, width)))


def test_classes_must_close_and_round() -> None:
    film = {"P B M": shapes(0.037, 0.72, 0), "F V": shapes(0.039, 0.6, 0), "W": shapes(0.05, 0.6, -0.051),
            "UW UH": shapes(0.05, 0.3, -0.031), "OW AO": shapes(0.05, 0.3, -0.043)}  # fmt: skip
    today = {"P B M": shapes(0.045, 0.52, 0), "F V": shapes(0.064, 0.33, 0), "W": shapes(0.05, 0.3, -0.009),
             "UW UH": shapes(0.09, 0.1, 0.003), "OW AO": shapes(0.07, 0.3, -0.004)}  # fmt: skip
    assert [probe.passed for probe in class_probes(film)] == [True] * 5
    assert [probe.passed for probe in class_probes(today)] == [False] * 5
    assert class_probes({"W": shapes(0.05, 0.3, 0, MIN_SPOKEN - 1)}) == []  # said too seldom


def test_level_must_matter_little_when_it_falls_and_some_when_it_rises() -> None:
    good, bad = {"quiet_spread": 0.95, "louder": 1.2}, {"quiet_spread": 0.37, "louder": 1.0}
    assert [probe.passed for probe in level_probes({"a": [good]})] == [True, True]
    assert [(probe.passed, probe.where) for probe in level_probes({"a": [good], "b": [bad]})] == [(False, "b")] * 2
    assert level_probes({"a": [{}]}) == []


def test_the_median_mouth_is_dark_enough_and_the_worst_face_decides_about_teeth_and_grey() -> None:
    good = {"dark_share": 0.2, "grey_redness": 0.5, "teeth_left": 0.001}
    bad = {"dark_share": 0.02, "grey_redness": 19.5, "teeth_left": 0.17}
    dark, grey, left = interior_probes({"a": good, "b": good, "c": bad})
    assert dark.passed and dark.found == pytest.approx(0.2)
    assert (grey.passed, grey.where, left.passed, left.where) == (False, "c", False, "c")
    assert [probe.passed for probe in interior_probes({"a": good})] == [True] * 3
    assert interior_probes({"a": {}}) == []
