"""Where shards lie: a folder, or a URL at which a server gives parts of files (HTTP ranges, as object storage does).

`-i` takes the folder or its URL, or a pattern of some of its shards: `https://host/lrs2/train-{000000..000099}.tar`.
A signature behind `?` goes with every request.
"""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2v.errors import DataError
from s2v.training.shard_file import Sample, read_sample
from s2v.training.shard_index import SplitIndex, read_index

META = "meta.json"
FORMAT = "webdataset-1"
_MOST_SHARDS = 999_999
_TIMEOUT_S = 30.0
_WAITS_S = (0.5, 2.0)  # before a second and a third try
_URL = re.compile(r"(https?):/+([^/].*)", re.IGNORECASE)  # a `Path` of a URL has one slash


@dataclass(frozen=True)
class ShardStore:
    """The shards that one prepare-data wrote; small, so that it can be sent to the processes that read them."""

    base: str  # the folder or its URL
    query: str  # "?..." of a URL, or ""
    only: frozenset[str] | None  # names of shards; None: all
    meta: dict[str, Any]
    waits_s: tuple[float, ...] = _WAITS_S

    @property
    def remote(self) -> bool:
        return _URL.fullmatch(self.base) is not None

    def index(self, split: str) -> SplitIndex | None:
        """The clips of a split, None where there are none. Raises: DataError, damaged, or not to be read."""
        n_shards = self.meta["shards"].get(split, 0)
        if not n_shards:
            return None
        name = f"{split}.index"
        try:
            index = read_index(_read(self._place(name), None, self.waits_s), n_shards)
        except ValueError as error:
            raise self._damaged(name, error) from None
        if self.only is not None:
            taken = np.array([shard_name(split, number) in self.only for number in range(n_shards)])
            index = index.rows(taken[index.shard])
        return index if len(index) else None

    def sample(self, split: str, index: SplitIndex, row: int, pictures: bool) -> Sample:
        """One clip, read from its shard. Raises: DataError, damaged, or not to be read."""
        name, offset = shard_name(split, int(index.shard[row])), int(index.offset[row])
        size = int(index.all_bytes[row] if pictures else index.speech_bytes[row])
        try:
            sample = read_sample(_read(self._place(name), range(offset, offset + size), self.waits_s))
            if (len(sample.pcm), len(sample.motion)) != (index.n_samples[row], index.n_frames[row]):
                raise ValueError(f"{sample.clip} is not as long as {split}.index has it")
            if sample.motion.shape[1] != self.meta["spec"].get("n_motion"):
                raise ValueError(f"{sample.clip} has {sample.motion.shape[1]} components of motion")
            if pictures and not set(sample.targets) | set(sample.references) <= sample.pictures.keys():
                raise ValueError(f"{sample.clip} lacks pictures that its json names")
        except ValueError as error:
            raise self._damaged(name, error) from None
        return sample

    def _place(self, name: str) -> str:
        return f"{self.base.rstrip('/')}/{name}{self.query}"

    def _damaged(self, name: str, error: Exception) -> DataError:
        return DataError(f"{self.base}/{name} is not a file of s2v prepare-data ({error}): prepare again")


def shard_name(split: str, number: int) -> str:
    return f"{split}-{number:06d}.tar"


def open_shards(place: str | Path, waits_s: tuple[float, ...] = _WAITS_S) -> ShardStore:
    """Shards in a folder, behind a URL, or those of a pattern (`train-{000000..000003}.tar`).

    Args: waits_s: before a server that fails is asked again.
    Raises: DataError, there are none, they are of an older version, or cannot be read.
    """
    text, query = str(place), ""
    if found := _URL.fullmatch(text):
        address, mark, rest = found[2].partition("?")
        text, query = f"{found[1].lower()}://{address}", mark + rest
    elif re.match(r"[a-z][a-z0-9+]+:/", text, re.IGNORECASE):
        raise DataError(f"{place}: shards are read from a folder or from https: mount it, or give its https address")
    only = None
    if text.endswith(".tar"):
        from webdataset.shardlists import expand_urls

        folder, _, pattern = text.rpartition("/")
        text, only = folder or ".", frozenset(expand_urls(pattern))
    base = text.rstrip("/") or "/"
    return ShardStore(base, query, only, _meta(base, query, waits_s), waits_s)


def _meta(base: str, query: str, waits_s: tuple[float, ...]) -> dict[str, Any]:
    if not _URL.fullmatch(base) and not (Path(base) / META).exists():
        raise _without_meta(base)
    try:
        stored = json.loads(_read(f"{base}/{META}{query}", None, waits_s))
    except (ValueError, RecursionError):
        raise _without_meta(base) from None
    if not isinstance(stored, dict) or not isinstance(stored.get("spec"), dict):
        raise _without_meta(base)
    numbers = stored.get("shards")
    known = isinstance(numbers, dict) and all(type(one) is int and 0 <= one <= _MOST_SHARDS for one in numbers.values())
    if stored.get("format") != FORMAT or not known:
        raise DataError(f"the shards in {base} are of another version: run s2v prepare-data again")
    return stored


def _without_meta(base: str) -> DataError:
    return DataError(
        f"{base} holds no meta.json that tells how it was made: -i takes the folder that s2v prepare-data wrote"
    )


def _read(place: str, part: range | None, waits_s: tuple[float, ...]) -> bytes:
    """A file, or a part of it. Raises: DataError, it cannot be read; ValueError, it is shorter than that."""
    data = _fetched(place, part, waits_s) if _URL.fullmatch(place) else _from_disk(Path(place), part)
    if part is not None and len(data) != len(part):
        raise ValueError(f"it ends before byte {part.stop}")
    return data


def _from_disk(path: Path, part: range | None) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            if part is None:
                return file.read()
            file.seek(part.start)
            return file.read(len(part))
    except FileNotFoundError:
        raise DataError(f"{path} is missing: copy all files of s2v prepare-data, or prepare again") from None
    except (OSError, OverflowError) as error:
        raise DataError(f"{path} cannot be read ({error})") from None


def _fetched(url: str, part: range | None, waits_s: tuple[float, ...]) -> bytes:
    asked = {} if part is None else {"Range": f"bytes={part.start}-{part.stop - 1}"}
    shown = url.partition("?")[0]  # what is behind it may be a secret
    for wait_s in (*waits_s, None):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=asked), timeout=_TIMEOUT_S) as answer:
                if part is not None and answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                    raise DataError(f"{shown}: its server gives no parts of files (HTTP ranges): copy the shards here")
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            reason, lasting = f"{error.code} {error.reason}", error.code < 500 and error.code != 429
        except (OSError, http.client.HTTPException) as error:
            reason, lasting = " ".join(str(error).split()) or type(error).__name__, False
        if lasting or wait_s is None:
            break
        time.sleep(wait_s)
    raise DataError(f"{shown} cannot be read ({reason})")
