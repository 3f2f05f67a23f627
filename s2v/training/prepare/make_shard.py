"""The second pass over features: the clips of one shard, in any process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.extract.feature_file import ClipFeatures, load_features
from s2v.training.prepare.canonical import canonical_clip
from s2v.training.prepare.clip_pictures import choose_frames, face_crop
from s2v.training.prepare.labels import ClipLabels, clip_labels
from s2v.training.prepare.neutral import TalkerNeutral
from s2v.training.prepare.shards import ShardFolder, ShardRecord, fingerprint, write_shard
from s2v.training.shard_file import MIN_REFERENCE_DISTANCE, ClipSample
from s2v.training.train.batches import unknown_tract
from s2v.training.train.defaults import CLIPS_PER_SHARD, PICTURES_PER_CLIP

REFERENCES_PER_CLIP = 4


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
    talkers: Mapping[str, str]  # clip id -> talker, in the shard's order
    neutrals: Mapping[str, TalkerNeutral]  # of these talkers
    settings: PrepareSettings

    def __len__(self) -> int:
        return len(self.talkers)

    def made(self, record: ShardRecord) -> bool:
        """Whether a shard is of these clips."""
        return {*record.notes, *record.skipped} == set(self.talkers)


def make_shard(job: ShardJob) -> ShardRecord:
    """Make one shard, whole or not at all, in any process that sees its folders."""
    skipped: dict[str, str] = {}
    notes: dict[str, str] = {}

    def samples() -> Iterator[ClipSample]:
        for clip_id, talker in job.talkers.items():
            try:
                clip = load_features(job.features / f"{clip_id}.npz", job.features)
                dice = np.random.default_rng([job.settings.seed, int(fingerprint(clip_id), 16)])
                sample, note = clip_sample(clip, talker, job.split, job.neutrals[talker], job.settings, dice)
            except DataError as error:
                skipped[clip_id] = str(error)
                continue
            notes[clip_id] = note
            yield sample

    folder = ShardFolder(job.folder)
    entries = write_shard(folder.path(job.split, job.number), job.number, samples())
    record = ShardRecord(job.split, job.number, notes, entries, skipped)
    folder.finish(record)
    return record


def clip_sample(
    clip: ClipFeatures,
    talker: str,
    split: str,
    neutral: TalkerNeutral,
    settings: PrepareSettings,
    rng: np.random.Generator,
) -> tuple[ClipSample, str]:
    """A talking clip as it goes into a shard: motion of every frame, pictures of a few; and a note on what is unknown.

    Args: neutral: the talker's face at rest.
    Raises: DataError, too short, too little of it can be read, or a damaged frame.
    """
    spec, n_frames = settings.spec, len(clip.landmarks)
    if n_frames < 2 * MIN_REFERENCE_DISTANCE:
        raise DataError(f"{n_frames} frames; at least {2 * MIN_REFERENCE_DISTANCE} are needed")
    labels = clip_labels(canonical_clip(clip), neutral, spec)
    targets, references = _frames(labels, settings, rng)
    sample = ClipSample(
        clip.clip_id,
        talker,
        split,
        clip.transcript,
        clip.pcm,
        labels.motion,
        labels.aperture,
        unknown_tract(n_frames),
        {frame: face_crop(clip, frame, spec) for frame in sorted({*targets, *references})},
        tuple(targets),
        tuple(references),
    )
    return sample, labels.line() or ""


def _frames(labels: ClipLabels, settings: PrepareSettings, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    if not settings.pictures_per_clip:
        return [], []
    return choose_frames(labels.aperture, settings.pictures_per_clip, REFERENCES_PER_CLIP, rng)
