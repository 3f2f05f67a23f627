"""The tables of a face's eyes on a device, laid out for torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.compositor.torch.layout import Layout, is_empty
from s2v.engine.compositor.torch.mouth_tensors import HALF
from s2v.engine.compositor.upper_face.eye_tables import EyeTables
from s2v.engine.compositor.upper_face.eyes import LEAST_OPENING, LOWER_LID_SHARE, gaze_freedom, lid_drop
from s2v.engine.compositor.upper_face.lids import Curve, curve_at
from s2v.engine.face.geometry import Points

_CURVE_ENTRIES = 512  # of the tables of the lids' edges

# What one eye's curves say at s: t of the upper lid's edge, height of the opening, how freely the eyeball turns, how
# far the lower lid rises and the upper one comes down when it is shut.
CURVES = ("upper", "opening", "freedom", "rise", "drop")


@dataclass(frozen=True)
class EyeTensors:
    """For `eyes`; two eyes a face, (s, t) of `s2v.engine.compositor.upper_face.eyes`."""

    places: Tensor  # (n, 2, 3, 1, 1, 3): photo pixel (x, y, 1) -> 2 s - 1, 0, t
    curves: Tensor  # (n, 2, 5, 1, entries) over s: see `CURVES`
    along: Tensor  # (n, 2, 1, 1, 2): photo pixels of half an eye width, as places have it
    down: Tensor  # (n, 2, 1, 1, 2): photo pixels of an eye width
    strip: Tensor  # (n, 2, 1, 1)
    strength: Tensor  # (n, 2, 1, 1); 0 for an eye that stays as it is
    width_px: Tensor  # (n, 2, 1, 1)
    plates: Tensor  # (n, 2, 3, h, w): skin of the upper lids, and HALF
    plate_factor: Tensor  # (n, 2, 1, 1, 2): photo pixel -> plate in [-1, 1]
    plate_shift: Tensor  # (n, 2, 1, 1, 2)


def eye_tensors(eyes: Sequence[EyeTables], layout: Layout) -> EyeTensors:
    """Those of one face, n = 1, in host memory. Args: eyes: that can move."""
    if is_empty(layout.eyes):
        return EyeTensors(*(torch.zeros((1, 2)) for _ in fields(EyeTensors)))
    pair = [_one_eye(eye, layout.plate) for eye in (*eyes, None, None)[:2]]
    both = ([getattr(eye, field.name) for eye in pair] for field in fields(EyeTensors))
    return EyeTensors(*(torch.stack(parts)[None] for parts in both))


def _one_eye(eye: EyeTables | None, plate: tuple[int, int]) -> EyeTensors:
    """Without the axes of faces and eyes. Args: eye: None is one that stays as it is."""
    width, height = plate
    skin = np.zeros((3, height, width), np.uint8)
    corner = np.zeros(2)
    upper: Curve = (0.0, 0.0)
    lower, strip, strength, width_px = upper, 0.0, 0.0, 0.0
    to_eye: Points = np.zeros((2, 3))
    to_photo = to_eye
    if eye is not None:
        upper, lower, strip, to_photo = eye.upper, eye.lower, eye.strip, eye.to_photo
        strength, width_px, to_eye = eye.strength, eye.width_px, np.asarray(eye.to_eye, np.float64)
        room = [(0, height - eye.plates.half_open.shape[0]), (0, width - eye.plates.half_open.shape[1]), (0, 0)]
        skin, corner = np.pad(eye.plates.half_open, room, mode="edge").transpose(2, 0, 1), np.array(eye.box[:2], float)
    s = np.linspace(0, 1, _CURVE_ENTRIES)
    edge, opening = curve_at(upper, s), curve_at(lower, s) - curve_at(upper, s)
    curves = {
        "upper": edge,
        "opening": np.maximum(opening, LEAST_OPENING),
        "freedom": strength * gaze_freedom(s),
        "rise": strength * LOWER_LID_SHARE * opening,
        "drop": strength * lid_drop(opening, s),
    }
    places = np.stack([2 * to_eye[0] - [0, 0, 1], np.zeros(3), to_eye[1]])
    factor = 2 / (np.array(plate) - 1)
    return EyeTensors(
        places=_float(places.T.reshape(3, 1, 1, 3)),
        curves=_float(np.stack([curves[name] for name in CURVES])[:, None]),
        along=_float(to_photo[:, 0].reshape(1, 1, 2) / 2),
        down=_float(to_photo[:, 1].reshape(1, 1, 2)),
        strip=_float(np.full((1, 1), strip)),
        strength=_float(np.full((1, 1), strength)),
        width_px=_float(np.full((1, 1), width_px)),
        plates=_float(skin + HALF),
        plate_factor=_float(factor.reshape(1, 1, 2)),
        plate_shift=_float((-factor * corner - 1).reshape(1, 1, 2)),
    )


def _float(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))
