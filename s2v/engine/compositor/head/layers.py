"""A photo in two layers, made once per face: the head that moves, and what lies still behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from s2v.engine.compositor.head.background import filled_background
from s2v.engine.compositor.head.edge import cut_out
from s2v.engine.compositor.head.matte import plainness, widened, without_islands
from s2v.engine.compositor.head.person import Matte, face_unit_px, person_matte
from s2v.engine.compositor.head.strands import strands
from s2v.engine.face.background import Background
from s2v.engine.face.geometry import FacePlane, Points
from s2v.engine.face.photo import Image


@dataclass(frozen=True)
class Layers:
    """One face's. What a frame shows is `background`, and over it the head: `at_rest` less background * (1 - matte)."""

    at_rest: Image  # (h, w, 3) BGR: what is seen while nothing moves, the photo or the person before a background
    matte: Matte  # (h, w): how much of a pixel belongs to the head, or to the body under it
    background: Image  # (h, w, 3) BGR: what does not move
    person: Matte  # (h, w): the matte without the rim that it has around the person


def layers(photo: Image, landmarks: Points, plane: FacePlane, background: Background | None = None) -> Layers:
    """Those of one face; some 0.3 s of one core for a photo of 512 px.

    Args:
        photo: (h, w, 3) BGR. landmarks: (>=468, 3) pixels. plane: of the face.
        background: what shall be behind head and shoulders; None: what is there on the photo, and the matte is
            `widened`.
    """
    person = person_matte(photo, landmarks, plane)
    unit_px = face_unit_px(plane)
    if background is not None:
        fine = strands(photo, person, unit_px, plane)
        plate = filled_background(photo, np.maximum(person, fine), unit_px) if background.blurs else photo
        behind = background.behind(plate, unit_px)
        head, cover = cut_out(photo, person, fine, unit_px)
        return Layers(_over(head, cover, behind), cover, behind, cover)
    hung = strands(photo, person, unit_px, plane)
    whole = without_islands(np.maximum(person, hung), unit_px)
    plate = filled_background(photo, whole, unit_px)
    rim = widened(whole, unit_px, plainness(plate, unit_px))
    return Layers(photo, rim, np.where(rim[..., None] > 0, plate, photo), whole)


def _over(head: Image, cover: Matte, behind: Image) -> Image:
    share = cover[..., None]
    return np.asarray(behind * (1 - share) + head * share + 0.5, np.uint8)
