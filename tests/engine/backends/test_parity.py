from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import pytest

from s2v.engine.backends.base import Tensors
from s2v.engine.backends.graphs import Shape
from s2v.engine.backends.parity import BATCHES, MAX_DIFFERENCE, MAX_MOVED, Parity, compare, some_faces, voice_like
from s2v.engine.face.motion_basis import MotionBasis
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
PIXELS = LipSyncSpec.of("speech2vid")
RANDOM = np.random.default_rng(2)


class Moved:
    """Fills `Graph`: motion and tract variables that depend on what is said."""

    def __init__(self, error: float = 0.0, component: int = 0, tract: float = 0.0, at: int | None = None) -> None:
        self.inputs: dict[str, Shape] = {"mfcc": (1, 13, 35)}
        self.outputs: dict[str, Shape] = {"motion": (10,), "tract": (5,)}
        self.error, self.component, self.tract = error, component, tract
        self.rows = slice(None) if at is None else slice(at, at + 1)
        self.batches: list[int] = []

    def run(self, tensors: Tensors) -> Tensors:
        batch = len(tensors["mfcc"])
        self.batches.append(batch)
        loud = tensors["mfcc"].mean(axis=(1, 2, 3))[:, None]
        outputs = {"motion": np.tile(loud, (1, 10)), "tract": np.tile(0.5 + 0.1 * loud, (1, 5))}
        outputs["motion"][self.rows, self.component] += np.float32(self.error)
        outputs["tract"][self.rows, -1] += np.float32(self.tract)
        return outputs


def moved(candidate: Moved, max_batch: int = 16) -> Parity:
    return compare(Moved(), candidate, {}, SPEC, max_batch)


def test_the_same_motion_is_equal() -> None:
    parity = moved(Moved())
    assert parity == Parity(3 * sum(BATCHES), {"motion": 0.0, "tract": 0.0}, 0.0, None, None)
    assert not parity.differs_visibly


@pytest.mark.parametrize("component", [0, 9])
def test_motion_is_judged_by_how_far_it_moves_the_face(component: int) -> None:
    """The jaw moves points by 0.04 face units for each unit, the last component by 0.003."""
    per_unit = np.linalg.norm(MotionBasis.load(SPEC.motion_basis).components[component], axis=-1).max()
    limit = MAX_MOVED / per_unit
    parity = moved(Moved(error=0.5 * limit, component=component))
    assert parity.moved_max == pytest.approx(0.5 * MAX_MOVED, rel=1e-3)
    assert parity.differs_visibly == (0.5 * limit > MAX_DIFFERENCE)
    assert moved(Moved(error=1.1 * limit, component=component)).differs_visibly


def test_a_coefficient_may_not_be_off_however_little_it_moves() -> None:
    parity = moved(Moved(error=1.2 * MAX_DIFFERENCE, component=9))
    assert parity.moved_max is not None and parity.moved_max < MAX_MOVED
    assert parity.differs_visibly


def test_the_tongue_counts_too() -> None:
    assert not moved(Moved(tract=0.5 * MAX_DIFFERENCE)).differs_visibly
    assert moved(Moved(tract=1.5 * MAX_DIFFERENCE)).differs_visibly


def test_one_bad_row_of_motion_is_enough() -> None:
    assert moved(Moved(error=0.1, at=7)).differs_visibly  # only the largest batch has such a row
    assert not moved(Moved(error=0.1, at=7), max_batch=7).differs_visibly


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3.0])
def test_motion_that_is_wrong_or_no_number_differs_visibly(value: float) -> None:
    parity = moved(Moved(error=value, at=0))
    assert parity.max_difference["motion"] > MAX_DIFFERENCE
    assert parity.moved_max is not None and parity.moved_max > MAX_MOVED
    assert parity.differs_visibly


class Drawn:
    """Fills `Graph`: a picture that depends on what is said and on the face."""

    def __init__(self, error: float = 0.0, at: int | None = None) -> None:
        self.inputs: dict[str, Shape] = {"mfcc": (1, 12, 35), "identity": (3,)}
        self.outputs: dict[str, Shape] = {"pixels": (3, 24, 40)}
        self.error, self.at = error, at

    def run(self, tensors: Tensors) -> Tensors:
        batch = len(tensors["mfcc"])
        y, x = np.mgrid[:24, :40] / 8
        loud = tensors["mfcc"].std(axis=(1, 2, 3))[:, None, None, None]
        drawn = 0.5 + 0.4 * np.sin(x + y * loud) * np.ones((batch, 3, 1, 1)) * tensors["identity"].mean()
        pixels = drawn.astype(np.float32)
        rows = slice(None) if self.at is None else slice(self.at, self.at + 1)
        pixels[rows] += np.float32(self.error) * np.sign(RANDOM.standard_normal(pixels[rows].shape))
        return {"pixels": pixels}


def drawn(candidate: Drawn) -> Parity:
    return compare(Drawn(), candidate, {"identity": np.ones((3, 3), np.float32)}, PIXELS, 16)


def test_the_same_pictures_are_equal() -> None:
    parity = drawn(Drawn())
    assert (parity.frames, parity.max_difference, parity.moved_max) == (3 * sum(BATCHES), {"pixels": 0.0}, None)
    assert parity.ssim_min == pytest.approx(1)
    assert not parity.differs_visibly


def test_rounding_passes_and_noise_does_not() -> None:
    assert not drawn(Drawn(error=0.0005)).differs_visibly
    assert drawn(Drawn(error=0.05)).differs_visibly


def test_a_pattern_of_small_differences_is_seen_by_ssim_alone() -> None:
    parity = drawn(Drawn(error=0.03))
    assert parity.max_difference["pixels"] < MAX_DIFFERENCE
    assert parity.differs_visibly


def test_one_bad_picture_of_a_batch_is_enough() -> None:
    parity = drawn(Drawn(error=0.05, at=7))
    assert parity.differs_visibly
    assert parity.ssim_mean is not None and parity.ssim_min is not None and parity.ssim_mean > parity.ssim_min


def test_pictures_that_are_no_numbers_differ_visibly() -> None:
    parity = drawn(Drawn(error=float("nan")))
    assert (parity.ssim_min, parity.differs_visibly) == (-1.0, True)


@pytest.mark.parametrize(("parity", "words"), [
    (Parity(4, {"motion": 0.01, "tract": 0.002}, 0.0004, None, None),
     "the face moved 0.0004 of the eye distance at most over 4 frames, largest difference: motion 0.01, tract 0.002"),
    (Parity(4, {"pixels": 0.01}, None, 0.9987, 0.999),
     "SSIM 0.99870 at worst over 4 frames, largest difference: pixels 0.01"),
])  # fmt: skip
def test_it_is_told_in_one_line(parity: Parity, words: str) -> None:
    assert parity.as_text() == words


def test_batches_beyond_the_engine_are_left_out() -> None:
    candidate = Moved()
    moved(candidate, max_batch=3)
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
