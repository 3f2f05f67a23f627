from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from fakes import drawn_face

pytest.importorskip("torch", reason="the optional torch runtime is not installed")
import torch
from both_compositors import SPEC, BothCompositors, opened, rolled_face

from s2v.engine.compositor.lips import LipLine
from s2v.engine.compositor.mouth.opening import apart, lip_gap
from s2v.engine.compositor.torch.drawing.lips import LipOpening, opening

FACES = {
    "tiny": lambda: drawn_face(SPEC, (70, 80)),
    "small": lambda: drawn_face(SPEC, (200, 240)),
    "large": lambda: drawn_face(SPEC, (700, 700)),  # whose wide blurs the CPU makes on fewer pixels
    "rolled to the left": lambda: rolled_face(40),
    "rolled to the right": lambda: rolled_face(-40),
}


@cache
def both(name: str, moving: bool = True) -> BothCompositors:
    return BothCompositors(FACES[name](), moving)


def found(one: BothCompositors, motion: np.ndarray, index: int, dental: float = 0.0) -> LipOpening:
    frame = one.frame(motion, index)
    tract = torch.tensor([[0, 0, 0, 0, dental]])
    return opening(one.tensors.mouth, frame.points, tract, one.layout)


@pytest.mark.parametrize("jaw", [0.4, 1.5, 3.5])
@pytest.mark.parametrize("name", FACES)
def test_openings_are_those_of_the_cpu(name: str, jaw: float) -> None:
    one = both(name)
    for index in (0, 77):
        motion = opened(jaw, index)
        outline = one.frame(motion, index).outline
        gap_px, down = lip_gap(outline)
        share = apart(gap_px, one.on_cpu.tables.unit_px)
        assert share > 0
        wanted = one.on_cpu.interior.opening(outline, one.whole, gap_px, down, dental=0.0)
        ours = found(one, motion, index)
        cover, light = ours.cover[0].numpy(), ours.light[0].numpy()
        assert wanted.cover.max() * share > (0.3 if jaw > 1 else 0.005)
        assert np.abs(cover - share * wanted.cover).max() < 0.08, index  # 0.069, of a pixel at the very corner
        assert np.abs(cover - share * wanted.cover).mean() < 0.001  # 0.0005
        inside = wanted.cover > 0.02
        if inside.any():
            assert np.abs(light - wanted.light)[inside].max() < 0.03  # 0.022
            assert np.abs(light - wanted.light)[inside].mean() < 0.02  # 0.017 on the tiny face, else 0.007


@pytest.mark.parametrize("dental", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("name", FACES)
def test_the_inner_side_of_the_lower_lip_is_that_of_the_cpu(name: str, dental: float) -> None:
    one = both(name)
    motion = opened(3.5, 77)
    outline = one.frame(motion, 77).outline
    wanted = one.on_cpu.interior.opening(outline, one.whole, *lip_gap(outline), dental).lower_lip
    ours = found(one, motion, 77, dental).lower_lip[0].numpy()
    assert np.abs(ours - wanted).max() < 0.04  # 0.032, of a pixel at the very corner
    assert np.abs(ours - wanted).mean() < 0.0003  # 0.0002
    assert (wanted.max() > 0.05) == (dental < 1)  # a tongue between the teeth lies on it


@pytest.mark.parametrize("name", FACES)
def test_closed_lips_open_nothing_and_meet_in_a_line(name: str) -> None:
    one = both(name)
    assert one.layout.lip_line
    shut = np.zeros(SPEC.n_motion, np.float32)
    shut[0] = -3
    for index in (0, 77):
        frame = one.frame(shut, index)
        assert lip_gap(frame.outline)[0] < 0
        ours = found(one, shut, index)
        assert (ours.cover == 0).all()
        assert ours.line is not None
        black = np.full((*ours.line.shape[1:], 3), 255, np.uint8)
        LipLine(np.zeros(3, np.float32), one.on_cpu.tables.unit_px).draw(black, frame.outline)
        cover = 1 - black[..., 0] / 255
        assert np.abs(ours.line[0].numpy() - cover).mean() < 0.006  # 0.0045 on the tiny face
        assert cover.max() > 0.1


def test_lips_that_part_open_gradually_and_their_line_goes() -> None:
    one = both("small", moving=False)
    before = -1.0
    for jaw in (0.0, 0.5, 1.0, 2.0, 3.0):
        motion = np.zeros(SPEC.n_motion, np.float32)
        motion[0] = jaw
        ours = found(one, motion, 0)
        assert ours.line is not None
        amount, line = float(ours.cover.sum()), float(ours.line.max())
        assert amount > before or amount == 0
        before = amount
    assert line == 0
    assert before > 50
