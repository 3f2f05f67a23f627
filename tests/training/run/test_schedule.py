from __future__ import annotations

import random

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from s2v.training.run.schedule import Schedule, seed_step


def test_the_rate_rises_to_its_peak_and_falls_to_a_hundredth() -> None:
    schedule = Schedule(peak=1e-3, total=1000, warmup=50)
    rates = [schedule.learning_rate(step) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-3 / 50, rel=0.01)
    assert 49 <= int(np.argmax(rates)) <= 51 and max(rates) == pytest.approx(1e-3, rel=0.01)
    assert rates[-1] == pytest.approx(1e-5, rel=0.01)
    assert np.all(np.diff(rates[:49]) > 0) and np.all(np.diff(rates[51:]) < 0)
    assert Schedule(1.0, 1000, 0).learning_rate(0) == 1.0
    # A short training warms up for a tenth of it.
    assert Schedule(1.0, 20, 200).learning_rate(1) > 0.9


def test_a_steps_dice_are_its_own_whatever_went_before() -> None:
    def dice(seed: int, step: int, rank: int = 0) -> tuple[float, ...]:
        seed_step(seed, step, rank)
        return random.random(), float(np.random.rand()), float(torch.rand(1))

    first = dice(1, 2)
    torch.rand(5), np.random.rand(5), random.random()
    assert dice(1, 2) == first
    for other in (dice(2, 2), dice(1, 3), dice(1, 2, 1)):
        assert not set(other) & set(first)
