"""Avatars that this process draws, with real faces: what their engines share must not show."""

from __future__ import annotations

import base64
import gc
import os
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from fakes import FakeBackend, voice
from onnx import TensorProto, helper

from s2v.engine.avatar import Avatar, AvatarOptions
from s2v.engine.avatar_factory import KEPT_COMPOSITORS, LocalAvatarFactory, load_avatar, open_shared_backend
from s2v.engine.backends.batcher import BatchingBackend
from s2v.engine.behaviour.face_behaviour import FaceBehaviour
from s2v.engine.behaviour.mood import Mood
from s2v.engine.compositor.cpu import Compositor
from s2v.engine.lipsync import DrawnFrame, Engine, LipSyncEngine
from s2v.errors import BackendError, FaceError, ModelError, NoFaceError, S2vError
from s2v.spec import LipSyncSpec

pytest.importorskip("torch", reason="the small test model is exported with torch")

DATA = Path(__file__).parents[1] / "data"
PHOTO = DATA / "open_smile.jpg"


def model_of(path: Path, spec: LipSyncSpec) -> Path:
    """A model file that names a spec and computes nothing."""
    value, out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out]))
    encoder = base64.b64encode(model.SerializeToString()).decode()
    helper.set_model_props(model, {"s2v_spec": spec.to_json(), "s2v_face_encoder": encoder})
    onnx.save(model, path)
    return path


def options(idle_seed: int | None = 7) -> AvatarOptions:
    from tiny_networks import tiny_model

    return AvatarOptions(tiny_model("s2v").path, "onnxruntime", idle_seed, max_side_px=256)


def network_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "s2v-network"]


@pytest.fixture
def shared() -> Iterator[BatchingBackend]:
    opened = open_shared_backend(options())
    yield opened
    opened.close()
    assert not network_threads()


@pytest.fixture
def factory(shared: BatchingBackend) -> LocalAvatarFactory:
    return LocalAvatarFactory(options(), shared)


def talk(avatar: Avatar, seed: int) -> list[DrawnFrame]:
    """Frames of half a second of speech, pushed in small pieces as live audio comes."""
    with avatar.engine() as engine:
        said = voice(0.5, seed=seed)
        frames = [frame for start in range(0, len(said), 640) for frame in engine.push(said[start : start + 640])]
        return frames + engine.flush()


def compositor_of(engine: Engine) -> Compositor:
    assert isinstance(engine, LipSyncEngine)
    return engine._compositor


def test_sessions_at_the_same_time_draw_what_each_draws_alone(factory: LocalAvatarFactory) -> None:
    photos = [DATA / "open_smile.jpg", DATA / "closed_lips.jpg"]
    avatars = [factory.enrol(photo.read_bytes()) for photo in photos]
    alone = [LocalAvatarFactory(options()).enrol(photo) for photo in photos]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda n: talk(avatars[n % 2], n), range(3)))
    for number, frames in enumerate(together):
        wanted = talk(alone[number % 2], number)
        assert [frame.index for frame in frames] == [frame.index for frame in wanted] == list(range(13))
        for frame, single in zip(frames, wanted, strict=True):
            difference = np.abs(frame.pixels.astype(int) - single.pixels)
            assert difference.max() <= 3 and difference.mean() < 0.01, "a batch differs in a runtime's last bits only"


def test_files_are_drawn_in_one_precision_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("s2v.engine.backends.openvino")
    monkeypatch.setattr(openvino, "_faster", lambda *_: pytest.fail("a file was drawn by the clock"))
    asked = replace(options(), backend="openvino")
    with load_avatar(PHOTO, model=asked.model, backend="openvino", max_side_px=256).engine() as engine:
        assert engine.backend_name == "openvino-f32"
    monkeypatch.setattr(openvino, "_tried", {})
    monkeypatch.setattr(openvino, "_faster", lambda *_: "f32")
    opened = open_shared_backend(asked)
    opened.close()
    assert openvino._tried  # what calls share does race


def test_the_engines_of_a_face_share_its_compositor_and_those_long_unused_are_freed(
    factory: LocalAvatarFactory,
) -> None:
    first = factory.enrol(PHOTO)
    shown = first.still_bgr
    engines = [first.engine(), first.engine("i420"), first.engine()]
    assert len({id(compositor_of(engine)) for engine in engines}) == 1
    assert compositor_of(engines[0]) is factory._kept[-1], "made once, for the still"
    kept = weakref.ref(compositor_of(engines[0]))
    for _ in range(KEPT_COMPOSITORS):
        assert factory.avatar_of(first.face).still_bgr is not None
    assert len(factory._kept) == KEPT_COMPOSITORS and kept() not in factory._kept
    assert engines[0].push(np.zeros(16_000, np.float32)), "who still shows it is not disturbed"
    while engines:
        engines.pop().close()
    gc.collect()
    assert kept() is None
    with first.engine() as again:
        assert np.array_equal(compositor_of(again).still, shown)


def test_a_runtime_of_its_own_is_closed_with_the_engine_or_when_that_cannot_be_made(
    factory: LocalAvatarFactory,
) -> None:
    avatar = LocalAvatarFactory(options()).enrol(PHOTO)
    with avatar.engine() as one, avatar.engine() as other:
        assert compositor_of(one) is compositor_of(other), "frames are drawn on the CPU"
    assert isinstance(one, LipSyncEngine)
    with pytest.raises(BackendError, match="closed"):
        one._backend.encode_face(np.zeros((1, 6, 112, 112), np.float32))

    class Refusing(FakeBackend):
        def encode_face(self, face: np.ndarray) -> dict[str, np.ndarray]:
            raise BackendError("this face is too much")

    refusing = Refusing(factory.spec)
    with pytest.raises(BackendError, match="too much"):
        own_engine(avatar, refusing)
    assert refusing.closed


def own_engine(avatar: Avatar, backend: FakeBackend) -> Engine:
    from s2v.engine.avatar_factory import _OwningEngine
    from s2v.engine.compositor.cpu import make_compositor

    return _OwningEngine(avatar.face, backend, make_compositor, AvatarOptions(idle_seed=None))


def test_a_face_has_its_picture_and_a_bad_photo_its_reason(factory: LocalAvatarFactory) -> None:
    avatar = factory.enrol(PHOTO.read_bytes())
    shown = cv2.imdecode(np.frombuffer(avatar.still_jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == avatar.still_bgr.shape and max(shown.shape) == max(avatar.frame_size) == 256
    assert np.abs(shown.astype(int) - avatar.still_bgr).mean() < 4
    grey = cv2.imencode(".png", np.full((300, 300, 3), 128, np.uint8))[1].tobytes()
    with pytest.raises(NoFaceError):
        factory.enrol(grey)
    with pytest.raises(FaceError, match="the photo is not an image"):
        factory.enrol(b"\xff\xd8\xff")


def test_photos_are_searched_one_at_a_time(factory: LocalAvatarFactory) -> None:
    searching: list[int] = []
    at_once: list[int] = []

    class Watched(os.PathLike[str]):
        """A photo that tells when it is looked at, and with how many others; there is none."""

        def __fspath__(self) -> str:
            searching.append(1)
            time.sleep(0.2)
            at_once.append(len(searching))
            searching.pop()
            return "none.jpg"

    def search(_: int) -> None:
        with pytest.raises(FaceError, match="none"):
            factory.enrol(Watched())

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(search, range(3)))
    assert at_once == [1, 1, 1]


def test_a_closed_runtime_makes_no_engines_and_ends_those_it_carried(
    factory: LocalAvatarFactory, shared: BatchingBackend
) -> None:
    avatar = factory.enrol(PHOTO)
    engine = avatar.engine()
    shared.close()
    with pytest.raises(BackendError, match="closed"):
        engine.push(np.zeros(16_000, np.float32))
    engine.close()
    with pytest.raises(BackendError, match="closed"):
        avatar.engine()


def test_a_runtime_or_a_place_that_is_none_is_refused_and_leaves_no_thread(shared: BatchingBackend) -> None:
    with pytest.raises(BackendError, match="no such runtime"):
        open_shared_backend(AvatarOptions(backend="no such runtime"))
    with pytest.raises(BackendError, match="cannot be drawn on 'paper'"):
        LocalAvatarFactory(AvatarOptions(compose="paper"), shared)
    assert len(network_threads()) == 1


def test_a_model_for_another_sample_rate_is_refused_before_the_photo_is_looked_at(tmp_path: Path) -> None:
    spec = LipSyncSpec(sample_rate_hz=8000)
    with pytest.raises(ModelError, match=r"model\.onnx hears 8000 Hz; this version gives 16000 Hz"):
        load_avatar(tmp_path / "none.jpg", model=str(model_of(tmp_path / "model.onnx", spec)))
    backend = BatchingBackend(lambda: FakeBackend(spec))
    with pytest.raises(ModelError, match="the model hears 8000 Hz"):
        LocalAvatarFactory(AvatarOptions(), backend)
    backend.close()


def test_a_photo_that_is_not_there_is_refused_without_opening_a_runtime(tmp_path: Path) -> None:
    model = model_of(tmp_path / "model.onnx", LipSyncSpec())
    with pytest.raises(FaceError, match=r"none\.jpg"):
        load_avatar(tmp_path / "none.jpg", model=model, backend="no such backend")


@pytest.mark.parametrize("seed", [None, 5])
def test_its_engines_move_by_its_seed(seed: int | None) -> None:
    of = options()
    avatar = load_avatar(PHOTO, model=of.model, backend=of.backend, seed=seed, max_side_px=256)
    with avatar.engine() as engine:
        frames = engine.push(np.zeros(3 * 16_000, np.float32))
    brow = avatar.frame_size[1] // 3
    moved = [bool((np.abs(frame.pixels[:brow].astype(int) - avatar.still_bgr[:brow]) > 8).any()) for frame in frames]
    assert not moved[0]  # the first frame follows on the still
    assert any(moved) == (seed is not None)


@pytest.mark.parametrize("shared", [False, True])
def test_engines_speak_as_strongly_as_the_avatar_was_asked_for(shared: bool) -> None:
    asked = replace(options(), articulation=1.25)
    backend = open_shared_backend(asked) if shared else None
    try:
        with LocalAvatarFactory(asked, backend).enrol(PHOTO).engine() as engine:
            assert engine.articulation == 1.25
            engine.articulation = 0.75  # of this engine alone
            assert LocalAvatarFactory(asked, backend).enrol(PHOTO).engine().articulation == 1.25
    finally:
        if backend is not None:
            backend.close()


def test_engines_are_as_lively_as_the_avatar_was_asked_for_and_each_may_have_a_mood_of_its_own() -> None:
    asked = replace(options(), liveliness=0.5, mood="friendly")
    avatar = LocalAvatarFactory(asked).enrol(PHOTO)
    moods: dict[Mood | None, Mood] = {None: "friendly", "serious": "serious"}
    for mood, its in moods.items():
        with avatar.engine(mood=mood) as engine:
            assert isinstance(engine, LipSyncEngine) and engine._behaviour is not None
            wanted = FaceBehaviour(asked.idle_seed or 0, engine.spec, 0.5, its)
            assert [engine._behaviour.pose(n) for n in range(30)] == [wanted.pose(n) for n in range(30)]
            assert engine.liveliness == engine._behaviour.liveliness == 0.5
            engine.liveliness = 1.5  # of this engine alone
            assert engine._behaviour.liveliness == 1.5
    with pytest.raises(S2vError, match="mood is 'sad': choose one of"):
        avatar.engine(mood="sad")  # type: ignore[arg-type]


@pytest.mark.parametrize("wish", [{"liveliness": 0.0}, {"liveliness": 1.25}, {"mood": "friendly"}])
def test_what_moves_only_the_lower_face_has_no_liveliness_and_no_mood(wish: dict[str, Any]) -> None:
    with pytest.raises(S2vError, match="nothing but the lower face moves: leave liveliness and mood out"):
        load_avatar("none.jpg", seed=None, **wish)
    still = load_avatar(PHOTO, model=options().model, backend=options().backend, seed=None, liveliness=1.0)
    with pytest.raises(S2vError, match="leave liveliness and mood out"):
        still.engine(mood="friendly")


@pytest.mark.parametrize(
    ("wish", "says"),
    [({"liveliness": 2}, r"liveliness is 2: give a number from 0 to 1\.5"), ({"mood": "sad"}, "mood is 'sad': choose")],
)
def test_a_liveliness_or_mood_that_cannot_be_is_refused_before_anything_is_opened(
    wish: dict[str, Any], says: str
) -> None:
    with pytest.raises(S2vError, match=says):
        load_avatar("none.jpg", **wish)


def test_an_articulation_that_cannot_be_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(S2vError, match=r"articulation is 3: give a number from 0\.5 to 1\.5"):
        load_avatar("none.jpg", articulation=3)
    from tiny_networks import tiny_model

    pixels = tiny_model("speech2vid").path
    with pytest.raises(ModelError, match=r"speech2vid\.onnx puts out pixels, which no articulation scales: leave"):
        load_avatar(PHOTO, model=pixels, articulation=1.25)
    assert load_avatar(PHOTO, model=pixels, max_side_px=256).frame_size


@pytest.mark.parametrize("idle_seed", [7, None])
def test_another_background_is_behind_the_person_from_the_first_frame_on(idle_seed: int | None) -> None:
    factory = LocalAvatarFactory(replace(options(idle_seed), background="#0a14c8"))
    avatar = factory.enrol(PHOTO)
    own = LocalAvatarFactory(options(idle_seed)).enrol(PHOTO).still_bgr
    height, width = own.shape[:2]
    with avatar.engine() as engine:
        frame = engine.push(voice(0.6))[-1].pixels
    for picture in (avatar.still_bgr, frame):
        assert (picture[: height // 8, : width // 8] == [200, 20, 10]).all()
    middle = np.s_[height // 3 : height // 2, 2 * width // 5 : 3 * width // 5]
    np.testing.assert_array_equal(avatar.still_bgr[middle], own[middle])


def test_a_background_that_cannot_be_is_refused_before_any_photo() -> None:
    with pytest.raises(S2vError, match="--background 'reddish' is no file"):
        LocalAvatarFactory(replace(options(), background="reddish"))
