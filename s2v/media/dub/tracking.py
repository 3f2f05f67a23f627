"""Follows one person's face through a film."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.detection import FaceDetector
from s2v.engine.face.enrolment import sample
from s2v.engine.face.face_search import upright_faces
from s2v.engine.face.geometry import N_MESH, FacePlane, Points, head_pose
from s2v.engine.face.photo import Image, shrunk
from s2v.errors import SeveralFacesError

_VIEW_UNITS = 2.2  # eye distances around the middle of a face that are looked at
_VIEW_PX = 512
_RESTS_UNITS, _RESTS_SIZE = 0.30, 1.15  # the view stays while the face moves less in it: its pixels stay the same
_SAME_UNITS = 0.6  # from one picture to the next
_SEARCH_EVERY = 5  # pictures without the face
_LOOK_PX = 24  # of the crop that people are told apart by
_LOOK_UNITS = 1.1
# Likeness below which a face is somebody else's, in a film of several people: 19 of 20 pairs of people are below, 19 of
# 20 pairs of pictures of one person above.
_STRANGER = 0.80
_NEW_LOOK, _MOST_LOOKS = 0.92, 16  # what a person looks like from other sides is remembered while he or she is followed


class FaceTracker:
    """One pass over a film's pictures, in order."""

    def __init__(self, detector: FaceDetector, face_index: int | None = None) -> None:
        """Args: face_index: which face, from the left, where the film first shows so many."""
        self._detector = detector
        self._face_index = face_index
        self._last: Points | None = None
        self._view: tuple[Points, float] | None = None  # middle and reach in pixels
        self._looks: list[NDArray[np.float32]] = []  # of the person
        self._last_look: NDArray[np.float32] | None = None  # on the picture before, while he or she is followed
        self._lost_for = 0
        self.most_faces = 0  # at once

    def find(self, picture: Image, is_cut: bool) -> Points | None:
        """Landmarks (478, 3) of the person in pixels of a picture (h, w, 3) BGR; None, it does not show him or her.

        Raises: SeveralFacesError, nobody said which of several.
        """
        if is_cut:
            self._last = self._view = self._last_look = None
            self._lost_for = 0
        found = None if self._view is None else self._in_view(picture)
        if found is not None and not self._recognised(picture, found):
            found = None
        if found is None:
            if self._lost_for % _SEARCH_EVERY == 0:
                found = self._searched(picture)
                if found is not None:
                    self._look_around(found)
                    found = self._in_view(picture, anywhere=True)
                    if found is not None and not self._recognised(picture, found):  # somebody leans over the person
                        found = None
            self._lost_for += 1
        if found is not None:
            self._lost_for = 0
            self._look_around(found)
            self._remember(picture, found)
        else:
            self._last_look = None
        self._last = found
        return found

    def _recognised(self, picture: Image, face: Points) -> bool:
        """Whether a face where the person was is the person, in a film of several or with one chosen: others step in.

        Who is followed may come to look otherwise, but not from one picture to the next.
        """
        if not (self._several and self._looks):
            return True
        look = looks(picture, face)
        same = self._last_look is not None and float((self._last_look * look).sum()) >= _STRANGER
        return same or self._likeness(look) >= _STRANGER

    def _remember(self, picture: Image, face: Points) -> None:
        self._last_look = look = looks(picture, face)
        if len(self._looks) < _MOST_LOOKS and self._likeness(look) < _NEW_LOOK:
            self._looks.append(look)

    @property
    def _several(self) -> bool:
        return self.most_faces > 1 or self._face_index is not None

    def _in_view(self, picture: Image, anywhere: bool = False) -> Points | None:
        """What the network sees where the face was."""
        assert self._view is not None
        middle, reach = self._view
        left, top = np.maximum(np.round(middle - reach), 0).astype(int)
        right, bottom = np.round(middle + reach).astype(int)
        part = picture[top:bottom, left:right]
        if min(part.shape[:2]) < 16:
            return None
        part, scale = shrunk(np.ascontiguousarray(part), _VIEW_PX)
        found = self._detector.landmarks(part)
        if found is None:
            return None
        found = np.asarray(found / scale + np.array([left, top, 0.0]), np.float64)
        if anywhere or self._last is None:
            return found
        unit_px = head_pose(self._last).unit_px
        far = float(np.linalg.norm((found - self._last)[:N_MESH, :2].mean(0)))
        return found if far < _SAME_UNITS * unit_px else None

    def _look_around(self, face: Points) -> None:
        middle, reach = face[:N_MESH, :2].mean(0), _VIEW_UNITS * head_pose(face).unit_px
        if self._view is not None:
            old_middle, old_reach = self._view
            rests = np.abs(middle - old_middle).max() < _RESTS_UNITS / _VIEW_UNITS * reach
            if rests and max(reach / old_reach, old_reach / reach) < _RESTS_SIZE:
                return
        self._view = (middle, reach)

    def _searched(self, picture: Image) -> Points | None:
        """The person's face, wherever it is."""
        faces = upright_faces(picture, self._detector)
        self.most_faces = max(self.most_faces, len(faces))
        if not faces:
            return None
        if not self._looks:
            if self._face_index is None and len(faces) > 1:
                last = len(faces) - 1
                raise SeveralFacesError(
                    f"{len(faces)} faces in the film: pass --face-index 0..{last} (0 is the leftmost)", len(faces)
                )
            index = self._face_index or 0
            if not 0 <= index < len(faces):
                return None
            self._looks = [looks(picture, faces[index])]
            return faces[index]
        likeness = [self._likeness(looks(picture, face)) for face in faces]
        best = int(np.argmax(likeness))
        if self._several and likeness[best] < _STRANGER:
            return None
        return faces[best]

    def _likeness(self, look: NDArray[np.float32]) -> float:
        return max(float((own * look).sum()) for own in self._looks)


def looks(picture: Image, face: Points) -> NDArray[np.float32]:
    """What eyes and nose look like, a vector of length one: the product of two is their likeness."""
    pose = head_pose(face)
    px = 2 * _LOOK_UNITS / _LOOK_PX
    to_plane = np.array([[px, 0, px / 2 - _LOOK_UNITS], [0, px, px / 2 - 0.55], [0, 0, 1]])
    grid = FacePlane.at_depth(pose, -0.1).matrix @ to_plane
    crop = sample(picture, grid, (_LOOK_PX, _LOOK_PX))[: int(1.15 / px)].astype(np.float32)
    vector = (crop - crop.mean()).ravel()
    return np.asarray(vector / (np.linalg.norm(vector) + 1e-6), np.float32)
