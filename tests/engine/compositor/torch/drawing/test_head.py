from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from fakes import drawn_face

pytest.importorskip("torch", reason="the optional torch runtime is not installed")
import torch
from both_compositors import SPEC, BothCompositors, opened, rolled_face
from poses import pose_at

from s2v.engine.compositor.torch.drawing.head import carry, forward_field, head_map
from s2v.engine.compositor.torch.tables.frame_inputs import FrameInputs, PoseInputs
from s2v.engine.compositor.torch.tables.head_tensors import head_tensors
from s2v.engine.compositor.torch.tables.layout import slices

FACES = {
    "small": lambda: drawn_face(SPEC, (200, 240)),
    "large": lambda: drawn_face(SPEC, (700, 700)),
    "rolled": lambda: rolled_face(30),
}
INDICES = (0, 30, 77, 102)


@cache
def both(name: str) -> BothCompositors:
    return BothCompositors(FACES[name](), True)


def field_of(one: BothCompositors, index: int) -> torch.Tensor:
    return forward_field(one.tensors.head, one.frame(opened(1), index).inputs.head, one.layout)


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("name", FACES)
def test_every_pixel_looks_where_it_does_on_the_cpu(name: str, index: int) -> None:
    one = both(name)
    assert one.on_cpu.animated is not None
    wanted = one.on_cpu.animated.head.source(pose_at(index)).map
    found = head_map(one.tensors.head, field_of(one, index))[0].numpy()
    assert one.on_cpu.tables.moving is not None
    cell_px = one.on_cpu.tables.moving.head.cell_px  # which OpenCV reads in steps of 1 / 32
    assert np.abs(found - wanted).max() < 0.012 * cell_px  # 0.009
    assert np.abs(found - wanted).mean() < 0.0007 * cell_px  # 0.0005
    left, top, right, bottom = one.layout.region
    at_rest = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), -1)
    moved = np.abs(found - at_rest).max()
    assert moved > 0.05 * one.on_cpu.tables.unit_px if index else moved < 1e-3


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("name", FACES)
def test_points_of_the_mouth_go_where_they_do_on_the_cpu(name: str, index: int) -> None:
    one = both(name)
    assert one.on_cpu.animated is not None
    head = one.on_cpu.animated.head
    left, top, right, bottom = one.on_cpu.tables.interior.window
    around = np.linspace(-0.15, 0.15, 5) * one.on_cpu.tables.unit_px
    points = np.stack(np.meshgrid((left + right) / 2 + around, (top + bottom) / 2 + around), -1).reshape(-1, 2)
    at = torch.from_numpy(points.astype(np.float32))[None]
    found = carry(one.tensors.head, field_of(one, index), at)[0].numpy()
    assert np.abs(found - head.carry(pose_at(index), points)).max() < 0.05
    moved = np.abs(found - points).max()
    assert moved > 0.05 * one.on_cpu.tables.unit_px if index else moved == 0


def test_a_face_moves_the_same_among_larger_ones() -> None:
    """On a grid of more cells, in a larger region, as in a batch."""
    one = both("small")
    columns, rows = one.layout.cells
    left, top, right, bottom = one.layout.region
    larger = (max(left - 8, 0), max(top - 6, 0), right + 5, bottom + 9)
    layout = replace(one.layout, cells=(columns + 13, rows + 4), region=larger, frame=(larger[2], larger[3]))
    face = one.on_cpu.tables
    assert face.moving is not None
    tensors = head_tensors(face.moving.head, layout)
    numbers = PoseInputs(one.on_cpu, layout)(pose_at(30))
    field = forward_field(tensors, FrameInputs.of(torch.from_numpy(numbers)[None]).head, layout)
    found = head_map(tensors, field)[:, *slices(one.layout.region, larger)]
    torch.testing.assert_close(found, head_map(one.tensors.head, field_of(one, 30)), atol=1e-3, rtol=0)
