from __future__ import annotations

import pytest

pytest.importorskip("torch")
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from s2v.training.networks.mouth_light import TeethLight

GAINS = st.floats(0.4, 1.2)


def portrait(eye_white: float = 0.8) -> Tensor:
    """A skin-coloured face with two pale eyes, (1, 3, 112, 112) BGR, no pixel brighter than 0.8."""
    face = torch.tensor([0.4, 0.5, 0.7])[None, :, None, None].repeat(1, 1, 112, 112)
    for left in (25, 65):
        face[:, :, 18:25, left : left + 22] = 0.1
        face[:, :, 19:24, left + 2 : left + 20] = eye_white
    return face


@pytest.fixture(scope="module")
def light() -> TeethLight:
    torch.manual_seed(0)
    light = TeethLight()
    torch.nn.init.normal_(light.told.weight)
    return light.eval()


@given(GAINS, GAINS, GAINS)
@settings(max_examples=25, deadline=None)
def test_a_colour_cast_falls_on_the_teeth_too(light: TeethLight, blue: float, green: float, red: float) -> None:
    gain = torch.tensor([[blue, green, red]])
    gain = gain / gain.log().mean().exp()  # neither brighter nor darker
    with torch.no_grad():
        as_is, recoloured = light(portrait()), light(portrait() * gain[:, :, None, None])
    torch.testing.assert_close(recoloured, as_is * gain, rtol=0.1, atol=1e-4)  # what is whitest depends on it a little


def test_a_darker_copy_of_a_photo_has_darker_teeth() -> None:
    with torch.no_grad():
        bright, dark = TeethLight()(torch.cat([portrait(), 0.5 * portrait()]))
    torch.testing.assert_close(dark, 0.5 * bright)


def test_dark_skin_beside_white_eyes_is_no_dim_room() -> None:
    """Half the light from the skin, the same eyes: teeth lose less than a quarter."""
    dark = 0.5 * portrait(0.6)
    eyes = portrait(0.6)[:, :, 18:25] == 0.6
    dark[:, :, 18:25][eyes] = 0.6
    with torch.no_grad():
        usual, told = TeethLight()(torch.cat([portrait(0.6), dark]))
    assert (0.75 * usual < told).all() and (told < usual).all()


def test_whiter_eyes_mean_brighter_teeth() -> None:
    with torch.no_grad():
        dim, bright = TeethLight()(torch.cat([portrait(0.4), portrait(0.8)]))
    assert bright.mean() > 1.15 * dim.mean()


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_black_or_a_white_picture_gives_a_light_all_the_same(light: TeethLight, level: float) -> None:
    with torch.no_grad():
        told = light(torch.full((2, 3, 112, 112), level))
    assert told.isfinite().all()
    assert (told > 0).all()


def test_sunglasses_do_not_put_the_light_out() -> None:
    with torch.no_grad():
        shaded, plain = TeethLight()(torch.cat([portrait(0.02), portrait(0.6)]))
    assert (shaded > 0.3 * plain).all()
