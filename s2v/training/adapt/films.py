"""The films of one person, extracted: through the gates of `extract-features`, with its report."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from s2v.errors import DataError
from s2v.training.dataset.clusters import clustered_talkers
from s2v.training.dataset.sources import VIDEO_SUFFIXES, clip_id_of
from s2v.training.evaluation.clips import features_folder
from s2v.training.extract.extract_features import extract_features
from s2v.training.extract.feature_file import ClipFeatures, face_of, has_sound, load_features
from s2v.training.quality.clip_records import REPORT_NAME, read_records

_ONE_PERSON = 2.2  # of face shapes, from the middle one: films of three seconds of one person are up to 1.9 from it
_STRANGERS_SHARE = 0.1  # of films whose faces lie elsewhere; fewer are a face badly seen
_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class Films:
    """What was extracted, in the order in which it was given, those of a folder by name."""

    films: tuple[ClipFeatures, ...]
    skipped: dict[str, str]  # file -> why it is not learned from


def extract_films(given: Sequence[Path], features: Path, workers: int, progress: bool) -> Films:
    """Extract films, and all films of folders, into `features`; what an earlier run extracted is kept.

    Raises: DataError, no such film, none that can be learned from (with the reason), or several people.
    """
    for path in given:
        if not path.exists():
            raise DataError(f"there is no film {path}: --face-video takes a film of a person who talks, or a folder")
        if path.is_file() and path.suffix.lower() not in VIDEO_SUFFIXES:
            raise DataError(f"{path} is no film: --face-video takes {', '.join(sorted(VIDEO_SUFFIXES))}")
    found: dict[Path, Path] = {}  # film -> its feature file
    taken: set[Path] = set()  # a film in two of the folders is one film
    clips: list[ClipFeatures] = []
    skipped: dict[str, str] = {}
    for folder, files in _by_folder(given).items():
        films = files or sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
        if not films:
            raise DataError(f"there is no film in {folder}: --face-video takes {', '.join(sorted(VIDEO_SUFFIXES))}")
        films = [film for film in films if film.resolve() not in taken]
        taken |= {film.resolve() for film in films}
        if not films:
            continue
        out = features_folder(folder, features)
        targets = {film: out / film.relative_to(folder).with_suffix(".npz") for film in films}
        for film, target in targets.items():
            if target.exists() and target.stat().st_mtime < film.stat().st_mtime:
                target.unlink()  # filmed again under the same name
        try:
            report = extract_features(folder, out, workers, progress, films, talkers="folder")
            skipped |= report.failed
        except DataError as error:
            records = read_records(out / REPORT_NAME)
            known = {film: records.get(clip_id_of(target, out)) for film, target in targets.items()}
            reasons = {str(film): one.refusal.reason for film, one in known.items() if one and one.refusal}
            if len(reasons) < len(films):
                raise
            skipped |= reasons
            _log.debug("%s", error)
        for film, target in targets.items():
            if str(film) not in skipped and target.exists() and has_sound(target):
                found[film] = target
                clips.append(load_features(target, out))
    if not found:
        name, reason = next(iter(skipped.items()), ("it", "no sound"))
        more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        raise DataError(f"{name} cannot be learned from: {reason}{more}")
    _refuse_several_people(found)
    return Films(tuple(clips), skipped)


def _by_folder(given: Sequence[Path]) -> dict[Path, list[Path]]:
    """{folder: films in it that were named, [] all}."""
    groups: dict[Path, list[Path]] = {}
    for path in dict.fromkeys(path.resolve() for path in given):
        if path.is_dir():
            groups[path] = []
        elif groups.get(path.parent) != []:
            groups.setdefault(path.parent, []).append(path)
    return groups


def _refuse_several_people(found: Mapping[Path, Path]) -> None:
    faces = {}
    for film, features in found.items():
        if (face := face_of(features)) is not None:
            faces[str(film)] = face
    people = clustered_talkers(faces, dict.fromkeys(faces, "person"), _ONE_PERSON)
    if not people:
        return
    (most, _), *_ = Counter(people.values()).most_common()
    others = [film for film, person in people.items() if person != most]
    if len(others) > _STRANGERS_SHARE * len(people):
        raise DataError(
            f"the films show more than one person ({others[0]} is somebody else): give films of one person at a time"
        )
