"""One feature file (.npz) per clip: landmarks, face pixels, sound, and who says what.

    landmarks       (n, 478, 3) whole numbers of `landmark_step_px`, on the clip's canvas: the part of the picture in
                    which the face is during the clip
    jpeg, jpeg_ends the n pictures, one after the other, each cut to the face
    corners         (n, 2) where on the canvas each of them lies, left and top; canvas_px, its width and height
    times_s         (n,) the moment that each shows, from the sound's beginning
    pcm             int16 at 16 kHz, empty for a photo
    talker, transcript, face     who, what is said ("" unknown), and how the face is shaped (see `face_embedding`)
    record          what the gates found, a line of the report, should that be lost

Files of release 0.3 and before have landmarks in float pixels, one cut for the whole clip, and no talker.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.files import written_whole
from s2v.spec import LipSyncSpec
from s2v.training.arrays import Wanted, check_ends, read_arrays
from s2v.training.dataset.clip_index import indexed_clip
from s2v.training.dataset.sources import clip_id_of
from s2v.training.dataset.talkers import talker_by_folder
from s2v.training.extract.face_cuts import CutPictures
from s2v.training.extract.time_axis import frame_middles_s, on_frames

_ARRAYS = {
    "landmarks": Wanted("fi", (None, 478, 3), finite=True),
    "landmark_step_px": Wanted("f", (), optional=True, finite=True),
    "pcm": Wanted("i", (None,)),
    "jpeg": Wanted("u", (None,)),
    "jpeg_ends": Wanted("iu", (None,)),
    "corners": Wanted("i", (None, 2), optional=True),
    "canvas_px": Wanted("i", (2,), optional=True),
    "times_s": Wanted("f", (None,), optional=True, finite=True),
    "talker": Wanted("U", (), optional=True),
    "transcript": Wanted("U", (), optional=True),
    "face": Wanted("f", (None,), optional=True, finite=True),
    "record": Wanted("U", (), optional=True),
}
_MOST_CANVAS_PX = 4096  # on a side; a file that wants more is damaged
_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class ClipFeatures:
    """One feature file in memory; frames are decoded on demand."""

    clip_id: str  # path below the folder of features, without suffix
    talker: str
    transcript: str  # what is said, "" unknown
    landmarks: NDArray[np.float32]  # (n, 478, 3) px of the frames
    pcm: NDArray[np.int16]
    jpeg: NDArray[np.uint8]
    jpeg_ends: NDArray[np.int64]
    times_s: NDArray[np.float64]  # (n,) the moment that each frame's picture shows, from the sound's beginning
    corners: NDArray[np.int32]  # (n, 2) px, left and top of each stored picture on the frames
    canvas_px: tuple[int, int]  # width and height of the frames; (0, 0), as they are stored

    @property
    def name(self) -> str:
        """The last part of its id."""
        return self.clip_id.rpartition("/")[2]

    def on_frames(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Something known of every frame's picture (n, ...), as it was in the middle of each frame: see `time_axis`."""
        return on_frames(values, self.landmarks, self.times_s, LipSyncSpec.fps)

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Frame `index`, (h, w, 3) BGR, all of a clip of one size; far from the face its edge goes on.

        Raises: DataError, damaged.
        """
        import cv2

        start = self.jpeg_ends[index - 1] if index else 0
        picture = None
        with suppress(cv2.error):
            picture = cv2.imdecode(self.jpeg[start : self.jpeg_ends[index]], cv2.IMREAD_COLOR)
        if picture is None:
            raise self._damaged(index)
        if self.canvas_px == picture.shape[1::-1] or not any(self.canvas_px):
            return np.asarray(picture, np.uint8)
        left, top = (int(side) for side in self.corners[index])
        right, bottom = (self.canvas_px[0] - left - picture.shape[1], self.canvas_px[1] - top - picture.shape[0])
        if min(left, top, right, bottom) < 0:
            raise self._damaged(index)
        return np.asarray(cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8)

    def _damaged(self, index: int) -> DataError:
        return DataError(f"frame {index} of {self.clip_id} is damaged: delete its feature file and extract again")


def save_features(
    target: Path,
    pictures: CutPictures,
    landmarks: NDArray[np.float32],
    pcm: NDArray[np.int16],
    talker: str,
    transcript: str = "",
    times_s: NDArray[np.floating[Any]] | None = None,
    face: NDArray[np.float32] | None = None,
    record: str = "",
) -> None:
    """Write a feature file, whole or not at all.

    Args:
        landmarks: (n, 478, 3) px of the whole picture.
        times_s: (n,) the moment that each picture shows, from the sound's beginning; None is their frames' middles.
        face: (k,) see `face_embedding`.
        record: see `clip_records`.
    """
    assert len(pictures.packed) == len(landmarks), (len(pictures.packed), len(landmarks))
    canvas = pictures.corners.min(0)
    canvas_px = (pictures.corners + pictures.sizes_px).max(0) - canvas
    moved = landmarks - np.array([*canvas, 0], np.float32)
    # Half the bytes of float32 at a step below a fiftieth of a pixel; float16 would err by an eighth (docs/LOG.md).
    step_px = max(float(np.abs(moved).max()), 1.0) / np.iinfo(np.int16).max
    arrays: dict[str, Any] = {
        "landmarks": np.rint(moved / step_px).astype(np.int16),
        "landmark_step_px": np.array(step_px, np.float32),
        "jpeg": np.concatenate(list(pictures.packed)),
        "jpeg_ends": np.cumsum([len(one) for one in pictures.packed]),
        "corners": (pictures.corners - canvas).astype(np.int32),
        "canvas_px": canvas_px.astype(np.int32),
        "times_s": frame_middles_s(len(moved), LipSyncSpec.fps) if times_s is None else times_s,
        "pcm": pcm,
        "talker": np.array(talker),
        "transcript": np.array(transcript),
        "record": np.array(record),
    }
    if face is not None:
        arrays["face"] = face.astype(np.float32)
    target.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(target) as beside, beside.open("wb") as file:
        np.savez(file, **arrays)


def has_sound(path: Path) -> bool:
    """Whether a feature file is of a talking clip and not of a photo, without reading its pictures.

    Raises: DataError, damaged.
    """
    return len(_read(path, "pcm")["pcm"]) > 0


def is_current(path: Path) -> bool:
    """Whether a feature file was written as it is today, with landmarks that were tracked; a damaged one was not."""
    try:
        return "canvas_px" in _read(path, "canvas_px")
    except DataError:
        return False


def face_of(path: Path) -> NDArray[np.float32] | None:
    """What a feature file says of how the face is shaped; None, nothing. Raises: DataError, damaged."""
    return _read(path, "face").get("face")


def recorded_in(path: Path) -> str:
    """The line of the report that a feature file holds, "" none. Raises: DataError, damaged."""
    return str(_read(path, "record").get("record", ""))


def load_features(path: Path, features: Path) -> ClipFeatures:
    """Read the feature file of a clip below `features`. Raises: DataError, damaged."""
    try:
        arrays = read_arrays(path, _ARRAYS)
        fields = _checked(arrays)
    except ValueError as error:
        raise _not_ours(path, error) from None
    clip_id = clip_id_of(path, features)
    talker = _talker(clip_id, features, arrays)
    transcript = str(arrays.get("transcript", ""))
    return ClipFeatures(clip_id, talker, transcript, pcm=arrays["pcm"], jpeg=arrays["jpeg"], **fields)


def talkers_of(features: Path) -> dict[str, str]:
    """{clip id: its talker} of all feature files below a folder; what cannot be read is left out and logged."""
    talkers: dict[str, str] = {}
    for path in sorted(features.rglob("*.npz")):
        clip_id = clip_id_of(path, features)
        try:
            indexed = indexed_clip(clip_id, features)
            talkers[clip_id] = indexed.talker if indexed else _talker(clip_id, features, _read(path, "talker"))
        except DataError as error:
            _log.warning("skipped %s: %s", clip_id, error)
    return talkers


def _talker(clip_id: str, features: Path, arrays: Mapping[str, NDArray[Any]]) -> str:
    """By the index, which people may edit; else as it was when extracted; else, of older files, by its folder."""
    indexed = indexed_clip(clip_id, features)
    return (
        indexed.talker if indexed else str(arrays.get("talker") or talker_by_folder(clip_id, features.resolve().name))
    )


def _checked(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The fields of ClipFeatures whose parts must fit together. Raises: ValueError, they do not."""
    check_ends("jpeg_ends", arrays["jpeg_ends"], len(arrays["jpeg"]))
    n_frames = len(arrays["jpeg_ends"])
    # Files of release 0.2 say no times: each picture counts as taken in the middle of its frame.
    times_s = arrays.get("times_s", frame_middles_s(n_frames, LipSyncSpec.fps))
    corners = arrays.get("corners", np.zeros((n_frames, 2), np.int32))
    for what, found in (("landmarks", arrays["landmarks"]), ("moments", times_s), ("corners", corners)):
        if len(found) != n_frames:
            raise ValueError(f"{len(found)} {what} for {n_frames} frames")
    if (np.diff(times_s) < 0).any():
        raise ValueError("its moments go back in time")
    width, height = arrays.get("canvas_px", np.zeros(2, np.int32))
    if not (0 <= width <= _MOST_CANVAS_PX and 0 <= height <= _MOST_CANVAS_PX):
        raise ValueError(f"its frames are {width} x {height} px")
    # Of whole numbers; older files have pixels.
    landmarks = (arrays["landmarks"] * arrays.get("landmark_step_px", np.float32(1))).astype(np.float32)
    if not np.isfinite(landmarks).all():
        raise ValueError("landmarks has values that are no numbers")
    return {
        "landmarks": landmarks,
        "times_s": times_s,
        "corners": corners,
        "canvas_px": (int(width), int(height)),
        "jpeg_ends": arrays["jpeg_ends"],
    }


def _read(path: Path, name: str) -> dict[str, NDArray[Any]]:
    """One array of a feature file, if it is there. Raises: DataError, damaged."""
    try:
        return read_arrays(path, {name: _ARRAYS[name]})
    except ValueError as error:
        raise _not_ours(path, error) from None


def _not_ours(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is not a feature file ({error}): delete it and run extract-features again")
