"""An avatar: an enrolled face, ready to be driven. What makes avatars is an `AvatarFactory`, and there is one way to
ask each for them; `s2v.engine.avatar_factory` has the one whose frames this process draws.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from s2v.engine.behaviour.mood import Mood
from s2v.engine.behaviour.options import USUAL as USUAL_LIVELINESS
from s2v.engine.behaviour.options import check_liveliness, check_mood
from s2v.engine.compositor.pixel_format import PixelFormat
from s2v.engine.face.articulation import USUAL
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.photo import MAX_SIDE_PX, Image, Picture, decode_picture, load_picture
from s2v.engine.lipsync import Engine
from s2v.errors import FaceError, S2vError

JPEG_QUALITY = 90
CALL_PIXELS: PixelFormat = "i420"  # what calls are encoded from

# a file's path, its bytes, or (h, w, 3) BGR: what a camera or `cv2.imread` gives; (h, w, 4) with alpha
Photo = str | os.PathLike[str] | bytes | Picture


@dataclass(frozen=True)
class AvatarOptions:
    """What drives a face and draws it: asked for once, and the same for all avatars of a factory."""

    model: Path | None = None  # of `s2v export`; None: the model that comes with the package
    backend: str = "auto"  # one of `s2v.engine.backends.BACKEND_NAMES`
    idle_seed: int | None = 0  # blinks, gaze, head and breath, see `LipSyncEngine`; None: only the lower face moves
    max_side_px: int = MAX_SIDE_PX  # larger photos are scaled down to this
    compose: str = "auto"  # where frames are drawn: one of `s2v.engine.compositor_choice.COMPOSE_PLACES`
    articulation: float = USUAL  # how strongly the face speaks, 0.5 to 1.5; each engine can change it
    liveliness: float = USUAL_LIVELINESS  # how much head, brows and gaze move, 0 to 1.5; each engine can change it
    mood: Mood = "neutral"  # how the face looks before it says anything: "neutral", "friendly" or "serious"
    background: str | None = None  # behind the person, see `parse_background`; None: what is there on the photo


class Avatar:
    """An enrolled face, ready to be driven; gives as many engines as there are streams.

    It does not tell who draws their frames: this process, or another.
    """

    def __init__(
        self,
        face: EnrolledFace,
        open_engine: Callable[[PixelFormat, Mood | None], Engine],
        draw_still: Callable[[], Image],
    ) -> None:
        """
        Args:
            open_engine: called by `engine` with what that was asked for, on whichever thread that is.
            draw_still: what to show before the first frame, (h, w, 3) BGR, as large as the frames; called once.
        """
        self.face = face
        self._open_engine = open_engine
        self._draw_still = draw_still

    def engine(self, pixels: PixelFormat = "bgr", mood: Mood | None = None) -> Engine:
        """A new engine for one stream: opened, used and closed by the calling thread.

        Args:
            pixels: how frames shall come. "bgr" is (h, w, 3) always; of what else is asked for it spares a conversion
                where frames are drawn as that, and else they are BGR.
            mood: how the face looks before it says anything, for this stream; None is the avatar's own.
        Raises: BackendError, the runtime asked for cannot be used, or is closed. ModelError. S2vError, no such mood, or
            a mood where nothing but the lower face moves.
        """
        return self._open_engine(pixels, mood)

    @cached_property
    def still_bgr(self) -> Image:
        """The face at rest, (h, w, 3), as large as the frames. Not to be written to. Some 0.3 s at the first time."""
        return self._draw_still()

    @cached_property
    def still_jpeg(self) -> bytes:
        """The same as a file."""
        return cv2.imencode(".jpg", self.still_bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height of every frame in pixels, both even."""
        height, width = self.face.photo.shape[:2]
        return width, height


def check_behaviour(options: AvatarOptions, mood: Mood | None = None) -> Mood:
    """The mood that an engine with these options has; None is theirs.

    Raises: S2vError, no such mood or liveliness, or one although nothing but the lower face moves.
    """
    asked = check_mood(options.mood if mood is None else mood)
    liveliness = check_liveliness(options.liveliness)
    if options.idle_seed is None and (asked != "neutral" or liveliness != USUAL_LIVELINESS):
        raise S2vError("without a seed (--no-idle) nothing but the lower face moves: leave liveliness and mood out")
    return asked


class AvatarFactory(Protocol):
    """Makes avatars that one model drives. May be used by any thread."""

    def enrol(self, photo: Photo, name: str = "the photo", face_index: int | None = None) -> Avatar:
        """Find the face on a photo; takes some 0.3 s of the calling thread.

        Args:
            name: what to call a photo in errors that is no file.
            face_index: which face, from the left, if there are several.
        Raises: FaceError, the photo cannot be used. BackendError, what draws has ended.
        """


def picture_of(photo: Photo, name: str = "the photo") -> Picture:
    """A photo as `enrol` of `s2v.engine.face.enrolment` wants it. Raises: FaceError, it is none, or too large."""
    if isinstance(photo, str | os.PathLike):
        return load_picture(Path(photo))
    if isinstance(photo, bytes):
        return decode_picture(photo, name)
    if not isinstance(photo, np.ndarray):
        raise FaceError(f"{name} is a {type(photo).__name__}: give a path, the bytes of a file, or an array")
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] not in (3, 4) or not photo.size:
        raise FaceError(
            f"{name} is an array of {photo.dtype}, shape {photo.shape}: give uint8 BGR or BGRA, (height, width, 3 or 4)"
        )
    return photo
