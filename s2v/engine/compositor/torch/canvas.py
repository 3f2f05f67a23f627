"""Memory on a device for the frames of one or several faces, and the recorded work that draws into it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import count
from types import FunctionType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.backends.graphs import one_line
from s2v.engine.compositor.pixel_format import PixelFormat
from s2v.engine.compositor.torch.draw import Asked, Done, Making, as_it_is, draw
from s2v.engine.compositor.torch.draw_stream import DrawStream
from s2v.engine.compositor.torch.face_tables import FaceTables
from s2v.engine.compositor.torch.frame_inputs import N_NUMBERS
from s2v.engine.compositor.torch.layout import Layout, place
from s2v.engine.compositor.torch.pixel_format import frame_shape, write_frame
from s2v.engine.face.photo import Image
from s2v.errors import BackendError

_log = logging.getLogger("s2v")

Outputs = Mapping[str, NDArray[np.float32] | Tensor]


class TorchCanvas:
    """Draws the frames of n faces at once. Nothing is allocated after it is made; used by one thread at a time.

    Args:
        tables: of the n faces. layout: theirs. photos: (h, w, 3) BGR, one of each face.
        draw_stream: where to draw; its lock is held. pixels: what frames are made of when they leave the device.
        compiled: let torch.compile fuse the steps, which takes a minute for each new layout; if it cannot, the log
            says why and they stay as they are.
    """

    def __init__(
        self,
        tables: FaceTables,
        layout: Layout,
        photos: Sequence[Image],
        draw_stream: DrawStream,
        pixels: PixelFormat,
        compiled: bool = False,
    ) -> None:
        n, (patch_w, patch_h) = len(photos), layout.patch
        shape = (n, *frame_shape(*layout.frame, pixels))
        self._tables, self._layout, self._draw_stream, self._pixels = tables, layout, draw_stream, pixels
        side = self._side = draw_stream.side
        sizes = [n * N_NUMBERS, n * (layout.n_motion + 1), n * 4 * patch_h * patch_w]
        # One block, so that what comes from the host is one copy; the numbers first, for they always do.
        self._up = side.host(4 * sum(sizes)).view(torch.float32)
        self._up_parts = self._split(self._up, sizes, n)
        self._up_parts[1][:, -1] = 1  # what the photo's own rest is weighed by
        self._down = side.host(int(np.prod(shape))).view(shape)
        with side.running():
            self._inputs = torch.zeros(sum(sizes), device=side.device)
            self._inputs.copy_(self._up)
            self._parts = self._split(self._inputs, sizes, n)
            self._bgr = torch.stack([torch.from_numpy(np.ascontiguousarray(photo)) for photo in photos])
            self._bgr = self._bgr.to(side.device)
            self._frame = self._bgr if pixels == "bgr" else torch.zeros(shape, dtype=torch.uint8, device=side.device)
            self._made = self._compiling() if compiled else as_it_is
            self._awake = side.capture(lambda: self._draw(blinking=False))
            self._blinking = side.capture(lambda: self._draw(blinking=True)) if layout.alive else self._awake

    @property
    def n_bytes(self) -> int:
        """Of device memory: all but what recorded work keeps to itself, `TorchDevice.captured_bytes`."""
        own = self._inputs.nbytes + self._bgr.nbytes + (self._frame.nbytes if self._frame is not self._bgr else 0)
        return own + self._tables.n_bytes

    def load(self, outputs: Outputs, numbers: NDArray[np.float32]) -> None:
        """Queue the upload, or the copy, of what the frames are drawn from. Within `running`.

        Args:
            outputs: `motion` (n, n_motion) and `mouth` (n, 4, h, w), both in host memory or both on the device.
            numbers: (n, N_NUMBERS).
        Raises: BackendError, other shapes.
        """
        motion, mouth = outputs["motion"], outputs["mouth"]
        in_numbers, weights, in_mouth = self._parts
        in_motion = weights[:, :-1]
        for name, given, wanted in (("motion", motion, in_motion), ("mouth", mouth, in_mouth)):
            if tuple(given.shape) != tuple(wanted.shape):
                raise BackendError(f"{name} has the shape {tuple(given.shape)}, the frames need {tuple(wanted.shape)}")
        up_numbers, up_motion, up_mouth = self._up_parts
        up_numbers.numpy()[:] = numbers
        if isinstance(motion, Tensor) and isinstance(mouth, Tensor):
            in_numbers.copy_(up_numbers, non_blocking=True)
            in_motion.copy_(motion, non_blocking=True)
            in_mouth.copy_(mouth, non_blocking=True)
            return
        up_motion[:, :-1].numpy()[:], up_mouth.numpy()[:] = motion, mouth
        self._inputs.copy_(self._up, non_blocking=True)

    def draw(self, blinking: bool) -> None:
        """Queue the drawing. Within `running`."""
        (self._blinking if blinking else self._awake)()

    def fetch(self) -> Callable[[], NDArray[np.uint8]]:
        """Queue the download. Within `running`.

        Returns: what waits for it and gives (n, *frame_shape) pixels, reused next time.
        """
        self._down.copy_(self._frame, non_blocking=True)
        wait = self._side.fence()

        def pixels() -> NDArray[np.uint8]:
            wait()
            frames: NDArray[np.uint8] = self._down.numpy()
            return frames

        return pixels

    def _compiling(self) -> Making:
        """What compiles the steps, if they then run."""
        self._made = fusing = _Fusing(len(self._bgr), self._layout)
        try:
            for blinking in (False, True)[: 2 if self._layout.alive else 1]:
                self._draw(blinking)
        except Exception as error:  # those of torch, its compilers and theirs
            _log.warning("torch.compile cannot fuse the drawing (%s): it is done step by step", one_line(error))
            return as_it_is
        return fusing

    def _draw(self, blinking: bool) -> None:
        numbers, weights, mouth = self._parts
        drawn = draw(
            self._tables, self._layout, weights, mouth, numbers, blinking, self._draw_stream.beside, self._made
        )
        rows, columns = place(self._layout.region, (0, 0, *self._layout.frame))
        self._bgr[:, rows, columns].copy_(drawn)
        if self._frame is not self._bgr:
            write_frame(self._bgr, self._pixels, self._frame)

    def _split(self, block: Tensor, sizes: list[int], n: int) -> tuple[Tensor, Tensor, Tensor]:
        """The numbers, the weights (motion and a one), the mouths."""
        numbers, weights, mouth = torch.split(block, sizes)
        patch_w, patch_h = self._layout.patch
        return numbers.view(n, -1), weights.view(n, -1), mouth.view(n, 4, patch_h, patch_w)


_compiling = count()


class _Fusing:
    """Compiles steps with torch, for one number of faces and one layout."""

    def __init__(self, *key: object) -> None:
        self._key = key

    def __call__(self, step: Callable[Asked, Done], /) -> Callable[Asked, Done]:
        compiled: Callable[Asked, Done] = _compiled(step, self._key)
        return compiled


@cache
def _compiled(step: Callable[..., Any], key: tuple[object, ...]) -> Callable[..., Any]:
    # torch counts what it compiles by code object and stops at eight: each layout gets one of its own
    assert isinstance(step, FunctionType)
    code = step.__code__.replace(co_name=f"{step.__name__}_{next(_compiling)}")
    own = FunctionType(code, step.__globals__, code.co_name, step.__defaults__, step.__closure__)
    return torch.compile(own, fullgraph=True, dynamic=False)
