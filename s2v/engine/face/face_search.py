"""Finds the faces of a picture, however the picture is turned and however small they are on it.

What sees faces sees them upright and not much smaller than the picture. So it is shown the picture and, for smaller
faces, squares of it; each face is then looked at in four quarter turns, of which those that see a face rightly agree
on how it is turned, and its landmarks are sought on it set upright.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from s2v.engine.face.detection import FaceBox, FaceDetector, open_detector
from s2v.engine.face.geometry import N_MESH, OUTER_EYES, Points, head_pose
from s2v.engine.face.photo import Image, Picture, flattened, shrunk
from s2v.errors import NoFaceError

# A face this much smaller than the largest is somebody in the background, or on a poster.
_BACKGROUND_SHARE = 0.4
_VIEW_PX = 256  # a view is shrunk to that: the network itself sees 128
_SEEN_SHARE = 0.15  # of a view's side: smaller faces may be missed
_VIEW_STEP = 0.6  # of its side, from one view to the next: faces that both would cut are seen whole in larger views
_LEAST_VIEW_PX = 400  # what is too small even there has too few pixels to talk
_MOST_VIEWS = 200  # of one size, about a second
_MOST_TURNED_VIEWS = 12
_MOST_LOOKS = 40  # at places that may hold a face, in views of one size
_SURELY_UPRIGHT = 0.92  # a box's score; faces upside down are scored less
_LEAST_UPRIGHT = 0.7  # and of an upright face; what is less is foliage or a cloth
_SURER_TURNED = 2.0  # times as sure as upright: what is on its head is mostly a mask, taken for a forehead
_BOX_UNITS = 2.0  # eye distances from side to side of a box
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
    faces = _upright_faces(picture, detector)
    for side in () if faces else _sides(picture):  # on its side, upside down: most are found above, and these here
        faces = faces or _faces_in_views(picture, side, (1, 2, 3), detector, _MOST_TURNED_VIEWS)
    if not faces:
        raise NoFaceError("no face found on the photo: use one where a face looks at the camera, well lit")
    return _in_front(faces)


def upright_faces(picture: Image, detector: FaceDetector) -> list[Points]:
    """As `find_faces`, but without those on their side or upside down, and none of a picture that shows nobody."""
    return _in_front(_upright_faces(picture, detector))


def _upright_faces(picture: Image, detector: FaceDetector) -> list[Points]:
    faces: list[Points] = []
    for side in _sides(picture):
        faces = _apart(faces + _faces_in_views(picture, side, (0,), detector))
        if faces and side * _SEEN_SHARE <= _BACKGROUND_SHARE * max(_size_px(face) for face in faces):
            break  # what is not found by now is in the background
    return faces


def _in_front(faces: list[Points]) -> list[Points]:
    """Left to right, people in the background left out."""
    largest_px = max((_size_px(face) for face in faces), default=0.0)
    near = [face for face in faces if _size_px(face) >= _BACKGROUND_SHARE * largest_px]
    return sorted(near, key=lambda face: float(face[:, 0].mean()))


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
            faces = _faces_in_views(frame, max(frame.shape[:2]), (0,), detector)
            searched = max(faces, key=_size_px, default=None)
            found = found if found is not None and searched is not None and _is_same(found, searched) else searched
        last = found
        return found

    with open_detector() as detector:
        yield find


def _sides(picture: Image) -> list[int]:
    """Of the squares in which faces are sought, in pixels: one around the whole picture, then smaller and smaller."""
    height, width = picture.shape[:2]
    sides = [max(height, width)]
    if min(height, width) < 0.75 * sides[0]:
        sides.append(min(height, width))
    while sides[-1] > _LEAST_VIEW_PX:
        sides.append(max(_LEAST_VIEW_PX, sides[-1] // 2))
    return sides


def _faces_in_views(
    picture: Image, side: int, all_turns: Sequence[int], detector: FaceDetector, most_views: int = _MOST_VIEWS
) -> list[Points]:
    """Landmarks of the faces, each once, that squares of this side show when each is turned so and so often."""
    height, width = picture.shape[:2]
    corners = [(x, y) for y in _starts(height, side) for x in _starts(width, side)]
    if len(corners) > most_views:
        return []
    small, scale = shrunk(picture, max(1, round(max(height, width) * min(1.0, _VIEW_PX / side))))
    boxes: list[FaceBox] = []
    for x, y in corners:
        left, top = (round(max(0, start) * scale) for start in (x, y))
        view = small[top : round((y + side) * scale), left : round((x + side) * scale)]
        for turns in all_turns:
            boxes = _merged(boxes, _seen(view, (left, top), scale, turns, detector))
    surest = sorted(boxes, key=lambda box: -box.score)[:_MOST_LOOKS]
    return _apart([mesh for box in surest if (mesh := _mesh_at(picture, box, detector)) is not None])


def _starts(length: int, side: int) -> list[int]:
    """Where squares begin that cover a length; a longer one lies around its middle."""
    if side >= length:
        return [(length - side) // 2]
    steps = int(np.ceil((length - side) / (_VIEW_STEP * side)))
    return [round(n * (length - side) / steps) for n in range(steps + 1)]


def _seen(view: Image, corner: tuple[int, int], scale: float, turns: int, detector: FaceDetector) -> list[FaceBox]:
    """Faces in a view that is shown in quarter turns counter-clockwise; as they are on the picture.

    Args: corner: of the view, left and top, on the picture shrunk by `scale`.
    """
    height, width = view.shape[:2]
    found = []
    for box in detector.boxes(np.rot90(view, turns)):
        x, y = box.centre_px
        back = ((x, y), (width - y, x), (width - x, height - y), (y, height - x))[turns]
        roll = (box.roll_degrees + 90 * turns + 180) % 360 - 180
        found.append(FaceBox((np.array(back) + corner) / scale, box.size_px / scale, roll, box.score))
    return found


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
    centre = float(box.centre_px[0]), float(box.centre_px[1])
    to_cut = np.asarray(cv2.getRotationMatrix2D(centre, roll, cut_px / side), np.float64)
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
    if box.score >= _SURELY_UPRIGHT and abs(box.roll_degrees) < _UPRIGHT_DEGREES:
        return box.roll_degrees
    left, top = (round(max(0.0, middle - _AROUND * box.size_px / 2)) for middle in box.centre_px)
    right, bottom = (round(middle + _AROUND * box.size_px / 2) for middle in box.centre_px)
    view, scale = shrunk(picture[top:bottom, left:right], _VIEW_PX)
    corner = round(left * scale), round(top * scale)
    seen = [
        max(here, key=lambda one: one.score)
        for turns in range(4)
        if (here := [one for one in _seen(view, corner, scale, turns, detector) if _overlap(one, box)])
    ]
    if max((one.score for one in seen), default=0.0) < _LEAST_UPRIGHT:
        return None
    rolls = np.radians([one.roll_degrees for one in seen])
    sure = np.array([one.score for one in seen]) ** 2
    agreement = np.clip(np.cos(rolls[:, None] - rolls), 0, None) ** 2 @ sure
    trust = agreement * sure * np.where(np.cos(rolls) < 0, 1 / _SURER_TURNED, 1)
    return seen[int(np.argmax(trust))].roll_degrees


def _apart(meshes: list[Points]) -> list[Points]:
    """Each face once."""
    kept: list[Points] = []
    for mesh in meshes:
        if not any(_distance(mesh, other) < 1.0 for other in kept):
            kept.append(mesh)
    return kept


def _size_px(mesh: Points) -> float:
    """Of a face, comparable to a box's."""
    return float(np.hypot(*np.ptp(mesh[list(OUTER_EYES), :2], axis=0))) * _BOX_UNITS


def _distance(one: Points, other: Points) -> float:
    """How far two meshes lie apart on the picture, the mean of their points, in eye distances of the larger."""
    unit_px = max(1e-6, _size_px(one), _size_px(other)) / _BOX_UNITS
    return float(np.linalg.norm(one[:N_MESH, :2] - other[:N_MESH, :2], axis=1).mean()) / unit_px


def _is_same(one: Points, other: Points) -> bool:
    return _distance(one, other) < 0.15


def _is_near(one: Points, other: Points) -> bool:
    """Whether a head may have moved so between two frames."""
    return _distance(one, other) < 0.4
