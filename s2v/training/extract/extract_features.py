"""A folder of talking videos and photos -> a folder of feature files, one per clip, and an index of who is who.

The tree of the data folder is kept: `data/main/A/00001.mp4` becomes `features/main/A/00001.npz`, and its id is
`main/A/00001`. `feature_file` says what is in a file, `dataset` how folders, lists and talkers are read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.files import remove_leftovers
from s2v.training.cluster.shared_work import shared_work
from s2v.training.dataset.clip_index import INDEX_NAME, IndexedClip, plain_name, read_index, write_index
from s2v.training.dataset.clusters import clustered_talkers
from s2v.training.dataset.lrs2 import is_lrs, listed_splits
from s2v.training.dataset.sources import Source, feature_path, find_sources
from s2v.training.dataset.talkers import read_talkers, talkers_by_folder, talkers_by_list
from s2v.training.extract.extract_clip import extract_clip, lost_clip
from s2v.training.extract.extraction_report import ExtractionReport
from s2v.training.extract.face_embedding import SAME_TALKER, FaceEmbedding
from s2v.training.extract.feature_file import face_of
from s2v.training.quality.card import DataCard
from s2v.training.quality.clip_records import REPORT_NAME, ClipRecord
from s2v.training.quality.thresholds import DEFAULT, Thresholds

_HOW = ("auto", "folder", "cluster")  # who is who; anything else is the file of a list
_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class ExtractReport:
    """What `extract_features` did."""

    done: int
    kept_from_before: int
    failed: dict[str, str]  # path -> reason
    talkers: int = 0
    talkers_by: str = "folder"  # or "list", "faces"; "clips.tsv", as an earlier run or somebody left it
    failed_before: int = 0  # of them, those that an earlier run had found
    card: DataCard | None = None  # what there is now, also of earlier runs


def extract_features(
    data: Path,
    out: Path,
    workers: int | None = None,
    progress: bool = True,
    only: Sequence[Path] | None = None,
    talkers: str | Path = "auto",
    limits: Thresholds | None = DEFAULT,
    retry: bool = False,
    ray: str | None = None,
) -> ExtractReport:
    """Extract every video and photo below `data`, or `only` these of them; what is there already is kept.

    Args:
        talkers: "folder"; "cluster", by the shape of their faces; a list of `read_talkers`; or "auto": faces for LRS,
            whose folders are no talkers, else folders, but what the index of an earlier run says stays.
        limits: of the gates; None, every clip is taken as it is, and no report is written.
        retry: look again also at clips that an earlier run skipped.
        workers, ray: where it is done, see `shared_work`.
    A bad clip is reported and skipped; Ctrl-C ends after the clips at hand. Raises: DataError, nothing to extract,
    nothing usable, a list that does not fit, or a worker was killed.
    """
    if not data.is_dir():
        raise DataError(f"{data} is no folder: -d takes a folder of talking videos")
    if ray is not None:  # other machines have other working folders
        data, out, only = data.absolute(), out.absolute(), None if only is None else [path.absolute() for path in only]
    sources, failed = find_sources(data, only)
    for path, reason in failed.items():
        _log.warning("skipped %s: %s", plain_name(path), reason)
    index = _index(sources, data, out, talkers)
    if sources:
        write_index(out, data, index)
    for folder in {feature_path(source.clip_id, out).parent for source in sources}:
        remove_leftovers(folder)  # of a run that was killed
    names = {clip_id: clip.talker for clip_id, clip in index.items()}
    report = ExtractionReport(sources, out, limits, whole=only is None)
    try:
        todo = report.to_do(names, retry)
        for record in _extract(todo, data, out, names, (workers, ray), progress, limits):
            report.add(record)
        report.refuse_copies()
    except BaseException:  # a run that is ended half-way
        with suppress(OSError):  # on a full disk
            report.save()
        raise
    report.save()
    why = report.why
    failed |= {str(source.path): why[source.clip_id] for source in sources if source.clip_id in why}
    done = sum(source.clip_id not in why for source in todo)
    if len(why) == len(sources):
        if sources:
            report.finish(names)
        where = f"{out / REPORT_NAME} says" if len(why) == report.failed_before > 0 else "the lines above say"
        raise DataError(f"none of {len(failed)} clips below {data} can be used: {where} why")
    named, by = _named(sources, index, data, out, talkers, new=done > 0)
    names = {clip_id: clip.talker for clip_id, clip in named.items()}
    card, kept = report.finish(names), len(sources) - len(why) - done
    return ExtractReport(done, kept, failed, len(set(names.values())), by, report.failed_before, card)


def _named(
    sources: Sequence[Source],
    index: Mapping[str, IndexedClip],
    data: Path,
    out: Path,
    talkers: str | Path,
    new: bool,
) -> tuple[Mapping[str, IndexedClip], str]:
    """The index with the talkers that were asked for, now that their faces are known, and how they were told apart.

    Args: new: whether there are features that were not there before.
    """
    if talkers == "cluster" or (
        talkers == "auto" and is_lrs(data, list(index)) and (new or _is_by_folder(index, data))
    ):
        index = _by_faces(sources, index, data, out)
        write_index(out, data, index)
        return index, "faces"
    if talkers == "auto" and not _is_by_folder(index, data):
        return index, INDEX_NAME
    return index, "folder" if str(talkers) in _HOW else "list"


def _is_by_folder(index: Mapping[str, IndexedClip], data: Path) -> bool:
    by_folder = talkers_by_folder(list(index), data.resolve().name)
    return all(clip.talker == by_folder[clip_id] for clip_id, clip in index.items())


def _by_faces(
    sources: Sequence[Source], index: Mapping[str, IndexedClip], data: Path, out: Path
) -> dict[str, IndexedClip]:
    """The index with talkers by the shape of their faces; clips whose features say nothing of it stay as they are."""
    faces: dict[str, NDArray[np.float32]] = {}
    for source in sources:
        with suppress(DataError):  # not there, damaged, or of an older release
            face = None if source.is_photo else face_of(feature_path(source.clip_id, out))
            if face is not None and len(face) == len(FaceEmbedding.load().directions.T):
                faces[source.clip_id] = face
    found = clustered_talkers(faces, talkers_by_folder(list(faces), data.resolve().name), SAME_TALKER)
    return {clip_id: replace(clip, talker=found.get(clip_id, clip.talker)) for clip_id, clip in index.items()}


def _index(sources: Sequence[Source], data: Path, out: Path, talkers: str | Path) -> dict[str, IndexedClip]:
    ids = [source.clip_id for source in sources]
    if str(talkers) not in _HOW:
        named = talkers_by_list(ids, read_talkers(Path(talkers)))
    else:
        named = talkers_by_folder(ids, data.resolve().name)
    if talkers == "auto":  # what an earlier run, or somebody with an editor, found out stays
        named |= {clip_id: clip.talker for clip_id, clip in read_index(out).items() if clip_id in named}
    listed = listed_splits(data, ids)
    return {clip_id: IndexedClip(named[clip_id], listed.get(clip_id, "")) for clip_id in ids}


def _extract(
    todo: Sequence[Source],
    data: Path,
    out: Path,
    talkers: Mapping[str, str],
    where: tuple[int | None, str | None],
    progress: bool,
    limits: Thresholds | None,
) -> Iterator[ClipRecord]:
    """What was found of each clip, as they are done."""
    from tqdm import tqdm

    if not todo:
        return
    workers, ray = where
    jobs = [(one, talkers[one.clip_id]) for one in todo]
    with shared_work(workers and min(workers, len(todo)), ray, data, out) as run:
        records = run(partial(_extract_one, out=out, limits=limits), jobs, lambda job: lost_clip(*job))
        yield from tqdm(records, total=len(jobs), unit="clip", disable=not progress)


def _extract_one(job: tuple[Source, str], out: Path, limits: Thresholds | None) -> ClipRecord:
    source, talker = job
    return extract_clip(source, out, talker, limits)
