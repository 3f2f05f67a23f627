"""The renderer with real faces: what its sessions share must not show."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import voice
from pictures import decode_picture

from s2v.engine.lipsync import DrawnFrame, Engine
from s2v.errors import BackendError, FaceError, ModelError, NoFaceError
from s2v.media.talker import Talker
from s2v.spec import LipSyncSpec
from s2v.streaming.render.renderer import KEPT_COMPOSITORS, Renderer

pytest.importorskip("torch", reason="the small test model is exported with torch")

DATA = Path(__file__).parents[2] / "data"
PHOTO = DATA / "open_smile.jpg"


@pytest.fixture
def renderer() -> Iterator[Renderer]:
    from tiny_networks import tiny_model

    made = Renderer(tiny_model("s2v").path, "onnxruntime", idle_seed=7, max_side_px=256)
    yield made
    made.close()
    assert not any(thread.name == "s2v-network" for thread in threading.enumerate())


def talk(make_engine: Callable[[], Engine], seed: int) -> list[DrawnFrame]:
    """Frames of half a second of speech, pushed in small pieces as live audio comes."""
    engine = make_engine()
    try:
        said = voice(0.5, seed=seed)
        frames = [frame for start in range(0, len(said), 640) for frame in engine.push(said[start : start + 640])]
        return frames + engine.flush()
    finally:
        engine.close()


def test_sessions_at_the_same_time_draw_what_each_draws_alone(renderer: Renderer) -> None:
    from tiny_networks import tiny_model

    portraits = [renderer.enrol((DATA / name).read_bytes()) for name in ("open_smile.jpg", "closed_lips.jpg")]
    alone = [
        Talker.enrol(DATA / name, tiny_model("s2v").path, "onnxruntime", max_side_px=256, idle_seed=7)
        for name in ("open_smile.jpg", "closed_lips.jpg")
    ]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda n: talk(portraits[n % 2].make_engine, n), range(3)))
    for number, frames in enumerate(together):
        wanted = talk(alone[number % 2].make_engine, number)
        assert [frame.index for frame in frames] == [frame.index for frame in wanted] == list(range(13))
        for frame, single in zip(frames, wanted, strict=True):
            difference = np.abs(frame.pixels.astype(int) - single.pixels)
            assert difference.max() <= 3 and difference.mean() < 0.01, "a batch differs in a runtime's last bits only"


def test_the_sessions_of_a_face_share_its_compositor_and_those_long_unused_are_freed(renderer: Renderer) -> None:
    data = PHOTO.read_bytes()
    first = renderer.enrol(data)
    engines = [first.make_engine() for _ in range(3)]
    assert len({id(engine._compositor) for engine in engines}) == 1
    assert engines[0]._compositor is renderer._kept[-1], "made once, at enrolment"
    kept = weakref.ref(engines[0]._compositor)
    others = [renderer.enrol(data) for _ in range(KEPT_COMPOSITORS)]
    assert len(renderer._kept) == KEPT_COMPOSITORS and kept() not in renderer._kept
    assert engines[0].push(np.zeros(16_000, np.float32)), "who still shows it is not disturbed"
    for engine in engines:
        engine.close()
    del engines, engine
    gc.collect()
    assert kept() is None
    again = first.make_engine()
    assert np.array_equal(again.still, first.still_bgr)
    again.close()
    assert len(others) == KEPT_COMPOSITORS


def test_a_face_has_its_picture_and_a_bad_photo_its_reason(renderer: Renderer) -> None:
    portrait = renderer.enrol(PHOTO.read_bytes())
    shown = decode_picture(portrait.still_jpeg)
    assert shown.shape == portrait.still_bgr.shape and max(shown.shape) == 256
    assert np.abs(shown.astype(int) - portrait.still_bgr).mean() < 4
    grey = cv2.imencode(".png", np.full((300, 300, 3), 128, np.uint8))[1].tobytes()
    with pytest.raises(NoFaceError):
        renderer.enrol(grey)
    with pytest.raises(FaceError, match="the photo is not an image"):
        renderer.enrol(b"\xff\xd8\xff")


def test_photos_are_searched_one_at_a_time(renderer: Renderer) -> None:
    grey = cv2.imencode(".png", np.full((300, 300, 3), 128, np.uint8))[1].tobytes()

    def search(_: int) -> bool:
        try:
            renderer.enrol(grey)
        except NoFaceError:
            return True
        return False

    with renderer._detecting, ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(search, n) for n in range(3)]
        assert not any(future.done() for future in waiting)
        renderer._detecting.release()
        try:
            assert all(future.result(60) for future in waiting)
        finally:
            renderer._detecting.acquire()


def test_a_closed_studio_makes_no_engines_and_ends_those_it_made(renderer: Renderer) -> None:
    portrait = renderer.enrol(PHOTO.read_bytes())
    engine = portrait.make_engine()
    renderer.close()
    renderer.close()
    with pytest.raises(BackendError, match="closed"):
        engine.push(np.zeros(16_000, np.float32))
    engine.close()
    with pytest.raises(BackendError, match="closed"):
        portrait.make_engine()


def test_a_model_for_another_rate_or_none_is_refused_and_leaves_no_thread(tmp_path: Path) -> None:
    from media.test_talker import model_of

    with pytest.raises((ModelError, BackendError)):
        Renderer(model_of(tmp_path / "model.onnx", LipSyncSpec(sample_rate_hz=8000)), "onnxruntime")
    with pytest.raises(BackendError, match="no such runtime"):
        Renderer(backend="no such runtime")
    assert not any(thread.name == "s2v-network" for thread in threading.enumerate())
