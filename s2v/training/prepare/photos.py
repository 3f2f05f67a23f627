"""Photos of people who say nothing, as clips of silence: pictures for networks that draw pixels.

Film shows few people; photos show many, each in a light of their own. What a closed mouth looks like beside any photo
of the same person can be learned from them. They are a split of their own ("photo"): nobody learns motion from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2v.engine.face.motion_basis import aperture
from s2v.errors import DataError
from s2v.training.extract.feature_file import ClipFeatures, load_features
from s2v.training.prepare.canonical import canonical_clip
from s2v.training.prepare.clip_pictures import face_crop
from s2v.training.prepare.make_shard import PrepareSettings
from s2v.training.prepare.shards import ShardFolder, ShardRecord, fingerprint, write_shard
from s2v.training.shard_file import MIN_REFERENCE_DISTANCE, ClipSample
from s2v.training.train.augment import no_speech
from s2v.training.train.batches import unknown_tract

PHOTO = "photo"  # the split
CLOSED = 0.02  # face units between the lips of a mouth that says nothing
_SHOWN = 9  # times that a photo is shown in a person's clip
_MOST_OF_ONE = 4  # photos; a folder of more is taken for as many people


@dataclass(frozen=True)
class PhotoShardJob:
    """The people of one shard of photos."""

    features: Path
    folder: Path
    number: int
    people: Mapping[str, tuple[str, ...]]  # talker -> ids of the photos
    settings: PrepareSettings
    split: str = PHOTO

    def __len__(self) -> int:
        return len(self.people)

    def made(self, record: ShardRecord) -> bool:
        """Whether a shard is of these people."""
        there = {*record.notes, *record.skipped}
        known = {photo for photos in self.people.values() for photo in photos}
        return there <= known and all(there & set(photos) for photos in self.people.values())


def photo_jobs(
    photos: Mapping[str, str], features: Path, folder: Path, settings: PrepareSettings
) -> list[PhotoShardJob]:
    """Everybody of whom there are photos, in shards. Args: photos: {id: talker}, of nobody who is kept for validation.

    A talker of more than four photos is taken for a folder of portraits: each of them stands for somebody.
    """
    people: dict[str, list[str]] = {}
    for photo, talker in sorted(photos.items()):
        people.setdefault(talker, []).append(photo)
    apart: dict[str, tuple[str, ...]] = {}
    for talker, own in people.items():
        apart |= {talker: tuple(own)} if len(own) <= _MOST_OF_ONE else {photo: (photo,) for photo in own}
    names = [sorted(apart)[at] for at in np.random.default_rng(settings.seed).permutation(len(apart))]
    size = settings.clips_per_shard
    return [
        PhotoShardJob(features, folder, number, {name: apart[name] for name in names[start : start + size]}, settings)
        for number, start in enumerate(range(0, len(names), size))
    ]


def make_photo_shard(job: PhotoShardJob) -> ShardRecord:
    """Make one shard of photos, whole or not at all, in any process that sees its folders."""
    skipped: dict[str, str] = {}
    notes: dict[str, str] = {}

    def samples() -> Iterator[ClipSample]:
        for person, photos in job.people.items():
            whole = []
            for photo in photos:
                try:
                    whole.append(_loaded(job.features, photo))
                except DataError as error:
                    skipped[photo] = str(error)
            try:
                sample = photo_sample(person, whole, job.settings)
            except DataError as error:
                skipped.update({photo.clip_id: str(error) for photo in whole})
                continue
            notes[sample.clip] = ""
            yield sample

    folder = ShardFolder(job.folder)
    entries = write_shard(folder.path(PHOTO, job.number), job.number, samples())
    record = ShardRecord(PHOTO, job.number, notes, entries, skipped)
    folder.finish(record)
    return record


def photo_sample(person: str, photos: list[ClipFeatures], settings: PrepareSettings) -> ClipSample:
    """Photos of one person, each shown again and again to a sound in which nobody speaks.

    Photos with closed lips are to be drawn; the reference is another photo, or the same where there is one only.
    Nothing is said of motion: it is NaN.
    Raises: DataError, all lips are open, no photo, or a damaged one.
    """
    spec = settings.spec
    closed = [float(aperture(canonical_clip(photo).points[0])) <= CLOSED for photo in photos]
    if not any(closed):
        raise DataError("its lips are open, so it cannot show what silence looks like")
    crops = [face_crop(photo, 0, spec) for photo in photos]
    # A photo's frames lie near each other, so that none of them is another's reference.
    apart, blocks = MIN_REFERENCE_DISTANCE, 2 * MIN_REFERENCE_DISTANCE
    if len(photos) == 1:
        shown = {apart * (turn + 1): 0 for turn in range(_SHOWN)}
    else:
        shown = {blocks * which + turn: which for which in range(len(photos)) for turn in range(_SHOWN)}
    n_frames = max(max(shown) + 1, apart * (_SHOWN + 1))
    dice = np.random.default_rng([settings.seed, int(fingerprint(photos[0].clip_id), 16)])
    pcm = no_speech(round(n_frames * spec.samples_per_frame), dice)
    return ClipSample(
        photos[0].clip_id,
        person,
        PHOTO,
        "",
        np.rint(pcm * 32767).astype(np.int16),
        np.full((n_frames, spec.n_motion), np.nan, np.float32),
        np.full(n_frames, np.nan, np.float32),
        unknown_tract(n_frames),
        {frame: crops[which] for frame, which in shown.items()},
        tuple(frame for frame, which in shown.items() if closed[which])[: settings.pictures_per_clip],
        tuple(shown),
    )


def _loaded(features: Path, photo: str) -> ClipFeatures:
    return load_features(features / f"{photo}.npz", features)
