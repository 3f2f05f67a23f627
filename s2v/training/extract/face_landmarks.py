"""The landmarks of a film's frames, each frame looked at by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError

MAX_LOST_SHARE = 0.2  # of frames without a face; more makes the clip useless


def detect_landmarks(frames: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Landmarks (n, 478, 3) in pixels; gaps of a few frames are filled in a straight line.

    Raises: DataError, no frame at all, or no face in too many of them.
    """
    return without_gaps([landmarks for _, landmarks in with_landmarks(frames)])


def with_landmarks(
    frames: Iterable[NDArray[np.uint8]],
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Each frame and its landmarks (478, 3) in pixels, NaN where no face is found.

    A picture that is given several times, as the same array, is looked at once.
    """
    from s2v.engine.face.face_search import film_detector

    nobody = np.full((478, 3), np.nan, np.float32)
    last: NDArray[np.uint8] | None = None
    landmarks = nobody
    # Every frame by itself: a video mode's smoothing lags by half a frame and slows the lips (docs/LOG.md).
    with film_detector() as find:
        for frame in frames:
            if frame is not last:
                found = find(frame)
                landmarks = nobody if found is None else np.asarray(found, np.float32)
            last = frame
            yield frame, landmarks


def without_gaps(landmarks: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Landmarks of a clip's frames as one array (n, 478, 3), frames without a face filled in a straight line.

    Raises: DataError, no frame at all, or no face in too many of them.
    """
    if not len(landmarks):
        raise DataError("holds no picture")
    found = np.array(landmarks, np.float32)
    lost = np.isnan(found[:, 0, 0])
    if lost.mean() > MAX_LOST_SHARE:
        raise DataError(f"no face in {lost.sum()} of {len(found)} frames")
    seen = np.flatnonzero(~lost)
    flat = found.reshape(len(found), -1)
    for column in flat.T if lost.any() else ():
        column[lost] = np.interp(np.flatnonzero(lost), seen, column[seen])
    return found
