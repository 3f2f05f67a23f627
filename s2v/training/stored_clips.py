"""The clips of shards as training takes them: read one by one when they are asked for, never all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.evenly import evenly
from s2v.training.shard_file import Sample
from s2v.training.shard_index import SplitIndex
from s2v.training.shard_spec import differences
from s2v.training.shard_store import ShardStore, open_shards

PICTURE_ARRAYS = ("target", "reference")
_LEAST_FRAMES = 2  # at any speed there is still one whole frame


@dataclass(frozen=True)
class Clip:
    """Sound and true motion of one clip, and its tract variables."""

    name: str  # its id
    pcm: NDArray[np.float32]  # 16 kHz mono
    motion: NDArray[np.float32]  # (n_frames, n_motion); a frame whose motion nobody knows is NaN
    aperture: NDArray[np.float32]  # (n_frames,) face units above the talker's closed lips; NaN where motion is
    tract: NDArray[np.float32]  # (n_frames, 5) `spec.TRACT_VARIABLES` in [0, 1]; NaN where nobody knows
    talker: str = ""


@dataclass(frozen=True)
class Pictures:
    """Pictures of one split in memory; uint8 (n, face_px, face_px, 3), BGR."""

    arrays: dict[str, NDArray[np.uint8]]  # by `PICTURE_ARRAYS`
    where: list[tuple[str, int]]  # clip and frame of each target

    def __len__(self) -> int:
        return len(self.where)


@dataclass(frozen=True)
class StoredClips(Sequence[Clip]):
    """Clips of a split in the order of its shards; each is read from its shard whenever it is asked for.

    Raises, whenever one is read: DataError, a shard is damaged or cannot be read.
    """

    store: ShardStore
    split: str
    places: SplitIndex | None  # None: no clips
    rows: NDArray[np.int64]  # which of the places

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, at: int) -> Clip: ...
    @overload
    def __getitem__(self, at: slice) -> StoredClips: ...
    def __getitem__(self, at: int | slice) -> Clip | StoredClips:
        if isinstance(at, slice):
            return replace(self, rows=self.rows[at])
        sample = self.sample(at, pictures=False)
        pcm = (sample.pcm / 32768).astype(np.float32)
        return Clip(sample.clip, pcm, sample.motion, sample.aperture, sample.tract, sample.talker)

    def __iter__(self) -> Iterator[Clip]:
        return (self[at] for at in range(len(self)))

    def sample(self, at: int, pictures: bool) -> Sample:
        """What its shard holds of one of the clips."""
        if self.places is None:
            raise IndexError(at)
        return self.store.sample(self.split, self.places, int(self.rows[at]), pictures)

    @property
    def n_frames(self) -> int:
        """Of all clips together; nothing is read."""
        return int(self.places.n_frames[self.rows].sum()) if self.places is not None else 0

    @property
    def n_targets(self) -> int:
        """Pictures to be drawn, of all clips together; nothing is read."""
        return int(self.places.n_targets[self.rows].sum()) if self.places is not None else 0

    def by_talker(self) -> dict[str, StoredClips]:
        """The clips of each talker; nothing is read."""
        if self.places is None:
            return {}
        of_rows = self.places.talker[self.rows]
        order = np.argsort(of_rows, kind="stable")
        found, starts = np.unique(of_rows[order], return_index=True)
        parts = np.split(self.rows[order], starts[1:])
        return {self.places.talkers[one]: replace(self, rows=rows) for one, rows in zip(found, parts, strict=True)}

    def with_tract(self) -> StoredClips:
        """Those whose tract is known, at least in part; nothing is read."""
        if self.places is None:
            return self
        return replace(self, rows=self.rows[self.places.has_tract[self.rows] > 0])

    def with_pictures(self) -> StoredClips:
        """Those that have pictures to be drawn; nothing is read."""
        if self.places is None:
            return self
        return replace(self, rows=self.rows[self.places.n_targets[self.rows] > 0])


def check_shards(shards: str | Path, spec: LipSyncSpec) -> None:
    """Raises: DataError, not shards of prepare-data, or made for another spec."""
    differ = differences(open_shards(shards).meta["spec"], spec)
    if differ:
        raise DataError(f"the shards in {shards} were made for another network: {differ}: run s2v prepare-data again")


def stored_clips(shards: str | Path, split: str) -> StoredClips:
    """The clips of a split ("train", "held", "val", "voice") that are long enough to be put into a row at any speed.

    Raises: DataError, not shards of prepare-data, or their index is damaged.
    """
    store = open_shards(shards)
    index = store.index(split)
    if index is None:
        return StoredClips(store, split, None, np.zeros(0, np.int64))
    least_samples = _LEAST_FRAMES * LipSyncSpec().samples_per_frame
    usable = (index.n_frames >= _LEAST_FRAMES) & (index.n_samples >= least_samples)
    return StoredClips(store, split, index, np.flatnonzero(usable).astype(np.int64))


def load_split(
    shards: str | Path, split: str, pictures: bool = True, most_pictures: int = 512
) -> tuple[StoredClips, Pictures]:
    """The clips of a split, and pictures of at most so many of its clips, in memory: every target beside a reference.

    Raises: DataError, see `stored_clips`; a picture is damaged.
    """
    clips = stored_clips(shards, split)
    parts: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in PICTURE_ARRAYS}
    where: list[tuple[str, int]] = []
    for at in evenly(range(len(clips.with_pictures())), most_pictures) if pictures else ():
        sample = clips.with_pictures().sample(at, pictures=True)
        for target in sample.targets:
            beside = sample.references_of(target)
            if beside:
                where.append((sample.clip, target))
                parts["target"].append(picture_of(sample, target, clips.store))
                parts["reference"].append(picture_of(sample, beside[target % len(beside)], clips.store))
    return clips, Pictures({name: np.stack(part) for name, part in parts.items() if part}, where)


def picture_of(sample: Sample, frame: int, store: ShardStore) -> NDArray[np.uint8]:
    """One of a sample's pictures, (face_px, face_px, 3), BGR. Raises: DataError, damaged or of another size."""
    import cv2

    image, side = None, store.meta["spec"].get("face_px")
    with suppress(cv2.error):
        image = cv2.imdecode(np.frombuffer(sample.pictures[frame], np.uint8), cv2.IMREAD_COLOR)
    if image is None or image.shape != (side, side, 3):
        raise DataError(f"picture {frame} of {sample.clip} in {store.base} is damaged: prepare again")
    return np.asarray(image, np.uint8)
