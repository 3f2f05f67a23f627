"""Feature files -> training shards: what the networks see and what they must say, split by talker.

A shard (.npz) holds, for some clips, the sound and the motion of every frame, and for a few frames
of each clip the pictures: the target's and a far-away reference's face crop.
Talkers that are named as validation never reach a training shard; of the others some clips are
held back ("seen talker, unseen clip").
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from s2v.engine.face.enrolment import face_from_landmarks, face_grid, sample
from s2v.engine.face.geometry import N_MESH, RIGID, Points, head_pose
from s2v.engine.face.motion_basis import MotionBasis, aperture, neutral_face
from s2v.engine.face.photo import Image
from s2v.errors import DataError
from s2v.files import write_whole
from s2v.spec import LipSyncSpec
from s2v.training.dataset.sources import clip_id_of
from s2v.training.extract.feature_file import ClipFeatures, has_sound, load_features, talkers_of
from s2v.training.prepare.shards import CLIPS_PER_SHARD, Shard, replaced_shards
from s2v.training.shard_spec import shard_spec
from s2v.training.train.batches import unknown_tract
from s2v.training.train.defaults import PICTURES_PER_CLIP

HELD_BACK_EVERY = 20  # one clip in so many of a training talker is kept for validation
FACE_SPAN_PX, FACE_UNIT_PX = (4.0, 20_000.0), (2.0, 5000.0)  # of a face that can be used; others are damage
MIN_REFERENCE_DISTANCE = 10  # frames between a reference and its target
_log = logging.getLogger("s2v")


def prepare_data(
    features: Path,
    out: Path,
    spec: LipSyncSpec,
    validation: tuple[str, ...] = (),
    pictures_per_clip: int = PICTURES_PER_CLIP,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, int]:
    """Write `train-*.npz`, `held-*.npz` (clips of training talkers), `val-*.npz` (other talkers), `meta.json`.

    Args:
        validation: talkers kept for validation.
    Returns: clips per split. What cannot be used is skipped and logged. The shards of another run in `out` are
    replaced when all of the new ones are written. Raises: DataError, nothing to use, or no training talker left.
    """
    from tqdm import tqdm

    files = sorted(features.rglob("*.npz"))
    if not files:
        raise DataError(f"no feature files below {features}: run s2v extract-features first")
    talkers = talkers_of(features)
    if unknown := set(validation) - set(talkers.values()):
        there = ", ".join(sorted(set(talkers.values())))
        raise DataError(f"no features of {', '.join(sorted(unknown))}; there are {there}")
    rng = np.random.default_rng(seed)
    clips: dict[str, int] = {}
    talking = _talking(files)
    own = 0  # clips of training talkers so far
    with replaced_shards(out) as shards:
        for index in tqdm(rng.permutation(len(talking)), unit="clip", disable=not progress):
            talker = talkers[clip_id_of(talking[index], features)]
            own += talker not in validation
            split = "val" if talker in validation else "held" if own % HELD_BACK_EVERY == 2 else "train"
            try:
                clip = load_features(talking[index], features)
                add_clip(shards.open(split), clip, spec, pictures_per_clip, rng)
            except (DataError, np.linalg.LinAlgError) as error:
                _log.warning("skipped %s: %s", talking[index].stem, error)
                continue
            clips[split] = clips.get(split, 0) + 1
            if len(shards.open(split).clips) >= CLIPS_PER_SHARD:
                shards.write(split)
        shards.write_all()
        if not clips:
            raise DataError(f"none of {len(files)} files below {features} is a talking clip that can be used")
        if not clips.get("train"):
            raise DataError("no talker is left to train on: name fewer talkers as validation")
        meta = {"clips": clips, "spec": shard_spec(spec)}
        write_whole(shards.folder / "meta.json", json.dumps(meta, indent=1))
    return clips


def _talking(files: list[Path]) -> list[Path]:
    """Those with sound; photos are passed over, and what cannot be read is logged."""
    talking: list[Path] = []
    for path in files:
        try:
            if has_sound(path):
                talking.append(path)
        except DataError as error:
            _log.warning("skipped %s: %s", path.stem, error)
    return talking


def add_clip(shard: Shard, clip: ClipFeatures, spec: LipSyncSpec, n_pictures: int, rng: np.random.Generator) -> None:
    """Add a talking clip: motion of every frame, pictures of a few.

    Raises: DataError, too short to have a neutral face, or a damaged frame; nothing is added then.
    """
    n_frames = len(clip.landmarks)
    if n_frames < 2 * MIN_REFERENCE_DISTANCE:
        raise DataError(f"{n_frames} frames; at least {2 * MIN_REFERENCE_DISTANCE} are needed")
    spans_px = np.ptp(clip.landmarks[:, list(RIGID), :2], axis=1).max(axis=1)
    if not ((spans_px >= FACE_SPAN_PX[0]) & (spans_px <= FACE_SPAN_PX[1])).all():
        raise DataError(f"its faces are {spans_px.min():.3g} to {spans_px.max():.3g} px wide, which none is")
    poses = [head_pose(points) for points in clip.landmarks]
    sizes_px = np.array([pose.unit_px for pose in poses])
    if not ((sizes_px >= FACE_UNIT_PX[0]) & (sizes_px <= FACE_UNIT_PX[1])).all():  # NaN neither
        raise DataError(f"its eyes lie {sizes_px.min():.3g} to {sizes_px.max():.3g} px apart, which no face's do")
    moved = [pose.to_canonical(points)[:N_MESH] for pose, points in zip(poses, clip.landmarks, strict=True)]
    canonical = clip.on_frames(np.stack(moved))
    neutral = neutral_face(canonical)
    motion = MotionBasis.load(spec.motion_basis).coefficients(canonical, neutral)[:, : spec.n_motion]
    gap = aperture(canonical)
    number = len(shard.clips)
    pictures = list(_clip_pictures(clip, gap, number, spec, n_pictures, rng)) if n_pictures else []
    shard.clips.append(clip.clip_id)
    shard.pcm.append(clip.pcm)
    shard.motion.append(motion.astype(np.float32))
    shard.aperture.append((gap - aperture(neutral)).astype(np.float32))
    shard.tract.append(unknown_tract(n_frames))
    shard.pictures += pictures


def _clip_pictures(
    clip: ClipFeatures, gap: Points, number: int, spec: LipSyncSpec, n_pictures: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """Face crops of a few frames of a clip, uint8, each beside the same reference; `number` is the clip's in its shard.

    `where` is (clip in the shard, frame).
    """
    crop = (spec.face_px, spec.face_px)

    def cropped(frame: int) -> Image:
        photo = clip.frame(frame)
        face = face_from_landmarks(photo, clip.landmarks[frame].astype(np.float64), spec)
        return sample(photo, face_grid(face.plane, spec), crop)

    reference, targets = choose_frames(gap, n_pictures, rng)
    beside = cropped(reference)
    for target in targets:
        yield {"where": np.array((number, target), np.int32), "target": cropped(target), "reference": beside}


def choose_frames(gap: Points, n_targets: int, rng: np.random.Generator) -> tuple[int, list[int]]:
    """Which frame of a clip is the reference, and which are the targets: far from it, so that they differ.

    Args:
        gap: (n,) opening of each frame, face units; n is at least 2 * MIN_REFERENCE_DISTANCE.
    """
    # A photo at hand is mostly one of a closed mouth; some references are any frame at all.
    closed = np.flatnonzero(gap <= np.quantile(gap, 0.15))
    reference = int(rng.choice(closed) if rng.random() < 0.75 else rng.integers(len(gap)))
    far = np.flatnonzero(np.abs(np.arange(len(gap)) - reference) >= MIN_REFERENCE_DISTANCE)
    # Open mouths teach more than closed ones.
    weight = np.clip(gap[far], 0.01, 0.15)
    targets = rng.choice(far, size=min(n_targets, len(far)), replace=False, p=weight / weight.sum())
    return reference, [int(target) for target in targets]
