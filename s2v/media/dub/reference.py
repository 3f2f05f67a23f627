"""The picture of a shot that its new mouth is drawn from: lips closed, facing the camera, sharp, large."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from s2v.engine.face.enrolment import EnrolledFace, face_from_landmarks
from s2v.engine.face.geometry import N_MESH, OUTER_LIPS, Points, head_pose
from s2v.engine.face.motion_basis import lip_gaps
from s2v.engine.face.photo import Image
from s2v.spec import LipSyncSpec

_AROUND = 0.45  # face units around a mesh that are kept
_CLOSED = 0.012  # face units
# What makes a picture worse by one; so does being e times more blurred, or smaller.
_OPEN_BY, _TURNED_BY_DEGREES = 0.05, 12.0


@dataclass(frozen=True)
class Candidate:
    """A picture cut to the face."""

    picture: Image  # (h, w, 3) BGR
    landmarks: Points  # (478, 3) in its pixels
    fault: float  # the less the better


def candidate(cut: Image, landmarks: Points, better_than: float = np.inf) -> Candidate | None:
    """What a picture is worth as a reference; None if that is no better than `better_than`. Args: of `cut_to_face`."""
    fault = _fault(cut, landmarks)
    return Candidate(np.ascontiguousarray(cut), landmarks, fault) if fault < better_than else None


def cut_to_face(picture: Image, landmarks: Points) -> tuple[Image, Points]:
    """A picture's part around a face, a view of it with even sides, and the landmarks (478, 3) in its pixels."""
    reach = _AROUND * head_pose(landmarks).unit_px
    low, high = landmarks[:N_MESH, :2].min(0) - reach, landmarks[:N_MESH, :2].max(0) + reach
    left, top = np.maximum(low, 0).astype(int)
    right, bottom = np.minimum(np.ceil(high), picture.shape[1::-1]).astype(int)
    right, bottom = left + (right - left) // 2 * 2, top + (bottom - top) // 2 * 2
    return picture[top:bottom, left:right], landmarks - np.array([left, top, 0.0])


def reference_face(chosen: Candidate, spec: LipSyncSpec) -> EnrolledFace:
    """The candidate as what the engine draws from."""
    return face_from_landmarks(chosen.picture, chosen.landmarks, spec)


def _fault(picture: Image, landmarks: Points) -> float:
    pose = head_pose(landmarks)
    gap = max(float(lip_gaps(pose.to_canonical(landmarks)[:N_MESH]).max()) - _CLOSED, 0.0)
    turned = np.hypot(pose.yaw_degrees, pose.pitch_degrees)
    low, high = landmarks[list(OUTER_LIPS), :2].min(0), landmarks[list(OUTER_LIPS), :2].max(0)
    room = 0.2 * pose.unit_px
    left, top = np.maximum(low - room, 0).astype(int)
    right, bottom = np.ceil(high + room).astype(int)
    mouth = picture[top:bottom, left:right]
    if min(mouth.shape[:2]) < 8:
        return float("inf")
    luma = cv2.cvtColor(np.ascontiguousarray(mouth), cv2.COLOR_BGR2GRAY).astype(np.float32)
    # What is lost by a slight blur, as a share of all contrast: little of it is left in a blurred picture.
    fine = float(np.abs(luma - cv2.GaussianBlur(luma, (0, 0), 1.2)).mean()) / (float(luma.std()) + 1.0)
    return float(gap / _OPEN_BY + turned / _TURNED_BY_DEGREES - np.log(fine + 1e-3) - np.log(pose.unit_px))
