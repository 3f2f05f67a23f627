"""A photo in two layers, made once per face: the head that moves, and what lies still behind it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from s2v.engine.compositor.head.background import filled_background
from s2v.engine.compositor.head.matte import widened
from s2v.engine.compositor.head.person import Matte, face_unit_px, person_matte
from s2v.engine.face.background import Background
from s2v.engine.face.geometry import FacePlane, Points
from s2v.engine.face.photo import Image


@dataclass(frozen=True)
class Layers:
    """One face's. A frame is background + matte * (head - background), with head and matte moved alike."""

    head: Image  # (h, w, 3) BGR: the photo; before another background without the old one's colours along the edge
    matte: Matte  # (h, w): how much of a pixel the head layer covers
    background: Image  # (h, w, 3) BGR: what does not move

    @cached_property
    def flat(self) -> Image:
        """(h, w, 3) BGR: both layers, nothing moved; what a face without head motion is drawn on."""
        cover = self.matte[..., None]
        return np.asarray(self.background * (1 - cover) + self.head * cover + 0.5, np.uint8)


def layers(photo: Image, landmarks: Points, plane: FacePlane, background: Background | None = None) -> Layers:
    """Those of one face.

    Args:
        photo: (h, w, 3) BGR. landmarks: (>=468, 3) pixels. plane: of the face.
        background: what shall be behind head and shoulders; None: what is there on the photo, and the matte has the rim
            of `head_matte`.
    """
    person = person_matte(photo, landmarks, plane)
    unit_px = face_unit_px(plane)
    rim = widened(person, unit_px)
    plate = filled_background(photo, rim)
    if background is None:
        return Layers(photo, rim, plate)
    return Layers(photo, person, background.behind(plate, unit_px))
