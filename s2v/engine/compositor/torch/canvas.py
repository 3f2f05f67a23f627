"""The frames of one or several faces on a device, and the recorded work that draws them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache
from itertools import count
from types import FunctionType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.backends.base import Outputs
from s2v.engine.backends.graphs import one_line
from s2v.engine.compositor.pixel_format import PixelFormat
from s2v.engine.compositor.torch.draw_stream import DrawStream
from s2v.engine.compositor.torch.drawing.draw import P, R, StepCompiler, draw, uncompiled
from s2v.engine.compositor.torch.pixel_format import frame_shape, write_frame
from s2v.engine.compositor.torch.staging import StagingBuffers
from s2v.engine.compositor.torch.tables.face_tensors import FaceTensors
from s2v.engine.compositor.torch.tables.layout import Layout, slices
from s2v.engine.face.photo import Image
from s2v.errors import BackendError

_log = logging.getLogger("s2v")


class TorchCanvas:
    """Draws the frames of n faces at once. Nothing is allocated after it is made; used by one thread at a time.

    Args:
        face: tensors of the n faces. layout: theirs. photos: (h, w, 3) BGR, `behind` each face.
        draw_stream: where to draw; its lock is held. pixels: what frames are made of when they leave the device.
        compiled: let torch.compile fuse the steps, which takes a minute for each new layout; if it cannot, the log
            says why and they stay as they are.
    """

    def __init__(
        self,
        face: FaceTensors,
        layout: Layout,
        photos: Sequence[Image],
        draw_stream: DrawStream,
        pixels: PixelFormat,
        compiled: bool = False,
    ) -> None:
        shape = (len(photos), *frame_shape(*layout.frame, pixels))
        self._face, self._layout, self._draw_stream, self._pixels = face, layout, draw_stream, pixels
        device = self._device = draw_stream.device
        self._staging = StagingBuffers(device, layout, len(photos), shape)
        with device.running():
            self._bgr = torch.stack([torch.from_numpy(np.ascontiguousarray(photo)) for photo in photos])
            self._bgr = self._bgr.to(device.device)
            in_bgr = pixels == "bgr"
            self._frames = self._bgr if in_bgr else torch.zeros(shape, dtype=torch.uint8, device=device.device)
            self._compile_step: StepCompiler = uncompiled
            if compiled:
                self._compile()
            self._replay_eyes_open = device.capture(lambda: self._draw(blinking=False))
            self._replay_blinking = self._replay_eyes_open
            if layout.moving:
                self._replay_blinking = device.capture(lambda: self._draw(blinking=True))

    @property
    def n_bytes(self) -> int:
        """Of device memory: all but what recorded work keeps to itself, `TorchDevice.captured_bytes`."""
        converted = self._frames.nbytes if self._frames is not self._bgr else 0
        return self._staging.n_bytes + self._bgr.nbytes + converted + self._face.n_bytes

    def load(self, outputs: Outputs, numbers: NDArray[np.float32]) -> None:
        """Queue the upload, or the copy, of what the frames are drawn from. Within `running`.

        Args:
            outputs: `motion` (n, n_motion) and `tract` (n, 5), both in host memory or both on the device.
            numbers: (n, N_NUMBERS).
        Raises: BackendError, another shape.
        """
        motion, tract = outputs["motion"], outputs["tract"]
        on_device = self._staging.on_device
        for name, rows, place in (("motion", motion, on_device.motion), ("tract", tract, on_device.tract)):
            if tuple(rows.shape) != tuple(place.shape):
                raise BackendError(f"{name} has the shape {tuple(rows.shape)}, the frames need {tuple(place.shape)}")
        if isinstance(motion, Tensor) and isinstance(tract, Tensor):
            self._staging.upload_beside(numbers, motion, tract)
        else:
            self._staging.upload(numbers, np.asarray(motion), np.asarray(tract))

    def draw(self, blinking: bool) -> None:
        """Queue the drawing. Within `running`."""
        (self._replay_blinking if blinking else self._replay_eyes_open)()

    def fetch(self) -> Callable[[], NDArray[np.uint8]]:
        """Queue the download. Within `running`.

        Returns: what waits for it and gives (n, *frame_shape) pixels, reused next time.
        """
        pixels = self._staging.download(self._frames)
        wait = self._device.fence()

        def finished() -> NDArray[np.uint8]:
            wait()
            return pixels

        return finished

    def _compile(self) -> None:
        """Let torch fuse the steps, if they then run."""
        self._compile_step = _TorchCompiler(len(self._bgr), self._layout)
        try:
            for blinking in (False, True)[: 2 if self._layout.moving else 1]:
                self._draw(blinking)
        except Exception as error:  # those of torch, its compilers and theirs
            _log.warning("torch.compile cannot fuse the drawing (%s): it is done step by step", one_line(error))
            self._compile_step = uncompiled

    def _draw(self, blinking: bool) -> None:
        fork = self._draw_stream.fork
        drawn = draw(self._face, self._layout, self._staging.on_device, blinking, fork, self._compile_step)
        rows, columns = slices(self._layout.region, (0, 0, *self._layout.frame))
        self._bgr[:, rows, columns].copy_(drawn)
        if self._frames is not self._bgr:
            write_frame(self._bgr, self._pixels, self._frames)


_compilations = count()


class _TorchCompiler:
    """Compiles steps with torch, for one number of faces and one layout."""

    def __init__(self, *key: object) -> None:
        self._key = key

    def __call__(self, step: Callable[P, R], /) -> Callable[P, R]:
        compiled: Callable[P, R] = _compiled(step, self._key)
        return compiled


@cache
def _compiled(step: Callable[..., Any], key: tuple[object, ...]) -> Callable[..., Any]:
    # torch counts what it compiles by code object and stops at eight: each layout gets one of its own
    assert isinstance(step, FunctionType)
    code = step.__code__.replace(co_name=f"{step.__name__}_{next(_compilations)}")
    own = FunctionType(code, step.__globals__, code.co_name, step.__defaults__, step.__closure__)
    return torch.compile(own, fullgraph=True, dynamic=False)
