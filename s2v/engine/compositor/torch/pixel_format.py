"""How finished frames leave a device: as BGR or RGB, or as the half-sized colours that video encoders take.

Source of the numbers: ITU-R BT.601, and section 3 of BT.709; 8 bits, luma 16 to 235. Fixed point of 20 bits, which
for BT.601 is how OpenCV computes it.
"""

from __future__ import annotations

from typing import NamedTuple, get_args

import torch
from torch import Tensor

from s2v.engine.compositor.pixel_format import PixelFormat
from s2v.errors import BackendError

_BITS = 20
_LUMA_FROM, _COLOUR_FROM = 16, 128
_Shares = tuple[int, int, int]  # of B, G, R


class _Matrix(NamedTuple):
    luma: _Shares
    blue: _Shares
    red: _Shares


def _matrix(blue: float, red: float) -> _Matrix:
    """From the shares of blue and red in the luma."""
    luma = (blue, 1 - blue - red, red)

    def fixed(shares: tuple[float, ...]) -> _Shares:
        b, g, r = (round(share / 255 * (1 << _BITS)) for share in shares)
        return b, g, r

    def difference(place: int) -> _Shares:
        own = luma[place]
        return fixed(tuple(112 * ((at == place) - share) / (1 - own) for at, share in enumerate(luma)))

    return _Matrix(fixed(tuple(219 * share for share in luma)), difference(0), difference(2))


_BT601 = _Matrix((102760, 528482, 269484), (460324, -305135, -155188), (-74448, -385875, 460324))  # OpenCV's
_BT709 = _matrix(blue=0.0722, red=0.2126)


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
        if pixels == "i420-bt709":
            matrix, bits = _BT709, _BITS + 2
            few = whole.view(n, height // 2, 2, width // 2, 2, 3).sum((2, 4), dtype=torch.int32)  # four times the mean
        else:
            matrix, bits = _BT601, _BITS
            few = whole[:, ::2, ::2]  # as OpenCV: of each four pixels the first
        frame[:, :height].copy_(_mixed(whole, matrix.luma, _LUMA_FROM, _BITS))
        colours = [_mixed(few, shares, _COLOUR_FROM, bits) for shares in (matrix.blue, matrix.red)]
        together = torch.stack(colours, 3 if pixels == "nv12" else 1)
        frame[:, height:].copy_(together.view(n, height // 2, width))


def _mixed(bgr: Tensor, shares: _Shares, begin: int, bits: int) -> Tensor:
    blue, green, red = bgr.unbind(-1)
    mixed = torch.add(torch.add(blue * shares[0], green, alpha=shares[1]), red, alpha=shares[2])
    half = 1 << (bits - 1)
    return ((mixed + ((begin << bits) + half)) >> bits).to(torch.uint8)
