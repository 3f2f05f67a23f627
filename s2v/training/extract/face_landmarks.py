"""The landmarks of a film's frames, sought near those of the frame before, not smoothed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.training.quality.thresholds import DEFAULT

_SEEK_EVERY = 25  # frames: what has drifted off a face comes back, and a new face is seen


def detect_landmarks(frames: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Landmarks (n, 478, 3) in pixels; gaps of a few frames are filled in a straight line.

    Raises: DataError, no frame at all, or no face in too many of them.
    """
    return without_gaps([landmarks for _, landmarks in with_landmarks(frames)])


def with_landmarks(
    frames: Iterable[NDArray[np.uint8]],
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Each frame and its landmarks (478, 3) in pixels, NaN where no face is found.

    A face is sought on the whole picture at first, every _SEEK_EVERY frames, and when it is lost; between, where it
    was. Nothing is smoothed: that lags by half a frame and slows the lips (docs/LOG.md). A picture that comes again
    has the same landmarks again.
    """
    from s2v.engine.face.face_search import film_detector
    from s2v.training.extract.mesh_network import mesh_network

    network, nobody = mesh_network(), np.full((478, 3), np.nan, np.float32)
    last: NDArray[np.uint8] | None = None
    landmarks: NDArray[np.float32] | None = None
    sought = 0

    def sought_on(frame: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        found = find(frame)
        return None if found is None else network.near(frame, found.astype(np.float32))

    with film_detector() as find:
        for number, frame in enumerate(frames):
            if last is None or not _is_same(frame, last):
                known = None if landmarks is None else network.near(frame, landmarks)
                if known is None or landmarks is None or not _is_near(known, landmarks):
                    known, sought = sought_on(frame), number
                elif number >= sought + _SEEK_EVERY:
                    elsewhere, sought = sought_on(frame), number
                    known = known if elsewhere is None or _is_near(elsewhere, known) else elsewhere
                landmarks = known
            last = frame
            yield frame, nobody if landmarks is None else landmarks


def _is_same(frame: NDArray[np.uint8], last: NDArray[np.uint8]) -> bool:
    """Whether two pictures are equal, with a look at a part of them first: mostly they are not."""
    if frame is last:
        return True
    return frame.shape == last.shape and np.array_equal(frame[::16], last[::16]) and np.array_equal(frame, last)


def _is_near(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether a head may have moved so between two frames: its points by less than a third of its size, on average."""
    size_px = float(np.ptp(other[:, :2], axis=0).max())
    return float(np.linalg.norm(one[:, :2] - other[:, :2], axis=1).mean()) < size_px / 3


def without_gaps(
    landmarks: Sequence[NDArray[np.float32]], max_lost_share: float = DEFAULT.max_lost_share
) -> NDArray[np.float32]:
    """Landmarks of a clip's frames as one array (n, 478, 3), frames without a face filled in a straight line.

    Args: max_lost_share: see `Thresholds`.
    Raises: DataError, no frame at all, or no face in too many of them.
    """
    if not len(landmarks):
        raise DataError("holds no picture")
    found = np.array(landmarks, np.float32)
    lost = np.isnan(found[:, 0, 0])
    if lost.mean() > max_lost_share or lost.all():
        raise DataError(f"no face in {lost.sum()} of {len(found)} frames")
    seen = np.flatnonzero(~lost)
    flat = found.reshape(len(found), -1)
    for column in flat.T if lost.any() else ():
        column[lost] = np.interp(np.flatnonzero(lost), seen, column[seen])
    return found
