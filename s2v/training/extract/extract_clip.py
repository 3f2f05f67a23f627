"""One video or photo -> its feature file: what every worker does, here or on another machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2v.errors import BackendError, S2vError, SeveralFacesError
from s2v.media.video_file import read_video
from s2v.training.dataset.lrs2 import transcript_of
from s2v.training.dataset.sources import Source, feature_path
from s2v.training.extract.face_cuts import CutPictures, FaceCuts, cut_to_faces
from s2v.training.extract.face_embedding import face_embedding
from s2v.training.extract.face_landmarks import with_landmarks, without_gaps
from s2v.training.extract.feature_file import save_features
from s2v.training.extract.time_axis import frame_middles_s


@dataclass(frozen=True)
class SeenClip:
    """A clip that was decoded and looked at once, before anything of it is kept."""

    source: Source
    found: NDArray[np.float32]  # (n, 478, 3) px of the whole picture, NaN where no face was found
    times_s: NDArray[np.float64]  # (n,) the moment that each picture shows, from the sound's beginning
    pcm: NDArray[np.int16]  # 16 kHz mono, empty for a photo
    picture_px: tuple[int, int]  # width and height of the pictures as they were looked at
    pictures: CutPictures


def extract_clip(source: Source, features: Path, talker: str) -> str | None:
    """Extract one clip into `features`; the reason why not, or None."""
    import cv2

    try:
        clip = _seen_photo(source) if source.is_photo else _seen_video(source)
        # Here a gate may look at the clip: nothing of it has been written yet.
        landmarks = without_gaps(list(clip.found))
        target = feature_path(source.clip_id, features)
        transcript, face = transcript_of(source.path), face_embedding(landmarks)
        save_features(target, clip.pictures, landmarks, clip.pcm, talker, transcript, clip.times_s, face)
    except BackendError:  # this machine's, and not the clip's
        raise
    except SeveralFacesError as error:
        return f"{error.count} faces on the photo: cut it to one person"
    except (S2vError, OSError, ValueError, cv2.error, MemoryError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _seen_photo(source: Source) -> SeenClip:
    from s2v.engine.face.enrolment import prepared_photo
    from s2v.engine.face.photo import load_picture
    from s2v.spec import LipSyncSpec

    photo, mesh = prepared_photo(load_picture(source.path))
    found = mesh.astype(np.float32)[None]
    size_px = (photo.shape[1], photo.shape[0])
    times_s = frame_middles_s(1, LipSyncSpec.fps)
    return SeenClip(source, found, times_s, np.zeros(0, np.int16), size_px, cut_to_faces([photo], found))


def _seen_video(source: Source) -> SeenClip:
    """In one pass over its pictures: a minute of raw frames takes gigabytes, and decoding twice takes twice as long."""
    video = read_video(source.path)
    cuts, found, times_s, size_px = FaceCuts(), [], [], (0, 0)

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for picture, time_s in video.timed_frames():
            times_s.append(time_s)
            yield picture

    for picture, landmarks in with_landmarks(pictures()):
        cuts.add(picture, landmarks)
        found.append(landmarks)
        size_px = (picture.shape[1], picture.shape[0])
    landmarks_found = np.array(found, np.float32).reshape(-1, 478, 3)
    return SeenClip(source, landmarks_found, np.array(times_s), video.pcm, size_px, cuts.pictures())
