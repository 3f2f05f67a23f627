from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from fakes import drawn_face

pytest.importorskip("torch", reason="the optional torch runtime is not installed")
import torch
from both_compositors import SPEC, TRACTS, BothCompositors, FrameOfBoth, opened, rolled_face

from s2v.engine.compositor.mouth.interior_tables import JAW_SHARE
from s2v.engine.compositor.mouth.tongue import GRID_SIZE, behind_teeth, lip_tucked, tongue_between
from s2v.engine.compositor.torch.drawing.interior import N_SHAPES, lay_inside, layers, soft_shapes
from s2v.engine.compositor.torch.drawing.lips import opening
from s2v.engine.compositor.torch.tables.arrays import HALF
from s2v.engine.compositor.torch.tables.mouth_tensors import InteriorTensors
from s2v.engine.face.enrolment import EnrolledFace

FACES: dict[str, Callable[[], EnrolledFace]] = {
    "fine rows": lambda: drawn_face(SPEC, (200, 240)),
    "rows as fine as the photo": lambda: drawn_face(SPEC, (700, 700)),
    "rolled": lambda: rolled_face(35),
}
Tract = tuple[float, ...]
CHINS = (-0.02, 0.05, 0.15)  # how far the chin is moved down, face units


@cache
def both(name: str, moving: bool = True) -> BothCompositors:
    return BothCompositors(FACES[name](), moving)


def drawn_inside(one: BothCompositors, face: InteriorTensors, frame: FrameOfBoth, tract: Tract) -> torch.Tensor:
    inputs = frame.inputs
    return layers(face, one.tensors.mouth, frame.weights, torch.tensor([tract]), inputs.places, inputs.depth_shift)


def found(one: BothCompositors, frame: FrameOfBoth, tract: Tract) -> np.ndarray:
    return np.asarray(drawn_inside(one, one.tensors.interior, frame, tract)[0].numpy())


def wanted(one: BothCompositors, motion: np.ndarray, frame: FrameOfBoth, tract: Tract) -> np.ndarray:
    tract_of = np.array(tract, np.float32)
    return one.on_cpu.interior.layers(one.whole, frame.carry, motion, tract_of, frame.depth_shift)


@pytest.mark.parametrize("tract", TRACTS)
@pytest.mark.parametrize("name", FACES)
def test_layers_are_those_of_the_cpu(name: str, tract: tuple[float, ...]) -> None:
    for moving, index, jaw, shift in ((False, 0, 0.5, (0, 0)), (True, 77, 3.5, (0, 0)), (True, 77, 2.5, (61.0, -23.0))):
        one, motion = both(name, moving), opened(jaw, index)
        frame = one.frame(motion, index, np.array(shift))
        on_cpu, ours = wanted(one, motion, frame, tract), found(one, frame, tract)
        assert ours.shape == on_cpu.shape
        assert np.abs(ours - on_cpu).mean() < 0.02  # 0.01
        assert np.abs(ours - on_cpu).max() < 3  # 1.5


def test_lower_teeth_follow_the_jaw_and_upper_ones_the_head() -> None:
    one = both("fine rows")
    only = {}
    for row in ("upper", "lower"):
        other = "lower" if row == "upper" else "upper"
        bare = replace(one.tensors.interior, **{other: torch.zeros_like(one.tensors.interior.upper)})
        only[row] = replace(bare, colours=bare.colours * torch.tensor([1.0, 0, 0, 0]))

    def seen(row: str, motion: np.ndarray, index: int) -> torch.Tensor:
        return drawn_inside(one, only[row], one.frame(motion, index), TRACTS[2])

    shut, wide = (np.zeros(SPEC.n_motion, np.float32) for _ in range(2))
    wide[0] = 3
    torch.testing.assert_close(seen("upper", shut, 0), seen("upper", wide, 0))
    assert (seen("lower", shut, 0) - seen("lower", wide, 0)).abs().max() > 50
    assert (seen("upper", shut, 0) - seen("upper", shut, 77)).abs().max() > 3


def test_a_face_is_drawn_the_same_in_the_window_of_a_batch() -> None:
    """Whose window is larger, and whose rows of teeth are."""
    one = both("fine rows")
    left, top, right, bottom = one.layout.mouth
    width, height = one.layout.row
    layout = replace(one.layout, mouth=(left - 9, top - 5, right + 3, bottom + 8), row=(width + 31, height + 12))
    batch, motion = BothCompositors(FACES["fine rows"](), True, layout), opened(3)
    for index in (0, 77):
        whole = found(batch, batch.frame(motion, index), TRACTS[4])
        own = found(one, one.frame(motion, index), TRACTS[4])
        np.testing.assert_allclose(whole[:, 5:-8, 9:-3], own, atol=0.02)


def test_closed_lips_leave_the_picture_as_it_is() -> None:
    one = both("fine rows")
    shut = np.zeros(SPEC.n_motion, np.float32)
    shut[0] = -3
    for motion, changed in ((shut, False), (opened(3), True)):
        frame = one.frame(motion)
        tract = torch.tensor([TRACTS[0]])
        opened_lips = opening(one.tensors.mouth, frame.points, tract, one.layout)
        part = torch.full((1, 3, *opened_lips.cover.shape[1:]), 120 + HALF)
        inside = torch.from_numpy(found(one, frame, TRACTS[0]))[None]
        lay_inside(part, inside, opened_lips, one.tensors.interior)
        assert bool((part != 120 + HALF).any()) == changed


def wanted_shapes(
    lower_v: float, chin: float, height: float, front: float, tip: float, tuck: float, dental: float
) -> np.ndarray:
    nothing = np.zeros((*GRID_SIZE[::-1], 2), np.float32)
    behind = behind_teeth(lower_v, chin, height, front, tip).merged()
    between, lip = tongue_between(lower_v, dental), lip_tucked(tuck)
    parts = [behind, nothing if between is None else between, nothing if lip is None else lip]
    return np.concatenate(parts, axis=2).transpose(2, 0, 1)


def given(chins: list[float], tracts: list[tuple[float, ...]]) -> tuple[InteriorTensors, torch.Tensor, torch.Tensor]:
    """What `soft_shapes` takes, of as many faces."""
    one = both("fine rows", moving=False)
    moves = one.on_cpu.tables.interior.chin_moves[:, 1]
    motion = np.array(chins)[:, None] * moves / (moves**2).sum()
    tensors, n = one.tensors.interior, len(chins)
    faces = type(tensors)(*(tensor.expand(n, *tensor.shape[1:]) for tensor in vars(tensors).values()))
    tract = torch.tensor(tracts)
    weights = torch.tensor(np.c_[motion, np.ones(n)], dtype=torch.float32)
    return faces, torch.bmm(torch.cat([weights, tract], 1)[:, None], faces.numbers)[:, 0], tract


def test_shapes_are_those_of_the_cpu() -> None:
    """All of several faces at once, each with a tongue of its own."""
    cases = list(itertools.product(CHINS, TRACTS))
    found = soft_shapes(*given([chin for chin, _ in cases], [tract for _, tract in cases]))
    assert found.shape == (len(cases), N_SHAPES, *GRID_SIZE[::-1])
    rest_v = both("fine rows", moving=False).on_cpu.tables.interior.lower_v
    for one, (chin, tract) in zip(found.numpy(), cases, strict=True):
        wanted = wanted_shapes(rest_v + JAW_SHARE * chin, chin, *tract)
        np.testing.assert_allclose(one, wanted, atol=1e-5, err_msg=f"{chin} {tract}")


@pytest.mark.parametrize(("plane", "tract"), [(4, (0.5, 0.8, 0.9, 0.2, 0.4)), (6, (0.5, 1, 1, 0, 1))])
def test_what_is_not_there_covers_nothing(plane: int, tract: tuple[float, ...]) -> None:
    """The tip behind the teeth; a lip that is not tucked."""
    assert (soft_shapes(*given([0.05], [tract]))[0, plane] == 0).all()
