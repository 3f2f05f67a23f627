"""The tables of a face's eyes on a device, laid out for torch, and what a pose makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.torch.tables.arrays import HALF, as_float, unit_step
from s2v.engine.compositor.torch.tables.layout import Layout, is_empty
from s2v.engine.compositor.upper_face.eye_curves import gaze_freedom, lids_overlap
from s2v.engine.compositor.upper_face.eye_tables import EyeTables
from s2v.engine.compositor.upper_face.eyes import CHEEK_LID_SHARE, LOWER_LID_SHARE, overlap_share
from s2v.engine.compositor.upper_face.lid_paint import lashes_turned
from s2v.engine.compositor.upper_face.lids import Curve, curve_at
from s2v.engine.face.geometry import Points

_CURVE_ENTRIES = 512  # of the tables of the lids' edges
N_EYES = 2

# What one eye's curves say at s: t of the upper lid's edge, height of the opening, how freely the eyeball turns, how
# far a shut upper lid goes beyond the lower one.
CURVES = ("upper", "opening", "freedom", "overlap")
# What a pose makes of one eye: how far a blink has shut it, and which share of the overlap it has reached; how far lids
# follow the gaze down; share of the opening by which the upper lid stands higher, and by which the lower one rises; how
# far the iris turns along, and how it bows down; how dark lashes are that point down.
AMOUNTS = ("shut", "overlap", "follow", "widen", "rise", "turn", "tilt", "lashes")


@dataclass(frozen=True)
class EyeTensors:
    """For `drawing.eyes`; two eyes a face, (s, t) of the CPU's `upper_face.eyes`."""

    places: Tensor  # (n, 2, 3, 1, 1, 3): photo pixel (x, y, 1) -> 2 s - 1, 0, t
    curves: Tensor  # (n, 2, 4, 1, entries) over s: see `CURVES`
    along: Tensor  # (n, 2, 1, 1, 2): photo pixels of an eye width, from corner to corner
    down: Tensor  # (n, 2, 1, 1, 2): and across that
    fold_follows: Tensor  # (n, 2, 1, 1)
    strip: Tensor  # (n, 2, 1, 1)
    width_px: Tensor  # (n, 2, 1, 1)
    plates: Tensor  # (n, 2, 6, h, w): of the upper lids `half_open` and `shut`, and HALF
    lashes: Tensor  # (n, 2, 1, h, w): share by which lashes are darker than skin
    plate_factor: Tensor  # (n, 2, 1, 1, 2): photo pixel -> plate in [-1, 1]
    plate_shift: Tensor  # (n, 2, 1, 1, 2)


def eye_tensors(eyes: Sequence[EyeTables], layout: Layout) -> EyeTensors:
    """Those of one face, n = 1, in host memory. Args: eyes: that can move."""
    if is_empty(layout.eyes):
        return EyeTensors(*(torch.zeros((1, 2)) for _ in fields(EyeTensors)))
    pair = [_one_eye(eye, layout.plate) for eye in (*eyes, None, None)[:N_EYES]]
    both = ([getattr(eye, field.name) for eye in pair] for field in fields(EyeTensors))
    return EyeTensors(*(torch.stack(parts)[None] for parts in both))


def eye_amounts(eyes: Sequence[EyeTables], pose: FacePose) -> list[float]:
    """N_EYES times `AMOUNTS`: all 0 of an eye that stays as it is. Args: eyes: that can move."""
    found: list[float] = []
    for eye in eyes:
        shut, awake = pose.closed, eye.strength * (1 - pose.closed)
        rise = LOWER_LID_SHARE * shut + CHEEK_LID_SHARE * awake * pose.cheeks
        turn, tilt = (eye.strength * way for way in (pose.gaze[0], 4 * pose.gaze[1]))
        found += [shut, overlap_share(shut), awake * pose.gaze[1], awake * pose.widen]
        found += [rise, turn, tilt, lashes_turned(shut)]
    return found + [0.0] * (N_EYES * len(AMOUNTS) - len(found))


def _one_eye(eye: EyeTables | None, plate: tuple[int, int]) -> EyeTensors:
    """Without the axes of faces and eyes. Args: eye: None is one that stays as it is."""
    width, height = plate
    pictures = np.zeros((height, width, 7), np.uint8)
    corner = np.zeros(2)
    upper: Curve = (0.0, 0.0)
    lower, follows, strip, width_px = upper, 0.0, 0.0, 0.0
    to_eye: Points = np.zeros((2, 3))
    to_photo = to_eye
    if eye is not None:
        upper, lower, to_photo = eye.upper, eye.lower, eye.to_photo
        follows, strip = eye.fold_follows, eye.strip
        width_px, to_eye, corner = eye.width_px, np.asarray(eye.to_eye, np.float64), np.array(eye.box[:2], float)
        own = np.dstack([eye.plates.half_open, eye.plates.shut, eye.plates.lashes])
        pictures = np.pad(own, [(0, height - own.shape[0]), (0, width - own.shape[1]), (0, 0)], mode="edge")
    s = np.linspace(0, 1, _CURVE_ENTRIES)
    edge, opening = curve_at(upper, s), curve_at(lower, s) - curve_at(upper, s)
    there = 0.0 if eye is None else 1.0
    curves = {
        "upper": edge,
        "opening": opening,
        "freedom": there * gaze_freedom(s),
        "overlap": there * lids_overlap(s),
    }
    places = np.stack([2 * to_eye[0] - [0, 0, 1], np.zeros(3), to_eye[1]])
    factor = unit_step(plate)
    planes = pictures.transpose(2, 0, 1).astype(np.float32)
    return EyeTensors(
        places=as_float(places.T.reshape(3, 1, 1, 3)),
        curves=as_float(np.stack([curves[name] for name in CURVES])[:, None]),
        along=as_float(to_photo[:, 0].reshape(1, 1, 2)),
        down=as_float(to_photo[:, 1].reshape(1, 1, 2)),
        fold_follows=as_float(np.full((1, 1), follows)),
        strip=as_float(np.full((1, 1), strip)),
        width_px=as_float(np.full((1, 1), width_px)),
        plates=as_float(planes[:6] + HALF),
        lashes=as_float(planes[6:] / 255),
        plate_factor=as_float(factor.reshape(1, 1, 2)),
        plate_shift=as_float((-factor * corner - 1).reshape(1, 1, 2)),
    )
