from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from streaming.fakes import fake_avatar
from streaming.virtual_time import VirtualTime

from s2v.engine.avatar import Avatar, Photo
from s2v.errors import FaceError, NoFaceError, SeveralFacesError
from s2v.streaming.server.face_store import (
    FaceOptions,
    FacesFullError,
    FaceStore,
    NoUploadsError,
    UnknownFaceError,
    UploadLimits,
)
from s2v.streaming.server.gallery import photos_of


def photo(width: int = 64, height: int = 64, level: int = 200) -> bytes:
    return cv2.imencode(".png", np.full((height, width, 3), level, np.uint8))[1].tobytes()


class Enroller:
    """Fills `AvatarFactory`: every picture is a face, except dark ones; tells on which threads it ran."""

    def __init__(self) -> None:
        self.threads: set[str] = set()
        self.niceness: list[int] = []
        self.at_once = 0
        self.most_at_once = 0
        self.gate = threading.Event()
        self.gate.set()

    def enrol(self, photo: Photo, name: str = "the photo", face_index: int | None = None) -> Avatar:
        assert isinstance(photo, bytes) and face_index is None, "what callers bring"
        self.threads.add(threading.current_thread().name)
        if sys.platform == "linux":
            self.niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.gate.wait(20)
        self.at_once -= 1
        picture = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise FaceError(f"{name} is not an image")
        if picture.max() == 1:
            raise SeveralFacesError("3 faces on the photo: pass --face-index 0..2", 3)
        if picture.max() < 10:
            raise NoFaceError(f"no face found on {name}")
        return fake_avatar(picture=np.asarray(picture, np.uint8))


def visit(test: Callable[[FaceStore, Enroller, VirtualTime], Awaitable[None]], limits: UploadLimits | None) -> None:
    time = VirtualTime()

    async def run() -> None:
        threads, enroller = threading.active_count(), Enroller()
        store = FaceStore(fake_avatar(), FaceOptions(enroller, (), limits), time.now)
        await test(store, enroller, time)
        await store.close()
        assert not any(thread.name.startswith("s2v-enrol") for thread in threading.enumerate())
        assert threading.active_count() <= threads + 1, "asyncio's own pool stays"
        assert enroller.most_at_once <= 1 and all(name.startswith("s2v-enrol") for name in enroller.threads)

    time.run(run())


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has a priority of its own on Linux only")
def test_looking_at_photos_stands_back_behind_running_calls() -> None:
    async def upload(store: FaceStore, enroller: Enroller, _: VirtualTime) -> None:
        await store.upload(photo(), "one")
        assert enroller.niceness == [max(10, os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))]

    visit(upload, UploadLimits())


def test_an_uploaded_face_is_known_to_whoever_knows_its_id_and_listed_to_nobody() -> None:
    async def upload(store: FaceStore, _: Enroller, __: VirtualTime) -> None:
        one, other = await asyncio.gather(store.upload(photo(), "one"), store.upload(photo(80), "other"))
        assert store.get(one.id) is one and store.get(other.id) is other
        assert one.id != other.id and len(one.id) >= 24
        assert store.listed() == [store.default] and store.get(None) is store.default
        store.delete(one.id)
        for face_id in (one.id, "", "../default", "x" * 1000):
            if face_id:
                with pytest.raises(UnknownFaceError):
                    store.get(face_id)
        for face_id in (one.id, store.default.id):  # twice; the server's own
            with pytest.raises(UnknownFaceError):
                store.delete(face_id)

    visit(upload, UploadLimits())


def test_it_is_forgotten_after_its_last_use_but_not_during_a_call() -> None:
    async def wait(store: FaceStore, _: Enroller, time: VirtualTime) -> None:
        left, looked_at, talking = [(await store.upload(photo(), "")).id for _ in range(3)]
        call = store.hold(talking)
        time.now_s += 90
        store.get(looked_at)
        time.now_s += 20
        store.forget_old()
        with pytest.raises(UnknownFaceError, match="upload the photo again"):
            store.get(left)
        store.get(looked_at)
        time.now_s += 500
        store.forget_old()
        assert store.get(talking) is call
        store.release(call)
        time.now_s += 99
        assert store.get(talking) is call
        time.now_s += 101
        with pytest.raises(UnknownFaceError):
            store.get(talking)

    visit(wait, UploadLimits(keep_s=100))


def test_a_full_store_makes_room_by_age_only_for_what_is_neither_new_nor_in_a_call() -> None:
    async def fill(store: FaceStore, _enroller: Enroller, time: VirtualTime) -> None:
        ids = []
        for _number in range(3):
            ids.append((await store.upload(photo(), "")).id)
            time.now_s += 5
        with pytest.raises(FacesFullError, match="3 uploaded faces are in use"):
            await store.upload(photo(), "")
        held = store.hold(ids[0])
        time.now_s += 50
        ids.append((await store.upload(photo(), "")).id)  # in place of the second
        with pytest.raises(UnknownFaceError):
            store.get(ids[1])
        assert [store.get(face_id).id for face_id in (ids[0], *ids[2:])] == [ids[0], *ids[2:]]
        store.release(held)

    visit(fill, UploadLimits(max_faces=3, least_s=30))


def test_photos_that_cannot_be_used_are_refused_before_they_are_unpacked_or_with_the_reason() -> None:
    async def refuse(store: FaceStore, enroller: Enroller, _: VirtualTime) -> None:
        with pytest.raises(FaceError, match="101x100 px; scale it below 0 MP"):
            await store.upload(photo(101, 100), "")
        assert not enroller.threads
        for data, message in (
            (photo(level=5), "no face found on the photo"),
            (photo(level=1), "3 faces on the photo: cut it to one person"),
            (b"GIF89a", "not an image"),
            (photo()[:40], "not an image"),
        ):
            with pytest.raises(FaceError, match=message) as refused:
                await store.upload(data, "")
            assert "--face-index" not in str(refused.value)
        assert store.listed() == [store.default]

    visit(refuse, UploadLimits(max_px=10_000))


def test_only_so_many_uploads_are_under_way_and_their_places_come_back() -> None:
    async def hurry(store: FaceStore, _: Enroller, __: VirtualTime) -> None:
        with store.place(), store.place(), pytest.raises(FacesFullError, match="2 photos"), store.place():
            pass
        with pytest.raises(FaceError), store.place():
            await store.upload(b"no photo", "")
        with store.place(), store.place():
            pass

    visit(hurry, UploadLimits(max_waiting=2))


def test_a_server_without_uploads_takes_none() -> None:
    async def refuse(store: FaceStore, _: Enroller, __: VirtualTime) -> None:
        with pytest.raises(NoUploadsError), store.place():
            pass

    visit(refuse, None)


def test_a_gallery_is_enrolled_one_by_one_and_what_is_refused_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, level in {"Ada.png": 200, "Bob.PNG": 150, "dark.png": 5, "Twin.png": 200}.items():
        (tmp_path / name).write_bytes(photo(level=level))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "notes.txt").write_text("no photo")
    (tmp_path / "folder.jpg").mkdir()
    paths = tuple(photos_of(tmp_path))
    assert [path.name for path in paths] == ["Ada.png", "Bob.PNG", "Twin.png", "broken.jpg", "dark.png"]
    ids = []

    async def run() -> None:
        for _ in range(2):
            store = FaceStore(fake_avatar(), FaceOptions(Enroller(), paths, None))
            await store.enrol_gallery()
            assert [face.name for face in store.listed()] == ["Default", "Ada", "Bob"], "the same photo counts once"
            assert all(store.get(face.id) is face for face in store.listed())
            ids.append([face.id for face in store.listed()])
            await store.close()

    with caplog.at_level(logging.INFO, "s2v"):
        asyncio.run(run())
    assert ids[0] == ids[1], "a choice outlives a restart"
    assert "dark.png is left out: no face" in caplog.text and "broken.jpg is left out" in caplog.text
    assert "2 faces ready" in caplog.text


def test_a_gallery_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FaceError, match="No such file"):
        photos_of(tmp_path / "nowhere")
    with pytest.raises(FaceError, match=r"holds no \.jpg"):
        photos_of(tmp_path)
