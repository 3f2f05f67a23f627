"""The first pass over features: the face at rest of every talker, from all of his clips. See `prepare.neutral`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
from s2v.training.prepare.neutral import MOST_CLIPS, ClipRest, clip_rest, talker_neutral

_CLIPS_PER_JOB = 256
_WANTED = {
    "talkers": Wanted("U", (None,)),
    "faces": Wanted("f", (None, N_MESH, 3), finite=True),
    "told": Wanted("U", (None,)),
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

    faces: dict[str, NDArray[np.float64]]  # talker -> (468, 3) his face at rest
    warnings: dict[str, str]  # talker -> what is to be told of him
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
    with suppress(ValueError, DataError):
        return _read(job.place)
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


def _neutral_of(clips: tuple[str, ...], features: Path, spec: LipSyncSpec) -> tuple[NDArray[np.float64], str | None]:
    """A talker's face at rest, and what is to be told of him. Raises: DataError, nothing of him can be used."""
    basis = MotionBasis.load(spec.motion_basis)
    rests: list[ClipRest] = []
    fit, why = BasisFit(), "there is none"
    for clip in clips:
        try:
            faces = canonical_clip(load_features(features / f"{clip}.npz", features))
            seen = facing(faces)
            rests.append(clip_rest(faces, seen))
        except DataError as error:
            why = str(error)
            continue
        fit += basis_fit(faces.points[seen].astype(np.float64), basis)
    if not rests:
        raise DataError(f"none of {len(clips)} clips can be used: {why}")
    return talker_neutral(rests).face, basis_warning(fit)


def _write(place: Path, found: TalkerFaces) -> None:
    told = [found.warnings.get(talker, "") for talker in found.faces]
    with written_whole(place) as beside, beside.open("wb") as file:
        np.savez(
            file,
            talkers=np.array(list(found.faces), np.str_),
            faces=np.array(list(found.faces.values())).reshape(-1, N_MESH, 3),
            told=np.array(told, np.str_),
            unusable=np.array(list(found.unusable), np.str_),
            reasons=np.array(list(found.unusable.values()), np.str_),
        )


def _read(place: Path) -> TalkerFaces:
    stored = read_arrays(place, _WANTED)
    talkers, told = stored["talkers"].tolist(), stored["told"].tolist()
    return TalkerFaces(
        dict(zip(talkers, stored["faces"], strict=True)),
        {talker: line for talker, line in zip(talkers, told, strict=True) if line},
        dict(zip(stored["unusable"].tolist(), stored["reasons"].tolist(), strict=True)),
    )
