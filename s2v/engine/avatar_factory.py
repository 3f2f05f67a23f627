"""Avatars whose frames this process draws: for files and the front door with a runtime for each engine, for a server
with one that all engines share.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from s2v.engine.avatar import CALL_PIXELS, Avatar, AvatarOptions, Photo, check_behaviour, picture_of
from s2v.engine.backends import DEFAULT_THREADS, bundled_model, open_backend
from s2v.engine.backends.base import Backend, DeviceOutputsBackend
from s2v.engine.backends.batcher import BatchingBackend
from s2v.engine.backends.model_file import read_model_file
from s2v.engine.behaviour.mood import Mood
from s2v.engine.behaviour.options import USUAL as USUAL_LIVELINESS
from s2v.engine.compositor.cpu import Compositor, make_compositor
from s2v.engine.compositor.pixel_format import PixelFormat
from s2v.engine.compositor_choice import Compose, composer, composer_for
from s2v.engine.face.articulation import USUAL, check_articulation
from s2v.engine.face.background import parse_background
from s2v.engine.face.enrolment import EnrolledFace, enrol
from s2v.engine.face.mouth_look import INFO_KEY, MouthLook
from s2v.engine.face.photo import MAX_SIDE_PX
from s2v.engine.lipsync import LipSyncEngine
from s2v.errors import ModelError
from s2v.machine import usable_cores
from s2v.spec import LipSyncSpec

KEPT_COMPOSITORS = 3  # of faces that nobody shows now; one takes 50 times its photo, 17 MB at 512 px, and 0.25 s
CORES_PER_THREAD = 3  # the network is about that share of a session's work; the rest is drawing and encoding


def load_avatar(
    photo: Photo,
    *,
    model: str | os.PathLike[str] | None = None,
    backend: str = "auto",
    face_index: int | None = None,
    max_side_px: int = MAX_SIDE_PX,
    seed: int | None = 0,
    compose: str = "auto",
    articulation: float = USUAL,
    liveliness: float = USUAL_LIVELINESS,
    mood: Mood = "neutral",
    background: str | None = None,
) -> Avatar:
    """Find the face on a photo and prepare it; no runtime is opened before its first engine is.

    Args:
        photo: path of a jpg, png, webp, avif, heic, gif or bmp, its bytes, or a picture (h, w, 3) uint8 BGR.
        model: a file of `s2v export`; None is the one that comes with the package.
        backend: one of `s2v.engine.backends.BACKEND_NAMES`.
        face_index: which face, from the left, if the photo shows several.
        max_side_px: larger photos are scaled down to this.
        seed: whole number from 0: another one blinks and moves otherwise. None: nothing but the lower face moves.
        compose: where frames are drawn, "auto", "cpu" or "gpu".
        articulation: how strongly the face speaks, 0.5 to 1.5: silence stays silent, closed lips stay closed.
        liveliness: how much head, brows and gaze move with the conversation, 0 to 1.5; breath, blinks and looks stay.
        mood: how the face looks before it says anything: "neutral", "friendly" or "serious".
        background: what to show behind the person: "blur", a colour (a name, "#rrggbb" or "r,g,b") or a picture's path.
            None: what is there on the photo.
    Raises: FaceError, the photo cannot be used. ModelError, the model file cannot, or hears at another rate, or puts
        out pixels, which no articulation scales. S2vError, no such articulation, liveliness, mood or background, or
        liveliness or mood without a seed.
    """
    options = AvatarOptions(
        None if model is None else Path(model),
        backend,
        seed,
        max_side_px,
        compose,
        articulation,
        liveliness,
        mood,
        background,
    )
    return LocalAvatarFactory(options).enrol(photo, face_index=face_index)


def open_shared_backend(options: AvatarOptions) -> BatchingBackend:
    """The runtime for all sessions of a server, with as many threads as its cores carry.

    Raises: BackendError, the runtime cannot be used. ModelError, the model cannot.
    """
    threads = max(DEFAULT_THREADS, int(usable_cores() / CORES_PER_THREAD))
    return BatchingBackend(lambda: open_backend(options.model, options.backend, threads, fastest=True))


class LocalAvatarFactory:
    """Fills `AvatarFactory`. A face's engines share its compositor, which draws without changing itself."""

    def __init__(self, options: AvatarOptions, shared: BatchingBackend | None = None) -> None:
        """
        Args:
            shared: the runtime of all engines, which stays with whoever opened it: when it is closed they end with
                BackendError. None: each engine opens one of its own, and closes it.
        Raises: ModelError, the model cannot be used, or not with this articulation. BackendError, an unknown place to
            draw at. S2vError, no such articulation, liveliness, mood or background, or liveliness
                or mood without a seed.
        """
        check_articulation(options.articulation)
        check_behaviour(options)
        self.spec: LipSyncSpec = _spec_of(options.model) if shared is None else shared.spec
        drawn = self.spec.network == "s2v"  # another network paints the mouth itself
        self._mouth = mouth_of_model(options.model) if drawn and options.model is not None else None
        _refuse_other_rate(self.spec, options.model)
        if self.spec.network == "speech2vid" and options.articulation != USUAL:
            raise ModelError(f"{options.model} puts out pixels, which no articulation scales: leave --articulation out")
        self._background = None if options.background is None else parse_background(options.background)
        self._options = options
        self._shared = shared
        # what draws in a call is made with the face; what will draw for an own runtime is not known before it is open
        self._compose_still: Compose = make_compositor
        if shared is not None:
            self._compose_still = composer(shared.device, options.compose, pixels=CALL_PIXELS)
        self._detecting = threading.Lock()  # one face search at a time: they are heavy
        self._keeping = threading.Lock()
        self._kept: list[Compositor] = []  # the one used last is the last

    def enrol(self, photo: Photo, name: str = "the photo", face_index: int | None = None) -> Avatar:
        """See `AvatarFactory.enrol`."""
        with self._detecting:
            picture = picture_of(photo, name)
            return self.avatar_of(enrol(picture, self.spec, face_index, self._options.max_side_px))

    def avatar_of(self, face: EnrolledFace) -> Avatar:
        """The avatar of a face that was enrolled before, for the same model."""
        shown = replace(face, background=self._background, mouth=self._mouth)
        compositors = _Compositors(shown, self.spec, self._options.idle_seed is not None, self._keep)
        return Avatar(
            face,
            lambda pixels, mood: self._open_engine(shown, compositors, pixels, mood),
            lambda: compositors.get(self._compose_still, CALL_PIXELS).still,
        )

    def _open_engine(
        self, face: EnrolledFace, compositors: _Compositors, pixels: PixelFormat, mood: Mood | None
    ) -> LipSyncEngine:
        options = replace(self._options, mood=check_behaviour(self._options, mood))
        backend = open_backend(options.model, options.backend) if self._shared is None else self._shared.view()

        def compose(face: EnrolledFace, spec: LipSyncSpec, moving: bool) -> Compositor:
            compose = composer_for(backend, options.compose, pixels)
            if isinstance(backend, DeviceOutputsBackend):  # it may draw on the stream of this very runtime
                return compose(face, spec, moving)
            return compositors.get(compose, pixels)

        return _OwningEngine(face, backend, compose, options)

    def _keep(self, compositor: Compositor) -> None:
        """Let the compositors used last stay, also when no engine holds them."""
        with self._keeping:
            others = [kept for kept in self._kept if kept is not compositor]
            self._kept = [*others, compositor][-KEPT_COMPOSITORS:]


class _Compositors:
    """Of one face, one for each way to draw it; held weakly, the factory keeps those that were used last."""

    def __init__(self, face: EnrolledFace, spec: LipSyncSpec, moving: bool, keep: Callable[[Compositor], None]) -> None:
        self._of = (face, spec, moving)
        self._keep = keep
        self._making = threading.Lock()
        self._made: weakref.WeakValueDictionary[str, Compositor] = weakref.WeakValueDictionary()

    def get(self, compose: Compose, pixels: PixelFormat) -> Compositor:
        """What `compose` makes, made anew only if it is nowhere in use and not kept."""
        way = "cpu" if compose is make_compositor else pixels  # the CPU draws BGR whatever it is asked for
        with self._making:
            compositor = self._made.get(way)
            if compositor is None:
                compositor = self._made[way] = compose(*self._of)
            self._keep(compositor)
            return compositor


class _OwningEngine(LipSyncEngine):
    """An engine that closes its backend with itself."""

    def __init__(self, face: EnrolledFace, backend: Backend, compose: Compose, options: AvatarOptions) -> None:
        self._owned = backend
        moves = options.idle_seed, options.articulation, options.liveliness, options.mood
        try:
            super().__init__(face, backend, compose, *moves)
        except BaseException:
            backend.close()
            raise

    def close(self) -> None:
        super().close()
        self._owned.close()


def mouth_of_model(model: Path) -> MouthLook | None:
    """What a model file knows of the mouth of the person it was made for; None: it is nobody's in particular.

    Raises: ModelError, see `read_model_file`, or what it knows is damaged.
    """
    text = read_model_file(model).info.get(INFO_KEY)
    return None if text is None else MouthLook.from_json(text)


def _spec_of(model: Path | None) -> LipSyncSpec:
    return (bundled_model() if model is None else read_model_file(model)).spec


def _refuse_other_rate(spec: LipSyncSpec, model: Path | None) -> None:
    """Raises: ModelError, the model hears at another rate than the sources deliver."""
    if spec.sample_rate_hz != LipSyncSpec.sample_rate_hz:
        raise ModelError(
            f"{model or 'the model'} hears {spec.sample_rate_hz} Hz; "
            f"this version gives {LipSyncSpec.sample_rate_hz} Hz: use another"
        )
