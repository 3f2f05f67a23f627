"""A photo that breathes, blinks and looks about; the mouth's own map is looked up through the head's."""

from __future__ import annotations

from collections.abc import Callable

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.head import MovingHead
from s2v.engine.compositor.upper_face.expression import MovingExpression
from s2v.engine.compositor.upper_face.eyes import MovingEyes, lay_over
from s2v.engine.face.geometry import Points
from s2v.engine.face.maps import Box, Map
from s2v.engine.face.photo import Image


class AnimatedPhoto:
    """One face whose head and eyes move.

    Args:
        photo: (h, w, 3) BGR, only read.
        head: how its head moves. eyes, expression: how its eyes, brows and cheeks do.
    """

    def __init__(self, photo: Image, head: MovingHead, eyes: MovingEyes, expression: MovingExpression) -> None:
        self._photo = photo
        self.head = head
        self.eyes = eyes
        self.expression = expression

    def forward(self, pose: FacePose) -> Points:
        """(2, 3) from a pixel of the face on the photo to where the head carries it."""
        return self.head.forward(pose)

    def draw(self, pose: FacePose, box: Box, bend: Callable[[Map], Map] | None = None) -> Image:
        """One frame, (h, w, 3) BGR, a new array.

        Args:
            box: left, top, right, bottom of the frame, inside the box the head was made to keep.
            bend: the mouth's map: from where the head moved a point (h, w, 2) of `box` to the photo pixel it shows.
        """
        left, top, right, bottom = self.head.box
        source = self.head.source_map(pose)
        self.expression.move(source, (left, top), pose)
        lids = self.eyes.move(source, (left, top), pose)
        if bend is not None:
            part = source[box[1] - top : box[3] - top, box[0] - left : box[2] - left]
            part[:] = bend(part)
        frame = self._photo.copy()
        self.head.look_up(source, frame)
        lay_over(frame[top:bottom, left:right], lids)
        return frame
