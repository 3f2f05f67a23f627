from __future__ import annotations

import numpy as np
from films import moved

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.photo import Image
from s2v.media.dub.shots import CutDetector, jumps


def _cuts(pictures: list[Image]) -> list[int]:
    cuts = CutDetector()
    return [number for number, picture in enumerate(pictures) if cuts.is_cut(picture)]


def test_a_cut_is_found_where_it_is(closed_photo: Image, smiling_photo: Image) -> None:
    other = np.resize(smiling_photo, closed_photo.shape)
    black = np.zeros_like(closed_photo)
    film = [closed_photo] * 3 + [other] * 3 + [black] * 2 + [closed_photo] * 2
    assert _cuts(film) == [3, 6, 8]


def test_a_head_that_moves_and_light_that_changes_are_none(closed_photo: Image) -> None:
    film = [moved(closed_photo, 8 * np.sin(n / 3), 1 + 0.01 * n, (3.0 * n, 0.0))[0] for n in range(12)]
    lighter = [np.clip(closed_photo * (1 + 0.03 * n), 0, 255).astype(np.uint8) for n in range(12)]
    noise = np.random.default_rng(0)
    noisy = [np.clip(closed_photo + noise.normal(0, 12, closed_photo.shape), 0, 255).astype(np.uint8) for _ in range(4)]
    assert _cuts(film) == _cuts(lighter) == _cuts(noisy) == []


def test_a_face_jumps_by_more_than_a_head_moves(closed_face: EnrolledFace) -> None:
    here, unit_px = closed_face.landmarks, closed_face.pose.unit_px
    assert not jumps(here, here + np.array([0.15 * unit_px, 0, 0]))
    assert jumps(here, here + np.array([0.5 * unit_px, 0, 0]))
    assert jumps(here, (here - here.mean(0)) * 1.4 + here.mean(0))
