"""The faces that callers of a server can choose: its own, those of a gallery folder, and what callers uploaded.

Uploaded faces are known by an id that nobody guesses, live in memory only, and are forgotten some minutes after their
last use. No name or id of a request ever becomes a path.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from s2v.engine.avatar import Avatar, AvatarFactory
from s2v.engine.face.photo import read_photo, refuse_too_large
from s2v.errors import FaceError, S2vError, SeveralFacesError, StreamError

log = logging.getLogger(__name__)

DEFAULT_ID = "default"
_NICENESS = 10  # of the thread that looks at photos


@dataclass(eq=False)
class Face:
    """One face of the store."""

    id: str
    name: str
    avatar: Avatar
    uploaded: bool = False
    last_used_s: float = 0.0
    calls: int = 0  # running ones


@dataclass(frozen=True)
class UploadLimits:
    """What callers may upload."""

    max_bytes: int = 8 * 2**20
    max_px: int = 24_000_000
    max_faces: int = 16  # kept at a time
    max_waiting: int = 4  # uploads under way at a time, each holds up to max_bytes
    body_within_s: float = 30.0  # a photo comes in this time, or not at all
    keep_s: float = 600.0  # after the last use
    least_s: float = 60.0  # what is younger makes no room for others


class UnknownFaceError(StreamError):
    """No such face, or it has been forgotten."""


class NoUploadsError(StreamError):
    """This server takes no photos."""


class FacesFullError(StreamError):
    """The server has as many uploaded faces, or uploads under way, as it may: try again later."""


@dataclass(frozen=True)
class FaceOptions:
    """Which faces beside its own one server shows."""

    factory: AvatarFactory | None = None  # needed for both others
    gallery: tuple[Path, ...] = ()  # photos, see `photos_of`
    uploads: UploadLimits | None = None  # None: it takes none


ONE_FACE = FaceOptions()


def _stand_back() -> None:
    """Running calls come first: a gallery of a hundred photos is half a minute of a core."""
    if sys.platform == "linux":  # there a priority is a thread's own, and goes to the threads it starts
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))


class FaceStore:
    """Used on the event loop only; whatever takes long runs on one thread of its own."""

    def __init__(
        self,
        default: Avatar,
        options: FaceOptions = ONE_FACE,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.default = Face(DEFAULT_ID, "Default", default)
        self.limits = options.uploads if options.factory is not None else None
        self._factory = options.factory
        self.gallery = options.gallery if options.factory is not None else ()
        self.enrolling = bool(self.gallery)  # more of it is to come
        self._faces = {DEFAULT_ID: self.default}
        self._under_way = 0
        self._now = now
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="s2v-enrol", initializer=_stand_back)

    def listed(self) -> list[Face]:
        """What anybody may choose; uploaded faces belong to those who know their id."""
        return [face for face in self._faces.values() if not face.uploaded]

    def get(self, face_id: str | None) -> Face:
        """The face of this id, the default one for None; counts as a use. Raises: UnknownFaceError."""
        self.forget_old()
        face = self._faces.get(face_id or DEFAULT_ID)
        if face is None:
            raise UnknownFaceError("this face is not known, or has been forgotten: upload the photo again")
        face.last_used_s = self._now()
        return face

    def hold(self, face_id: str | None) -> Face:
        """Like `get`, for a call: the face stays until `release`. Raises: UnknownFaceError."""
        face = self.get(face_id)
        face.calls += 1
        return face

    def release(self, face: Face) -> None:
        """A call with this face has ended."""
        face.calls -= 1
        face.last_used_s = self._now()

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of the uploads under way, to be held while its bytes are in memory.

        Raises: NoUploadsError. FacesFullError.
        """
        if self.limits is None:
            raise NoUploadsError("this server takes no photos: choose one of its faces")
        if self._under_way >= self.limits.max_waiting:
            raise FacesFullError(f"{self._under_way} photos are being looked at already: try again in a few seconds")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def upload(self, data: bytes, name: str) -> Face:
        """Enrol a photo on the store's thread and keep it.

        Raises: FaceError, it cannot be used. FacesFullError.
        """
        assert self.limits is not None and self._factory is not None
        self._make_room()  # before the work; and after it, for others may have come meanwhile
        refuse_too_large(data, "the photo", self.limits.max_px)
        try:
            avatar = await asyncio.get_running_loop().run_in_executor(self._thread, self._factory.enrol, data)
        except SeveralFacesError as error:
            raise FaceError(f"{error.count} faces on the photo: cut it to one person") from None
        self._make_room()
        face = Face(secrets.token_urlsafe(18), name, avatar, uploaded=True, last_used_s=self._now())
        self._faces[face.id] = face
        return face

    def delete(self, face_id: str) -> None:
        """Forget an uploaded face; a call that shows it goes on. Raises: UnknownFaceError."""
        if (face := self._faces.get(face_id)) is None or not face.uploaded:
            raise UnknownFaceError("this face is not known, or has been forgotten already")
        del self._faces[face_id]

    def forget_old(self) -> None:
        """Forget the uploaded faces that nobody has used for a while."""
        if self.limits is not None:
            self._forget(before_s=self._now() - self.limits.keep_s)

    async def enrol_gallery(self) -> None:
        """Enrol the photos of the gallery one by one; each can be chosen as soon as it is ready."""
        for path in self.gallery:
            try:
                face = await asyncio.get_running_loop().run_in_executor(self._thread, self._from_gallery, path)
            except S2vError as error:
                log.warning("gallery: %s is left out: %s", path.name, error)
            except Exception:  # a defect of ours or of a decoder: the other photos are still wanted
                log.exception("gallery: %s is left out", path.name)
            else:
                self._faces.setdefault(face.id, face)
        self.enrolling = False
        log.info("gallery: %d faces ready", len(self.listed()) - 1)

    async def close(self) -> None:
        """Forget everything and join the thread."""
        self._faces.clear()
        await asyncio.get_running_loop().run_in_executor(None, lambda: self._thread.shutdown(cancel_futures=True))

    def _from_gallery(self, path: Path) -> Face:
        assert self._factory is not None
        data = read_photo(path)
        # the same id after every start, so that a bookmarked choice stays
        return Face("g-" + hashlib.sha256(data).hexdigest()[:16], path.stem, self._factory.enrol(data, path.name))

    def _make_room(self) -> None:
        """Raises: FacesFullError, all places are taken by faces that are in use or new."""
        assert self.limits is not None
        self.forget_old()
        uploaded = [face for face in self._faces.values() if face.uploaded]
        if len(uploaded) < self.limits.max_faces:
            return
        idle = [face for face in uploaded if not face.calls]
        oldest = min(idle, key=lambda face: face.last_used_s, default=None)
        if oldest is None or oldest.last_used_s > self._now() - self.limits.least_s:
            raise FacesFullError(f"{len(uploaded)} uploaded faces are in use: try again in a minute")
        del self._faces[oldest.id]

    def _forget(self, before_s: float) -> None:
        for face in list(self._faces.values()):
            if face.uploaded and not face.calls and face.last_used_s < before_s:
                del self._faces[face.id]
