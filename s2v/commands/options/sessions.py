"""Options of `s2v live` about its callers: how many, and with which faces; and the render process that draws them."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from s2v.commands.options.face import avatar_options

if TYPE_CHECKING:
    from s2v.engine.avatar import Avatar
    from s2v.streaming.render.client import RenderClient
    from s2v.streaming.server.capacity import Capacity
    from s2v.streaming.server.face_store import FaceOptions

MOST_SESSIONS = 1000

log = logging.getLogger("s2v")


@dataclass(frozen=True)
class ServedFaces:
    """What the server shows, and to how many."""

    avatar: Avatar
    faces: FaceOptions
    max_sessions: int
    capacity: Capacity | None  # what was measured, where nobody gave a number
    runtime: RenderClient


def add_session_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-sessions",
        type=_sessions,
        metavar="N",
        help="callers at a time; more are asked to come back (default: auto, measured at the start)",
    )
    parser.add_argument("--faces", type=Path, metavar="DIR", help="photos that callers can choose from")
    parser.add_argument("--no-uploads", action="store_true", help="callers cannot bring a photo of their own")


@contextmanager
def open_served_faces(args: argparse.Namespace, shared: bool) -> Iterator[ServedFaces]:
    """The face of --face in a render process, which is ended at the end.

    Args: shared: every caller sees this one face, drawn once.
    Raises: S2vError, photo, model, runtime or gallery cannot be used.
    """
    from s2v.engine.face.photo import load_picture
    from s2v.streaming.render.client import RenderClient
    from s2v.streaming.server.capacity import measure
    from s2v.streaming.server.face_store import FaceOptions, UploadLimits
    from s2v.streaming.server.gallery import photos_of

    photo = load_picture(args.face)  # a wrong path is refused before a runtime is opened
    gallery = photos_of(args.faces) if args.faces is not None else []
    renderer = RenderClient(avatar_options(args))
    try:
        avatar = renderer.enrol(photo, face_index=args.face_index)
        sessions, capacity = args.max_sessions, None
        if sessions is None:
            capacity = measure(avatar, renderer, shared, lambda: time.process_time() + renderer.cpu_s)
            log.info("this machine carries %s", capacity)
            sessions = capacity.sessions
        uploads = None if args.no_uploads else UploadLimits()
        yield ServedFaces(avatar, FaceOptions(renderer, tuple(gallery), uploads), sessions, capacity, renderer)
    finally:
        renderer.close()


def _sessions(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= MOST_SESSIONS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of callers: give 1 to {MOST_SESSIONS}, or auto")
    return int(text)
