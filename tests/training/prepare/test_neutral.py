from __future__ import annotations

import numpy as np
import pytest

from s2v.errors import DataError
from s2v.training.prepare.neutral import clip_rest, talker_neutral
from tests.training.prepare.test_labels import BASIS, SHUT, SPEC, clip_of, talk


def off(face: np.ndarray, truth: np.ndarray = SHUT) -> float:
    """RMS error of a neutral in standard deviations of the basis, each component weighed by how far it moves a face."""
    size = (BASIS.components**2).sum((1, 2)) ** 0.5
    return float(np.sqrt(BASIS.coefficients(face[None], truth)[0] ** 2 @ (size / size.sum())))


def test_a_talker_s_neutral_is_his_closed_mouth_whoever_he_is() -> None:
    face = SHUT * [1.1, 0.95, 1.0] + [0.0, 0.02, 0.0]  # a broader face
    neutral = talker_neutral([clip_rest(clip_of(talk(300, seed), face)) for seed in range(4)])
    assert off(neutral.face, face) < 0.15
    assert neutral.n_clips == 4 and neutral.n_closures >= 12 and neutral.seen_share > 0.75


def test_lips_pressed_on_p_and_m_are_not_the_rest_when_there_are_pauses() -> None:
    pressed = talk(400)
    for first in range(30, 400, 100):  # two frames each, further than closed, and moving
        pressed[first : first + 2, 0] = -0.6
        pressed[first : first + 2, 1] = -1.0
    assert off(talker_neutral([clip_rest(clip_of(pressed))]).face) < 0.25


def test_who_never_closes_his_lips_is_taken_with_his_jaw_closed() -> None:
    wide = talk() + 2 * np.eye(SPEC.n_motion)[0]
    neutral = talker_neutral([clip_rest(clip_of(wide))])
    assert neutral.seen_share == 0
    assert off(neutral.face) < 0.5 < off(clip_of(wide).points.astype(np.float64).mean(0))


def test_frames_that_cannot_be_read_say_nothing() -> None:
    motion = talk(300)
    clip = clip_of(motion)
    clip.points[:50] += 0.3
    usable = np.arange(300) >= 50
    assert off(talker_neutral([clip_rest(clip, usable)]).face) < 0.15
    with pytest.raises(DataError, match="no frame shows the face"):
        clip_rest(clip, np.zeros(300, bool))
    with pytest.raises(DataError, match="no clip of this talker"):
        talker_neutral([])


def test_a_summary_is_small_however_long_the_clip_is() -> None:
    rest = clip_rest(clip_of(talk(1500)))
    assert rest.n_frames == 1500 and rest.faces.nbytes < 1_000_000  # of 8.4 MB
