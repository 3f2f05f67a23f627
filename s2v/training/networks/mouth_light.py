"""What light falls on teeth, told from the rest of the face.

A photo in orange light has orange teeth. What a camera does to one colour must happen to the teeth as well, so their
light is measured against two things that every photo shows: the cheeks, and the whites of the eyes. Cheeks alone would
give dark skin dark teeth; the whites are small and lie in the shade. Teeth are therefore lit by a mean of the two, the
same for a darker copy of the same photo. Only how teeth differ from it is learned.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Top, bottom, left, right as shares of the aligned face crop; one on either side.
_EYES = ((0.14, 0.25, 0.22, 0.43), (0.14, 0.25, 0.57, 0.78))
_CHEEKS = ((0.32, 0.46, 0.24, 0.38), (0.32, 0.46, 0.62, 0.76))
_BRIGHTEST = 16.0  # power of the mean over the eyes: the whites outweigh lids and lashes, a glint alone does not
_LEAST = 0.3  # before that power: what is darker than this share of the brightest weighs nothing, but a black eye all
_DARKEST = 0.02  # of full light; below, a colour says nothing
_EYES_OVER_CHEEKS = (-0.5, 1.3)  # log; further off it is sunglasses, or a lamp mirrored in spectacles
_USUAL_LUMA = 0.4  # log of teeth over the reference
_TOWARDS_EYES = 0.7  # log: of the way from the cheeks to the eye whites (fitted to 79 people who show their teeth)
_LUMA_REACH, _CHROMA_REACH = 0.7, 0.4


class TeethLight(nn.Module):
    """(b, 3, 112, 112) BGR of an aligned face in [0, 1] -> BGR of the light on its teeth, (b, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.told = nn.Linear(3, 4)
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)

    def forward(self, face: Tensor) -> Tensor:
        """A colour cast on the face is a cast on the light, nearly; a brighter face makes it as much brighter."""
        cheeks, eyes = _mean(_boxes(face, _CHEEKS)), _whites(_boxes(face, _EYES))
        cheeks, eyes = torch.log(cheeks.clamp_min(_DARKEST)), torch.log(eyes.clamp_min(_DARKEST))
        apart = (eyes - cheeks).clamp(*_EYES_OVER_CHEEKS)
        told = torch.tanh(self.told(apart))
        teeth = _USUAL_LUMA + _LUMA_REACH * told[:, :1] + _CHROMA_REACH * told[:, 1:]
        light: Tensor = torch.exp(cheeks + _TOWARDS_EYES * apart + teeth)
        return light


def _boxes(face: Tensor, boxes: tuple[tuple[float, float, float, float], ...]) -> list[Tensor]:
    side = face.shape[-1]
    edges = [[round(share * side) for share in box] for box in boxes]
    return [face[:, :, top:bottom, left:right].flatten(2) for top, bottom, left, right in edges]


def _mean(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts, 2).mean(2)


def _whites(eyes: list[Tensor]) -> Tensor:
    """Colour of what is bright in every channel, each eye by itself: one may lie in the shade."""
    found = []
    for eye in eyes:
        darkest = eye.amin(1, keepdim=True)
        weight = (darkest / darkest.amax(2, keepdim=True).clamp_min(_DARKEST)).clamp_min(_LEAST) ** _BRIGHTEST
        found.append((weight * eye).sum(2) / weight.sum(2))
    return torch.stack(found).mean(0)
