"""`s2v evaluate`: held-out clips and faces through a model, and what came of it."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from s2v.bundled import BUNDLED_FACE, BUNDLED_MODEL
from s2v.engine.backends import BACKEND_NAMES
from s2v.engine.backends.base import Backend
from s2v.errors import BackendError, DataError
from s2v.spec import LipSyncSpec
from s2v.training.evaluation.clip_phones import refuse_without_aligner
from s2v.training.evaluation.clips import find_clips
from s2v.training.evaluation.jobs import ClipJob, close_opened, judge_clip, judge_photo, opened, photo_jobs
from s2v.training.evaluation.measures.head.probes import head_probes
from s2v.training.evaluation.measures.motion_level import backend_speak
from s2v.training.evaluation.measures.mouth_probes import (
    class_probes,
    interior_probes,
    level_probes,
    shape_probes,
)
from s2v.training.evaluation.measures.non_speech import SECONDS, no_speech_sounds, phones_voice
from s2v.training.evaluation.measures.phone_classes import grouped
from s2v.training.evaluation.measures.probes import (
    MIN_FACE_FOLLOWS,
    MIN_FACE_SPREAD,
    Probe,
    at_least,
    at_most,
    curve_probes,
    idle_motion,
    idle_probes,
)
from s2v.training.evaluation.results import ClipResult, by_set
from s2v.training.evaluation.unseen_faces import FaceResult, idle_figures, photos_in
from s2v.training.voices.words import read_words
from s2v.training.workers import worker_pool

_log = logging.getLogger("s2v")
_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class EvaluateConfig:
    """What `s2v evaluate` was asked for."""

    data: tuple[Path, ...]
    model: Path | None = None  # an .onnx, or a checkpoint; None is the bundled model
    backend: str = "auto"
    cache: Path | None = None  # for extracted features; None is below the temporary folder
    faces: Path | None = None  # folder of photos; None takes the bundled one
    max_clips: int | None = None  # of each set
    max_seconds: float | None = None  # of each clip and sound
    workers: int = 1
    syncnet: Path | None = None  # the user's weights, for LSE-D and LSE-C
    words: Path | None = None  # what is said in the clips, as a table of word times; None: transcripts beside them


@dataclass(frozen=True)
class Evaluation:
    """All that was found out."""

    spec: LipSyncSpec
    model: str
    model_sha256: str
    backend: str  # what it became
    clips: list[ClipResult]
    faces: list[FaceResult]
    idle: dict[str, dict[str, float]]  # sound that is not speech -> figures
    probes: list[Probe]
    refused: dict[str, str] = field(default_factory=dict)  # clip or photo -> reason
    not_aligned: dict[str, str] = field(default_factory=dict)  # clip -> why its phones are not known

    @property
    def failed(self) -> list[Probe]:
        """The probes that did not pass."""
        return [probe for probe in self.probes if not probe.passed]


def evaluate(config: EvaluateConfig, progress: bool = True) -> Evaluation:
    """Run everything. What cannot be used is left out, logged and listed in `refused`.

    Raises: DataError, no usable clip; ModelError, BackendError.
    """
    if config.backend not in BACKEND_NAMES:  # told before an hour of extraction
        raise BackendError(f"no backend is called {config.backend!r}: choose one of {', '.join(BACKEND_NAMES)}")
    for folder in config.data:
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}: give one of talking videos or of feature files")
    if config.words:
        refuse_without_aligner()
    if config.syncnet:
        from s2v.training.evaluation.syncnet import load_syncnet

        load_syncnet(config.syncnet)
    with model_file_of(config.model) as model:
        backend = opened(model, config.backend)
        try:
            return _evaluate(config, model, backend, progress)
        finally:
            close_opened(model, config.backend)


def _evaluate(config: EvaluateConfig, model: Path | None, backend: Backend, progress: bool) -> Evaluation:
    spec = backend.spec
    photos = photos_in(config.faces) if config.faces else [BUNDLED_FACE]
    cache = config.cache or default_cache()
    files = find_clips(config.data, cache, config.max_clips, config.workers, progress, config.words)
    if config.words and not (spoken := read_words(config.words)).keys() & {file.path.stem for file in files}:
        raise DataError(
            f"{config.words} names none of the clips, but {', '.join(sorted(spoken)[:3])}: its first column is "
            "a clip's file name without its ending"
        )
    max_frames = round(config.max_seconds * spec.fps) if config.max_seconds else None
    jobs = [ClipJob(model, config.backend, file, max_frames, config.syncnet) for file in files]
    clips: list[ClipResult] = []
    refused: dict[str, str] = {}
    for file, found in zip(files, _all(judge_clip, jobs, "clip", config.workers, progress), strict=True):
        name = f"{file.set_name}/{file.path.stem}"
        reason = found if isinstance(found, str) else found.refused
        if reason:
            refused[name] = reason
            _log.warning("left out %s%s: %s", "" if isinstance(found, str) else "the pictures of ", name, reason)
        if not isinstance(found, str):
            clips.append(found)
    if not clips:
        raise DataError(f"none of {len(files)} clips can be used; the first one: {next(iter(refused.values()))}")
    faces = list(
        _all(judge_photo, photo_jobs(model, config.backend, photos, max_frames), "photo", config.workers, progress)
    )
    for face in faces:
        if face.refused:
            refused[face.name] = face.refused
            _log.warning("left out the photo %s: %s", face.name, face.refused)
    idle = _idle(backend, min(config.max_seconds or SECONDS, SECONDS))
    return Evaluation(
        spec,
        config.model.name if config.model else "bundled",
        hashlib.sha256((model or BUNDLED_MODEL).read_bytes()).hexdigest(),
        backend.name,
        clips,
        faces,
        idle,
        _probes(spec, clips, faces, idle) + _head_probes(spec, faces, max_frames),
        refused,
        {clip.name: clip.not_aligned for clip in clips if clip.not_aligned},
    )


@contextmanager
def model_file_of(model: Path | None) -> Iterator[Path | None]:
    """The .onnx to evaluate: itself, or a checkpoint exported to a file that is gone afterwards; None is the bundled.

    Raises: DataError, not a checkpoint.
    """
    if model is None or model.suffix.lower() == ".onnx":
        yield model
        return
    from s2v.training.export.export import export_model

    with tempfile.TemporaryDirectory(prefix="s2v-evaluate-") as folder:
        exported = Path(folder) / "model.onnx"
        export_model(model, exported)
        yield exported


def default_cache() -> Path:
    """Where this user's features of videos are kept between two runs."""
    return Path(tempfile.gettempdir()) / f"s2v-features-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def _all(
    judge: Callable[[_Job], _Result], jobs: Sequence[_Job], unit: str, workers: int, progress: bool
) -> Iterator[_Result]:
    """Judge all jobs, in order, in this process or in several, behind a bar."""
    from tqdm import tqdm

    with tqdm(total=len(jobs), unit=unit, disable=not progress) as bar:
        if workers == 1 or len(jobs) == 1:
            for job in jobs:
                yield judge(job)
                bar.update()
        else:
            with worker_pool(min(workers, len(jobs))) as pool:
                for result in pool.map(judge, jobs):
                    yield result
                    bar.update()


def _idle(backend: Backend, seconds: float) -> dict[str, dict[str, float]]:
    """In each sound that is not speech: how far the lips open and how fast they move, asked for and drawn."""
    sounds = no_speech_sounds(seconds)
    found: dict[str, dict[str, float]] = {name: {} for name in sounds}
    if backend.spec.network == "s2v":
        for name, figures in idle_motion(backend_speak(backend), backend.spec, sounds).items():
            found[name]["opening"], found[name]["speed"] = figures
    for name, figures in idle_figures(BUNDLED_FACE, backend, sounds).items():
        found[name]["drawn_opening"], found[name]["drawn_speed"] = figures
    return found


def _probes(
    spec: LipSyncSpec, clips: list[ClipResult], faces: list[FaceResult], idle: dict[str, dict[str, float]]
) -> list[Probe]:
    curves = {name: [clip.curves for clip in found if clip.curves] for name, found in by_set(clips).items()}
    probes = curve_probes({name: known for name, known in curves.items() if known})
    level = "" if spec.network == "s2v" else "drawn_"
    probes += idle_probes({name: (found[level + "opening"], found[level + "speed"]) for name, found in idle.items()})
    probes += _mouth_probes(clips, faces)
    usable = [face for face in faces if not face.refused]
    if spec.network == "s2v":
        worst = min(((face.follows, face.name) for face in usable), default=(float("nan"), "no face could be used"))
        probes.append(at_least("unseen face: lips do what the motion asks", worst[0], MIN_FACE_FOLLOWS, worst[1]))
    else:
        worst = min(((face.spread, face.name) for face in usable), default=(float("nan"), "no face could be used"))
        probes.append(at_least("unseen face: lips move, face units", worst[0], MIN_FACE_SPREAD, worst[1]))
    moved = [(face.jitter, face.name) for face in usable]
    moved += [(clip.figures["jitter"], clip.name) for clip in clips if "jitter" in clip.figures]
    worst = max(moved, default=(float("nan"), ""))
    probes.append(at_most("still outside the lower face, of 255", worst[0], 0, worst[1]))
    return probes


def _head_probes(spec: LipSyncSpec, faces: list[FaceResult], max_frames: int | None) -> list[Probe]:
    """Of the photos that talked with their heads moving."""
    said_s = min(len(phones_voice()) / spec.sample_rate_hz, (max_frames or float("inf")) / spec.fps)
    return head_probes({face.name: face.head for face in faces if face.head}, said_s)


def _mouth_probes(clips: list[ClipResult], faces: list[FaceResult]) -> list[Probe]:
    """Shapes as asked for and as drawn, level of the voice, inside of unseen faces' mouths."""
    levels = [level for level in ("", "drawn_") if any(f"{level}width" in clip.figures for clip in clips)]
    sets = {name: [clip.figures for clip in found] for name, found in by_set(clips).items()}
    tables = {whose: [c.classes[whose] for c in clips if whose in c.classes] for whose in ("asked", "drawn")}
    return [
        *(probe for level in levels for probe in shape_probes(sets, level)),
        *class_probes(grouped(tables["drawn"] or tables["asked"])),
        *level_probes(sets),
        *interior_probes({face.name: face.mouth for face in faces if not face.refused}),
    ]
