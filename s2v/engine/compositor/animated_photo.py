"""A photo whose head turns, breathes, blinks and looks about; the mouth's own map is looked up through the head's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.head.drawing import MovingHead
from s2v.engine.compositor.upper_face.expression import MovingExpression
from s2v.engine.compositor.upper_face.eyes import MovingEyes, lay_over
from s2v.engine.face.geometry import Points
from s2v.engine.face.maps import Box, Map
from s2v.engine.face.photo import Image


class AnimatedPhoto:
    """One face whose head and eyes move.

    Args:
        head: how its head moves, and before what. eyes, expression: how its eyes, brows and cheeks do.
    """

    def __init__(self, head: MovingHead, eyes: MovingEyes, expression: MovingExpression) -> None:
        self.head = head
        self.eyes = eyes
        self.expression = expression

    def forward(self, pose: FacePose) -> Points:
        """(2, 3) from a pixel of the mouth on the photo to where the head carries it."""
        return self.head.forward(pose)

    def carry(self, pose: FacePose, points: Points) -> Points:
        """Where points (n, 2) of the mouth, photo pixels, go on the frame: (n, 2)."""
        return self.head.carry(pose, points)

    def draw(self, pose: FacePose, box: Box, bend: Callable[[Map], Map] | None = None) -> Image:
        """One frame, (h, w, 3) BGR, a new array.

        Args:
            box: left, top, right, bottom of the lower face on the photo, inside the box the head was made to keep.
            bend: the mouth's map: from the photo pixels (h, w, 2) that the head alone would show where it has carried
                `box`, cut to the frame, to the photo pixels to show there.
        """
        left, top, right, bottom = self.head.box
        source = self.head.source(pose)
        x, y = self.head.eyes_shift(pose)
        self.expression.move(source.map, (left - x, top - y), pose)
        lids = self.eyes.move(source.map, (left - x, top - y), pose)
        if bend is not None:
            x, y = np.round(carried_middle(self.forward(pose), box)).astype(int) - [left, top]
            ends = (right - left, bottom - top)
            across, down = (
                slice(*np.clip([low + n, high + n], 0, end))
                for low, high, n, end in zip(box[:2], box[2:], (x, y), ends, strict=True)
            )
            part = source.map[down, across]
            part[:] = bend(part)
        frame = self.head.background.copy()
        self.head.look_up(source, frame)
        lay_over(frame[top:bottom, left:right], lids)
        return frame


def carried_middle(forward: Points, box: Box) -> Points:
    """(2,) how far a (2, 3) map carries the middle of a box."""
    middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    moved: Points = forward[:, :2] @ middle + forward[:, 2] - middle
    return moved
