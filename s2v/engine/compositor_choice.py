"""Where frames are drawn: on the CPU with OpenCV, or with torch on the GPU.

"auto" is the GPU where the network runs on it with torch: then its outputs need not come down. It says so once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Literal, get_args

from s2v.engine.backends.base import Backend, ComputeDevice, DeviceOutputsBackend
from s2v.engine.backends.graphs import one_line
from s2v.engine.compositor.cpu import Compositor, make_compositor
from s2v.engine.compositor.pixel_format import PixelFormat
from s2v.engine.face.enrolment import EnrolledFace
from s2v.errors import BackendError
from s2v.extras import how_to_install
from s2v.spec import LipSyncSpec

ComposePlace = Literal["auto", "cpu", "gpu"]
COMPOSE_PLACES: tuple[str, ...] = get_args(ComposePlace)
Compose = Callable[[EnrolledFace, LipSyncSpec, bool], Compositor]

_log = logging.getLogger("s2v")


def composer(
    device: ComputeDevice, place: str = "auto", pixels: PixelFormat = "bgr", behind_network: bool = False
) -> Compose:
    """What makes compositors for the outputs of a backend.

    Args:
        device: of the backend. place: one of COMPOSE_PLACES.
        pixels: what frames are when they leave a GPU, so that nobody converts them after it; the CPU's are BGR.
        behind_network: whoever draws also runs the network: torch draws on the network's own stream, and its outputs
            need not come down; else drawing has streams of its own.
    Raises: BackendError, an unknown place; what it returns raises BackendError if "gpu" cannot be used.
    """
    if place not in COMPOSE_PLACES:
        raise BackendError(f"frames cannot be drawn on {place!r:.80}: choose one of {', '.join(COMPOSE_PLACES)}")
    on_cuda = device.kind == "cuda" and device.runs_torch
    if place == "cpu" or (place == "auto" and not on_cuda):
        return make_compositor

    def on_gpu(face: EnrolledFace, spec: LipSyncSpec, moving: bool = False) -> Compositor:
        try:
            return _on_gpu(face, spec, moving, device if on_cuda and behind_network else None, pixels)
        except BackendError as error:
            if place == "gpu":
                raise
            _say_once(logging.WARNING, f"frames are drawn on the CPU: {error}")
            return make_compositor(face, spec, moving)

    return on_gpu


def composer_for(backend: Backend, place: str = "auto", pixels: PixelFormat = "bgr") -> Compose:
    """The same for a backend whose caller also draws. Raises: BackendError."""
    return composer(backend.device, place, pixels, behind_network=isinstance(backend, DeviceOutputsBackend))


def _on_gpu(
    face: EnrolledFace, spec: LipSyncSpec, moving: bool, device: ComputeDevice | None, pixels: PixelFormat
) -> Compositor:
    """Args: device: to draw on the stream of; None is a stream of its own."""
    try:
        from s2v.engine.compositor.torch.compositor import TorchCompositor
        from s2v.engine.compositor.torch.draw_stream import draw_stream_for, next_draw_stream
    except ImportError as error:
        raise BackendError(
            f"the GPU is drawn on with torch ({error}): {how_to_install('torch')}, or use --compose cpu"
        ) from error
    draw_stream = next_draw_stream() if device is None else draw_stream_for(device)
    try:
        made = TorchCompositor(face, spec, moving, draw_stream, pixels)
    except RuntimeError as error:  # torch's, and the driver's through torch
        reason = f"{draw_stream.device.name} cannot draw ({one_line(error)})"
        raise BackendError(f"{reason}: look at nvidia-smi, or use --compose cpu") from error
    _say_once(logging.INFO, f"frames are drawn on {draw_stream.device.name}")
    return made


@cache
def _say_once(level: int, what: str) -> None:
    _log.log(level, "%s", what)
