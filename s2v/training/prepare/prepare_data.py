"""Feature files -> training shards: what the networks see and must say, split by talker.

A shard holds some clips: the sound and the motion of every frame, and face crops of a few frames, of which some are to
be drawn and others may be the photo beside them. Talkers that are named as validation never reach a training shard; of
the others some clips are held back ("seen talker, unseen clip"). What is in which shard depends on the features and
the settings alone: so many processes can make shards at once, and a run that was killed goes on with the next one.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2v.engine.face.geometry import N_MESH, RIGID, Points, head_pose
from s2v.engine.face.motion_basis import MotionBasis, aperture, neutral_face
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.extract.feature_file import ClipFeatures, has_sound, load_features
from s2v.training.prepare.clip_pictures import choose_frames, face_crop
from s2v.training.prepare.shards import (
    ShardFolder,
    ShardRecord,
    fingerprint,
    shard_folder,
    write_shard,
)
from s2v.training.shard_file import MIN_REFERENCE_DISTANCE, Sample
from s2v.training.shard_spec import shard_spec
from s2v.training.shard_store import FORMAT, open_shards
from s2v.training.train.batches import unknown_tract
from s2v.training.train.defaults import CLIPS_PER_SHARD, PICTURES_PER_CLIP
from s2v.training.workers import worker_pool

HELD_BACK_EVERY = 20  # one clip in so many of a training talker is kept for validation
REFERENCES_PER_CLIP = 4
FACE_SPAN_PX, FACE_UNIT_PX = (4.0, 20_000.0), (2.0, 5000.0)  # of a face that can be used; others are damage
_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class PrepareSettings:
    """What shards are made with; the same settings and features give the same bytes."""

    spec: LipSyncSpec
    validation: tuple[str, ...] = ()  # talkers kept for validation
    pictures_per_clip: int = PICTURES_PER_CLIP  # that are to be drawn
    seed: int = 0
    clips_per_shard: int = CLIPS_PER_SHARD


@dataclass(frozen=True)
class ShardJob:
    """The clips of one shard, and all that it takes to make it in any process."""

    features: Path
    folder: Path
    split: str
    number: int
    clips: tuple[str, ...]  # ids
    settings: PrepareSettings


def prepare_data(
    features: Path,
    out: Path,
    settings: PrepareSettings,
    workers: int = 1,
    force: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Write `train-*.tar`, `held-*.tar` (clips of training talkers), `val-*.tar` (other talkers), and `meta.json`.

    What cannot be used is skipped and logged. A run that was killed goes on where it was; where all is done already,
    nothing is done.

    Args: force: replace shards that were made with other settings.
    Returns: what `meta.json` holds. Raises: DataError, nothing to use, no training talker left, a worker was killed,
    or `out` holds shards of other settings.
    """
    files = sorted(path for path in features.rglob("*.npz") if not path.name.startswith("."))
    if not files:
        raise DataError(f"no feature files below {features}: run s2v extract-features first")
    seen = [[path.relative_to(features).as_posix(), path.stat().st_size] for path in files]
    stored = {
        **{"spec": shard_spec(settings.spec), "validation": sorted(settings.validation), "seed": settings.seed},
        **{"pictures_per_clip": settings.pictures_per_clip, "clips_per_shard": settings.clips_per_shard},
        "features": fingerprint(seen),
    }
    with shard_folder(out, stored, force) as shards:
        if shards is None:
            _log.info("%s holds these shards already", out)
        else:
            talkers, unreadable = _talking(files, features)
            jobs = _jobs(talkers, features, shards.folder, settings)
            records = _made(jobs, shards, workers, progress)
            if not any(record.entries for record in records):
                shutil.rmtree(shards.folder)
                raise DataError(f"none of {len(files)} files below {features} is a talking clip that can be used")
            shards.complete(records, _meta(records, stored, unreadable))
    return open_shards(out).meta


def _talking(files: list[Path], features: Path) -> tuple[dict[str, str], int]:
    """Clips with sound and their talkers, and how many files cannot be read, which is logged. Photos are passed over."""
    talking, unreadable = {}, 0
    for path in files:
        clip = path.relative_to(features).with_suffix("").as_posix()
        try:
            if has_sound(path):
                talking[clip] = clip.split("/")[0]
        except DataError as error:
            _log.warning("skipped %s: %s", clip, error)
            unreadable += 1
    return talking, unreadable


def _jobs(talkers: dict[str, str], features: Path, folder: Path, settings: PrepareSettings) -> list[ShardJob]:
    """Every clip in its shard, in an order by chance. Raises: DataError, no such talker, or none is left."""
    there = set(talkers.values())
    if unknown := set(settings.validation) - there:
        raise DataError(f"no features of {', '.join(sorted(unknown))}; there are {', '.join(sorted(there))}")
    clips = sorted(talkers)
    splits: dict[str, list[str]] = {}
    own = 0  # clips of training talkers so far
    for index in np.random.default_rng(settings.seed).permutation(len(clips)):
        clip = clips[index]
        kept = talkers[clip] in settings.validation
        own += not kept
        split = "val" if kept else "held" if own % HELD_BACK_EVERY == 2 else "train"
        splits.setdefault(split, []).append(clip)
    if splits and "train" not in splits:
        raise DataError("no talker is left to train on: name fewer talkers as validation")
    size = settings.clips_per_shard
    return [
        ShardJob(features, folder, split, number, tuple(members[start : start + size]), settings)
        for split, members in splits.items()
        for number, start in enumerate(range(0, len(members), size))
    ]


def _made(jobs: list[ShardJob], shards: ShardFolder, workers: int, progress: bool) -> list[ShardRecord]:
    """The shards of all jobs; those that an earlier run has finished are not made again."""
    from tqdm import tqdm

    records, todo = [], []
    for job in jobs:
        finished = shards.finished(job.split, job.number)
        records += [finished] if finished else []
        todo += [] if finished else [job]
    total = sum(len(job.clips) for job in jobs)
    done = sum(len(record.clips) + len(record.skipped) for record in records)
    with tqdm(total=total, initial=done, unit="clip", disable=not progress) as bar:
        for record in _made_by_workers(todo, workers) if workers > 1 else map(make_shard, todo):
            records.append(record)
            bar.update(len(record.clips) + len(record.skipped))
    for record in records:
        for clip, reason in record.skipped.items():
            _log.warning("skipped %s: %s", clip, reason)
    return records


def _made_by_workers(jobs: list[ShardJob], workers: int) -> Iterator[ShardRecord]:
    with worker_pool(min(workers, max(1, len(jobs)))) as pool:
        for made in as_completed([pool.submit(make_shard, job) for job in jobs]):
            yield made.result()


def make_shard(job: ShardJob) -> ShardRecord:
    """Make one shard, whole or not at all, in any process that sees both folders."""
    taken: list[str] = []
    skipped: dict[str, str] = {}

    def samples() -> Iterator[Sample]:
        for clip in job.clips:
            try:
                features = load_features(job.features / f"{clip}.npz", job.features)
                sample = clip_sample(features, clip, job.split, job.settings, _dice(clip, job.settings.seed))
            except (DataError, np.linalg.LinAlgError) as error:
                skipped[clip] = str(error)
                continue
            taken.append(clip)
            yield sample

    folder = ShardFolder(job.folder)
    entries = write_shard(folder.path(job.split, job.number), job.number, samples())
    record = ShardRecord(job.split, job.number, taken, entries, skipped)
    folder.finish(record)
    return record


def _dice(clip: str, seed: int) -> np.random.Generator:
    """A clip's own: what else is in its shard does not matter."""
    return np.random.default_rng([seed, int(fingerprint(clip), 16)])


def clip_sample(
    clip: ClipFeatures, name: str, split: str, settings: PrepareSettings, rng: np.random.Generator
) -> Sample:
    """A talking clip as it goes into a shard: motion of every frame, pictures of a few. Args: name: its id.

    Raises: DataError, too short to have a neutral face, or a damaged frame.
    """
    spec, n_frames = settings.spec, len(clip.landmarks)
    if n_frames < 2 * MIN_REFERENCE_DISTANCE:
        raise DataError(f"{n_frames} frames; at least {2 * MIN_REFERENCE_DISTANCE} are needed")
    canonical = clip.on_frames(canonical_landmarks(clip))
    neutral = neutral_face(canonical)
    motion = MotionBasis.load(spec.motion_basis).coefficients(canonical, neutral)[:, : spec.n_motion]
    gap = aperture(canonical)
    targets: list[int] = []
    references: list[int] = []
    if settings.pictures_per_clip:
        targets, references = choose_frames(gap, settings.pictures_per_clip, REFERENCES_PER_CLIP, rng)
    return Sample(
        name,
        clip.speaker,
        split,
        "",
        clip.pcm,
        motion.astype(np.float32),
        (gap - aperture(neutral)).astype(np.float32),
        unknown_tract(n_frames),
        {frame: face_crop(clip, frame, spec) for frame in sorted({*targets, *references})},
        tuple(targets),
        tuple(references),
    )


def canonical_landmarks(clip: ClipFeatures) -> Points:
    """(n, 468, 3) in face units, with the head's pose taken out. Raises: DataError, faces of a size that none has."""
    spans_px = np.ptp(clip.landmarks[:, list(RIGID), :2], axis=1).max(axis=1)
    if not ((spans_px >= FACE_SPAN_PX[0]) & (spans_px <= FACE_SPAN_PX[1])).all():
        raise DataError(f"its faces are {spans_px.min():.3g} to {spans_px.max():.3g} px wide, which none is")
    poses = [head_pose(points) for points in clip.landmarks]
    sizes_px = np.array([pose.unit_px for pose in poses])
    if not ((sizes_px >= FACE_UNIT_PX[0]) & (sizes_px <= FACE_UNIT_PX[1])).all():  # NaN neither
        raise DataError(f"its eyes lie {sizes_px.min():.3g} to {sizes_px.max():.3g} px apart, which no face's do")
    moved = [pose.to_canonical(points)[:N_MESH] for pose, points in zip(poses, clip.landmarks, strict=True)]
    return np.stack(moved)


def _meta(records: list[ShardRecord], stored: dict[str, Any], unreadable: int) -> dict[str, Any]:
    """What `meta.json` tells: counts of each split, how the shards were made, and what was skipped."""
    clips: dict[str, int] = {}
    frames: dict[str, int] = {}
    pictures: dict[str, int] = {}
    talkers: dict[str, set[str]] = {}
    for record in records:
        if record.entries:
            clips[record.split] = clips.get(record.split, 0) + len(record.entries)
        for entry in record.entries:
            frames[record.split] = frames.get(record.split, 0) + entry.n_frames
            pictures[record.split] = pictures.get(record.split, 0) + entry.n_targets
            talkers.setdefault(record.split, set()).add(entry.talker)
    return {
        **{"format": FORMAT, "clips": clips, "frames": frames, "pictures": pictures},
        "talkers": {split: len(members) for split, members in talkers.items()},
        "skipped": unreadable + sum(len(record.skipped) for record in records),
        **{"spec": stored["spec"], "settings": stored, "fingerprint": fingerprint(stored)},
    }
