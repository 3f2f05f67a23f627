"""What one worker does with one clip or photo. Everything it takes and gives can cross to another process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2v.engine.avatar_factory import mouth_of_model
from s2v.engine.backends import open_backend
from s2v.engine.backends.base import Backend
from s2v.engine.face.geometry import Pose
from s2v.engine.face.mouth_look import MouthLook
from s2v.engine.face.photo import Image
from s2v.errors import DataError, FaceError
from s2v.extras import how_to_install
from s2v.training.evaluation.clips import ClipFile, HeldClip, load_clip
from s2v.training.evaluation.crops import face_crop
from s2v.training.evaluation.head_level import move_clip
from s2v.training.evaluation.measures.metrics import loudness, pauses
from s2v.training.evaluation.measures.motion_level import backend_speak, gap_weights, loudness_figures, motion_figures
from s2v.training.evaluation.measures.non_speech import bundled_voice, other_voice, phones_voice
from s2v.training.evaluation.measures.phone_classes import ClassTable, phone_table
from s2v.training.evaluation.measures.probes import OTHER_VOICE_TURNS, Curves
from s2v.training.evaluation.measures.shapes import LipShapes, shape_figures, shapes_asked
from s2v.training.evaluation.measures.voice_level import level_figures
from s2v.training.evaluation.picture_level import draw_clip, drawn_opening
from s2v.training.evaluation.results import ClipResult
from s2v.training.evaluation.unseen_faces import FaceResult, judge_face
from s2v.training.evenly import evenly

MOVING_FACES = 12  # photos that say it all once more with their heads moving
LONG_TALKS = 4  # and those of them that say more, since heads follow a voice over seconds


@dataclass(frozen=True)
class ClipJob:
    """A clip to judge."""

    model: Path | None
    backend: str
    clip: ClipFile
    max_frames: int | None
    syncnet: Path | None = None


@dataclass(frozen=True)
class PhotoJob:
    """A photo to judge."""

    model: Path | None
    backend: str
    photo: Path
    max_frames: int | None
    moves_head: bool = True  # it says it once more with its head moving
    talks_longer: bool = False  # and more than that


def photo_jobs(model: Path | None, backend: str, photos: Sequence[Path], max_frames: int | None) -> list[PhotoJob]:
    """A job a photo; of many, some that lie evenly among them also move their heads."""
    moving = evenly(range(len(photos)), MOVING_FACES)
    longer = evenly(moving, LONG_TALKS)
    return [
        PhotoJob(model, backend, photo, max_frames, index in moving, index in longer)
        for index, photo in enumerate(photos)
    ]


@cache
def opened(model: Path | None, name: str) -> Backend:
    """One backend for all jobs of a process; `close_opened` ends it."""
    return open_backend(model, name)


def close_opened(model: Path | None, name: str) -> None:
    """Close what `opened` gave, so that a new file of the same name is read anew."""
    opened(model, name).close()
    opened.cache_clear()


def judge_clip(job: ClipJob) -> ClipResult | str:
    """All figures of one clip, or why it cannot be used."""
    try:
        clip = load_clip(job.clip, job.max_frames)
        mouth = None if job.model is None else mouth_of_model(job.model)
        return _judged(clip, opened(job.model, job.backend), job.syncnet, job.clip.text, mouth)
    except (DataError, np.linalg.LinAlgError) as error:
        return " ".join(str(error).split())


def judge_photo(job: PhotoJob) -> FaceResult:
    """All figures of one photo, driven with the bundled sentences of every mouth shape."""
    backend = opened(job.model, job.backend)
    voice, prediction = phones_voice(), None
    if job.max_frames:
        voice = voice[: round(job.max_frames * backend.spec.samples_per_frame)]
    if backend.spec.network == "s2v":
        prediction = backend_speak(backend)(voice) @ gap_weights(backend.spec)
    more = [bundled_voice()] if job.talks_longer and not job.max_frames else []
    with_head = np.concatenate([voice, *more]) if job.moves_head else None
    return judge_face(job.photo, backend, voice, prediction, with_head)


class _SyncCrops:
    """What SyncNet looks at: faces as drawn and as filmed."""

    def __init__(self) -> None:
        self._drawn: list[Image] = []
        self._film: list[Image] = []

    def add(self, drawn: Image, drawn_pose: Pose, film: Image, film_pose: Pose) -> None:
        from s2v.training.evaluation.syncnet import CROP, CROP_PX

        self._drawn.append(face_crop(drawn, drawn_pose, CROP, CROP_PX))
        self._film.append(face_crop(film, film_pose, CROP, CROP_PX))

    def figures(self, weights: Path, pcm: NDArray[np.float32]) -> dict[str, float]:
        from s2v.training.evaluation.syncnet import load_syncnet, sync_errors

        network = load_syncnet(weights)
        (d, c), (film_d, film_c) = (sync_errors(network, crops, pcm) for crops in (self._drawn, self._film))
        return {"lse_d": d, "lse_c": c, "lse_d_film": film_d, "lse_c_film": film_c}


def _judged(clip: HeldClip, backend: Backend, syncnet: Path | None, text: str, mouth: MouthLook | None) -> ClipResult:
    spec, film, prediction, curves, pictures, heads = backend.spec, clip.aperture, None, None, None, None
    figures = loudness_figures(clip.pcm, film, spec)
    loud = loudness(clip.pcm, clip.n_frames, spec)
    strangers = [other_voice(len(clip.pcm), turn, bundled_voice()) for turn in OTHER_VOICE_TURNS]
    mouths = {"film": clip.shapes}
    if spec.network == "s2v":
        speak, spoken, gap = backend_speak(backend), clip.spoken(spec), gap_weights(spec)
        motion, speaking = speak(clip.pcm), ~pauses(clip.pcm, clip.n_frames, spec)
        mouths["asked"] = shapes_asked(motion, spec)
        figures |= motion_figures(motion, spoken, spec)
        figures |= shape_figures(mouths["asked"], clip.shapes, speaking, spec.fps)
        figures |= level_figures(speak, clip.pcm, film, speaking, spec)
        prediction = (motion @ gap).astype(np.float32)
        curves = Curves(prediction, film, loud, tuple(speak(stranger) @ gap for stranger in strangers))
    refused = ""
    try:
        crops = _SyncCrops()
        pictures = draw_clip(clip, backend, watch=crops.add if syncnet else None, mouth=mouth)
        mouths["drawn"] = pictures.shapes
        figures |= pictures.figures
        if syncnet:
            figures |= crops.figures(syncnet, clip.pcm)
        if curves is None:
            others = tuple(drawn_opening(clip, backend, stranger) for stranger in strangers[:1])
            curves = Curves(pictures.opened, film, loud, others)
        moving, heads = move_clip(clip, backend, pictures.head)
        figures |= moving
    except (FaceError, DataError) as error:
        refused = " ".join(str(error).split())
    classes, not_aligned = _phone_tables(clip, mouths, text, spec.fps)
    return ClipResult(
        clip.set_name,
        clip.name,
        round(len(clip.pcm) / spec.sample_rate_hz, 2),
        figures,
        film,
        prediction,
        pictures.opened if pictures else None,
        curves,
        pictures.tiles if pictures else [],
        pictures.mouth if pictures else None,
        refused,
        classes,
        not_aligned,
        heads,
    )


def _phone_tables(
    clip: HeldClip, mouths: dict[str, LipShapes], text: str, fps: int
) -> tuple[dict[str, ClassTable], str]:
    """What each of some mouths does at every phone, and '' or why that cannot be told."""
    if not text:
        return {}, ""
    try:
        phones = clip.phones(text)
    except ModuleNotFoundError as missing:
        return {}, f"{missing.name} is not installed: {how_to_install(missing.name or '')}"
    except DataError as error:
        return {}, " ".join(str(error).split())
    return {whose: phone_table(shapes, phones, fps) for whose, shapes in mouths.items()}, ""
