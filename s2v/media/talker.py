"""A photo and a model, checked and ready: where the engines of `generate` and `live` come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from s2v.engine.backends import bundled_model, open_backend
from s2v.engine.backends.base import Backend
from s2v.engine.backends.model_file import read_model_file
from s2v.engine.compositor.cpu import Compositor
from s2v.engine.compositor.pixel_format import PixelFormat
from s2v.engine.compositor_choice import Compose, composer_for
from s2v.engine.face.enrolment import EnrolledFace, enrol
from s2v.engine.face.photo import MAX_SIDE_PX, load_photo
from s2v.engine.lipsync import LipSyncEngine
from s2v.errors import ModelError
from s2v.media.audio_file import ENGINE_HZ
from s2v.spec import LipSyncSpec


class OwningEngine(LipSyncEngine):
    """An engine that closes its backend with itself."""

    def __init__(
        self,
        face: EnrolledFace,
        backend: Backend,
        idle_seed: int | None = None,
        compose: Compose | None = None,
    ) -> None:
        self._owned = backend
        try:
            super().__init__(face, backend, compose, idle_seed)
        except BaseException:
            backend.close()
            raise

    def close(self) -> None:
        super().close()
        self._owned.close()


@dataclass(frozen=True)
class Talker:
    """One enrolled face and the model that drives it; makes as many engines as there are sessions."""

    face: EnrolledFace
    model: Path | None  # None: the model that comes with the package
    backend: str
    idle_seed: int | None = None  # None: nothing but the lower face moves
    compose: str = "auto"  # where frames are drawn: one of COMPOSE_PLACES

    @classmethod
    def enrol(
        cls,
        photo: Path,
        model: Path | None = None,
        backend: str = "auto",
        face_index: int | None = None,
        max_side_px: int = MAX_SIDE_PX,
        idle_seed: int | None = None,
        compose: str = "auto",
    ) -> Talker:
        """Find the face on a photo; no runtime is opened yet.

        Args:
            idle_seed: see `LipSyncEngine`. compose: see `s2v.engine.compositor_choice.composer`.

        Raises: FaceError, the photo cannot be used. ModelError, the model file cannot, or hears at another rate.
        """
        spec = (bundled_model() if model is None else read_model_file(model)).spec
        refuse_other_rate(spec, model)
        return cls(enrol(load_photo(photo, max_side_px), spec, face_index), model, backend, idle_seed, compose)

    def make_engine(self, pixels: PixelFormat = "bgr") -> OwningEngine:
        """A new engine: opened, used and closed by the calling thread.

        Args:
            pixels: see `s2v.engine.compositor_choice.composer`.
        Raises: BackendError, the runtime asked for cannot be used. ModelError.
        """
        backend = open_backend(self.model, self.backend)

        def compose(face: EnrolledFace, spec: LipSyncSpec, idle_seed: int | None) -> Compositor:
            return composer_for(backend, self.compose, pixels)(face, spec, idle_seed)

        return OwningEngine(self.face, backend, self.idle_seed, compose)


def refuse_other_rate(spec: LipSyncSpec, model: Path | None) -> None:
    """Raises: ModelError, the model hears at another rate than the sources deliver."""
    if spec.sample_rate_hz != ENGINE_HZ:
        raise ModelError(
            f"{model or 'the model'} hears {spec.sample_rate_hz} Hz; this version gives {ENGINE_HZ} Hz: use another"
        )
