"""What light falls on teeth, told from the rest of the face.

A photo in orange light has orange teeth. What a camera does to one colour must happen to the teeth as well, so their
light is measured against two things that every photo shows: the cheeks, and the brightest grey of the eyes, which are
nearly white. Only how teeth differ from these is learned. Dark cheeks may be dark skin or a dim room: teeth are taken
to be a little brighter over them, which is wrong by little for either.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Top, bottom, left, right as shares of the aligned face crop; one on either side.
_EYES = ((0.14, 0.25, 0.22, 0.43), (0.14, 0.25, 0.57, 0.78))
_CHEEKS = ((0.32, 0.46, 0.24, 0.38), (0.32, 0.46, 0.62, 0.76))
_BRIGHTEST = 8.0  # power of the mean over the eyes: the whites outweigh lids and lashes, a glint alone does not
_DARKEST = 0.02  # of full light; below, a colour says nothing
_EYES_OVER_CHEEKS = (-0.5, 0.9)  # log; further off it is sunglasses, or a lamp mirrored in spectacles
_USUAL_LUMA = 0.3  # log of teeth over the reference
_USUAL_CHEEKS = -0.7  # log
_DARK_CHEEKS = -0.4  # of that, added to the log of teeth over darker cheeks, to begin with (measured: -0.57)
_LUMA_REACH, _CHROMA_REACH = 0.7, 0.4


class TeethLight(nn.Module):
    """(b, 3, 112, 112) BGR of an aligned face in [0, 1] -> BGR of the light on its teeth, (b, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.told = nn.Linear(4, 4)
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)
        with torch.no_grad():
            self.told.weight[0, 3] = _DARK_CHEEKS / _LUMA_REACH

    def forward(self, face: Tensor) -> Tensor:
        """A colour cast on the face is a cast on the light; a brighter face makes it brighter, by a little less."""
        cheeks, eyes = _mean(_boxes(face, _CHEEKS)), _whites(_boxes(functional.avg_pool2d(face, 3, 1, 1), _EYES))
        cheeks, eyes = torch.log(cheeks.clamp_min(_DARKEST)), torch.log(eyes.clamp_min(_DARKEST))
        apart = (eyes - cheeks).clamp(*_EYES_OVER_CHEEKS)
        exposure = cheeks.mean(1, keepdim=True) - _USUAL_CHEEKS
        told = torch.tanh(self.told(torch.cat([apart, exposure], 1)))
        teeth = _USUAL_LUMA + _LUMA_REACH * told[:, :1] + _CHROMA_REACH * told[:, 1:]
        light: Tensor = torch.exp(cheeks + 0.5 * apart + teeth)
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
        even = (eye / eye.mean(2, keepdim=True).clamp_min(_DARKEST)).amin(1, keepdim=True)
        weight = even.clamp_min(1e-3) ** _BRIGHTEST
        found.append((weight * eye).sum(2) / weight.sum(2))
    return torch.stack(found).mean(0)
