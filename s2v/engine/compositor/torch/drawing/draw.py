"""One drawing on a device from beginning to end: motion and a row of numbers in, pixels out.

All of it is functions of tensors of fixed shapes that ask the device for nothing: on a GPU it is recorded once as a
CUDA graph and replayed for each frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor

from s2v.engine.compositor.torch.drawing.expression import move_skin
from s2v.engine.compositor.torch.drawing.eyes import Lids, lay_over, move_eyes
from s2v.engine.compositor.torch.drawing.head import carry, forward_field, head_map
from s2v.engine.compositor.torch.drawing.interior import lay_inside, layers
from s2v.engine.compositor.torch.drawing.lips import LipOpening, draw_line, opening
from s2v.engine.compositor.torch.drawing.look_up import look_up
from s2v.engine.compositor.torch.drawing.warp import Flows, articulate, bend, flows, lips, on_photo
from s2v.engine.compositor.torch.tables.face_tensors import FaceTensors
from s2v.engine.compositor.torch.tables.frame_inputs import FrameInputs, Inputs
from s2v.engine.compositor.torch.tables.layout import Layout, is_empty, slices

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
    weights = compile_step(articulate)(face.warp, torch.cat([given.weights, inputs.corners], 1), inputs.articulation)
    lip_points = compile_step(lips)(face.warp, weights)
    join_flows = fork(lambda: compile_step(flows)(face.warp, weights, lip_points))
    field = compile_step(forward_field)(face.head, inputs.head, layout) if layout.moving else None
    has_mouth = not is_empty(layout.mouth)
    if has_mouth:
        join_opening = fork(lambda: compile_step(mouth_opening)(face, layout, lip_points, field, given.tract))
        inside = face.interior, face.mouth, weights[:, :-1], given.tract, inputs.places, inputs.depth_shift
        join_inside = fork(lambda: compile_step(layers)(*inside))
    source, lids = compile_step(moving_map)(face, layout, inputs, field, blinking)
    picture = compile_step(warp_photo)(face, layout, source, join_flows(), lids)
    return compile_step(finish)(face, layout, picture, (join_opening(), join_inside()) if has_mouth else None)


def mouth_opening(
    face: FaceTensors, layout: Layout, lip_points: Tensor, field: Tensor | None, tract: Tensor
) -> LipOpening:
    """The opening between the lips, wherever the head has carried them. Args: lip_points: of `lips`."""
    points = on_photo(face.warp, lip_points)
    return opening(face.mouth, points if field is None else carry(face.head, field, points), tract, layout)


def moving_map(
    face: FaceTensors, layout: Layout, inputs: FrameInputs, field: Tensor | None, blinking: bool
) -> tuple[Tensor, Lids | None]:
    """The photo pixel that each pixel of the region shows while the mouth is at rest, and the lids to be laid over.

    Args:
        field: of `forward_field`; None for heads that are held still.
    """
    if field is None:
        return face.at_rest, None
    source = head_map(face.head, field)
    if not is_empty(layout.skin):
        part = source[:, *slices(layout.skin, layout.region)]
        part.add_(move_skin(face.skin, part, inputs.skin))
    if is_empty(layout.eyes):
        return source, None
    part = source[:, *slices(layout.eyes, layout.region)]
    offset, lids = move_eyes(face.eyes, part, inputs.eyes, blinking)
    part.add_(offset)
    return source, lids


def warp_photo(face: FaceTensors, layout: Layout, source: Tensor, bent: Flows, lids: Lids | None) -> Tensor:
    """The region as the photo's pixels alone make it, (n, 3, h, w), and HALF.

    Args: source, lids: of `moving_map`. bent: how the lower face moves.
    """
    if not layout.moving:
        at = torch.addcmul(face.photo_shift, bend(face.warp, bent, source), face.photo_factor)
        return look_up(face.photo, at, "bicubic")
    part = source[:, *slices(layout.face, layout.region)]
    part.copy_(bend(face.warp, bent, part))
    layer = look_up(face.photo, torch.addcmul(face.photo_shift, source, face.photo_factor), "bilinear")
    picture = torch.addcmul(layer[:, :3], layer[:, 3:], face.background.permute(0, 3, 1, 2).to(torch.float32))
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
