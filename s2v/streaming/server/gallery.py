"""A folder of photos that callers can choose from."""

from __future__ import annotations

import logging
from pathlib import Path

from s2v.engine.face.photo import PHOTO_SUFFIXES
from s2v.errors import FaceError

log = logging.getLogger(__name__)

GALLERY_LIMIT = 100  # photos; each costs some 2 MB


def photos_of(folder: Path) -> list[Path]:
    """The photos of a folder by name, at most GALLERY_LIMIT. Raises: FaceError."""
    try:
        photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES and path.is_file())
    except OSError as error:
        raise FaceError(f"--faces {folder}: {error.strerror or error}: give a folder of photos") from None
    if not photos:
        raise FaceError(f"--faces {folder} holds no {', '.join(PHOTO_SUFFIXES)}: give a folder of photos")
    if len(photos) > GALLERY_LIMIT:
        log.warning("gallery: the first %d of %d photos are taken", GALLERY_LIMIT, len(photos))
    return photos[:GALLERY_LIMIT]
