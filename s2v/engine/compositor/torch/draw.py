"""One drawing on a device from beginning to end: motion and a row of numbers in, pixels out.

All of it is functions of tensors of fixed shapes that ask the device for nothing: on a GPU it is recorded once as a
CUDA graph and replayed for each frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor

from s2v.engine.compositor.torch.eyes import Lids, lay_over, move_eyes
from s2v.engine.compositor.torch.face_tensors import FaceTensors
from s2v.engine.compositor.torch.frame_inputs import FrameInputs
from s2v.engine.compositor.torch.interior import lay_inside, layers
from s2v.engine.compositor.torch.layout import Layout, is_empty, slices
from s2v.engine.compositor.torch.lips import LipOpening, draw_line, opening
from s2v.engine.compositor.torch.staging import Inputs
from s2v.engine.compositor.torch.warp import Flows, articulate, bend, flows, head_map, lips, look_up

P = ParamSpec("P")
R = TypeVar("R")
Mouth = tuple[LipOpening, Tensor]  # and the inside in full light, (n, 3, h, w)


class Fork(Protocol):
    """Starts work that may run beside what follows; returns what joins it, and gives its result."""

    def __call__(self, work: Callable[[], R], /) -> Callable[[], R]: ...


class StepCompiler(Protocol):
    """Turns a step of the drawing into a faster function that does the same."""

    def __call__(self, step: Callable[P, R], /) -> Callable[P, R]: ...


def run_at_once(work: Callable[[], R]) -> Callable[[], R]:
    """The `Fork` of a device with one stream."""
    result = work()
    return lambda: result


def uncompiled(step: Callable[P, R]) -> Callable[P, R]:
    """The `StepCompiler` that leaves a step as it is."""
    return step


def draw(
    face: FaceTensors,
    layout: Layout,
    given: Inputs,
    blinking: bool,
    fork: Fork = run_at_once,
    compile_step: StepCompiler = uncompiled,
) -> Tensor:
    """The region of n frames, (n, h, w, 3) BGR uint8.

    Args:
        given: what the frames are drawn from.
        blinking: whether lids may be down: without, a part of the work is left out.
        fork: for work that others do not wait for yet.
    """
    inputs = FrameInputs.of(given.numbers)
    weights = compile_step(articulate)(face.warp, given.weights, inputs.articulation)
    lip_points = compile_step(lips)(face.warp, weights)
    join_flows = fork(lambda: compile_step(flows)(face.warp, weights, lip_points))
    has_mouth = not is_empty(layout.mouth)
    if has_mouth:
        window = face.mouth, lip_points, inputs.to_window, given.tract
        join_opening = fork(lambda: compile_step(opening)(*window, layout))
        inside = face.interior, face.mouth, weights, given.tract, inputs.places, inputs.depth_shift
        join_inside = fork(lambda: compile_step(layers)(*inside))
    source, lids = compile_step(idle_map)(face, layout, inputs, blinking)
    picture = compile_step(warp_photo)(face, layout, source, join_flows(), lids)
    return compile_step(finish)(face, layout, picture, (join_opening(), join_inside()) if has_mouth else None)


def idle_map(face: FaceTensors, layout: Layout, inputs: FrameInputs, blinking: bool) -> tuple[Tensor, Lids | None]:
    """The photo pixel that each pixel of the region shows while the mouth is at rest, and the lids to be laid over."""
    if not layout.idle:
        return face.at_rest, None
    source = head_map(face.head, inputs.head, layout)
    if is_empty(layout.eyes):
        return source, None
    part = source[:, *slices(layout.eyes, layout.region)]
    offset, lids = move_eyes(face.eyes, part, inputs.gaze, inputs.closed if blinking else None)
    part.add_(offset)
    return source, lids


def warp_photo(face: FaceTensors, layout: Layout, source: Tensor, bent: Flows, lids: Lids | None) -> Tensor:
    """The region as the photo's pixels alone make it, (n, 3, h, w), and HALF.

    Args: source, lids: of `idle_map`. bent: how the lower face moves.
    """
    if layout.idle:
        part = source[:, *slices(layout.face, layout.region)]
        part.copy_(bend(face.warp, bent, part))
    else:
        source = bend(face.warp, bent, source)
    at = torch.addcmul(face.photo_shift, source, face.photo_factor)
    picture = look_up(face.photo, at, "bicubic")
    if lids is not None:
        lay_over(picture[:, :, *slices(layout.eyes, layout.region)], lids)
    return picture


def finish(face: FaceTensors, layout: Layout, picture: Tensor, drawn: Mouth | None) -> Tensor:
    """The picture of `warp_photo` with the inside of the mouth and the line where closed lips meet, as (n, h, w, 3)
    uint8."""
    if drawn is not None:
        opened, inside = drawn
        part = picture[:, :, *slices(layout.mouth, layout.region)]
        lay_inside(part, inside, opened, face.interior)
        if opened.line is not None:
            draw_line(part, opened.line, face.mouth)
    pixels = picture.clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return torch.where(face.changes, pixels, face.background)
