from __future__ import annotations

import numpy as np
import pytest
from talk import moments

from s2v.engine.behaviour.gaze import LOOKS, Gaze
from s2v.engine.behaviour.hearing.conversation import Role
from s2v.engine.behaviour.hearing.phrases import Phrase


def looks(length_s: float, role: Role, seed: int = 0, own: dict[int, Phrase] | None = None) -> np.ndarray:
    gaze = Gaze(np.random.default_rng(seed))
    return np.array([gaze.step(now) for now in moments(length_s, role, own=own)])


def away(found: np.ndarray) -> np.ndarray:
    """Where it looks elsewhere: further than small jumps go."""
    return np.asarray((np.abs(found) > (0.0121, 0.0061)).any(1))


@pytest.mark.parametrize("role", ["talking", "listening", "idle"])
def test_a_look_is_held_but_for_small_jumps(role: Role) -> None:
    found = looks(120.0, role)
    jumps = np.flatnonzero((np.diff(found, axis=0) != 0).any(1))
    assert np.diff(jumps).min() >= 20
    assert 0.4 < np.median(np.diff(jumps)) / 100 < 1.0
    assert (np.abs(found) <= (LOOKS[role].x + 0.012, LOOKS[role].y + 0.006)).all()
    assert away(found).mean() > 0.01


def test_a_listener_looks_more_steadily_than_a_talker() -> None:
    listening, talking = (away(looks(300.0, role)).mean() for role in ("listening", "talking"))
    assert listening < 0.6 * talking


def test_who_begins_a_phrase_looks_away_more_often_and_back_at_its_end() -> None:
    begins, ends = {300: Phrase(speaking=True, begins=True)}, {300: Phrase(ends=True)}
    shares = {}
    for name, events in (("begins", begins), ("ends", ends), ("nothing", {})):
        shares[name] = np.mean([away(looks(3.06, "talking", seed, events))[305] for seed in range(120)])
    assert shares["begins"] > shares["nothing"] + 0.1
    assert shares["ends"] < 0.7 * shares["nothing"]
