"""The first pass over features: the face at rest of every talker, from all of his clips. See `prepare.neutral`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2v.engine.face.geometry import N_MESH
from s2v.engine.face.motion_basis import MotionBasis
from s2v.errors import DataError
from s2v.files import written_whole
from s2v.spec import LipSyncSpec
from s2v.training.arrays import Wanted, read_arrays
from s2v.training.evenly import evenly
from s2v.training.extract.feature_file import load_features
from s2v.training.prepare.basis_fit import BasisFit, basis_fit, basis_warning
from s2v.training.prepare.canonical import canonical_clip
from s2v.training.prepare.labels import facing
from s2v.training.prepare.neutral import MOST_CLIPS, ClipRest, TalkerNeutral, clip_rest, talker_neutral

_CLIPS_PER_JOB = 256
_FIT_CLIPS = 20  # that tell whether the basis fits a talker
_WANTED = {
    "talkers": Wanted("U", (None,)),
    "faces": Wanted("f", (None, N_MESH, 3), finite=True),
    "slopes": Wanted("f", (None, None, None), finite=True),
    "counts": Wanted("iu", (None, 2)),
    "seen_share": Wanted("f", (None,), finite=True),
    "warnings": Wanted("U", (None,)),
    "unusable": Wanted("U", (None,)),
    "reasons": Wanted("U", (None,)),
}


@dataclass(frozen=True)
class TalkerJob:
    """Some talkers whose faces one process finds, and where it writes them."""

    features: Path
    place: Path
    clips: Mapping[str, tuple[str, ...]]  # talker -> ids of his clips, spread evenly over all of them
    spec: LipSyncSpec


@dataclass(frozen=True)
class TalkerFaces:
    """What was found of some talkers."""

    faces: dict[str, TalkerNeutral]  # talker -> his face at rest
    warnings: dict[str, str]  # talker -> what to warn of
    unusable: dict[str, str]  # talker -> why nothing can be learned from him


def talker_jobs(clips_of: Mapping[str, list[str]], features: Path, folder: Path, spec: LipSyncSpec) -> list[TalkerJob]:
    """All talkers, so many in a job that it is worth a process. Args: clips_of: talker -> ids of his clips."""
    jobs: list[TalkerJob] = []
    own: dict[str, tuple[str, ...]] = {}
    for talker in sorted(clips_of):
        own[talker] = tuple(evenly(sorted(clips_of[talker]), MOST_CLIPS))
        if sum(map(len, own.values())) >= _CLIPS_PER_JOB:
            jobs.append(TalkerJob(features, folder / f"talkers-{len(jobs):06d}.npz", own, spec))
            own = {}
    if own:
        jobs.append(TalkerJob(features, folder / f"talkers-{len(jobs):06d}.npz", own, spec))
    return jobs


def find_neutrals(job: TalkerJob) -> TalkerFaces:
    """The faces of a job's talkers, in any process that sees its folders; what an earlier run wrote is taken."""
    with suppress(ValueError):
        before = _read(job.place)
        if {*before.faces, *before.unusable} == set(job.clips):
            return before
    found = TalkerFaces({}, {}, {})
    for talker, clips in job.clips.items():
        try:
            found.faces[talker], warning = _neutral_of(clips, job.features, job.spec)
        except DataError as error:
            found.unusable[talker] = str(error)
            continue
        if warning:
            found.warnings[talker] = warning
    _write(job.place, found)
    return found


def _neutral_of(clips: tuple[str, ...], features: Path, spec: LipSyncSpec) -> tuple[TalkerNeutral, str | None]:
    """A talker's face at rest, and what to warn of. Raises: DataError, nothing of him can be used."""
    rests: dict[str, ClipRest] = {}
    why = "there is none"
    for clip in clips:
        try:
            faces = canonical_clip(load_features(features / f"{clip}.npz", features))
            rests[clip] = clip_rest(faces, facing(faces))
        except DataError as error:
            why = str(error)
    if not rests:
        raise DataError(f"none of {len(clips)} clips can be used: {why}")
    neutral, fit, basis = talker_neutral(list(rests.values())), BasisFit(), MotionBasis.load(spec.motion_basis)
    for clip in evenly(list(rests), _FIT_CLIPS):
        faces = canonical_clip(load_features(features / f"{clip}.npz", features))
        fit += basis_fit(neutral.straight(faces)[facing(faces)], basis)
    return neutral, basis_warning(fit)


def _write(place: Path, found: TalkerFaces) -> None:
    neutrals = list(found.faces.values())
    with written_whole(place) as beside, beside.open("wb") as file:
        np.savez(
            file,
            talkers=np.array(list(found.faces), np.str_),
            faces=np.array([one.face for one in neutrals], np.float64).reshape(-1, N_MESH, 3),
            slopes=np.stack([one.slopes for one in neutrals]) if neutrals else np.zeros((0, 2, 0)),
            counts=np.array([(one.n_clips, one.n_closures) for one in neutrals], np.int64).reshape(-1, 2),
            seen_share=np.array([one.seen_share for one in neutrals], np.float64),
            warnings=np.array([found.warnings.get(talker, "") for talker in found.faces], np.str_),
            unusable=np.array(list(found.unusable), np.str_),
            reasons=np.array(list(found.unusable.values()), np.str_),
        )


def _read(place: Path) -> TalkerFaces:
    """Raises: ValueError, there is no such file, or it is damaged."""
    stored = read_arrays(place, _WANTED)
    talkers, warnings = stored["talkers"].tolist(), stored["warnings"].tolist()
    columns = (stored["faces"], stored["counts"].tolist(), stored["seen_share"].tolist(), stored["slopes"])
    neutrals = [
        TalkerNeutral(face, n_clips, n_closures, seen, slopes)
        for face, (n_clips, n_closures), seen, slopes in zip(*columns, strict=True)
    ]
    return TalkerFaces(
        dict(zip(talkers, neutrals, strict=True)),
        {talker: line for talker, line in zip(talkers, warnings, strict=True) if line},
        dict(zip(stored["unusable"].tolist(), stored["reasons"].tolist(), strict=True)),
    )
