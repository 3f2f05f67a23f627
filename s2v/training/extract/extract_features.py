"""A folder of talking videos and photos -> a folder of feature files, one per clip, and an index of who is who.

The tree of the data folder is kept: `data/main/A/00001.mp4` becomes `features/main/A/00001.npz`, and its id is
`main/A/00001`. `feature_file` says what is in a file, `dataset` how folders, lists and talkers are read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path

from s2v.errors import DataError
from s2v.files import remove_leftovers
from s2v.training.dataset.clip_index import IndexedClip, read_index, write_index
from s2v.training.dataset.lrs2 import listed_splits
from s2v.training.dataset.sources import Source, feature_path, find_sources
from s2v.training.dataset.talkers import read_talkers, talkers_by_folder, talkers_by_list
from s2v.training.extract.extract_clip import extract_clip
from s2v.training.workers import worker_pool

_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class ExtractReport:
    """What `extract_features` did."""

    done: int
    kept_from_before: int
    failed: dict[str, str]  # path -> reason
    talkers: int = 0


def extract_features(
    data: Path,
    out: Path,
    workers: int = 1,
    progress: bool = True,
    only: Sequence[Path] | None = None,
    talkers: str | Path = "auto",
) -> ExtractReport:
    """Extract every video and photo below `data`, or `only` these of them; what is there already is kept.

    Args: talkers: "folder", or a list of `read_talkers`.
    A bad clip is reported and skipped; Ctrl-C ends after the clips at hand. Raises: DataError, nothing to extract,
    nothing usable, a list that does not fit, or a worker was killed.
    """
    if not data.is_dir():
        raise DataError(f"{data} is no folder: -d takes a folder of talking videos")
    sources, failed = find_sources(data, only)
    for path, reason in failed.items():
        _log.warning("skipped %s: %s", path, reason)
    index = _index(sources, data, out, talkers)
    if sources:
        write_index(out, data, index)
    for folder in {feature_path(source.clip_id, out).parent for source in sources}:
        remove_leftovers(folder)  # of a run that was killed
    todo = [source for source in sources if not feature_path(source.clip_id, out).exists()]
    why = _extract(todo, out, index, workers, progress)
    failed |= why  # here a report of what was skipped belongs
    if len(why) == len(sources):
        raise DataError(
            f"none of {len(sources) + len(failed) - len(why)} clips below {data} can be used: the lines above say why"
        )
    names = {clip.talker for clip in index.values()}
    return ExtractReport(len(todo) - len(why), len(sources) - len(todo), failed, len(names))


def _index(sources: Sequence[Source], data: Path, out: Path, talkers: str | Path) -> dict[str, IndexedClip]:
    ids = [source.clip_id for source in sources]
    if talkers not in ("auto", "folder"):
        named = talkers_by_list(ids, read_talkers(Path(talkers)))
    else:
        named = talkers_by_folder(ids, data.resolve().name)
    if talkers == "auto":  # what an earlier run, or somebody with an editor, found out stays
        named |= {clip_id: clip.talker for clip_id, clip in read_index(out).items() if clip_id in named}
    listed = listed_splits(data, ids)
    return {clip_id: IndexedClip(named[clip_id], listed.get(clip_id, "")) for clip_id in ids}


def _extract(
    todo: Sequence[Source], out: Path, index: Mapping[str, IndexedClip], workers: int, progress: bool
) -> dict[str, str]:
    """Why clips failed, by path."""
    from tqdm import tqdm

    failed: dict[str, str] = {}
    if not todo:
        return failed
    with worker_pool(min(workers, len(todo))) as pool:
        running = {pool.submit(extract_clip, source, out, index[source.clip_id].talker): source.path for source in todo}
        for job in tqdm(as_completed(running), total=len(running), unit="clip", disable=not progress):
            if reason := job.result():
                failed[str(running[job])] = reason
                _log.warning("skipped %s: %s", running[job], reason)
    return failed
