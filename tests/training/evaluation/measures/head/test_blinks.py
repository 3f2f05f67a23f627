from __future__ import annotations

import numpy as np
import pytest
from heads import FPS

from s2v.training.evaluation.measures.head.blinks import blinks

OPEN = 0.1


def lids(
    *starts_s: float, closing_s: float = 0.2, shut_s: float = 0.12, opening_s: float = 0.4, depth: float = 0.9
) -> np.ndarray:
    """(250,) ten seconds of lids that shut at some times."""
    t = np.arange(250) / FPS
    shut = np.zeros(250)
    for start in starts_s:
        course = [start, start + closing_s, start + closing_s + shut_s, start + closing_s + shut_s + opening_s]
        shut = np.maximum(shut, np.interp(t, course, [0, 1, 1, 0]))
    return np.asarray(OPEN * (1 - depth * shut))


def test_blinks_are_counted_and_timed() -> None:
    found = blinks(lids(1.0, 4.0, 7.5), FPS)
    assert [blink.at_s for blink in found] == pytest.approx([1.24, 4.24, 7.74], abs=0.06)
    for blink in found:
        assert blink.closing_s == pytest.approx(0.6 * 0.2, abs=0.02)  # from 20 to 80 % of the way
        assert blink.shut_s == pytest.approx(0.12 + 0.2 * 0.2 + 0.2 * 0.4, abs=0.03)
        assert blink.opening_s == pytest.approx(0.6 * 0.4, abs=0.02)


def test_glances_long_closures_and_what_the_ends_cut_are_no_blinks() -> None:
    assert blinks(lids(1.0, depth=0.3), FPS) == []
    assert blinks(lids(1.0, shut_s=1.5), FPS) == []
    assert blinks(lids(-0.2), FPS) == [] and blinks(lids(9.8), FPS) == []


def test_lids_that_slowly_narrow_hide_no_blink() -> None:
    assert len(blinks(lids(1.0, 8.0) * np.linspace(1, 0.55, 250), FPS)) == 2
