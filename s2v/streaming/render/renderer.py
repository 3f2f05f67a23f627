"""What the live sessions of one server share: one runtime, and each face's parts that no frame changes."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends import DEFAULT_THREADS, open_backend
from s2v.engine.backends.batcher import BatchingBackend
from s2v.engine.compositor.cpu import Compositor
from s2v.engine.compositor_choice import Compose, composer
from s2v.engine.face.enrolment import EnrolledFace, enrol
from s2v.engine.face.photo import MAX_SIDE_PX, Image, decode_photo
from s2v.machine import usable_cores
from s2v.media.talker import OwningEngine, refuse_other_rate
from s2v.spec import LipSyncSpec

JPEG_QUALITY = 90
KEPT_COMPOSITORS = 3  # of faces that nobody shows now; one takes 50 times its photo, 17 MB at 512 px, and 0.25 s
CORES_PER_THREAD = 3  # the network is about that share of a session's work; the rest is drawing and encoding


class Renderer:
    """Owns the runtime. Made and closed by one thread; faces and engines may be made by any."""

    def __init__(
        self,
        model: Path | None = None,
        backend: str = "auto",
        idle_seed: int | None = None,
        max_side_px: int = MAX_SIDE_PX,
        compose: str = "auto",
    ) -> None:
        """Open the runtime.

        Args: as of `Talker.enrol`.
        Raises: BackendError, the runtime cannot be used. ModelError, the model cannot.
        """
        self.idle_seed = idle_seed
        self.max_side_px = max_side_px
        threads = max(DEFAULT_THREADS, int(usable_cores() / CORES_PER_THREAD))
        self.backend = BatchingBackend(lambda: open_backend(model, backend, threads))
        self._detecting = threading.Lock()  # one face search at a time: they are heavy
        self._keeping = threading.Lock()
        self._kept: list[Compositor] = []  # the one used last is the last
        try:
            refuse_other_rate(self.backend.spec, model)
            self.compose: Compose = composer(self.backend.device, compose, pixels="i420")  # what calls are encoded from
        except BaseException:
            self.close()
            raise

    def enrol(self, data: bytes, name: str = "the photo", face_index: int | None = None) -> Portrait:
        """Find the face on a photo, in the bytes of a jpg, png or webp. Takes some 0.3 s of the calling thread.

        Raises: FaceError, it cannot be used.
        """
        with self._detecting:
            photo = decode_photo(data, name, self.max_side_px)
            return Portrait(self, enrol(photo, self.backend.spec, face_index))

    def portrait(self, photo: Image, face_index: int | None = None) -> Portrait:
        """Like `enrol`, of a photo as `load_photo` returns it."""
        with self._detecting:
            return Portrait(self, enrol(photo, self.backend.spec, face_index))

    def close(self) -> None:
        """Close the runtime; engines that are still in use end with BackendError. Safe to call twice."""
        self.backend.close()
        self._kept = []

    def keep(self, compositor: Compositor) -> None:
        """Let the compositors used last stay, also when no session holds them."""
        with self._keeping:
            others = [kept for kept in self._kept if kept is not compositor]
            self._kept = [*others, compositor][-KEPT_COMPOSITORS:]


class Portrait:
    """One face of a renderer. Its sessions share one compositor, which draws without changing itself."""

    def __init__(self, renderer: Renderer, face: EnrolledFace) -> None:
        self._renderer = renderer
        self.face = face
        self._making = threading.Lock()
        self._made: weakref.ref[Any] | None = None
        self.still_bgr: NDArray[np.uint8] = self._compositor(face, renderer.backend.spec).still.copy()
        self.still_jpeg = encode_jpeg(self.still_bgr)

    def make_engine(self) -> OwningEngine:
        """An engine for one session; its `close` frees what is its own, and leaves the runtime open.

        Raises: BackendError, the renderer is closed.
        """
        return OwningEngine(self.face, self._renderer.backend.view(), self._renderer.idle_seed, self._compositor)

    def _compositor(self, face: EnrolledFace, spec: LipSyncSpec, _: int | None = None) -> Compositor:
        with self._making:
            compositor: Compositor | None = self._made() if self._made is not None else None
            if compositor is None:
                compositor = self._renderer.compose(face, spec, self._renderer.idle_seed)
                self._made = weakref.ref(compositor)
            self._renderer.keep(compositor)
            return compositor


def encode_jpeg(bgr: NDArray[np.uint8]) -> bytes:
    """(h, w, 3) as a JPEG file."""
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
