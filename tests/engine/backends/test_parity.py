from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import pytest

from s2v.engine.backends.base import Tensors
from s2v.engine.backends.graphs import Shape
from s2v.engine.backends.parity import BATCHES, MAX_DIFFERENCE, Parity, compare, some_faces, voice_like
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
RANDOM = np.random.default_rng(2)


class Drawn:
    """Fills `Graph`: a picture and a motion that depend on what is said and on the face."""

    def __init__(self, error: float = 0.0, at: int | None = None, value: float | None = None) -> None:
        self.inputs: dict[str, Shape] = {"mfcc": (1, 13, 35), "identity": (3,)}
        self.outputs: dict[str, Shape] = {"motion": (2,), "mouth": (4, 24, 40)}
        self.error, self.at, self.value = error, at, value
        self.batches: list[int] = []

    def run(self, tensors: Tensors) -> Tensors:
        batch = len(tensors["mfcc"])
        self.batches.append(batch)
        y, x = np.mgrid[:24, :40] / 8
        loud = tensors["mfcc"].std(axis=(1, 2, 3))[:, None, None, None]
        mouth = 0.5 + 0.4 * np.sin(x + y * loud) * np.ones((batch, 4, 1, 1)) * tensors["identity"].mean()
        motion = np.tile(tensors["mfcc"].mean(axis=(1, 2, 3))[:, None], (1, 2))
        outputs = {"motion": motion.astype(np.float32), "mouth": mouth.astype(np.float32)}
        rows = slice(None) if self.at is None else slice(self.at, self.at + 1)
        outputs["mouth"][rows] += np.float32(self.error) * np.sign(RANDOM.standard_normal(outputs["mouth"][rows].shape))
        if self.value is not None:
            outputs["motion"][-1, -1] = self.value
        return outputs


def compared(candidate: Drawn, max_batch: int = 16) -> Parity:
    return compare(Drawn(), candidate, {"identity": np.ones((3, 3), np.float32)}, SPEC, max_batch)


def test_the_same_graph_is_equal() -> None:
    parity = compared(Drawn())
    assert parity.frames == 3 * sum(BATCHES)
    assert parity.max_difference == {"motion": 0.0, "mouth": 0.0}
    assert parity.ssim_min == pytest.approx(1)
    assert not parity.differs_visibly


def test_rounding_passes_and_noise_does_not() -> None:
    assert not compared(Drawn(error=0.0005)).differs_visibly
    assert compared(Drawn(error=0.05)).differs_visibly


def test_a_pattern_of_small_differences_is_seen_by_ssim_alone() -> None:
    parity = compared(Drawn(error=0.03))
    assert parity.max_difference["mouth"] < MAX_DIFFERENCE
    assert parity.differs_visibly


def test_one_bad_row_of_a_batch_is_enough() -> None:
    parity = compared(Drawn(error=0.05, at=7))  # only the largest batch has such a row
    assert parity.differs_visibly
    assert parity.ssim_mean > parity.ssim_min


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3.0])
def test_motion_that_is_wrong_or_no_number_differs_visibly(value: float) -> None:
    parity = compared(Drawn(value=value))
    assert parity.max_difference["motion"] > MAX_DIFFERENCE
    assert parity.differs_visibly


def test_pictures_that_are_no_numbers_differ_visibly() -> None:
    parity = compared(Drawn(error=float("nan")))
    assert (parity.ssim_min, parity.differs_visibly) == (-1.0, True)


def test_batches_beyond_the_engine_are_left_out() -> None:
    candidate = Drawn()
    compared(candidate, max_batch=3)
    assert set(candidate.batches) == {1, 3}


@pytest.mark.parametrize("network", ["s2v", "speech2vid"])
def test_voices_and_faces_are_what_the_networks_take(network: Literal["s2v", "speech2vid"]) -> None:
    spec = dataclasses.replace(SPEC, network=network)
    voice = voice_like(RANDOM, 3, spec)
    assert voice.shape == (3, 1, spec.n_cepstra, spec.n_columns)
    assert voice.dtype == np.float32
    assert np.abs(np.diff(voice, axis=-1)).mean() < 0.8 * np.abs(voice).mean()  # white noise would have 1.4
    for face in some_faces(spec):
        assert face.shape == (1, 6, spec.face_px, spec.face_px)
        assert face.dtype == np.float32
        assert 0 <= face.min() < face.max() <= 1
        assert not face[:, :3, spec.face_px // 2 :].any()
        assert np.array_equal(face[:, :3, : spec.face_px // 2], face[:, 3:, : spec.face_px // 2])
