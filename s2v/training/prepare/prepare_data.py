"""Feature files -> training shards: what the networks see and must say, split by talker.

A shard holds some clips: the sound and the motion of every frame, and face crops of a few frames, of which some are to
be drawn and others may be the photo beside them. Talkers of validation never reach a training shard; of the others
some clips are held back ("seen talker, unseen clip"). What is in which shard depends on the features and the settings
alone: so several processes can make shards at once, and a run that was killed goes on with those that are missing.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from s2v.errors import DataError
from s2v.training.cluster.shared_work import shared_work
from s2v.training.dataset.clip_index import INDEX_NAME, nearest_index
from s2v.training.dataset.sources import clip_id_of
from s2v.training.dataset.splits import split_clips
from s2v.training.extract.feature_file import has_sound, talkers_of
from s2v.training.prepare.make_shard import PrepareSettings, ShardJob, make_shard
from s2v.training.prepare.photos import PhotoShardJob, make_photo_shard, photo_jobs
from s2v.training.prepare.shards import ShardFolder, ShardRecord, fingerprint, shard_folder
from s2v.training.prepare.talker_neutrals import TalkerFaces, find_neutrals, talker_jobs
from s2v.training.shard_spec import shard_spec
from s2v.training.shard_store import FORMAT, open_shards
from s2v.training.workers import JobRunner

HELD_BACK_EVERY, MOST_HELD_BACK = 20, 400  # one clip in so many of training talkers is kept back, but no more
Job = TypeVar("Job")
Result = TypeVar("Result")
SomeJob = TypeVar("SomeJob", ShardJob, PhotoShardJob)
_log = logging.getLogger("s2v")


def prepare_data(
    features: Path,
    out: Path,
    settings: PrepareSettings,
    workers: int | None = None,
    force: bool = False,
    progress: bool = True,
    ray: str | None = None,
) -> dict[str, Any]:
    """Write shards of `train`, `held` (clips of training talkers), `val` and `test` (other talkers), `photo` (stills of
    people who are not kept back, where pictures are wanted), and `meta.json`.

    What cannot be used is skipped and logged. A run that was killed goes on where it was; where all is done already,
    nothing is done.

    Args:
        force: replace shards that were made with other settings.
        workers, ray: where it is done, see `shared_work`; one worker is this process.
    Returns: what `meta.json` holds. Raises: DataError, nothing to use, no training talker left, a worker was killed,
    or `out` holds shards of other settings.
    """
    if ray is not None:  # other machines have other working folders
        features, out = features.absolute(), out.absolute()
    # Nothing hidden: neither parts of files nor what an unfinished run keeps, should its shards lie below the features.
    files = sorted(path for path in features.rglob("*.npz") if not _is_hidden(path.relative_to(features)))
    if not files:
        raise DataError(f"no feature files below {features}: run s2v extract-features first")
    stored = _stored(settings, files, features)
    with shard_folder(out, stored, force) as shards:
        if shards is None:
            _log.info("%s holds these shards already", out)
        else:
            clips, photos, unusable = _sorted_out(files, features)
            # Who is on photos alone is kept back too, but has no clip to judge by.
            of_photos = set(photos.values()) - set(clips.values())
            validation = [talker for talker in settings.validation if talker not in of_photos]
            splits = split_clips(clips, _lists(clips, features), validation)
            talkers = {clip: clips[clip] for clip in splits}
            with _runner(workers, ray, features, shards.folder) as run:
                faces = _faces(talkers, features, shards, settings, run, progress)
                unusable |= {clip: faces.unusable[who] for clip, who in talkers.items() if who in faces.unusable}
                jobs = _jobs(splits, talkers, faces, features, shards.folder, settings)
                records = _made(make_shard, jobs, shards, run, progress)
                if settings.pictures_per_clip:
                    listed = _lists(photos, features)
                    kept = _of_nobody_kept_back(photos, listed, clips, splits, settings)
                    people = photo_jobs(kept, features, shards.folder, settings)
                    records += _made(make_photo_shard, people, shards, run, progress)
            _finish(shards, records, unusable, stored, f"none of {len(files)} files below {features}")
    return open_shards(out).meta


def _is_hidden(inside: Path) -> bool:
    return any(part.startswith(".") for part in inside.parts)


def _stored(settings: PrepareSettings, files: list[Path], features: Path) -> dict[str, Any]:
    """All that decides what is in the shards, as JSON."""
    seen = [[clip_id_of(path, features), path.stat().st_size] for path in files]
    # People may edit them.
    indices = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(features.rglob(INDEX_NAME))]
    return {
        **{
            "format": FORMAT,
            "spec": shard_spec(settings.spec),
            "validation": sorted(settings.validation),
            "seed": settings.seed,
        },
        **{"pictures_per_clip": settings.pictures_per_clip, "clips_per_shard": settings.clips_per_shard},
        "features": fingerprint([seen, indices]),
    }


def _sorted_out(files: list[Path], features: Path) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Talkers of the clips with sound, those of the photos, and of files that cannot be read the reason."""
    clips: dict[str, str] = {}
    photos: dict[str, str] = {}
    unusable: dict[str, str] = {}
    everybody = talkers_of(features)
    for path in files:
        clip = clip_id_of(path, features)
        try:
            (clips if has_sound(path) else photos)[clip] = everybody[clip]
        except DataError as error:
            unusable[clip] = str(error)
        except KeyError:  # `talkers_of` has told why
            unusable[clip] = "its feature file is damaged"
    return clips, photos, unusable


def _of_nobody_kept_back(
    photos: Mapping[str, str],
    listed: Mapping[str, str],
    clips: Mapping[str, str],
    splits: Mapping[str, str],
    settings: PrepareSettings,
) -> dict[str, str]:
    """The photos of people who are in no other split, by name, list and folder (faces rename talkers)."""
    trained_on = {clips[clip] for clip, split in splits.items() if split == "train"}
    kept_back = (set(clips.values()) - trained_on) | set(settings.validation)
    kept_back |= {photos[photo] for photo, name in listed.items() if name in ("val", "test")}
    folders = {clip.rpartition("/")[0] for clip, talker in clips.items() if talker in kept_back} - {""}
    return {
        photo: talker
        for photo, talker in photos.items()
        if talker not in kept_back and photo.rpartition("/")[0] not in folders
    }


def _lists(clips: Iterable[str], features: Path) -> dict[str, str]:
    """{clip: its list}. Where one corpus has a list of training, those without one are trained on as a whole."""
    found = {clip: known for clip in clips if (known := nearest_index(clip, features))}
    with_train = {corpus for corpus, known in found.values() if known.listed in ("train", "pretrain")}
    listed = {clip: known.listed for clip, (_, known) in found.items() if known.listed}
    if with_train:
        whole = [clip for clip, (corpus, _) in found.items() if corpus not in with_train]
        listed = dict.fromkeys(whole, "train") | listed
    return listed


def _runner(workers: int | None, ray: str | None, features: Path, folder: Path) -> AbstractContextManager[JobRunner]:
    if ray is None and (workers or 1) < 2:
        return nullcontext(_here)
    return shared_work(workers, ray, features, folder)


def _here(
    work: Callable[[Job], Result], jobs: Sequence[Job], lost: Callable[[Job], Result] | None = None
) -> Iterator[Result]:
    return map(work, jobs)


def _faces(
    talkers: Mapping[str, str],
    features: Path,
    shards: ShardFolder,
    settings: PrepareSettings,
    run: JobRunner,
    progress: bool,
) -> TalkerFaces:
    from tqdm import tqdm

    clips_of: dict[str, list[str]] = {}
    for clip, talker in talkers.items():
        clips_of.setdefault(talker, []).append(clip)
    jobs = talker_jobs(clips_of, features, shards.folder, settings.spec)
    found = TalkerFaces({}, {}, {})
    with tqdm(total=len(clips_of), unit="talker", disable=not progress) as bar:
        for some in run(find_neutrals, jobs):
            found.faces.update(some.faces)
            found.warnings.update(some.warnings)
            found.unusable.update(some.unusable)
            bar.update(len(some.faces) + len(some.unusable))
    for talker, line in sorted((found.warnings | found.unusable).items()):
        _log.warning("talker %s: %s", talker, line)
    return found


def _jobs(
    splits: Mapping[str, str],
    talkers: Mapping[str, str],
    faces: TalkerFaces,
    features: Path,
    folder: Path,
    settings: PrepareSettings,
) -> list[ShardJob]:
    """Every clip in its shard, in an order by chance."""
    usable = sorted(clip for clip, talker in talkers.items() if talker in faces.faces)
    every = max(HELD_BACK_EVERY, sum(splits[clip] == "train" for clip in usable) // MOST_HELD_BACK)
    members: dict[str, list[str]] = {}
    own = 0  # clips of training talkers so far
    for index in np.random.default_rng(settings.seed).permutation(len(usable)):
        split: str = splits[usable[index]]
        own += split == "train"
        members.setdefault("held" if split == "train" and own % every == 2 else split, []).append(usable[index])
    jobs = []
    for split, clips in members.items():
        for number, start in enumerate(range(0, len(clips), settings.clips_per_shard)):
            part = {clip: talkers[clip] for clip in clips[start : start + settings.clips_per_shard]}
            neutrals = {talker: faces.faces[talker] for talker in part.values()}
            jobs.append(ShardJob(features, folder, split, number, part, neutrals, settings))
    return jobs


def _made(
    make: Callable[[SomeJob], ShardRecord], jobs: list[SomeJob], shards: ShardFolder, run: JobRunner, progress: bool
) -> list[ShardRecord]:
    """The shards of all jobs; those that an earlier run has finished are not made again."""
    from tqdm import tqdm

    finished = {(job.split, job.number): shards.finished(job.split, job.number) for job in jobs}
    for job in jobs:  # what can be read may have changed since an earlier run, and with it who is in which shard
        if (record := finished[job.split, job.number]) and not job.made(record):
            finished[job.split, job.number] = None
    records = [record for record in finished.values() if record]
    todo = [job for job in jobs if not finished[job.split, job.number]]
    total = sum(map(len, jobs))
    with tqdm(total=total, initial=sum(map(len, records)), unit="clip", disable=not progress or not jobs) as bar:
        for record in run(make, todo):
            records.append(record)
            bar.update(len(record))
    return records


def _finish(
    shards: ShardFolder, records: list[ShardRecord], unusable: dict[str, str], stored: dict[str, Any], none: str
) -> None:
    """Log what was skipped, and write what belongs to all shards. Raises: DataError, there is nothing to train on."""
    skipped = unusable | {clip: reason for record in records for clip, reason in record.skipped.items()}
    for clip, reason in sorted(skipped.items()):
        _log.warning("skipped %s: %s", clip, reason)
    if not any(record.entries for record in records if record.split == "train"):
        shutil.rmtree(shards.folder)
        raise DataError(f"{none} is a talking clip that can be trained on")
    shards.complete(records, skipped, _meta(records, stored) | {"skipped": len(skipped)})


def _meta(records: list[ShardRecord], stored: dict[str, Any]) -> dict[str, Any]:
    """What `meta.json` tells: counts of each split, and how the shards were made."""
    clips, frames, pictures = Counter[str](), Counter[str](), Counter[str]()
    talkers: dict[str, set[str]] = {}
    for record in sorted(records, key=lambda record: record.name):
        for entry in record.entries:
            clips[record.split] += 1
            frames[record.split] += entry.n_frames
            pictures[record.split] += entry.n_targets
            talkers.setdefault(record.split, set()).add(entry.talker)
    return {
        **{"format": FORMAT, "clips": clips, "frames": frames, "pictures": pictures},
        "talkers": {split: len(members) for split, members in talkers.items()},
        **{"spec": stored["spec"], "settings": stored, "fingerprint": fingerprint(stored)},
    }
