"""One video or photo -> its feature file: what every worker does, here or on another machine."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2v.errors import BackendError, NoFaceError, OutputError, S2vError, SeveralFacesError
from s2v.media.video_file import Video, read_video
from s2v.spec import LipSyncSpec
from s2v.training.dataset.lrs2 import transcript_of
from s2v.training.dataset.sources import Source, feature_path
from s2v.training.extract.face_cuts import CutPictures, FaceCuts, cut_to_faces
from s2v.training.extract.face_embedding import FaceEmbedding
from s2v.training.extract.face_landmarks import with_landmarks, without_gaps
from s2v.training.extract.feature_file import save_features
from s2v.training.extract.time_axis import frame_middles_s
from s2v.training.quality.clip_records import ClipRecord, as_line, record_of
from s2v.training.quality.face_watch import FaceWatch
from s2v.training.quality.findings import Refusal, SeenPictures
from s2v.training.quality.inspect_clip import Inspection, inspect_clip, inspect_photo, listen_first
from s2v.training.quality.thresholds import DEFAULT, Thresholds

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@dataclass(frozen=True)
class SeenClip:
    """A clip that was decoded and looked at once, before anything of it is kept."""

    source: Source
    found: NDArray[np.float32]  # (n, 478, 3) px of the whole picture, NaN where no face was found
    times_s: NDArray[np.float64]  # (n,) the moment that each picture shows, from the sound's beginning
    pcm: NDArray[np.int16]  # 16 kHz mono, empty for a photo
    pictures: CutPictures


def extract_clip(source: Source, features: Path, talker: str, limits: Thresholds | None = None) -> ClipRecord:
    """Extract one clip into `features`, or say why not.

    Args: limits: of the gates that it must pass; None, it is taken as it is.
    Raises: OutputError, the features cannot be written. BackendError, this machine lacks something.
    """
    import cv2

    record = record_of(source.clip_id, source.path, talker, limits)
    try:
        clip, found = _seen_photo(source, limits) if source.is_photo else _seen_video(source, limits)
        record = replace(record, refusal=found.refusal, figures=found.figures, notes=found.notes, prints=found.prints)
        if clip is not None:
            _save(clip, features, record, limits or DEFAULT)
    except (BackendError, OutputError):  # this machine's, and not the clip's
        raise
    except SeveralFacesError as error:
        reason = f"{error.count} faces on the photo: cut it to one person"
        return replace(record, refusal=Refusal("several-faces", reason, float(error.count), 1.0))
    except NoFaceError as error:
        return replace(record, refusal=Refusal("no-face", str(error)))
    except (S2vError, ValueError, cv2.error) as error:
        return replace(record, refusal=_unreadable(error))
    except (OSError, MemoryError) as error:
        if getattr(error, "errno", None) in _NO_ROOM:  # also where only a temporary file is written
            raise OutputError(f"cannot write to disk ({error}): make room, then give the same command again") from error
        # that may be no fault of the clip: it is tried again
        return replace(record, refusal=_unreadable(error), limits="")
    return record


def lost_clip(source: Source, talker: str) -> ClipRecord:
    """Of a clip that has killed its process again and again: it may be the machine's fault, so it is tried again."""
    reason = "its process was killed each time, by a damaged file or for want of memory"
    return replace(record_of(source.clip_id, source.path, talker, None), refusal=Refusal("unreadable", reason))


def _unreadable(error: Exception) -> Refusal:
    return Refusal("unreadable", " ".join(str(error).split()) or type(error).__name__)


def _save(clip: SeenClip, features: Path, record: ClipRecord, limits: Thresholds) -> None:
    """Raises: OutputError, the disk is full or may not be written: that is not the clip's fault, nor the last one's."""
    landmarks = without_gaps(list(clip.found), limits.max_lost_share)
    path = feature_path(clip.source.clip_id, features)
    transcript = transcript_of(clip.source.path)
    face, line = FaceEmbedding.load().of(landmarks), as_line(record) if record.limits else ""
    try:
        save_features(path, clip.pictures, landmarks, clip.pcm, record.talker, transcript, clip.times_s, face, line)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # that is its own
            raise
        raise OutputError(
            f"cannot write {path} ({error.strerror or error}): make room or give yourself access, then give the same "
            "command again: what is done stays"
        ) from error


def _seen_photo(source: Source, limits: Thresholds | None) -> tuple[SeenClip | None, Inspection]:
    from s2v.engine.face.enrolment import prepared_photo
    from s2v.engine.face.photo import load_picture

    photo, mesh = prepared_photo(load_picture(source.path))
    found = mesh.astype(np.float32)[None]
    size_px = (photo.shape[1], photo.shape[0])
    inspection = Inspection(None) if limits is None else inspect_photo(found, size_px, limits)
    if inspection.refusal is not None:
        return None, inspection
    times_s = frame_middles_s(1, LipSyncSpec.fps)
    clip = SeenClip(source, found, times_s, np.zeros(0, np.int16), cut_to_faces([photo], found))
    return clip, inspection


def _seen_video(source: Source, limits: Thresholds | None) -> tuple[SeenClip | None, Inspection]:
    """What is kept of it, None for nothing, and why."""
    video = read_video(source.path)
    if limits is not None and (heard := listen_first(video.pcm, limits)).refusal is not None:
        return None, heard
    seen, cuts = _looked_at(video)
    clip = SeenClip(source, seen.landmarks, seen.times_s, video.pcm, cuts)
    if limits is None:
        return clip, Inspection(None)
    found = inspect_clip(seen, video.pcm, limits)
    if found.kept is None:
        return None, found
    notes = (*([f"sound chosen: {video.sound_note}"] if video.sound_note else []), *found.notes)
    return _part(clip, found.kept.frames, found.kept.samples), replace(found, notes=notes)


def _looked_at(video: Video) -> tuple[SeenPictures, CutPictures]:
    """In one pass over its pictures: a minute of raw frames takes gigabytes, and decoding twice takes twice as long."""
    cuts, times_s = FaceCuts(), []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for picture, time_s in video.timed_frames():
            times_s.append(time_s)
            yield picture

    with FaceWatch() as watch:
        for picture, landmarks in with_landmarks(pictures()):
            cuts.add(picture, landmarks)
            watch.add(picture, landmarks)
    return watch.pictures(np.array(times_s)), cuts.pictures()


def _part(clip: SeenClip, frames: slice, samples: slice) -> SeenClip:
    """Some frames of a clip, and their sound."""
    kept = clip.pictures
    return replace(
        clip,
        found=clip.found[frames],
        times_s=clip.times_s[frames] - frames.start / LipSyncSpec.fps,
        pcm=clip.pcm[samples],
        pictures=CutPictures(kept.packed[frames], kept.corners[frames], kept.sizes_px[frames]),
    )
