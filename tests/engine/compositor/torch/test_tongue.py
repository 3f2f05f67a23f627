from __future__ import annotations

import itertools

import numpy as np
import pytest
from fakes import drawn_face

pytest.importorskip("torch", reason="the optional torch runtime is not installed")
import torch
from both_compositors import SPEC, TRACTS, BothCompositors

from s2v.engine.compositor.mouth.tongue import GRID_SIZE, behind_teeth, lip_tucked, tongue_between
from s2v.engine.compositor.torch.tongue import N_SHAPES, soft_shapes

JAWS = ((-0.01, 0.0), (0.04, 0.05), (0.14, 0.18))  # v of the lower teeth's edge, how far the chin is moved down
TENSORS = BothCompositors(drawn_face(SPEC), None).tensors.interior


def wanted(lower_v: float, chin: float, height: float, front: float, tip: float, tuck: float) -> np.ndarray:
    nothing = np.zeros((*GRID_SIZE[::-1], 2), np.float32)
    behind = behind_teeth(lower_v, chin, height, front, tip).merged()
    between, lip = tongue_between(lower_v, front, tip), lip_tucked(tuck)
    parts = [behind, nothing if between is None else between, nothing if lip is None else lip]
    return np.concatenate(parts, axis=2).transpose(2, 0, 1)


def test_shapes_are_those_of_the_cpu() -> None:
    """All of several faces at once, each with a tongue of its own."""
    cases = list(itertools.product(JAWS, TRACTS))
    lower_v, chin = (torch.tensor([jaw[k] for jaw, _ in cases])[:, None, None] for k in (0, 1))
    tract = torch.tensor([tract for _, tract in cases])
    faces = type(TENSORS)(*(tensor.expand(len(cases), *tensor.shape[1:]) for tensor in vars(TENSORS).values()))
    found = soft_shapes(faces, lower_v, chin, tract)
    assert found.shape == (len(cases), N_SHAPES, *GRID_SIZE[::-1])
    for one, (jaw, of) in zip(found.numpy(), cases, strict=True):
        np.testing.assert_allclose(one, wanted(*jaw, *of), atol=3e-6, err_msg=f"{jaw} {of}")


@pytest.mark.parametrize(("plane", "tract"), [(4, (0.5, 0.7, 0.7, 0)), (6, (0.5, 1, 1, 0))])
def test_what_is_not_there_covers_nothing(plane: int, tract: tuple[float, ...]) -> None:
    """The tip behind the teeth; a lip that is not tucked."""
    number = torch.full((1, 1, 1), 0.05)
    assert (soft_shapes(TENSORS, number, number, torch.tensor([tract]))[0, plane] == 0).all()
