"""What the landmark detector reads off drawn faces is what was asked of them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from vowels import VOWELS

from s2v.bundled import BUNDLED_FACE
from s2v.engine.compositor.face_tables import face_tables
from s2v.engine.compositor.warp import LayeredWarp
from s2v.engine.face.detection import open_detector
from s2v.engine.face.enrolment import EnrolledFace, enrol
from s2v.engine.face.geometry import LOWER_INNER_LIP, MOUTH_CORNERS, N_MESH, UPPER_INNER_LIP, Points
from s2v.engine.face.maps import remap
from s2v.engine.face.motion_basis import MotionBasis
from s2v.engine.face.photo import Image, load_photo
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
DARK = (25, 20, 35)


def drawn(face: EnrolledFace, motions: Sequence[Points]) -> list[Image]:
    """The photo moved, with nothing but dark between the lips."""
    tables = face_tables(face, SPEC, moving=False)
    warp, (left, top, right, bottom) = LayeredWarp(tables.warp), tables.box
    frames = []
    for motion in motions:
        weights = np.append(motion, 1).astype(np.float32)
        lower_face = remap(face.photo, warp.source_map(weights))
        outline = (16 * warp.mouth_outline(weights)).round().astype(np.int32)
        cv2.fillPoly(lower_face, [outline], DARK, cv2.LINE_AA, 4)
        frame = face.photo.copy()
        frame[top:bottom, left:right] = lower_face
        frames.append(frame)
    return frames


def width_and_opening(canonical: Points) -> Points:
    """(..., 468, 3) -> (..., 2) face units."""
    left, right = MOUTH_CORNERS
    upper, lower = UPPER_INNER_LIP[5], LOWER_INNER_LIP[5]
    width, opening = (
        canonical[..., right, 0] - canonical[..., left, 0],
        canonical[..., lower, 1] - canonical[..., upper, 1],
    )
    return np.stack([width, opening], -1)


@pytest.mark.parametrize(("photo", "within"), [("bundled", 0.1), ("closed", 0.15)])
def test_width_and_opening_are_read_as_they_were_asked(photo: str, within: float, closed_face: EnrolledFace) -> None:
    face = enrol(load_photo(BUNDLED_FACE), SPEC) if photo == "bundled" else closed_face
    shapes = list(VOWELS.values())
    between = [(a + b) / 2 for i, a in enumerate(shapes) for b in shapes[i + 1 :]]
    motions = [np.zeros(SPEC.n_motion), *shapes, *between]
    moves = MotionBasis.load(SPEC.motion_basis).displacement(np.arange(N_MESH))[: SPEC.n_motion]
    asked = width_and_opening(np.tensordot(np.stack(motions), moves, 1))[1:]
    with open_detector() as detector:
        meshes = [detector.landmarks(frame) for frame in drawn(face, motions)]
    seen = [face.pose.to_canonical(mesh)[:N_MESH] for mesh in meshes if mesh is not None]
    assert len(seen) == len(meshes)
    read = width_and_opening(np.stack(seen))
    change = read[1:] - read[0]
    # Each of the two in terms of both: how much of it is read, and how much of the other is mistaken for it.
    (of_width, of_opening), _, _, _ = np.linalg.lstsq(asked, change, rcond=None)
    assert of_width[0] == pytest.approx(1, abs=within)
    assert of_opening[1] == pytest.approx(1, abs=within)
    assert abs(of_opening[0]) < 0.1
