"""One clip of a shard as files of a WebDataset tar, and read back and checked.

A sample is a clip: `json` (its id, talker, split and transcript, and which pictures are targets and which may be their
reference), `pcm.npy`, `motion.npy`, `aperture.npy`, `tract.npy`, and last `picture.FRAME.jpg`, so that the speech of a
clip can be read without its pictures.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from s2v.spec import TRACT_VARIABLES
from s2v.training.arrays import Wanted, array_of, check_array

MIN_REFERENCE_DISTANCE = 10  # frames between a reference and its target
_ARRAYS = {
    "pcm": Wanted("i", (None,)),
    "motion": Wanted("f", (None, None)),
    "aperture": Wanted("f", (None,)),
    "tract": Wanted("f", (None, len(TRACT_VARIABLES))),
}
_TEXTS = ("clip", "talker", "split", "transcript")
_PICTURE = re.compile(r"picture\.(\d{1,7})\.jpg")


@dataclass(frozen=True)
class Sample:
    """One clip of a shard."""

    clip: str  # its id: the path below the data folder, without the ending
    talker: str
    split: str
    transcript: str  # "" where nobody wrote it down
    pcm: NDArray[np.int16]  # (n_samples,) 16 kHz mono
    motion: NDArray[np.float32]  # (n_frames, n_motion); a frame whose motion nobody knows is NaN
    aperture: NDArray[np.float32]  # (n_frames,) face units above the talker's closed lips; NaN where motion is
    tract: NDArray[np.float32]  # (n_frames, 5) in [0, 1]; NaN where nobody knows
    pictures: dict[int, bytes] = field(default_factory=dict)  # frame -> JPEG of the face crop
    targets: tuple[int, ...] = ()  # frames that are to be drawn
    references: tuple[int, ...] = ()  # frames that may be the photo

    def references_of(self, target: int) -> list[int]:
        """The references that are far enough from a target to differ from it."""
        return [frame for frame in self.references if abs(frame - target) >= MIN_REFERENCE_DISTANCE]


def sample_key(clip: str) -> str:
    """The name that a clip's files have in a tar: a key ends at the first dot, and `__` begins WebDataset's own."""
    return re.sub(r"(^|/)__", r"\1%5F_", quote(clip, safe="/").replace(".", "%2E"))


def sample_files(sample: Sample) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Endings and contents of a sample's files: those of its speech, and its pictures."""
    named = {name: getattr(sample, name) for name in (*_TEXTS, "targets", "references")}
    speech = {"json": json.dumps(named).encode()}
    for name in _ARRAYS:
        out = io.BytesIO()
        np.lib.format.write_array(out, np.ascontiguousarray(getattr(sample, name)), (1, 0), allow_pickle=False)
        speech[f"{name}.npy"] = out.getvalue()
    return speech, {f"picture.{frame:05d}.jpg": jpeg for frame, jpeg in sorted(sample.pictures.items())}


def read_sample(data: bytes) -> Sample:
    """The one sample of a stretch of a tar, with those of its pictures that the stretch holds.

    Raises: ValueError, naming what is wrong: no tar, damaged, a file missing, or parts that do not fit together.
    """
    samples = list(_samples(data))
    if len(samples) != 1:
        raise ValueError(f"{len(samples)} clips where one should be")
    return sample_of(samples[0])


def sample_of(files: Mapping[str, Any]) -> Sample:
    """A sample of its files by their endings, as `webdataset` groups them. Raises: ValueError, see `read_sample`."""
    named = _named(files.get("json", b""))
    arrays: dict[str, Any] = {}
    for name, wanted in _ARRAYS.items():
        if f"{name}.npy" not in files:
            raise ValueError(f"{named['clip']} has no {name}.npy")
        arrays[name] = array_of(files[f"{name}.npy"])
        check_array(name, arrays[name], wanted)
    if not len(arrays["motion"]) == len(arrays["aperture"]) == len(arrays["tract"]):
        raise ValueError(f"{len(arrays['motion'])} frames of motion, but {len(arrays['tract'])} of the tract")
    if any(np.isinf(arrays[name]).any() for name in ("motion", "aperture", "tract")):
        raise ValueError(f"{named['clip']} has values that are no numbers")
    found = {int(match[1]): files[name] for name in files if (match := _PICTURE.fullmatch(name))}
    return Sample(**named, **arrays, pictures=found)


def _samples(data: bytes) -> Iterator[dict[str, Any]]:
    """Raises: ValueError, no tar."""
    from webdataset.tariterators import group_by_keys, tar_file_iterator

    try:
        files = [one | {"__url__": ""} for one in tar_file_iterator(io.BytesIO(data))]
        yield from group_by_keys(files)
    except Exception as error:  # what tarfile and webdataset raise on a damaged byte
        raise ValueError(" ".join(str(error).partition(" @ <")[0].split())[:120] or type(error).__name__) from None


def _named(text: bytes) -> dict[str, Any]:
    try:
        stored = json.loads(text)
        named: dict[str, Any] = {name: stored[name] for name in _TEXTS}
        frames = {name: tuple(stored[name]) for name in ("targets", "references")}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("its json does not tell whose clip it is") from None
    if not all(isinstance(value, str) for value in named.values()):
        raise ValueError("its json does not tell whose clip it is")
    if not all(type(frame) is int and frame >= 0 for of in frames.values() for frame in of):
        raise ValueError("its json names pictures of no frame")
    return named | frames
