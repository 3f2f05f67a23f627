from __future__ import annotations

import numpy as np
import pytest

from s2v.media.dub.smoothing import noise_of, smoothed


def _noise(n: int, columns: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (n, columns))


def test_what_moves_evenly_stays_to_the_last_picture() -> None:
    way = np.arange(40.0)[:, None] * [0.3, -2.0] + [5.0, 1.0]
    np.testing.assert_allclose(smoothed(way), way, atol=1e-6)


def test_noise_about_rest_is_averaged_away() -> None:
    still = smoothed(100 + 0.5 * _noise(100))
    assert still.std(0).max() < 0.45 * 0.5
    assert np.abs(np.diff(still, axis=0)).max() < 0.5 * 0.5


def test_a_quick_nod_is_kept_where_it_was_and_as_far_as_it_went() -> None:
    at = np.arange(80)
    nod = 12 * np.exp(-(((at - 40) / 4) ** 2))[:, None] * [1.0, 0.5]
    found = smoothed(nod + 0.2 * _noise(80))
    assert abs(int(found[:, 0].argmax()) - 40) <= 1
    assert found[:, 0].max() > 11.3
    best = min(range(-3, 4), key=lambda lag: float(np.abs(np.roll(found[:, 0], -lag) - nod[:, 0])[5:-5].sum()))
    assert best == 0


def test_a_step_is_not_smeared_over_the_pictures_before_it() -> None:
    step = np.where(np.arange(40) < 20, 0.0, 30.0)[:, None] + 0.2 * _noise(40, 1)
    found = smoothed(step)
    assert np.abs(found[:17]).max() < 1
    assert np.abs(found[23:] - 30).max() < 1


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7])
def test_few_pictures_are_enough(n: int) -> None:
    found = smoothed(np.full((n, 3), 7.0) + 0.1 * _noise(n, 3))
    assert found.shape == (n, 3)
    assert np.abs(found - 7).max() < 0.5


def test_noise_is_measured_on_what_moves() -> None:
    at = np.arange(400.0)
    way = 40 * np.sin(at / 15)[:, None] * [1.0, 1.0] + [0.3, 1.5] * _noise(400)
    np.testing.assert_allclose(noise_of(way), [0.3, 1.5], rtol=0.25)
