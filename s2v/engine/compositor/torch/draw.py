"""One drawing on a device from beginning to end: motion, mouth and a row of numbers in, pixels out.

All of it is functions of tensors of fixed shapes that ask the device for nothing: on a GPU it is recorded once as a
CUDA graph and replayed for each frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor

from s2v.engine.compositor.torch.eyes import Lids, lay_over, move_eyes
from s2v.engine.compositor.torch.face_tables import FaceTables
from s2v.engine.compositor.torch.frame_inputs import FrameInputs
from s2v.engine.compositor.torch.layout import Layout, is_empty, place
from s2v.engine.compositor.torch.mouth import Opening, colours, lay_paint, opening
from s2v.engine.compositor.torch.warp import Flows, bend, flows, head_map, lips, look_up

Done = TypeVar("Done")
Asked = ParamSpec("Asked")


def here(work: Callable[[], Done]) -> Callable[[], Done]:
    """Runs work at once; the default for `draw`'s `beside`."""
    done = work()
    return lambda: done


class Beside(Protocol):
    """Starts work; returns what waits for it."""

    def __call__(self, work: Callable[[], Done], /) -> Callable[[], Done]: ...


class Making(Protocol):
    """What makes of a step something that does the same."""

    def __call__(self, step: Callable[Asked, Done], /) -> Callable[Asked, Done]: ...


def as_it_is(step: Callable[Asked, Done]) -> Callable[Asked, Done]:
    """The default for `draw`'s `made`."""
    return step


def draw(
    tables: FaceTables,
    layout: Layout,
    weights: Tensor,
    mouth: Tensor,
    rows: Tensor,
    blinking: bool,
    beside: Beside = here,
    made: Making = as_it_is,
) -> Tensor:
    """The region of n frames, (n, h, w, 3) BGR uint8.

    Args:
        weights: (n, n_motion + 1) motion coefficients and a one. mouth: (n, 4, h, w). rows: (n, N_NUMBERS).
        blinking: whether lids may be down: without, a part of the work is left out.
        beside: starts work that others do not wait for yet, and returns what waits for it.
        made: compiles a step.
    """
    now = FrameInputs.of(rows)
    points = made(lips)(tables.warp, weights)
    flowing = beside(lambda: made(flows)(tables.warp, weights, points))
    opened = painted = None
    if not is_empty(layout.mouth):
        opened = beside(lambda: made(opening)(tables.mouth, points, now.to_window, layout))
        painted = beside(lambda: made(colours)(tables.mouth, mouth, now.places, layout))
    source, lids = made(looked)(tables, layout, now, blinking)
    picture = made(warped)(tables, layout, source, flowing(), lids)
    return made(finished)(tables, layout, picture, (opened(), painted()) if opened and painted else None)


def looked(tables: FaceTables, layout: Layout, now: FrameInputs, blinking: bool) -> tuple[Tensor, Lids | None]:
    """The photo pixel that each pixel of the region shows while the mouth is at rest, and the lids to be laid over."""
    if not layout.alive:
        return tables.at_home, None
    source = head_map(tables.head, now.head, layout)
    if is_empty(layout.eyes):
        return source, None
    part = source[:, *place(layout.eyes, layout.region)]
    offset, lids = move_eyes(tables.eyes, part, now.gaze, now.closed if blinking else None)
    part.add_(offset)
    return source, lids


def warped(tables: FaceTables, layout: Layout, source: Tensor, flowing: Flows, lids: Lids | None) -> Tensor:
    """The region as the photo's pixels alone make it, (n, 3, h, w), and HALF. Args: source, lids: of `looked`."""
    if layout.alive:
        part = source[:, *place(layout.face, layout.region)]
        part.copy_(bend(tables.warp, flowing, part))
    else:
        source = bend(tables.warp, flowing, source)
    at = torch.addcmul(tables.photo_shift, source, tables.photo_factor)
    picture = look_up(tables.photo, at, "bicubic")
    if lids is not None:
        lay_over(picture[:, :, *place(layout.eyes, layout.region)], lids)
    return picture


def finished(
    tables: FaceTables, layout: Layout, picture: Tensor, paint: tuple[Opening, tuple[Tensor, Tensor]] | None
) -> Tensor:
    """The picture of `warped` with paint between the lips, as (n, h, w, 3) uint8."""
    if paint is not None:
        lay_paint(picture[:, :, *place(layout.mouth, layout.region)], *paint, tables.mouth)
    pixels = picture.clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return torch.where(tables.drawn, pixels, tables.behind)
