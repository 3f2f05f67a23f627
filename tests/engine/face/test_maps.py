from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from s2v.engine.face.maps import backward, remap, smoothstep


@given(st.floats(-2, 3))
def test_a_number_and_an_array_of_it_fade_alike(x: float) -> None:
    alone, many = smoothstep(x), smoothstep(np.array([x]))
    assert type(alone) is float
    assert alone == many[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fading_goes_from_0_to_1_smoothly_and_keeps_the_type(dtype: type[np.floating]) -> None:
    x: NDArray[np.floating] = np.array([-1.0, 0.0, 0.25, 0.5, 1.0, 9.0], dtype)
    faded = smoothstep(x)
    assert faded.dtype == dtype
    np.testing.assert_array_equal(faded, np.array([0, 0, 0.15625, 0.5, 1, 1], dtype))


def test_a_picture_is_looked_up_at_x_then_y_and_its_edges_repeat() -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    at = np.array([[[2, 1], [-5, 0], [9, 9]]], np.float32)
    np.testing.assert_array_equal(remap(picture, at), [[picture[1, 2], picture[0, 0], picture[2, 3]]])


@pytest.mark.parametrize("shares", [(1.0,) * 6, (1.0, 0.5) * 6])
def test_cells_look_back_to_where_they_came_from(shares: tuple[float, ...]) -> None:
    """Everything goes 0.4 to the right, and a quarter of the way further from column 10: x = b + 0.4 + (b - 10) / 4."""
    cells = np.stack(np.meshgrid(np.arange(20), np.arange(8)), -1).astype(np.float32)
    forward = np.zeros_like(cells)
    forward[..., 0] = 0.4 + (cells[..., 0] - 10) / 4
    back = backward(forward, cells, shares)
    wanted = cells[..., 0] - (cells[..., 0] - 0.4 + 2.5) / 1.25
    inner = np.s_[:, 3:-3]  # a cell that comes from beyond the grid is not known
    np.testing.assert_allclose(back[..., 0][inner], wanted[inner], atol=0.02)
    assert np.abs(back - forward)[inner].max() > 0.3
    assert not back[..., 1].any()
