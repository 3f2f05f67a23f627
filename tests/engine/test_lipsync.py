from __future__ import annotations

import threading
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeBackend, FakeCompositor, drawn_face, voice
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_networks import tiny_model

from s2v.engine.audio.effort import VocalEffort
from s2v.engine.backends import open_backend
from s2v.engine.backends.base import Outputs
from s2v.engine.behaviour.face_behaviour import FaceBehaviour, Pcm
from s2v.engine.behaviour.mood import Mood
from s2v.engine.behaviour.pose import AT_REST, FacePose
from s2v.engine.face.photo import Image
from s2v.engine.lipsync import MAX_BATCH, DrawnFrame, LipSyncEngine
from s2v.errors import AudioError, BackendError, S2vError
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
FACE = drawn_face(SPEC)


def fake_engine(backend: FakeBackend | None = None) -> LipSyncEngine:
    return LipSyncEngine(FACE, backend or FakeBackend(), compose=FakeCompositor)


def same(one: list[DrawnFrame], other: list[DrawnFrame]) -> bool:
    return len(one) == len(other) and all(
        (a.index, a.centre_sample) == (b.index, b.centre_sample) and np.array_equal(a.pixels, b.pixels)
        for a, b in zip(one, other, strict=True)
    )


@settings(max_examples=40, deadline=None)
@given(n_samples=st.integers(0, 20_000), cuts=st.lists(st.integers(0, 20_000), max_size=12))
def test_any_chunking_gives_the_same_frames(n_samples: int, cuts: list[int]) -> None:
    pcm = voice(20_000 / 16_000)[:n_samples]
    whole, streamed = fake_engine(), fake_engine()
    expected = whole.push(pcm) + whole.flush()
    edges = [0, *sorted(cut % (n_samples + 1) for cut in cuts), n_samples]
    frames = [frame for a, b in pairwise(edges) for frame in streamed.push(pcm[a:b])]
    assert same(frames + streamed.flush(), expected)


def test_every_sample_of_the_audio_has_its_frame() -> None:
    engine = fake_engine()
    pcm = voice(2.017)
    frames = engine.push(pcm) + engine.flush()
    assert [frame.index for frame in frames] == list(range(SPEC.frame_count(len(pcm))))
    assert [frame.centre_sample for frame in frames[:3]] == [320, 960, 1600]
    assert len({frame.pixels.tobytes() for frame in frames}) == len(frames)  # each has a window of its own


def test_a_frame_is_drawn_with_the_sample_it_waits_for() -> None:
    engine, pcm = fake_engine(), voice(1.0)
    ready = SPEC.ready_at(3)
    assert [frame.index for frame in engine.push(pcm[: ready - 1])] == [0, 1, 2]
    assert [frame.index for frame in engine.push(pcm[ready - 1 : ready])] == [3]
    assert engine.push(pcm[ready : ready + 1]) == []


def test_frames_belong_to_the_receiver() -> None:
    engine = fake_engine()
    first = engine.push(voice(0.5))
    kept = [frame.pixels.copy() for frame in first]
    for frame in engine.push(voice(0.5, seed=1)):
        frame.pixels[:] = 0
    assert all(np.array_equal(frame.pixels, copy) for frame, copy in zip(first, kept, strict=True))


def test_frames_due_at_once_share_an_inference_and_the_face_is_encoded_once() -> None:
    backend = FakeBackend()
    engine = fake_engine(backend)
    frames = engine.push(voice(2.0))
    assert len(frames) > 2 * MAX_BATCH
    assert sum(backend.batches) == len(frames)
    assert set(backend.batches[:-1]) == {MAX_BATCH}
    for _ in range(10):
        engine.push(voice(0.04))
    assert backend.batches[-10:] == [1] * 10
    assert backend.faces_encoded == 1


def test_before_the_first_frame_there_is_a_still_of_the_same_size() -> None:
    engine = fake_engine()
    assert engine.frame_size == (200, 240)
    assert engine.still.shape == engine.push(voice(0.5))[0].pixels.shape == (240, 200, 3)
    assert np.array_equal(engine.still, FACE.photo)
    assert (engine.spec, engine.backend_name) == (SPEC, "fake")


def test_no_audio_gives_no_frames() -> None:
    engine = fake_engine()
    assert engine.push(np.empty(0, np.float32)) == []
    assert engine.flush() == []


def test_flushing_twice_adds_nothing_and_ends_the_stream() -> None:
    engine = fake_engine()
    engine.push(voice(0.3))
    assert engine.flush()
    assert engine.flush() == []
    with pytest.raises(AudioError, match="flushed"):
        engine.push(voice(0.1))


def test_closing_is_safe_twice_and_leaves_the_backend_open() -> None:
    backend = FakeBackend()
    engine = fake_engine(backend)
    engine.close()
    engine.close()
    with pytest.raises(BackendError, match="closed"):
        engine.push(voice(0.1))
    with pytest.raises(BackendError, match="closed"):
        engine.flush()
    assert same(fake_engine(backend).push(voice(0.5)), fake_engine().push(voice(0.5)))


def test_a_face_prepared_for_another_model_is_refused() -> None:
    with pytest.raises(BackendError, match="shape"):
        LipSyncEngine(drawn_face(LipSyncSpec(face_px=96)), FakeBackend(), compose=FakeCompositor)


def test_samples_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(AudioError, match="int16"):
        fake_engine().push(np.zeros(640, np.int16))


@pytest.mark.parametrize("network", ["s2v", "speech2vid"])
def test_streamed_equals_offline_through_a_real_network_and_compositor(network: str) -> None:
    path: Path = tiny_model(network).path
    backend = open_backend(path, "onnxruntime")
    face, pcm = drawn_face(backend.spec), voice(1.3)
    offline, live = LipSyncEngine(face, backend), LipSyncEngine(face, backend)
    wanted = offline.push(pcm) + offline.flush()
    drawn = [frame for at in range(0, len(pcm), 640) for frame in live.push(pcm[at : at + 640])] + live.flush()
    assert len(drawn) == len(wanted) == backend.spec.frame_count(len(pcm))
    for one, other in zip(drawn, wanted, strict=True):
        # batches of 1 and of 8 round differently inside the runtime
        assert np.abs(one.pixels.astype(int) - other.pixels.astype(int)).max() <= 1
    backend.close()


@pytest.mark.parametrize("network", ["s2v", "speech2vid"])
def test_frames_drawn_on_several_threads_are_the_same_in_the_same_order(network: str) -> None:
    backend = open_backend(tiny_model(network).path, "onnxruntime")
    face, pcm = drawn_face(backend.spec), voice(1.3)
    one, several = LipSyncEngine(face, backend, idle_seed=3), LipSyncEngine(face, backend, idle_seed=3)
    several.draw_on(3)
    before = set(threading.enumerate())
    drawn = several.push(pcm) + several.flush()
    helpers = set(threading.enumerate()) - before
    assert len(helpers) > 1
    wanted = one.push(pcm) + one.flush()
    assert [frame.index for frame in drawn] == [frame.index for frame in wanted]
    assert same(drawn, wanted)
    several.close()
    assert not any(thread.is_alive() for thread in helpers)
    backend.close()


def test_a_compositor_of_its_own_device_stays_on_the_calling_thread() -> None:
    seen = set()

    class OnDevice(FakeCompositor):
        def draw(self, *args: Any) -> Image:
            seen.add(threading.current_thread())
            return super().draw(*args)

    engine = LipSyncEngine(FACE, FakeBackend(), compose=OnDevice)
    engine.draw_on(4)
    engine.push(voice(1.0))
    assert seen == {threading.current_thread()}


def test_the_drawn_mouth_follows_the_voice_and_nothing_else_moves() -> None:
    backend = open_backend(tiny_model("s2v").path, "onnxruntime")
    engine = LipSyncEngine(FACE, backend)
    frames = engine.push(voice(1.0))
    moved = np.stack([frame.pixels for frame in frames]).astype(int).std(0).max(-1)
    assert moved[130:].max() > 0
    assert moved[:60].max() == 0  # above the eyes
    backend.close()


def test_articulation_may_change_at_any_time_and_counts_from_the_next_frame_on() -> None:
    pcm = voice(1.2)
    usual, strong, changed = fake_engine(), fake_engine(), fake_engine()
    assert usual.articulation == 1.0
    strong.articulation = 1.5
    changed.push(pcm[:0])
    half = len(pcm) // 2
    first = changed.push(pcm[:half])
    changed.articulation = 1.5
    rest = changed.push(pcm[half:]) + changed.flush()
    wanted, stronger = usual.push(pcm) + usual.flush(), strong.push(pcm) + strong.flush()
    assert same(first, wanted[: len(first)]) and first
    assert same(rest, stronger[len(first) :]) and rest
    assert not any(np.array_equal(a.pixels, b.pixels) for a, b in zip(wanted, stronger, strict=True))


def test_a_raised_voice_scales_the_face_further() -> None:
    """Through the articulation that the compositor draws with."""
    drawn_with: list[float] = []

    class Recording(FakeCompositor):
        def draw(self, outputs: Outputs, pose: FacePose = AT_REST, articulation: float = 1.0) -> Image:
            drawn_with.append(articulation)
            return super().draw(outputs, pose, articulation)

    pcm = np.concatenate([0.05 * voice(3.0), 0.3 * voice(1.0)])
    engine = LipSyncEngine(FACE, FakeBackend(), compose=Recording, articulation=0.8)
    for start in range(0, len(pcm), 900):
        engine.push(pcm[start : start + 900])
    engine.flush()
    assert drawn_with == [0.8 * float(effort) for effort in efforts64(pcm)]
    assert drawn_with[90] > 1.1 * 0.8


def efforts64(pcm: np.ndarray) -> list[float]:
    stream = VocalEffort(SPEC)
    stream.hear(pcm)
    return [stream.at(frame) for frame in range(SPEC.frame_count(len(pcm)))]


def test_an_engine_begins_with_the_articulation_it_is_given_and_refuses_others() -> None:
    engine = LipSyncEngine(FACE, FakeBackend(), compose=FakeCompositor, articulation=0.5)
    assert engine.articulation == 0.5
    with pytest.raises(S2vError, match=r"articulation is 2: give a number from 0\.5 to 1\.5"):
        engine.articulation = 2
    assert engine.articulation == 0.5
    with pytest.raises(S2vError, match="articulation is nan"):
        LipSyncEngine(FACE, FakeBackend(), compose=FakeCompositor, articulation=float("nan"))


class AttentiveBehaviour(FaceBehaviour):
    """Leans by all it has heard until a frame is due, so that every sample of either side counts."""

    def __init__(self) -> None:
        super().__init__(0, SPEC)
        self._both = np.zeros((0, 2), np.float32)

    def hear(self, voice: Pcm, heard: Pcm | None = None) -> None:
        other = np.zeros_like(voice) if heard is None else heard
        self._both = np.concatenate([self._both, np.stack([voice, other], axis=1)])

    def pose(self, frame: int) -> FacePose:
        voice, other = self._both[: SPEC.ready_at(frame)].astype(float).sum(0)
        return FacePose(lean=self.liveliness * voice, yaw=self.liveliness * other)


def attentive_engine() -> LipSyncEngine:
    engine = fake_engine()
    engine._behaviour = AttentiveBehaviour()
    return engine


@settings(max_examples=40, deadline=None)
@given(n_samples=st.integers(0, 20_000), cuts=st.lists(st.integers(0, 20_000), max_size=12), alone=st.booleans())
def test_any_chunking_gives_the_same_frames_while_somebody_speaks_to_the_face(
    n_samples: int, cuts: list[int], alone: bool
) -> None:
    pcm, other = voice(20_000 / 16_000)[:n_samples], voice(20_000 / 16_000, seed=1)[:n_samples]
    edges = [0, *sorted(cut % (n_samples + 1) for cut in cuts), n_samples]
    if alone:  # until the second piece, nobody was there
        other[: edges[1]] = 0
    whole, streamed = attentive_engine(), attentive_engine()
    expected = whole.push(pcm, other) + whole.flush()
    frames = []
    for number, (a, b) in enumerate(pairwise(edges)):
        frames += streamed.push(pcm[a:b], None if alone and number == 0 else other[a:b])
    assert same(frames + streamed.flush(), expected)
    deaf = attentive_engine()
    unheard = deaf.push(pcm) + deaf.flush()
    assert not other.any() or not same(unheard, expected)


def test_as_much_is_heard_as_said() -> None:
    engine = fake_engine()
    with pytest.raises(AudioError, match="639 samples were heard while 640 were said: push as many of both"):
        engine.push(np.zeros(640, np.float32), np.zeros(639, np.float32))
    with pytest.raises(AudioError, match="int16"):
        engine.push(np.zeros(640, np.float32), np.zeros(640, np.int16))
    assert len(engine.push(np.zeros(SPEC.ready_at(0), np.float32))) == 1, "what was refused was not counted"


def lively_engine(**asked: Any) -> LipSyncEngine:
    return LipSyncEngine(FACE, FakeBackend(), compose=FakeCompositor, idle_seed=3, **asked)


def test_liveliness_may_change_at_any_time_and_counts_from_the_next_frame_on() -> None:
    pcm = voice(2.4)
    usual, changed = lively_engine(), lively_engine()
    assert usual.liveliness == 1.0
    half = len(pcm) // 2
    first = changed.push(pcm[:half])
    changed.liveliness = 0.25
    rest = changed.push(pcm[half:]) + changed.flush()
    wanted = usual.push(pcm) + usual.flush()
    assert same(first, wanted[: len(first)]) and first
    assert len(rest) == len(wanted) - len(first)
    assert not any(np.array_equal(a.pixels, b.pixels) for a, b in zip(rest, wanted[len(first) :], strict=True))
    still, lively = fake_engine(), fake_engine()
    lively.liveliness = 1.5
    assert same(lively.push(pcm), still.push(pcm)), "without a seed it does nothing"


@pytest.mark.parametrize("mood", ["friendly", "serious"])
def test_a_mood_is_seen_from_the_second_frame_on(mood: Mood) -> None:
    pcm = np.zeros(16_000, np.float32)
    frames, neutral = lively_engine(mood=mood).push(pcm), lively_engine().push(pcm)
    changed = [not np.array_equal(a.pixels, b.pixels) for a, b in zip(frames, neutral, strict=True)]
    assert not changed[0] and all(changed[1:]), "the first follows on the still"


@pytest.mark.parametrize("moving", [False, True])
def test_an_engine_refuses_a_liveliness_or_mood_that_cannot_be(moving: bool) -> None:
    seed = 0 if moving else None
    engine = LipSyncEngine(FACE, FakeBackend(), compose=FakeCompositor, idle_seed=seed, liveliness=0)
    assert engine.liveliness == 0
    with pytest.raises(S2vError, match=r"liveliness is 1\.6: give a number from 0 to 1\.5"):
        engine.liveliness = 1.6
    assert engine.liveliness == 0
    with pytest.raises(S2vError, match=r"liveliness is -0\.1"):
        LipSyncEngine(FACE, FakeBackend(), compose=FakeCompositor, idle_seed=seed, liveliness=-0.1)
    with pytest.raises(S2vError, match="mood is 'cheerful': choose one of neutral, friendly, serious"):
        LipSyncEngine(FACE, FakeBackend(), compose=FakeCompositor, idle_seed=seed, mood="cheerful")  # type: ignore[arg-type]


def test_a_real_face_speaks_more_and_less_strongly_and_is_as_silent() -> None:
    spoken, silent = voice(1.0), np.zeros(16_000, np.float32)
    drawn = {}
    with closing(open_backend(None, "onnxruntime")) as backend:
        face = drawn_face(backend.spec)
        for share in (0.5, 1.0, 1.5):
            for name, pcm in (("spoken", spoken), ("silent", silent)):
                engine = LipSyncEngine(face, backend, articulation=share)
                drawn[name, share] = np.stack([frame.pixels for frame in engine.push(pcm)]).astype(int)
    from_still = {key: np.abs(frames - frames[0]).mean() for key, frames in drawn.items()}
    assert 0 < 1.2 * from_still["spoken", 0.5] < from_still["spoken", 1.0] < from_still["spoken", 1.5] / 1.1
    for share in (0.5, 1.5):
        assert np.abs(drawn["silent", share] - drawn["silent", 1.0]).mean() < 0.1  # levels
