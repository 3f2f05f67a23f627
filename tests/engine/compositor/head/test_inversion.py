from __future__ import annotations

import cv2
import numpy as np
import pytest

from s2v.engine.compositor.head.inversion import came_from


def grid(rows: int = 54, columns: int = 48) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(np.float32)


@pytest.mark.parametrize("angle", [-0.06, 0.03])
def test_a_turned_and_shifted_grid_comes_from_where_it_was(angle: float) -> None:
    cells = grid()
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    forward = (cells - [20, 40]) @ (turn - np.eye(2)).T + [0.7, -0.9]
    wanted = (cells - [20, 40] - [0.7, -0.9]) @ turn + [20, 40]
    inner = np.s_[6:-6, 6:-6]  # a cell that comes from beyond the grid is not known
    found = came_from(forward.astype(np.float32), cells)
    np.testing.assert_allclose(found[inner], wanted[inner], atol=0.01)


def test_going_there_and_back_ends_where_it_began() -> None:
    """A bump as a nose makes it, as steep as the steepest that heads are moved by; cells are about ten pixels."""
    cells = grid()
    bump = np.exp(-((cells - [24, 27]) ** 2).sum(-1) / (2 * 2.5**2))
    forward = np.stack([1.5 * bump, -0.8 * bump], -1).astype(np.float32)
    steepest = max(np.abs(np.diff(forward, axis=axis)).max() for axis in (0, 1))
    assert 0.3 < steepest < 0.5
    found = came_from(forward, cells)
    read = cv2.remap(forward, found, None, cv2.INTER_LINEAR)
    assert np.abs(found + read - cells).max() < 0.02
    exact = np.exp(-((found - [24, 27]) ** 2).sum(-1) / (2 * 2.5**2))
    there = found + np.stack([1.5 * exact, -0.8 * exact], -1)
    assert np.abs(there - cells).max() < 0.06  # of a cell: reading between cells takes the top off the bump
    assert np.abs(there - cells).mean() < 0.001
    assert np.abs(found - cells).max() > 1
