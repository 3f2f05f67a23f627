"""Heads that move as a test wants: curves without a picture."""

from __future__ import annotations

import numpy as np

from s2v.training.evaluation.measures.head.curves import KEYS, HeadCurves

FPS = 25


def head_of(n: int, noise: float = 0.0, **curves: np.ndarray) -> HeadCurves:
    """A head with some of KEYS over time, all else at rest; its skull goes with x and y.

    Args: noise: deviation of the trembling of every quantity.
    """
    random = np.random.default_rng(5)
    values = np.zeros((n, len(KEYS)))
    for key, curve in curves.items():
        values[:, KEYS.index(key)] = curve
    skull = random.uniform(-0.5, 0.5, (16, 2)) + values[:, None, :2] + noise * random.standard_normal((n, 16, 2))
    return HeadCurves(values + noise * random.standard_normal(values.shape), skull)


def sine(n: int, period_s: float, size: float) -> np.ndarray:
    """(n,) of that height."""
    return np.asarray(size * np.sin(2 * np.pi * np.arange(n) / (period_s * FPS)))
