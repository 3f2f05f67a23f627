"""The render process: nobody who uses an avatar of it can tell, until it dies; and then it is replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import AuthenticationError, active_children
from multiprocessing.connection import Client
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pytest
from fakes import voice
from streaming.fakes import FakeEngine, fake_avatar
from streaming.render_thread import render_thread

from s2v.engine.avatar import Avatar, AvatarOptions
from s2v.engine.avatar_factory import LocalAvatarFactory
from s2v.engine.behaviour.mood import Mood
from s2v.engine.compositor.pixel_format import PixelFormat, to_i420
from s2v.engine.lipsync import DrawnFrame, Engine
from s2v.errors import (
    AudioError,
    BackendError,
    FaceError,
    ModelError,
    NoFaceError,
    S2vError,
    SeveralFacesError,
    UnavailableError,
)
from s2v.streaming.render.client import RenderClient
from s2v.streaming.render.process import (
    KEPT_AVATARS,
    SLOTS,
    OpenEngine,
    WantsFace,
    put,
    slots_shape,
)
from s2v.streaming.render.remote_engine import RemoteEngine

pytest.importorskip("torch", reason="the small test model is exported with torch")

DATA = Path(__file__).parents[2] / "data"
PHOTO = DATA / "open_smile.jpg"
SHARED_MEMORY = Path("/dev/shm")


def options() -> AvatarOptions:
    from tiny_networks import tiny_model

    return AvatarOptions(tiny_model("s2v").path, "onnxruntime", idle_seed=7, max_side_px=256)


@pytest.fixture(scope="module")
def renderer() -> Iterator[RenderClient]:
    made = RenderClient(options(), beat_s=0.5)
    yield made
    made.close()
    made.close()
    assert not is_running(made.pid)
    with pytest.raises(BackendError, match="closed"):
        made.enrol(PHOTO.read_bytes())


@pytest.fixture(scope="module")
def avatar(renderer: RenderClient) -> Avatar:
    return renderer.enrol(PHOTO.read_bytes())


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_until_gone(pid: int) -> bool:
    for _ in range(200):
        if not is_running(pid):
            return True
        time.sleep(0.05)
    return False


def talk(engine: Engine, chunk: int = 640) -> list[DrawnFrame]:
    said = voice(0.7, seed=1)
    try:
        frames = [frame for start in range(0, len(said), chunk) for frame in engine.push(said[start : start + chunk])]
        return frames + engine.flush()
    finally:
        engine.close()


def assert_drawn(avatar: Avatar, wanted: list[DrawnFrame]) -> None:
    """A new engine of this face draws these frames."""
    for frame, same in zip(talk(avatar.engine("i420")), wanted, strict=True):
        assert np.array_equal(frame.pixels, same.pixels)


@pytest.mark.parametrize("chunk", [640, 16_000])
def test_frames_are_those_that_this_process_draws(renderer: RenderClient, avatar: Avatar, chunk: int) -> None:
    inside = LocalAvatarFactory(options()).enrol(PHOTO.read_bytes())
    assert avatar.frame_size == inside.frame_size and avatar.still_jpeg == inside.still_jpeg
    wanted = talk(inside.engine(), chunk)
    engine = avatar.engine("i420")
    assert (engine.backend_name, engine.frame_size, engine.spec) == (renderer.name, inside.frame_size, renderer.spec)
    frames = talk(engine, chunk)
    assert [frame.index for frame in frames] == [frame.index for frame in wanted] == list(range(18))
    assert [frame.centre_sample for frame in frames] == [frame.centre_sample for frame in wanted]
    for frame, same in zip(frames, wanted, strict=True):
        assert np.array_equal(frame.pixels, to_i420(same.pixels)) and frame.pixels.flags.writeable
        assert frame.network_s > 0 and frame.compose_s > 0
    assert chunk == 640 or len(wanted) > 3 * SLOTS, "more than fit at once"
    assert renderer.rows >= 18 and renderer.cpu_s > 0


@pytest.mark.parametrize("pixels", ["bgr", "i420-bt709"])
def test_other_pixels_than_those_of_calls_come_as_bgr(avatar: Avatar, pixels: PixelFormat) -> None:
    wanted = talk(LocalAvatarFactory(options()).enrol(PHOTO).engine())
    for frame, same in zip(talk(avatar.engine(pixels)), wanted, strict=True):
        assert frame.pixels.shape == same.pixels.shape
        assert np.abs(frame.pixels.astype(int) - same.pixels).mean() < 3, "colours of half the size"


def test_a_frame_lands_in_its_slot_as_i420_whatever_it_was_drawn_as() -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    slots = np.zeros((3, 96, 48), np.uint8)
    put(bgr, slots[0])
    put(to_i420(bgr), slots[1])
    assert np.array_equal(slots[0], slots[1]) and slots[0].any() and not slots[2].any()


def test_the_process_draws_what_calls_are_encoded_from() -> None:
    asked: list[PixelFormat] = []
    avatar = fake_avatar(asked=asked)
    memory = SharedMemory(create=True, size=int(np.prod(slots_shape(avatar.frame_size))))
    with render_thread(avatar) as process:
        line = process.call()
        for said, answer in ((OpenEngine("face", memory.name), WantsFace()), (avatar.face, None)):
            line.send(said)
            assert line.recv() == answer
        line.close()
    memory.close()
    memory.unlink()
    assert asked == ["i420"]


def test_the_process_is_told_what_the_face_hears_and_how_it_shall_look() -> None:
    moods: list[Mood | None] = []
    engine, face = FakeEngine(), fake_avatar().face
    said, heard = voice(0.2), voice(0.2, seed=1)
    with (
        render_thread(fake_avatar(lambda: engine, moods=moods)) as process,
        RemoteEngine(process, face, "face", AvatarOptions(liveliness=0.5), mood="serious") as remote,
    ):
        remote.push(said[:640])
        remote.push(said[640:], heard[640:])
        remote.liveliness = 0.25
        remote.flush()
    assert moods == ["serious"] and set(engine.livelinesses) == {0.5, 0.25}
    assert np.array_equal(engine.heard, said) and engine.alone == 640
    assert np.array_equal(engine.said_to_it[640:], heard[640:])


def test_drawing_that_hangs_is_told_to_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2v.streaming.render.process.DRAW_WITHIN_S", -1.0)
    overdue: list[bool] = []
    engine = FakeEngine(lambda: overdue.append(process.handler.deadlines.overdue))
    with render_thread(fake_avatar(lambda: engine)) as process:
        with RemoteEngine(process, fake_avatar().face, "face", AvatarOptions()) as remote:
            remote.push(voice(0.04))
        assert overdue == [True] and not process.handler.deadlines.overdue


def test_an_engine_is_private_and_leaves_nothing_behind(avatar: Avatar) -> None:
    names = sorted(SHARED_MEMORY.iterdir()) if SHARED_MEMORY.is_dir() else []
    one, other = avatar.engine("i420"), avatar.engine("i420")
    kept = one.push(np.zeros(16_000, np.float32))
    before = [frame.pixels.copy() for frame in kept]
    other.push(voice(1.0, seed=3))
    one.push(voice(1.0, seed=4))
    assert all(np.array_equal(frame.pixels, copy) for frame, copy in zip(kept, before, strict=True))
    for engine in (one, other):
        with engine:
            pass
        with pytest.raises(BackendError, match="closed"):
            engine.push(np.zeros(640, np.float32))
        engine.close()
    assert names == (sorted(SHARED_MEMORY.iterdir()) if SHARED_MEMORY.is_dir() else [])


def test_errors_arrive_as_what_they_are(renderer: RenderClient, avatar: Avatar) -> None:
    with pytest.raises(NoFaceError):
        renderer.enrol(np.full((300, 300, 3), 127, np.uint8))
    with pytest.raises(FaceError, match="not an image"):
        renderer.enrol(b"nothing of the kind")
    with pytest.raises(FaceError, match=r"none\.jpg"):
        renderer.enrol(DATA / "none.jpg")
    with pytest.raises(FaceError, match=r"my face is an array of uint8, shape \(9, 9\)"):
        renderer.enrol(np.zeros((9, 9), np.uint8), "my face")
    face = renderer.enrol(PHOTO.read_bytes()).still_bgr
    with pytest.raises(SeveralFacesError) as refusal:
        renderer.enrol(np.hstack([face, face]))
    assert refusal.value.count == 2
    with pytest.raises(ModelError):
        RenderClient(AvatarOptions(PHOTO))
    with pytest.raises(BackendError, match="on 'paper'"):
        RenderClient(replace(options(), compose="paper"))
    engine = avatar.engine("i420")
    with pytest.raises(AudioError):
        engine.push(np.zeros((8, 8, 8), np.float32))
    engine.close()


def test_strangers_are_not_let_in_and_keep_nobody_waiting(renderer: RenderClient, avatar: Avatar) -> None:
    address = renderer._opened.address
    silent = Client(address)  # connected, and says nothing
    with pytest.raises((AuthenticationError, EOFError, OSError)):
        Client(address, authkey=b"guessed")
    talk(avatar.engine("i420"))
    assert silent.poll(0) and b"CHALLENGE" in silent.recv_bytes()
    silent.send_bytes(b"no")
    with pytest.raises((EOFError, OSError)):
        while silent.recv_bytes():
            pass
    silent.close()


def test_a_face_long_unused_is_sent_again(renderer: RenderClient, avatar: Avatar) -> None:
    wanted = talk(avatar.engine("i420"))
    for _ in range(KEPT_AVATARS + 1):
        renderer.enrol(PHOTO.read_bytes()).engine().close()
    assert_drawn(avatar, wanted)


def test_a_process_that_was_killed_ends_its_sessions_and_is_replaced(
    renderer: RenderClient, avatar: Avatar, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = talk(avatar.engine("i420"))
    engine, killed = avatar.engine("i420"), renderer.pid
    os.kill(killed, signal.SIGKILL)
    assert wait_until_gone(killed)
    with pytest.raises(BackendError, match="has ended"):
        for _ in range(10):  # the first may still be written to a socket that nobody reads
            engine.push(np.zeros(640, np.float32))
    engine.close()
    assert_drawn(avatar, wanted)  # the face was sent to the new process
    assert renderer.pid != killed and "starting another" in caplog.text


def test_a_process_that_stands_still_is_killed_and_replaced_and_whoever_waits_is_answered(
    renderer: RenderClient, avatar: Avatar, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = talk(avatar.engine("i420"))
    engine, stopped = avatar.engine("i420"), renderer.pid
    os.kill(stopped, signal.SIGSTOP)
    with pytest.raises(UnavailableError, match="has ended, another is being started"):
        while True:  # what is sent first finds room in the socket
            engine.push(np.zeros(640, np.float32))
    engine.close()
    assert_drawn(avatar, wanted)
    assert renderer.pid != stopped and not is_running(stopped)
    assert renderer.trouble is None and "stands still (exit code -9): starting another" in caplog.text


def test_a_process_that_cannot_be_started_again_is_told_of_and_closing_waits_for_nothing(
    renderer: RenderClient, avatar: Avatar, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = renderer._options
    monkeypatch.setattr(renderer, "_options", replace(good, model=PHOTO))
    os.kill(renderer.pid, signal.SIGKILL)
    while not renderer.restart_failed:
        time.sleep(0.05)
    assert renderer.trouble is not None and "cannot be started" in renderer.trouble
    with pytest.raises(UnavailableError, match=r"cannot be started .*: try again in a minute"):
        avatar.engine("i420")
    monkeypatch.setattr(renderer, "_options", good)
    while renderer.trouble:  # it is tried again
        time.sleep(0.05)
    avatar.engine("i420").close()


def test_a_process_that_stands_still_while_it_starts_is_given_up_for_another(
    renderer: RenderClient, avatar: Avatar, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderer, "_restart_within_s", 4.0)
    first = renderer._process
    os.kill(renderer.pid, signal.SIGKILL)
    while (stopped := renderer._process) is first:
        time.sleep(0.01)
    assert stopped.pid is not None
    os.kill(stopped.pid, signal.SIGSTOP)
    with pytest.raises(UnavailableError, match="cannot be started"):
        avatar.engine("i420")
    assert "has not started within 4 s" in caplog.text and renderer.restart_failed
    while renderer.trouble:
        time.sleep(0.05)
    avatar.engine("i420").close()
    assert not is_running(stopped.pid)


def test_a_process_that_never_gets_ready_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2v.streaming.render.client.START_WITHIN_S", 0.0)
    before = set(active_children())
    with pytest.raises(BackendError, match="has not started within 0 s: close other programs"):
        RenderClient(options())
    assert set(active_children()) <= before, "it was killed"


def test_it_does_not_outlive_its_parent() -> None:
    code = f"""
import os, signal
from pathlib import Path
from s2v.engine.avatar import AvatarOptions
from s2v.streaming.render.client import RenderClient

if __name__ == "__main__":
    renderer = RenderClient(AvatarOptions(Path({str(options().model)!r}), "onnxruntime"))
    print(renderer.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    parent = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=120)
    assert parent.returncode == -signal.SIGKILL
    assert wait_until_gone(int(parent.stdout))


def test_a_face_speaks_and_moves_as_strongly_as_asked_for_also_over_there_and_when_that_changes(avatar: Avatar) -> None:
    said = voice(0.7, seed=1)
    inside = LocalAvatarFactory(options()).enrol(PHOTO.read_bytes())
    with inside.engine() as here, avatar.engine("i420") as there:
        assert there.articulation == 1.0
        frames: dict[Engine, list[DrawnFrame]] = {here: [], there: []}
        for engine, drawn in frames.items():
            for start, share in ((0, 1.0), (4000, 1.5), (8000, 0.5)):
                engine.articulation, engine.liveliness = share, 1.5 - share
                drawn += engine.push(said[start : start + 4000])
            drawn += engine.flush()
        for frame, same in zip(frames[there], frames[here], strict=True):
            assert np.array_equal(frame.pixels, to_i420(same.pixels))
        usual = talk(inside.engine())
        changed = [not np.array_equal(a.pixels, b.pixels) for a, b in zip(frames[here], usual, strict=False)]
        assert any(changed) and not all(changed)
        with pytest.raises(S2vError, match="articulation is 0: give a number"):
            there.articulation = 0
        with pytest.raises(S2vError, match="liveliness is -1: give a number"):
            there.liveliness = -1
        assert (there.articulation, there.liveliness) == (0.5, 1.0)


def test_all_engines_begin_as_the_process_was_told() -> None:
    asked = replace(options(), articulation=1.5, liveliness=0.25, mood="friendly")
    strong = RenderClient(asked)
    try:
        avatar = strong.enrol(PHOTO.read_bytes())
        frames, serious = talk(avatar.engine("i420")), talk(avatar.engine("i420", "serious"))
        with pytest.raises(S2vError, match="mood is 'sad': choose one of"):
            avatar.engine("i420", "sad")  # type: ignore[arg-type]
    finally:
        strong.close()
    here = LocalAvatarFactory(asked).enrol(PHOTO.read_bytes())
    for drawn, mood in ((frames, None), (serious, "serious")):
        wanted = talk(here.engine(mood=mood))  # type: ignore[arg-type]
        assert all(np.array_equal(a.pixels, to_i420(b.pixels)) for a, b in zip(drawn, wanted, strict=True))
    with pytest.raises(S2vError, match="articulation is 9: give a number"):
        RenderClient(replace(options(), articulation=9))
