"""Brows, cheeks, eyes and lids in a frame's map, beside what the CPU makes of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("torch", reason="the optional torch runtime is not installed")
import torch
from both_compositors import SPEC, BothCompositors

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.torch.drawing.expression import move_skin
from s2v.engine.compositor.torch.drawing.eyes import lay_over, move_eyes
from s2v.engine.compositor.torch.tables.arrays import HALF
from s2v.engine.compositor.torch.tables.frame_inputs import FrameInputs, PoseInputs
from s2v.engine.compositor.upper_face.eyes import lay_over as laid_over
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.maps import Box, Map

SKIN = {"brows up": FacePose(brows=0.05), "brows down": FacePose(brows=-0.03), "cheeks": FacePose(cheeks=1.0)}
EYES = {
    "aside": FacePose(gaze=(0.045, 0.0)),
    "up and aside": FacePose(gaze=(-0.03, -0.018)),
    "down": FacePose(gaze=(0.0, 0.018)),
    "wide": FacePose(widen=0.2),
    "narrow": FacePose(widen=-0.3),
    "cheeks": FacePose(cheeks=1.0),
    "closing": FacePose(closed=0.3),
    "half closed, looking down": FacePose(closed=0.6, gaze=(0.02, 0.015)),
    "shut": FacePose(closed=1.0, cheeks=0.5),
}


@pytest.fixture(scope="module", params=["closed", "smiling"])
def one(request: pytest.FixtureRequest, closed_face: EnrolledFace, smiling_face: EnrolledFace) -> BothCompositors:
    return BothCompositors({"closed": closed_face, "smiling": smiling_face}[request.param], True)


def numbers(one: BothCompositors, pose: FacePose) -> FrameInputs:
    return FrameInputs.of(torch.from_numpy(PoseInputs(one.on_cpu, one.layout)(pose))[None])


def unmoved(box: Box) -> Map:
    left, top, right, bottom = box
    return np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), -1).astype(np.float32)


def offset_on_cpu(box: Box, move: Callable[[Map], object]) -> Map:
    source = unmoved(box)
    move(source)
    return source - unmoved(box)


@pytest.mark.parametrize("name", SKIN)
def test_skin_moves_as_on_the_cpu(one: BothCompositors, name: str) -> None:
    pose, box, animated = one.on_cpu.fitted(SKIN[name]), one.layout.skin, one.on_cpu.animated
    assert animated is not None
    wanted = offset_on_cpu(box, lambda source: animated.expression.move(source, box[:2], pose))
    given = torch.from_numpy(unmoved(box))[None]
    found = move_skin(one.tensors.skin, given, numbers(one, SKIN[name]).skin)[0].numpy()
    assert np.abs(wanted).max() > 0.5
    # The CPU looks a field up at every third pixel and more, and draws straight lines between.
    assert np.abs(found - wanted).max() < 0.3 * np.abs(wanted).max()  # 0.28, between a brow and its eye
    assert np.abs(found - wanted).mean() < 0.01 * np.abs(wanted).max()
    still = move_skin(one.tensors.skin, given, torch.zeros((1, 2)))
    assert (still == 0).all()


@pytest.mark.parametrize("name", EYES)
def test_eyes_and_lids_move_as_on_the_cpu(one: BothCompositors, name: str) -> None:
    pose, box, animated = one.on_cpu.fitted(EYES[name]), one.layout.eyes, one.on_cpu.animated
    assert animated is not None
    lids = []
    wanted = offset_on_cpu(box, lambda source: lids.extend(animated.eyes.move(source, box[:2], pose)))
    given = torch.from_numpy(unmoved(box))[None]
    found, ours = move_eyes(one.tensors.eyes, given, numbers(one, EYES[name]).eyes, pose.closed > 0)
    differences = np.abs(found[0].numpy() - wanted)
    assert np.abs(wanted).max() > 0.2
    assert differences.mean() < 0.002 * np.abs(wanted).max()
    assert (differences > 0.3).mean() < 0.0005  # where an edge crosses a pixel
    assert (ours is None) == (pose.closed == 0)
    if ours is not None:
        grey = np.full((*wanted.shape[:2], 3), 128, np.uint8)
        laid_over(grey, lids)
        part = torch.full((1, 3, *wanted.shape[:2]), 128 + HALF)
        lay_over(part, ours)
        difference = np.abs(part[0].numpy().transpose(1, 2, 0) - HALF - grey)
        assert (grey != 128).any(-1).mean() > 0.005
        assert difference.max() < 12
        assert difference.mean() < 0.1


def test_eyes_at_rest_stay(one: BothCompositors) -> None:
    given = torch.from_numpy(unmoved(one.layout.eyes))[None]
    found = move_eyes(one.tensors.eyes, given, numbers(one, FacePose()).eyes, blinking=False)
    assert found.offset.abs().max() < 0.07  # half a pixel of the lids' soft edges: a sixteenth of one
    assert found.offset.abs().mean() < 1e-3


def test_a_smile_and_glasses_take_as_much_of_an_expression_as_on_the_cpu(one: BothCompositors) -> None:
    pose = FacePose(brows=0.2, cheeks=1.0, corners=0.02)
    fitted, given = one.on_cpu.fitted(pose), numbers(one, pose)
    assert fitted != pose
    np.testing.assert_allclose(given.skin[0], [fitted.brows, fitted.cheeks], rtol=1e-6)
    np.testing.assert_allclose(given.corners[0], [fitted.corners], rtol=1e-6)
    assert one.layout.n_motion == SPEC.n_motion
