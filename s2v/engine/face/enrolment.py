"""Enrolment: everything about a photo that a frame will need, computed once.

The only module that knows mediapipe.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.background import Background
from s2v.engine.face.detection import detect_faces
from s2v.engine.face.geometry import FACE_OVAL, N_MESH, FacePlane, Points, Pose, head_pose
from s2v.engine.face.photo import Image
from s2v.engine.face.rest_pose import rest_displacement
from s2v.errors import FaceError, SeveralFacesError
from s2v.spec import LipSyncSpec

MIN_EYE_DISTANCE_PX = 36
MAX_YAW_DEGREES = 30.0
MAX_PITCH_DEGREES = 30.0
_MOUTH_DEPTH = -0.2  # face units: the lips are that much nearer to the camera than the eyes


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


def enrol(photo: Image, spec: LipSyncSpec, face_index: int | None = None) -> EnrolledFace:
    """Find the face on a photo and prepare it.

    Args:
        photo: (h, w, 3) uint8 BGR, as `load_photo` returns it.
        spec: of the model that will drive it.
        face_index: which face to take, counted from the left, when there are several.
    Raises: NoFaceError; SeveralFacesError; FaceError: too small, cut off, turned away.
    """
    faces = detect_faces(photo)
    if face_index is not None and not 0 <= face_index < len(faces):
        raise FaceError(f"--face-index {face_index}: the photo has {len(faces)} face(s), counted from 0 at the left")
    if face_index is None and len(faces) > 1:
        last = len(faces) - 1
        raise SeveralFacesError(
            f"{len(faces)} faces on the photo: pass --face-index 0..{last} (0 is the leftmost)", len(faces)
        )
    landmarks = faces[face_index or 0]
    _refuse_unusable(photo, landmarks, head_pose(landmarks))
    return face_from_landmarks(photo, landmarks, spec)


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
