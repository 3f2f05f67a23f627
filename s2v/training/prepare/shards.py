"""Shards on disk: how one is written, and how a folder of them is made step by step, whatever ends the runs.

A run works in `OUT/.new`: `settings.json` says what it makes, each finished shard is NAME.tar beside NAME.json (its
clips), and both stay when the run is killed: the next one makes those that are missing. The last one writes the
indices and `meta.json`, then everything moves into OUT, `meta.json` last: training refuses a folder without it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from s2v.errors import DataError
from s2v.files import held, remove_leftovers, write_whole, written_whole
from s2v.training.shard_file import ClipSample, sample_files, sample_key
from s2v.training.shard_index import Entry, index_of, packed_index
from s2v.training.shard_store import META, shard_name

SPLITS = ("train", "held", "val", "test", "voice", "photo")
_SETTINGS, _MANIFEST = "settings.json", "manifest.tsv"
_MANIFEST_HEAD = "clip\tshard\ttalker\tnote"


@dataclass(frozen=True)
class ShardRecord:
    """What became of the clips of one shard."""

    split: str
    number: int
    notes: dict[str, str]  # clip -> what of it is unknown, in a line or ""; in the shard's order
    entries: list[Entry]  # of each of them
    skipped: dict[str, str]  # clip -> reason

    def __len__(self) -> int:
        """Clips that were to be in it."""
        return len(self.notes) + len(self.skipped)

    @property
    def name(self) -> str:
        return shard_name(self.split, self.number)


def write_shard(path: Path, number: int, samples: Iterable[ClipSample]) -> list[Entry]:
    """Write a tar, whole or not at all; the same samples give the same bytes. Returns: where each of them lies."""
    from webdataset.writer import TarWriter

    entries = []
    with written_whole(path) as beside, beside.open("wb") as file:
        tar = TarWriter(file, user="", group="", mtime=0, encoder=False, format="PAX_FORMAT")
        with closing(tar):  # also where a sample cannot be had: the file goes then
            for sample in samples:
                offset, key = tar.tarstream.offset, sample_key(sample.clip)
                speech, pictures = sample_files(sample)
                tar.write({"__key__": key, **speech})
                speech_end = tar.tarstream.offset
                tar.write({"__key__": key, **pictures})
                entries.append(_entry(sample, number, offset, speech_end, tar.tarstream.offset))
    return entries


def _entry(sample: ClipSample, number: int, offset: int, speech_end: int, end: int) -> Entry:
    known = bool((sample.tract == sample.tract).any())
    sizes = (speech_end - offset, end - offset, len(sample.pcm), len(sample.motion), len(sample.targets))
    return Entry(number, offset, *sizes, sample.talker, known)


class ShardFolder:
    """The folder in which a run makes its shards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, split: str, number: int) -> Path:
        return self.folder / shard_name(split, number)

    def finished(self, split: str, number: int) -> ShardRecord | None:
        """What an earlier run made of a shard; None if it is still to be made."""
        path = self.path(split, number)
        with suppress(OSError, ValueError, KeyError, TypeError):
            stored = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            record = ShardRecord(**(stored | {"entries": [Entry(**entry) for entry in stored["entries"]]}))
            if path.stat().st_size == stored_size(record):
                return record
        return None

    def finish(self, record: ShardRecord) -> None:
        """Say that a shard is finished: its tar is there."""
        write_whole(self.path(record.split, record.number).with_suffix(".json"), json.dumps(asdict(record)))

    def complete(self, records: Iterable[ShardRecord], skipped: Mapping[str, str], meta: dict[str, Any]) -> None:
        """Write what belongs to all shards together: indices, what became of each clip, `meta.json`."""
        of_splits: dict[str, list[ShardRecord]] = {}
        for record in sorted(records, key=lambda record: record.name):
            of_splits.setdefault(record.split, []).append(record)
        lines = [_MANIFEST_HEAD]
        for split, members in of_splits.items():
            index = index_of([entry for record in members for entry in record.entries])
            write_whole(self.folder / f"{split}.index", packed_index(index))
            for record in members:
                noted = zip(record.notes.items(), record.entries, strict=True)
                lines += [f"{clip}\t{record.name}\t{entry.talker}\t{note}" for (clip, note), entry in noted]
        lines += [f"{clip}\t\t\tskipped: {reason}" for clip, reason in sorted(skipped.items())]
        write_whole(self.folder / _MANIFEST, "\n".join(lines) + "\n")
        shards = {split: len(members) for split, members in of_splits.items()}
        write_whole(self.folder / META, json.dumps(meta | {"shards": shards}, indent=1))


def stored_size(record: ShardRecord) -> int:
    """Bytes of a shard's tar: two empty blocks end it, and it is filled to whole records."""
    end = max((entry.offset + entry.all_bytes for entry in record.entries), default=0) + 2 * 512
    return -(-end // 10_240) * 10_240


@contextmanager
def shard_folder(out: Path, settings: dict[str, Any], force: bool = False) -> Iterator[ShardFolder | None]:
    """Where to make the shards for `out`; None where they lie there already, made with these settings.

    What an earlier run with the same settings has finished is there. If the block ends well, and its shards are
    complete, they take their place; a block that fails leaves `out` as it was.

    Args: force: what another run left is replaced, finished or not.
    Raises: DataError, another run is writing there, or one with other settings has.
    """
    out.mkdir(parents=True, exist_ok=True)
    with held(out) as alone:
        if not alone:
            raise DataError(f"another run is writing shards into {out}: wait for its end, or give another folder")
        staging = out / ".new"
        _take_over(out, staging)
        if not force and _made_before(out, settings):
            _remove(staging)
            yield None
            return
        found = _settings_of(staging)
        if found is not None and found != settings and not force:
            raise _mixed(f"an unfinished run in {out}", found, settings)
        if found != settings:
            _remove(staging)  # what stayed would be taken for this run's
        staging.mkdir(exist_ok=True)
        write_whole(staging / _SETTINGS, json.dumps(settings))
        for folder in (out, staging):
            remove_leftovers(folder)
        yield ShardFolder(staging)
        _take_over(out, staging)


def _take_over(out: Path, staging: Path) -> None:
    """Move complete shards from `staging` to `out`, in place of what is there; a move that was cut short goes on."""
    try:
        shards: dict[str, int] = json.loads((staging / META).read_text(encoding="utf-8"))["shards"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return
    (out / META).unlink(missing_ok=True)
    new = [shard_name(split, number) for split, count in shards.items() for number in range(count)]
    new += [f"{split}.index" for split in shards]
    # Left over from another run they would mix its talkers into this one's splits.
    for split in SPLITS:
        for old in (*out.glob(f"{split}-*.tar"), *out.glob(f"{split}-*.npz"), *out.glob(f"{split}.index")):
            if old.name not in new:
                old.unlink()
    for name in (*new, _MANIFEST, META):
        if (staging / name).exists():
            (staging / name).replace(out / name)
    _remove(staging)


def _remove(staging: Path) -> None:
    """Raises: OSError, something of it stays."""
    if staging.exists():
        shutil.rmtree(staging)


def _made_before(out: Path, settings: dict[str, Any]) -> bool:
    """Raises: DataError, with other settings, or by another version."""
    if not (out / META).exists():
        if any(out.glob("*-*.npz")):
            raise _older(out)
        return False
    try:
        found = json.loads((out / META).read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        raise _older(out) from None
    if found != settings:
        raise _mixed(str(out), found, settings)
    return True


def _older(out: Path) -> DataError:
    return DataError(f"{out} holds shards of an older version: --force replaces them, or give another folder")


def _settings_of(staging: Path) -> dict[str, Any] | None:
    """None: nothing that says what it is."""
    try:
        found = json.loads((staging / _SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _mixed(what: str, found: object, wanted: dict[str, Any]) -> DataError:
    stored = found if isinstance(found, dict) else {}
    differ = ", ".join(
        f"{name} was {str(stored.get(name))[:60]}, not {str(value)[:60]}"
        for name, value in wanted.items()
        if stored.get(name) != value
    )
    return DataError(f"{what} has other settings ({differ}): --force replaces it, or give another folder")


def fingerprint(value: object) -> str:
    """Twelve hexadecimal digits that stand for a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
