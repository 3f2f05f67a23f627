"""How finished frames leave a device: as BGR or RGB, or as the half-sized colours that video encoders take.

Source of the numbers: ITU-R BT.601, 8 bits, luma 16 to 235; in 20-bit fixed point, as OpenCV computes it.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from s2v.errors import BackendError

PixelFormat = Literal["bgr", "rgb", "i420", "nv12"]

_BITS = 20
_LUMA, _LUMA_FROM = (102760, 528482, 269484), 16  # of B, G, R
_BLUE, _RED, _COLOUR_FROM = (460324, -305135, -155188), (-74448, -385875, 460324), 128


def frame_shape(width: int, height: int, pixels: PixelFormat) -> tuple[int, ...]:
    """Of one frame in memory.

    Raises: BackendError, no such format, or an odd size that it cannot halve.
    """
    if pixels not in get_args(PixelFormat):
        raise BackendError(f"no pixel format is called {pixels!r}: choose one of {', '.join(get_args(PixelFormat))}")
    if pixels in ("bgr", "rgb"):
        return height, width, 3
    if width % 2 or height % 2:
        raise BackendError(f"a frame of {width} x {height} px cannot be {pixels}: make both sides even, or ask for bgr")
    return height * 3 // 2, width


def write_frame(bgr: Tensor, pixels: PixelFormat, frame: Tensor) -> None:
    """Convert (n, h, w, 3) uint8 BGR into (n, *frame_shape), in place."""
    if pixels == "bgr":
        frame.copy_(bgr)
    elif pixels == "rgb":
        frame.copy_(bgr.flip(-1))
    else:
        n, height, width, _ = bgr.shape
        whole = bgr.to(torch.int32)
        frame[:, :height].copy_(_mixed(whole, _LUMA, _LUMA_FROM))
        few = whole[:, ::2, ::2]  # as OpenCV: of each four pixels the first
        blue, red = _mixed(few, _BLUE, _COLOUR_FROM), _mixed(few, _RED, _COLOUR_FROM)
        together = torch.stack([blue, red], 1 if pixels == "i420" else 3)
        frame[:, height:].copy_(together.view(n, height // 2, width))


def _mixed(bgr: Tensor, shares: tuple[int, int, int], begin: int) -> Tensor:
    blue, green, red = bgr.unbind(-1)
    mixed = torch.add(torch.add(blue * shares[0], green, alpha=shares[1]), red, alpha=shares[2])
    half = 1 << (_BITS - 1)
    return ((mixed + ((begin << _BITS) + half)) >> _BITS).to(torch.uint8)
