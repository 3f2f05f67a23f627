"""Brows and cheeks on a device: the arithmetic of the CPU's `upper_face/expression.py`, both fields of several faces at
once."""

from __future__ import annotations

from torch import Tensor

from s2v.engine.compositor.torch.drawing.look_up import affine, backward, look_up
from s2v.engine.compositor.torch.tables.skin_tensors import SkinTensors
from s2v.engine.compositor.upper_face.expression import INVERSION_STEPS


def move_skin(face: SkinTensors, moved: Tensor, amounts: Tensor) -> Tensor:
    """What raised brows and cheeks add to a map, (n, h, w, 2) photo pixels.

    Args:
        moved: (n, h, w, 2) the photo pixels that the head's motion shows there. amounts: (n, 2) of `FrameInputs.skin`.
    """
    forward = (face.forward * amounts[..., None, None, None]).flatten(0, 1)
    back = backward(forward, face.cells.flatten(0, 1), (1.0,) * INVERSION_STEPS)
    at = affine(moved[:, None], face.places).flatten(0, 1)
    there = look_up(back, at, "bilinear").view(-1, 2, 2, *moved.shape[1:3])
    # Where brows and cheeks move lies apart: neither looks through the other.
    return (there * face.back_px).sum(1).permute(0, 2, 3, 1)
