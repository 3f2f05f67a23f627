from __future__ import annotations

import numpy as np
import pytest
from films import moved

from s2v.engine.face.enrolment import EnrolledFace
from s2v.media.dub.alignment import Aligner, patch_of
from s2v.media.dub.placement import DepthMap, FaceModel
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec.of("s2v")


@pytest.fixture(scope="module")
def aligner(closed_face: EnrolledFace) -> Aligner:
    model = FaceModel(closed_face, SPEC)
    return Aligner(
        patch_of(closed_face.photo, closed_face.landmarks), DepthMap(model.mesh, closed_face.photo.shape[1::-1])
    )


@pytest.mark.parametrize("off", [(0.0, 0.0), (1.2, -0.7), (-2.0, 1.5)])
def test_what_landmarks_are_off_is_found_by_the_pixels(
    closed_face: EnrolledFace, aligner: Aligner, off: tuple[float, float]
) -> None:
    picture, way = moved(closed_face.photo, 4.0, 0.9, (7.3, -3.6))
    darker = (picture * 0.8 + 10).astype(np.uint8)
    there = closed_face.landmarks.copy()
    there[:, :2] = there[:, :2] @ way[:, :2].T + way[:, 2] + off
    model = FaceModel(closed_face, SPEC)
    shift = aligner.shift(patch_of(darker, there), model.placement(model.fit(there)[0]))
    assert shift is not None
    np.testing.assert_allclose(shift, -np.array(off), atol=0.1)


def test_another_place_is_not_taken_for_a_nose(closed_face: EnrolledFace, aligner: Aligner) -> None:
    model = FaceModel(closed_face, SPEC)
    noise = np.random.default_rng(0).integers(0, 255, closed_face.photo.shape).astype(np.uint8)
    placement = model.placement(model.held[:, :2])
    assert aligner.shift(patch_of(noise, closed_face.landmarks), placement) is None
