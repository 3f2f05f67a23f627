"""Feature files -> training shards: what the networks see and what they must say, split by speaker.

A shard (.npz) holds, for some clips, the sound and the motion of every frame, and for a few frames
of each clip the pictures: the target's and a far-away reference's face crop, and in the mouth patch
the target, the reference warped to the target's geometry, and the opening between the lips.
With each goes whose mouth it is, and how many pixels of the patch one pixel of the source fills.
Talkers that are named as validation never reach a training shard; of the others some clips are
held back ("seen talker, unseen clip").
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from s2v.engine.compositor.face_tables import face_warp_tables, mouth_grid
from s2v.engine.compositor.lips import OPENING_MARGIN, opening_mask
from s2v.engine.compositor.maps import remap
from s2v.engine.compositor.warp import LayeredWarp
from s2v.engine.face.enrolment import EnrolledFace, face_from_landmarks, face_grid, sample
from s2v.engine.face.geometry import LOWER_INNER_LIP, N_MESH, UPPER_INNER_LIP, Points, head_pose
from s2v.engine.face.motion_basis import MotionBasis, aperture, neutral_face
from s2v.engine.face.photo import Image
from s2v.errors import DataError
from s2v.files import write_whole
from s2v.spec import LipSyncSpec
from s2v.training.extract.extract_features import ClipFeatures, has_sound, load_features
from s2v.training.prepare.shards import CLIPS_PER_SHARD, Shard, replaced_shards
from s2v.training.shard_spec import shard_spec
from s2v.training.train.defaults import PICTURES_PER_CLIP

HELD_BACK_EVERY = 20  # one clip in so many of a training talker is kept for validation
MIN_OPEN_MOUTH = 0.03  # face units: a photo with lips further apart teaches teeth
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
        validation: speakers (first folder below `features`) kept for validation.
    Returns: clips per split. What cannot be used is skipped and logged. The shards of another run in `out` are
    replaced when all of the new ones are written. Raises: DataError, nothing to use, or no training talker left.
    """
    from tqdm import tqdm

    files = sorted(features.rglob("*.npz"))
    if not files:
        raise DataError(f"no feature files below {features}: run s2v extract-features first")
    speakers = {path.relative_to(features).parts[0] for path in files}
    if unknown := set(validation) - speakers:
        raise DataError(f"no features of {', '.join(sorted(unknown))}; there are {', '.join(sorted(speakers))}")
    rng = np.random.default_rng(seed)
    clips: dict[str, int] = {}
    talking, photos = _split_kinds(files)
    own = 0  # clips of training talkers so far
    with replaced_shards(out) as shards:
        for index in tqdm(rng.permutation(len(talking)), unit="clip", disable=not progress):
            speaker = talking[index].relative_to(features).parts[0]
            own += speaker not in validation
            split = "val" if speaker in validation else "held" if own % HELD_BACK_EVERY == 2 else "train"
            try:
                clip = load_features(talking[index], features)
                add_clip(shards.open(split), clip, spec, pictures_per_clip, rng)
            except (DataError, np.linalg.LinAlgError) as error:
                _log.warning("skipped %s: %s", talking[index].stem, error)
                continue
            clips[split] = clips.get(split, 0) + 1
            if len(shards.open(split).clips) >= CLIPS_PER_SHARD:
                shards.write(split)
        for person in tqdm(photos, unit="person", disable=not progress):
            split = "held" if sum(map(ord, person[0].stem)) % HELD_BACK_EVERY == 0 else "train"
            for path in person:
                try:
                    shards.open(split).pictures += list(photo_pictures([load_features(path, features)], spec))
                except (DataError, np.linalg.LinAlgError) as error:
                    _log.warning("skipped %s: %s", path.stem, error)
            if len(shards.open(split).pictures) >= CLIPS_PER_SHARD * max(1, pictures_per_clip):
                shards.write(split)
        shards.write_all()
        if not clips:
            raise DataError(f"none of {len(files)} files below {features} is a talking clip that can be used")
        if not clips.get("train"):
            raise DataError("no talker is left to train on: name fewer speakers as validation")
        meta = {"clips": clips, "spec": shard_spec(spec)}
        write_whole(shards.folder / "meta.json", json.dumps(meta, indent=1))
    return clips


def _split_kinds(files: list[Path]) -> tuple[list[Path], list[list[Path]]]:
    """Talking clips, and photos grouped by person; what cannot be read is left out and logged."""
    talking: list[Path] = []
    people: dict[tuple[Path, str], list[Path]] = {}
    for path in files:
        try:
            if has_sound(path):
                talking.append(path)
                continue
        except DataError as error:
            _log.warning("skipped %s: %s", path.stem, error)
            continue
        people.setdefault((path.parent, _person(path.stem)), []).append(path)
    return talking, list(people.values())


def _person(stem: str) -> str:
    """Whose photo it is within its folder: a name like 001_smiling names the person before the underscore."""
    person, _, kind = stem.partition("_")
    return person if kind.split("_")[0].isalpha() else stem


def add_clip(shard: Shard, clip: ClipFeatures, spec: LipSyncSpec, n_pictures: int, rng: np.random.Generator) -> None:
    """Add a talking clip: motion of every frame, pictures of a few.

    Raises: DataError, too short to have a neutral face, or a damaged frame; nothing is added then.
    """
    n_frames = len(clip.landmarks)
    if n_frames < 2 * MIN_REFERENCE_DISTANCE:
        raise DataError(f"{n_frames} frames; at least {2 * MIN_REFERENCE_DISTANCE} are needed")
    canonical = clip.on_frames(np.stack([head_pose(points).to_canonical(points)[:N_MESH] for points in clip.landmarks]))
    neutral = neutral_face(canonical)
    motion = MotionBasis.load(spec.motion_basis).coefficients(canonical, neutral)[:, : spec.n_motion]
    gap = aperture(canonical)
    number = len(shard.clips)
    pictures = list(_clip_pictures(clip, motion, gap, number, spec, n_pictures, rng)) if n_pictures else []
    shard.clips.append(f"{clip.speaker}/{clip.name}")
    shard.pcm.append(clip.pcm)
    shard.motion.append(motion.astype(np.float32))
    shard.aperture.append((gap - aperture(neutral)).astype(np.float32))
    shard.pictures += pictures


def _clip_pictures(
    clip: ClipFeatures,
    motion: Points,
    gap: Points,
    number: int,
    spec: LipSyncSpec,
    n_pictures: int,
    rng: np.random.Generator,
) -> Iterator[dict[str, Any]]:
    """Pictures of a few frames of a clip, all seen from the same reference; `number` is the clip's in its shard."""
    reference, targets = choose_frames(gap, n_pictures, rng)
    photo = clip.frame(reference)
    face = face_from_landmarks(photo, clip.landmarks[reference].astype(np.float64), spec)
    warp = mouth_warp(face, spec)
    for target in targets:
        landmarks = clip.landmarks[target].astype(np.float64)
        weights = np.append(motion[target], 1.0)
        shown = picture(face, warp, clip.frame(target), landmarks, weights, spec, (number, target))
        yield {**shown, "person": clip.speaker}


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


def photo_pictures(photos: list[ClipFeatures], spec: LipSyncSpec) -> Iterator[dict[str, Any]]:
    """Pictures from stills of one person: every open mouth, seen from the same photo with its lips closed.

    A photo is closed by its own rest displacement; undoing that is what the network learns to paint. Each comes
    twice: as the network meets it when such a photo talks, and with the lips closed, as if it were another photo.
    """
    basis = MotionBasis.load(spec.motion_basis)
    for clip in photos:
        landmarks = clip.landmarks[0].astype(np.float64)
        photo = clip.frame(0)
        face = face_from_landmarks(photo, landmarks, spec)
        if aperture(face.canonical) < MIN_OPEN_MOUTH:
            continue
        motion = basis.coefficients(face.canonical[None], face.canonical + face.rest)[0, : spec.n_motion]
        weights = np.append(np.zeros(spec.n_motion), 0.0)  # the photo as it is has this very opening
        closed = _closed_photo(face, spec)
        rest_px = landmarks.copy()
        rest_px[:N_MESH] = face.pose.to_photo(face.canonical + face.rest)
        closed_face = face_from_landmarks(closed, rest_px, spec)
        still = picture(face, mouth_warp(face, spec), photo, landmarks, weights, spec, (-1, 0))
        still["motion"] = motion.astype(np.float32)
        still["mouth_warped"] = reopened(face, closed_face, spec)
        still["person"] = f"{clip.speaker}/{_person(clip.name)}"
        yield still
        yield {**still, "reference": sample(closed, face_grid(face.plane, spec), (spec.face_px, spec.face_px))}


def _closed_photo(face: EnrolledFace, spec: LipSyncSpec) -> Image:
    height, width = face.photo.shape[:2]
    warp = LayeredWarp(face_warp_tables(face, spec, np.eye(2, 3), (width, height), step=max(width, height) / 96))
    source = warp.source_map(np.append(np.zeros(spec.n_motion), 1.0).astype(np.float32))
    return remap(face.photo, source)


def reopened(face: EnrolledFace, closed: EnrolledFace, spec: LipSyncSpec) -> Image:
    """The closed photo pulled open again to the original's geometry, in the mouth patch."""
    # Exactly the original's opening: the way back of its own rest, beside the motion components.
    warp = mouth_warp(replace(closed, rest=-face.rest), spec, mouth_grid(face, spec))
    source = warp.source_map(np.append(np.zeros(spec.n_motion), 1.0).astype(np.float32))
    return remap(closed.photo, source, cv2.INTER_LINEAR)


def mouth_warp(face: EnrolledFace, spec: LipSyncSpec, grid: Points | None = None) -> LayeredWarp:
    """The warp of a face seen through the mouth patch."""
    patch = mouth_grid(face, spec) if grid is None else grid
    return LayeredWarp(face_warp_tables(face, spec, patch, (spec.mouth_w_px, spec.mouth_h_px), step=3))


def picture(
    face: EnrolledFace,
    warp: LayeredWarp,
    target: Image,
    landmarks: Points,
    weights: Points,
    spec: LipSyncSpec,
    where: tuple[int, int],
) -> dict[str, Any]:
    """One sample of pictures.

    Args:
        face: the reference, enrolled; warp: its `mouth_warp`.
        weights: (n_motion + 1,) how the reference is moved to match.
        target: frame to reproduce; landmarks: (478, 3) of it.
        where: (clip in the shard, frame), -1 for a still.
    """
    size = (spec.mouth_w_px, spec.mouth_h_px)
    moved = face_from_landmarks(target, landmarks, spec)
    patch = mouth_grid(face, spec)
    # The patch lies at the same place of the face in both frames, whatever the head did in between.
    patch_to_plane = np.linalg.inv(np.vstack([face.plane.matrix, [0, 0, 1]])) @ np.vstack([patch, [0, 0, 1]])
    there = moved.plane.matrix @ patch_to_plane
    source = warp.source_map(weights.astype(np.float32))
    lips = landmarks[[*UPPER_INNER_LIP, *LOWER_INNER_LIP[-2:0:-1]], :2]
    own = (lips - there[:, 2]) @ np.linalg.inv(there[:, :2]).T
    margin_px = OPENING_MARGIN * face.pose.unit_px / float(np.sqrt(abs(np.linalg.det(patch[:, :2]))))
    crop = (spec.face_px, spec.face_px)
    return {
        "where": np.array(where, np.int32),
        "magnified": np.float32(1 / np.sqrt(abs(np.linalg.det(there[:, :2])))),
        "motion": weights[:-1].astype(np.float32),
        "target": sample(target, face_grid(moved.plane, spec), crop),
        "reference": sample(face.photo, face_grid(face.plane, spec), crop),
        "mouth_target": sample(target, there, size),
        "mouth_warped": remap(face.photo, source, cv2.INTER_LINEAR),
        "opening": (255 * opening_mask(own, size, margin_px)).astype(np.uint8),
        "gate": (255 * opening_mask(warp.mouth_outline(weights.astype(np.float32)), size, margin_px)).astype(np.uint8),
    }
