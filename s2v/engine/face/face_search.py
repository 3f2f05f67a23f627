"""Finds the faces of a picture, however the picture is turned and however small they are on it.

What sees faces sees them upright and not much smaller than the picture. So it is shown the picture and, for smaller
faces, squares of it; each face is then looked at in four quarter turns, of which those that see a face rightly agree
on how it is turned, and its landmarks are sought on it set upright.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from s2v.engine.face.detection import FaceBox, FaceDetector, open_detector
from s2v.engine.face.geometry import N_MESH, OUTER_EYES, Points, head_pose
from s2v.engine.face.photo import Image, Picture, flattened, shrunk
from s2v.errors import NoFaceError

# A face this much smaller than the largest is somebody in the background, or on a poster.
_BACKGROUND_SHARE = 0.4
_VIEW_PX = 320  # a view is shrunk to that: the network itself sees 128
_SEEN_SHARE = 0.15  # of a view's side: smaller faces may be missed
_LEAST_VIEW_PX = 480  # a face that is small even there has too few pixels to talk
_MOST_VIEWS = 400  # of one size, some 2 s
_MOST_TURNED_VIEWS = 16
_AROUND = 2.4  # sides of a face's box that are shown around it
_CUT_PX = 512
_UPRIGHT_DEGREES = 30.0  # what a mesh may be turned on a face that was set upright
_SAME_PLACE = 0.5  # of a face's size


def detect_faces(picture: Picture) -> list[Points]:
    """Landmarks of the faces on a picture, left to right, people in the background left out.

    Returns: each (478, 3) in pixels. Raises: NoFaceError.
    """
    with open_detector() as detector:
        return find_faces(flattened(picture), detector)


def find_faces(picture: Image, detector: FaceDetector) -> list[Points]:
    """See `detect_faces`."""
    boxes = _boxes(picture, detector, thorough=True)
    near = [box for box in boxes if box.size_px >= _BACKGROUND_SHARE * max(other.size_px for other in boxes)]
    faces = _apart([mesh for box in near if (mesh := _mesh_at(picture, box, detector)) is not None])
    if not faces:
        raise NoFaceError("no face found on the photo: use one where a face looks at the camera, well lit")
    sizes = [head_pose(face).unit_px for face in faces]
    near_faces = [face for face, size in zip(faces, sizes, strict=True) if size >= _BACKGROUND_SHARE * max(sizes)]
    return sorted(near_faces, key=lambda face: float(face[:, 0].mean()))


def landmarks_on(photo: Image, known: Points, detector: FaceDetector) -> Points:
    """Landmarks (478, 3) of the face that is known to be there, as the whole photo shows it.

    Args: known: about where they are, (478, 3); the answer, should the whole photo show another face or none.
    """
    found = detector.landmarks(photo)
    return found if found is not None and _is_same(found, known) else known


@contextlib.contextmanager
def film_detector() -> Iterator[Callable[[Image], Points | None]]:
    """A function from each frame (h, w, 3) BGR of a film to the landmarks (478, 3) of its largest face, or None.

    Each frame is looked at by itself. What was found is held against the frame before, and where it is elsewhere
    or otherwise turned, against a search as on a photo, though not for small faces.
    """
    last: Points | None = None

    def find(frame: Image) -> Points | None:
        nonlocal last
        found = detector.landmarks(frame)
        if found is None or last is None or not _is_near(found, last):
            boxes = _boxes(frame, detector, thorough=False)
            largest = max(boxes, key=lambda box: box.size_px, default=None)
            searched = None if largest is None else _mesh_at(frame, largest, detector)
            found = found if found is not None and searched is not None and _is_same(found, searched) else searched
        last = found
        return found

    with open_detector() as detector:
        yield find


def _boxes(picture: Image, detector: FaceDetector, thorough: bool) -> list[FaceBox]:
    """Where faces seem to be, upright or not, each once."""
    found: list[FaceBox] = []
    for views in _levels(picture, thorough):
        for x, y, side in views:
            found = _merged(found, _seen(picture, x, y, side, 0, detector))
        if found and views[0][2] * _SEEN_SHARE <= _BACKGROUND_SHARE * max(box.size_px for box in found):
            return found  # what is not found by now is in the background
    if not found and thorough:  # upside down, on its side: the network sees most of them all the same
        for views in _levels(picture, thorough):
            for x, y, side in views if len(views) <= _MOST_TURNED_VIEWS else ():
                for turns in (1, 2, 3):
                    found = _merged(found, _seen(picture, x, y, side, turns, detector))
    return found


def _levels(picture: Image, thorough: bool) -> list[list[tuple[int, int, int]]]:
    """Squares (left, top, side) that cover the picture, from one around it all to many small ones."""
    height, width = picture.shape[:2]
    sides = [max(height, width)]
    if min(height, width) < 0.75 * sides[0]:
        sides.append(min(height, width))
    while thorough and sides[-1] / 2 >= _LEAST_VIEW_PX:
        sides.append(sides[-1] // 2)
    levels = [[(x, y, side) for y in _starts(height, side) for x in _starts(width, side)] for side in sides]
    return [views for views in levels if len(views) <= _MOST_VIEWS]


def _starts(length: int, side: int) -> list[int]:
    """Where squares begin that overlap by half and cover a length; a longer one lies around its middle."""
    if side >= length:
        return [(length - side) // 2]
    steps = int(np.ceil(2 * (length - side) / side))
    return [round(n * (length - side) / steps) for n in range(steps + 1)]


def _seen(picture: Image, x: int, y: int, side: int, turns: int, detector: FaceDetector) -> list[FaceBox]:
    """Faces in a square of the picture that is shown in quarter turns counter-clockwise; as they are on the picture."""
    left, top = max(x, 0), max(y, 0)
    view, scale = shrunk(picture[top : y + side, left : x + side], _VIEW_PX)
    height, width = view.shape[:2]
    # a pixel of the turned view -> the view's own
    back = {
        0: lambda p: p,
        1: lambda p: np.array([width - p[1], p[0]]),
        2: lambda p: np.array([width - p[0], height - p[1]]),
        3: lambda p: np.array([p[1], height - p[0]]),
    }[turns]
    return [
        FaceBox(
            back(box.centre_px) / scale + np.array([left, top]),
            box.size_px / scale,
            (box.roll_degrees + 90 * turns + 180) % 360 - 180,
            box.score,
        )
        for box in detector.boxes(np.rot90(view, turns))
    ]


def _merged(boxes: list[FaceBox], more: list[FaceBox]) -> list[FaceBox]:
    """All of them; of several in one place the surest."""
    for box in more:
        here = [old for old in boxes if _overlap(old, box)]
        if all(box.score > old.score for old in here):
            boxes = [old for old in boxes if not _overlap(old, box)] + [box]
    return boxes


def _overlap(one: FaceBox, other: FaceBox) -> bool:
    apart = float(np.abs(one.centre_px - other.centre_px).max())
    return apart < _SAME_PLACE * max(one.size_px, other.size_px)


def _mesh_at(picture: Image, box: FaceBox, detector: FaceDetector) -> Points | None:
    """Landmarks (478, 3) of the face at a place; None if there is none that looks like one when set upright."""
    roll = _roll_at(picture, box, detector)
    if roll is None:
        return None
    side = _AROUND * box.size_px
    cut_px = min(_CUT_PX, round(side))
    to_cut = cv2.getRotationMatrix2D((float(box.centre_px[0]), float(box.centre_px[1])), roll, cut_px / side)
    to_cut[:, 2] += cut_px / 2 - box.centre_px
    mesh = detector.landmarks(_cut(picture, box, to_cut, cut_px))
    if mesh is None or abs(head_pose(mesh).roll_degrees) > _UPRIGHT_DEGREES:
        return None
    to_picture = cv2.invertAffineTransform(to_cut)
    there = np.column_stack([mesh[:, :2] @ to_picture[:, :2].T + to_picture[:, 2], mesh[:, 2] * side / cut_px])
    is_here = np.abs(there[:N_MESH, :2].mean(0) - box.centre_px).max() < _SAME_PLACE * box.size_px
    return there if is_here else None


def _cut(picture: Image, box: FaceBox, to_cut: Points, cut_px: int) -> Image:
    """The surroundings of a face, set upright, without aliasing."""
    reach = round(_AROUND * box.size_px)  # also of its corners when it is turned
    x, y = (max(0, int(middle) - reach) for middle in box.centre_px)
    part = picture[y : int(box.centre_px[1]) + reach, x : int(box.centre_px[0]) + reach]
    part, scale = shrunk(part, max(1, round(2 * reach * cut_px / (_AROUND * box.size_px))))
    from_part = to_cut.copy()
    from_part[:, 2] += to_cut[:, :2] @ np.array([x, y])
    from_part[:, :2] /= scale
    return np.asarray(cv2.warpAffine(part, from_part, (cut_px, cut_px), flags=cv2.INTER_LINEAR), np.uint8)


def _roll_at(picture: Image, box: FaceBox, detector: FaceDetector) -> float | None:
    """How far the face at a place is turned clockwise, in degrees.

    Seen upside down a face is found, too, with eyes somewhere about the mouth; but two neighbouring quarter turns that
    see it rightly say the same of it, and are surer.
    """
    side = round(_AROUND * box.size_px)
    x, y = (round(float(middle) - side / 2) for middle in box.centre_px)
    seen = [
        max(here, key=lambda one: one.score)
        for turns in range(4)
        if (here := [one for one in _seen(picture, x, y, side, turns, detector) if _overlap(one, box)])
    ]
    if not seen:
        return None
    rolls = np.radians([one.roll_degrees for one in seen])
    sure = np.array([one.score for one in seen]) ** 2
    agreement = np.clip(np.cos(rolls[:, None] - rolls), 0, None) ** 2 @ sure
    return seen[int(np.argmax(agreement * sure))].roll_degrees


def _apart(meshes: list[Points]) -> list[Points]:
    """Each face once."""
    kept: list[Points] = []
    for mesh in meshes:
        if not any(_distance(mesh, other) < 1.0 for other in kept):
            kept.append(mesh)
    return kept


def _distance(one: Points, other: Points) -> float:
    """How far two meshes lie apart on the picture, the mean of their points, in eye distances of the larger."""
    width = max(float(np.linalg.norm(np.ptp(mesh[list(OUTER_EYES), :2], axis=0))) for mesh in (one, other))
    return float(np.linalg.norm(one[:N_MESH, :2] - other[:N_MESH, :2], axis=1).mean()) / max(width, 1e-6)


def _is_same(one: Points, other: Points) -> bool:
    return _distance(one, other) < 0.15


def _is_near(one: Points, other: Points) -> bool:
    """Whether a head may have moved so between two frames."""
    return _distance(one, other) < 0.4
