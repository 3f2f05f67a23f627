"""Photos of people that training never saw, made to say the bundled sentences of every mouth shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import Backend
from s2v.engine.face.enrolment import EnrolledFace, enrol
from s2v.engine.face.motion_basis import aperture
from s2v.engine.face.photo import PHOTO_SUFFIXES, Image, load_picture
from s2v.engine.lipsync import LipSyncEngine
from s2v.errors import DataError, FaceError
from s2v.training.evaluation.clip_phones import bundled_phones
from s2v.training.evaluation.crops import Window, face_crop, jitter_of, sharpness_of
from s2v.training.evaluation.head_level import head_seed, talking_head
from s2v.training.evaluation.measures.head.mouth_drag import StillHead, still_head
from s2v.training.evaluation.measures.metrics import correlation, lip_speed
from s2v.training.evaluation.measures.non_speech import phones_voice
from s2v.training.evaluation.measures.shapes import canonical_of
from s2v.training.evaluation.phone_times import LAST_MOMENT_S, PHONE_MOMENTS
from s2v.training.evaluation.photo_mouth import PhotoMouth, greyed_figures
from s2v.training.evaluation.picture_level import drawn_frames
from s2v.training.extract.face_landmarks import detect_landmarks, with_landmarks, without_gaps

PORTRAIT: Window = (-0.75, -0.15, 1.50)  # eyes to chin
TILE_PX = 160


@dataclass(frozen=True)
class FaceResult:
    """One photo; `refused` says why it could not be used, and then the figures are NaN."""

    name: str
    sharpness: float = float("nan")  # of the mouth over the photo's, median frame
    spread: float = float("nan")  # deviation of the drawn opening, face units
    follows: float = float("nan")  # correlation of the drawn opening with what the motion net asks for
    jitter: float = float("nan")  # largest change outside the lower face, of 255
    mouth: dict[str, float] = field(default_factory=dict)  # FACE_FIGURES of `results`, those that could be told
    head: dict[str, float] = field(default_factory=dict)  # while it talks with its head moving: `talking_head`
    refused: str = ""
    tiles: list[Image] = field(default_factory=list)  # the photo at rest, then PHONE_MOMENTS


def photos_in(folder: Path) -> list[Path]:
    """Sorted photos below a folder. Raises: DataError, none there."""
    photos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES) if folder.is_dir() else []
    if not photos:
        raise DataError(f"no photos in {folder}: give a folder of jpg, png, webp, ...")
    return photos


def voice_of_moments(rate_hz: int = 16_000) -> NDArray[np.float32]:
    """The bundled sentences as far as the last moment that a sheet shows, and a little more."""
    return phones_voice()[: round((LAST_MOMENT_S + 0.3) * rate_hz)]


def judge_face(
    photo: Path,
    backend: Backend,
    voice: NDArray[np.float32],
    prediction: NDArray[np.floating] | None = None,
    with_head: NDArray[np.float32] | None = None,
) -> FaceResult:
    """Drive one photo with a voice and look at every frame.

    Args:
        prediction: (n,) the opening that the motion net asks for; None where the network says pixels.
        with_head: `voice`, or that and more, which it says once more with its head moving; None: it does not.
    """
    try:
        face = enrol(load_picture(photo), backend.spec)
        judged, still = _judged(photo.stem, face, backend, voice, prediction)
        if with_head is None:
            return judged
        return replace(judged, head=talking_head(face, backend, with_head, head_seed(photo.stem), still).figures)
    except (FaceError, DataError) as error:
        return FaceResult(photo.stem, refused=" ".join(str(error).split()))


def portrait_tiles(photo: Path, backend: Backend, tile_px: int = TILE_PX) -> list[Image]:
    """The photo at rest, then the face at each of PHONE_MOMENTS: (tile_px, tile_px, 3) each.

    Raises: FaceError, the photo is refused.
    """
    face = enrol(load_picture(photo), backend.spec)
    engine = LipSyncEngine(face, backend)
    try:
        frames = drawn_frames(engine, voice_of_moments())
        wanted = {index: frame for index, frame in enumerate(frames) if index in moment_frames(backend.spec.fps)}
        still = engine.still.copy()
    finally:
        engine.close()
    shown = [still, *(wanted[index] for index in moment_frames(backend.spec.fps))]
    return [face_crop(frame, face.pose, PORTRAIT, tile_px) for frame in shown]


def moment_frames(fps: int) -> list[int]:
    """The frame that shows each of PHONE_MOMENTS."""
    return [int(moment.time_s * fps) for moment in PHONE_MOMENTS]


def idle_figures(
    photo: Path, backend: Backend, sounds: Mapping[str, NDArray[np.float32]]
) -> dict[str, tuple[float, float]]:
    """What is drawn for each sound: the largest opening over the still's, and the RMS lip speed, as detected.

    Returns: face units, face units a second. Raises: FaceError, DataError.
    """
    face = enrol(load_picture(photo), backend.spec)

    def shown() -> Iterator[Image]:
        for sound in sounds.values():
            engine = LipSyncEngine(face, backend)
            try:
                yield engine.still
                yield from drawn_frames(engine, sound)
            finally:
                engine.close()

    canonical = canonical_of(detect_landmarks(shown()))
    ends = np.cumsum([1 + backend.spec.frame_count(len(sound)) for sound in sounds.values()])
    found = {}
    for name, drawn in zip(sounds, np.split(canonical, ends[:-1]), strict=True):
        opening = aperture(drawn[1:]) - aperture(drawn[0])
        speed = lip_speed(drawn[1:], np.ones(len(drawn) - 1, bool), backend.spec.fps)
        found[name] = (float(opening.max()), speed)
    return found


def _judged(
    name: str, face: EnrolledFace, backend: Backend, voice: NDArray[np.float32], prediction: NDArray[np.floating] | None
) -> tuple[FaceResult, StillHead]:
    """And what the detector makes of a head that does not move."""
    sharp, jitter = [], []
    tiles: dict[int, Image] = {}
    engine = LipSyncEngine(face, backend)
    wanted = moment_frames(backend.spec.fps)

    def watched() -> Iterator[Image]:
        for index, frame in enumerate(drawn_frames(engine, voice)):
            sharp.append(sharpness_of(frame, face))
            jitter.append(jitter_of(frame, face))
            if index in wanted:
                tiles[index] = face_crop(frame, face.pose, PORTRAIT, TILE_PX)
            yield frame

    try:
        mouth = PhotoMouth(face, engine.still, detect_landmarks([engine.still])[0], bundled_phones(), backend.spec.fps)
        landmarks = without_gaps([mouth.add(*seen) for seen in with_landmarks(watched())])
        shapes = mouth.shapes(landmarks)
        still = face_crop(engine.still, face.pose, PORTRAIT, TILE_PX)
    finally:
        engine.close()
    result = FaceResult(
        name,
        sharpness=float(np.median(sharp)),
        spread=float(shapes.opening.std()),
        follows=float("nan") if prediction is None else correlation(shapes.opening, prediction[: len(shapes)]),
        jitter=max(jitter),
        mouth=mouth.figures(shapes) | greyed_figures(face, backend, voice, mouth.middles),
        tiles=[still, *(tiles.get(index, np.full_like(still, 255)) for index in wanted)],  # blank: not reached
    )
    return result, still_head(landmarks)
