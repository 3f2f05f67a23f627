"""A folder of photos that callers can choose from."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

from s2v.engine.face.photo import MAX_FILE_BYTES, MAX_PIXELS
from s2v.engine.face.picture_size import picture_size
from s2v.errors import FaceError

log = logging.getLogger(__name__)

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
GALLERY_LIMIT = 100  # photos; each costs some 2 MB


def photos_of(folder: Path) -> list[Path]:
    """The photos of a folder by name, at most GALLERY_LIMIT. Raises: FaceError."""
    try:
        photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTO_ENDINGS and path.is_file())
    except OSError as error:
        raise FaceError(f"--faces {folder}: {error.strerror or error}: give a folder of photos") from None
    if not photos:
        raise FaceError(f"--faces {folder} holds no {', '.join(PHOTO_ENDINGS)}: give a folder of photos")
    if len(photos) > GALLERY_LIMIT:
        log.warning("gallery: the first %d of %d photos are taken", GALLERY_LIMIT, len(photos))
    return photos[:GALLERY_LIMIT]


def read_photo(path: Path) -> bytes:
    """The bytes of a photo. Raises: FaceError, too large or not to be read."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe may never begin, a device never end
            raise FaceError("it is a folder, a pipe or a device")
        if (size := status.st_size) > MAX_FILE_BYTES:
            raise FaceError(f"it has {size >> 20} MiB; a photo may have {MAX_FILE_BYTES >> 20}")
        data = path.read_bytes()
    except OSError as error:
        raise FaceError(f"it cannot be read: {error.strerror or error}") from None
    if (px := picture_size(data)) is not None and px[0] * px[1] > MAX_PIXELS:
        raise FaceError(f"it has {px[0]}x{px[1]} px; a photo may have {MAX_PIXELS // 10**6} million")
    return data
