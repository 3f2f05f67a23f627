from __future__ import annotations

import numpy as np
import pytest

from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.motion_level import gap_weights
from s2v.training.evaluation.measures.phone_classes import (
    PHONE_CLASSES,
    class_table,
    grouped,
    phone_frames,
    phone_table,
)
from s2v.training.evaluation.measures.shapes import LipShapes, shapes_asked
from s2v.training.voices.phones import Phone

FPS = 25


def shapes(opening: list[float], width: list[float]) -> LipShapes:
    return LipShapes(np.array(opening), np.array(width), np.zeros((len(opening), 1, 2)))


def test_no_phone_is_in_two_classes() -> None:
    members = [phone for phones in PHONE_CLASSES.values() for phone in phones]
    assert len(members) == len(set(members))
    assert {"P", "W", "UW", "OW", "R", "S", "SH", "DH", "IY", "AA"} <= set(members)


def test_a_phone_owns_the_frames_whose_middle_it_holds() -> None:
    assert phone_frames(Phone("M", 0.08, 0.16), 10, FPS).tolist() == [2, 3]
    assert phone_frames(Phone("M", 0.075, 0.095), 10, FPS).tolist() == [2]  # no middle: the frame it is spoken in
    assert phone_frames(Phone("M", 0.1, 0.18), 10, FPS).tolist() == [2, 3]  # a middle belongs to what begins there
    assert phone_frames(Phone("M", 0.5, 0.6), 10, FPS).tolist() == []  # past the clip


def test_opening_closed_share_and_width_are_those_of_its_frames() -> None:
    mouth = shapes([0.1, 0.1, 0.01, 0.03, 0.1, 0.1], [0.5, 0.5, 0.4, 0.44, 0.5, 0.5])
    table = class_table(mouth, [Phone("M", 0.08, 0.16), Phone("AA", 0.0, 0.08), Phone("K", 0.16, 0.24)], FPS)
    opening, closed, width = table["P B M"].means
    assert opening == pytest.approx(0.02) and closed == pytest.approx(0.5) and width == pytest.approx(-0.08)
    assert table["AA AE AY AW"].means == pytest.approx((0.1, 0, 0))
    assert len(table["S Z"]) == 0 and np.isnan(table["S Z"].means).all()
    assert sum(len(found) for found in table.values()) == 2  # K is in no class


def test_every_time_that_a_phone_is_spoken_counts_once_however_long() -> None:
    mouth = shapes([0.0] * 8 + [0.1, 0.1], [0.5] * 10)
    table = class_table(mouth, [Phone("M", 0.0, 0.32), Phone("B", 0.32, 0.36)], FPS)
    assert len(table["P B M"]) == 2
    assert table["P B M"].means[:2] == pytest.approx((0.05, 0.5))


def test_tables_of_several_clips_are_put_together_by_phone() -> None:
    first = phone_table(shapes([0.1, 0.2], [0.5, 0.5]), [Phone("UW", 0, 0.04), Phone("M", 0.04, 0.08)], FPS)
    second = phone_table(shapes([0.3, 0.0], [0.4, 0.4]), [Phone("UH", 0, 0.04), Phone("P", 0.04, 0.08)], FPS)
    assert set(first) == {"UW", "M"}
    table = grouped([first, second])
    assert table["UW UH"].means[0] == pytest.approx(0.2) and len(table["UW UH"]) == 2
    assert table["P B M"].means[:2] == pytest.approx((0.1, 0.5))
    assert set(table) == set(PHONE_CLASSES) and len(table["W"]) == 0
    assert len(grouped([])["W"]) == 0


def test_a_motion_and_its_phones_are_enough() -> None:
    spec = LipSyncSpec()
    motion = np.zeros((10, spec.n_motion), np.float32)
    motion[5:, 0] = 1
    table = class_table(shapes_asked(motion, spec), [Phone("M", 0, 0.2), Phone("AA", 0.2, 0.4)], spec.fps)
    assert table["P B M"].means[:2] == pytest.approx((0, 1))
    assert table["AA AE AY AW"].means[0] == pytest.approx(gap_weights(spec)[0], rel=1e-5)
