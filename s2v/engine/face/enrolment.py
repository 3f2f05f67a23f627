"""Enrolment: everything about a photo that a frame will need, computed once."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.background import Background
from s2v.engine.face.covered_mouth import is_mouth_covered
from s2v.engine.face.detection import open_detector
from s2v.engine.face.face_search import find_faces, landmarks_on
from s2v.engine.face.geometry import EYES, FACE_OVAL, N_MESH, OUTER_LIPS, FacePlane, Points, Pose, head_pose
from s2v.engine.face.mouth_look import MouthLook
from s2v.engine.face.photo import MAX_SIDE_PX, Image, Picture, fit_photo, flattened
from s2v.engine.face.rest_pose import rest_displacement
from s2v.errors import FaceError, SeveralFacesError
from s2v.spec import LipSyncSpec

MIN_EYE_DISTANCE_PX = 36
MAX_YAW_DEGREES = 30.0
MAX_PITCH_DEGREES = 30.0
_MOUTH_DEPTH = -0.2  # face units: the lips are that much nearer to the camera than the eyes
_CUT_UNITS = 4.0  # face units to each side that are kept where a face would be too small on the whole photo
_MOST_TRANSPARENT = 0.02  # of a face's pixels
_MOST_OF_A_PART = 0.1  # of the mouth's or an eye's


@dataclass(frozen=True)
class EnrolledFace:
    """One photo, ready to talk."""

    photo: Image  # (h, w, 3) BGR, even sides, at most MAX_SIDE_PX
    landmarks: Points  # (478, 3) pixels
    pose: Pose
    plane: FacePlane
    canonical: Points  # (468, 3) face units
    rest: Points  # (468, 3) face units: what closes the photo's lips
    network_input: NDArray[np.float32]  # (1, 6, face_px, face_px) in [0, 1]
    background: Background | None = None  # what is shown behind the person; None: what is there on the photo
    mouth: MouthLook | None = None  # of the model that drives it, if that is one person's; None: guessed from the photo


def enrol(
    picture: Picture, spec: LipSyncSpec, face_index: int | None = None, max_side_px: int = MAX_SIDE_PX
) -> EnrolledFace:
    """Find the face on a photo and prepare it.

    The photo is set upright by quarter turns, scaled down to `max_side_px`, and where the face would be too small
    then, cut to its surroundings before. White shows where it is transparent.

    Args:
        picture: (h, w, 3) uint8 BGR, or (h, w, 4) with alpha, as `load_picture` returns it.
        spec: of the model that will drive it.
        face_index: which face to take, counted from the left, when there are several.
    Raises: NoFaceError; SeveralFacesError; FaceError: too small, cut off, turned away, transparent, covered.
    """
    photo, landmarks = prepared_photo(picture, face_index, max_side_px)
    return face_from_landmarks(photo, landmarks, spec)


def prepared_photo(
    picture: Picture, face_index: int | None = None, max_side_px: int = MAX_SIDE_PX
) -> tuple[Image, Points]:
    """The photo of `EnrolledFace` and its landmarks, (478, 3) in pixels: see `enrol`, which raises the same."""
    with open_detector() as detector:
        whole = flattened(picture)
        known = _chosen(find_faces(whole, detector), face_index)
        _refuse_transparent(picture, known)
        photo, known = _upright(whole, known)
        photo, known = _cut_to_face(photo, known, max_side_px)
        large, photo = photo, fit_photo(photo, max_side_px)
        known = known * min(1.0, max_side_px / max(large.shape[:2]))
        landmarks = landmarks_on(photo, known, detector)
    _refuse_unusable(photo, landmarks, head_pose(landmarks))
    return photo, landmarks


def _chosen(faces: list[Points], face_index: int | None) -> Points:
    if face_index is not None and not 0 <= face_index < len(faces):
        raise FaceError(f"--face-index {face_index}: the photo has {len(faces)} face(s), counted from 0 at the left")
    if face_index is None and len(faces) > 1:
        last = len(faces) - 1
        raise SeveralFacesError(
            f"{len(faces)} faces on the photo: pass --face-index 0..{last} (0 is the leftmost)", len(faces)
        )
    return faces[face_index or 0]


def _upright(photo: Image, landmarks: Points) -> tuple[Image, Points]:
    """Both in as many quarter turns as set the face upright within 45 degrees."""
    for _ in range(round(head_pose(landmarks).roll_degrees / 90) % 4):  # counter-clockwise
        x, y, z = landmarks.T
        photo, landmarks = np.rot90(photo), np.stack([y, photo.shape[1] - x, z], axis=1)
    return np.ascontiguousarray(photo), landmarks


def _cut_to_face(photo: Image, landmarks: Points, max_side_px: int) -> tuple[Image, Points]:
    """Both, cut to the face's surroundings if the face is sharp enough there and not on the whole photo scaled down."""
    pose = head_pose(landmarks)
    scaled_px = pose.unit_px * min(1.0, max_side_px / max(photo.shape[:2]))
    if scaled_px >= MIN_EYE_DISTANCE_PX or pose.unit_px < MIN_EYE_DISTANCE_PX:
        return photo, landmarks
    middle, reach = landmarks[:, :2].mean(0), _CUT_UNITS * pose.unit_px
    left, top = np.maximum(middle - reach, 0).astype(int)
    right, bottom = np.ceil(middle + reach).astype(int)  # past the picture's edge, slicing stops there
    return photo[top:bottom, left:right], landmarks - np.array([left, top, 0.0])


def _refuse_transparent(picture: Picture, landmarks: Points) -> None:
    """Raises: FaceError, some of the face is not there."""
    if picture.shape[2] == 3:
        return
    parts = {range(N_MESH): _MOST_TRANSPARENT, OUTER_LIPS: _MOST_OF_A_PART}
    parts |= {eye.upper + eye.lower: _MOST_OF_A_PART for eye in EYES}
    for points, most in parts.items():
        inside = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillConvexPoly(inside, cv2.convexHull(np.round(landmarks[list(points), :2]).astype(np.int32)), 1)
        if (picture[inside > 0, 3] < 128).mean() > most:
            raise FaceError("the face itself is transparent on the photo: use one that shows all of it")


def face_from_landmarks(photo: Image, landmarks: Points, spec: LipSyncSpec) -> EnrolledFace:
    """What `enrol` returns, for landmarks (478, 3) in pixels that are known already; refuses nothing."""
    pose = head_pose(landmarks)
    canonical = pose.to_canonical(landmarks)[:N_MESH]
    plane = FacePlane.at_depth(pose, _MOUTH_DEPTH)
    crop = sample(photo, face_grid(plane, spec), (spec.face_px, spec.face_px))
    return EnrolledFace(
        photo, landmarks, pose, plane, canonical, rest_displacement(canonical), network_input(crop, crop)
    )


def face_grid(plane: FacePlane, spec: LipSyncSpec) -> Points:
    """(2, 3) map from a pixel of the network's face crop to a pixel of the photo."""
    unit = spec.face_size / spec.face_px
    crop_to_plane = np.array([[unit, 0, spec.face_left + unit / 2], [0, unit, spec.face_top + unit / 2], [0, 0, 1]])
    grid: Points = plane.matrix @ crop_to_plane
    return grid


def sample(photo: Image, grid: Points, size: tuple[int, int]) -> Image:
    """Cut an affine window (output pixel -> photo pixel) out of a photo, without aliasing."""
    shrink = max(1, round(float(np.sqrt(abs(np.linalg.det(grid[:, :2]))))))
    fine = grid.copy()
    fine[:, :2] /= shrink
    fine[:, 2] += (fine[:, :2].sum(1) - grid[:, :2].sum(1)) / 2  # pixel centres stay where they are
    wide = (size[0] * shrink, size[1] * shrink)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(photo, fine, wide, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut if shrink == 1 else cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.uint8)


def network_input(target: Image, reference: Image) -> NDArray[np.float32]:
    """Two face crops -> (1, 6, face_px, face_px): the target without its lower half, then the reference.

    Source: "You said that?", section 3.2: the pose comes from one, the identity from the other.
    """
    masked = target.copy()
    masked[masked.shape[0] // 2 :] = 0
    both = np.concatenate([masked, reference], axis=2)
    return np.ascontiguousarray(both.transpose(2, 0, 1)[None], np.float32) / np.float32(255)


def _refuse_unusable(photo: Image, landmarks: Points, pose: Pose) -> None:
    height, width = photo.shape[:2]
    if pose.unit_px < MIN_EYE_DISTANCE_PX:
        raise FaceError(
            f"the face is too small: {pose.unit_px:.0f} px between the eyes on a {width}x{height} photo, "
            f"at least {MIN_EYE_DISTANCE_PX} needed: crop closer or use a larger photo"
        )
    if abs(pose.yaw_degrees) > MAX_YAW_DEGREES or abs(pose.pitch_degrees) > MAX_PITCH_DEGREES:
        raise FaceError(
            f"the face is turned away ({pose.yaw_degrees:.0f} degrees sideways, {pose.pitch_degrees:.0f} up or down; "
            f"at most {MAX_YAW_DEGREES:.0f}): use a photo that looks at the camera"
        )
    oval = landmarks[list(FACE_OVAL), :2]
    margin = 0.06 * pose.unit_px
    if (oval < -margin).any() or (oval > np.array([width, height]) + margin).any():
        raise FaceError("the face is cut off by the edge of the photo: use one that shows the whole face and chin")
    if is_mouth_covered(photo, landmarks):
        raise FaceError("something is before the mouth (a mask, a hand, a microphone): use a photo that shows the lips")
