"""A photo as people have it, from a file or its bytes: decoded, upright, scaled to what a frame may be."""

from __future__ import annotations

import contextlib
import io
import re
import stat
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.errors import FaceError

if TYPE_CHECKING:
    import PIL.Image

Image = NDArray[np.uint8]  # (h, w, 3) BGR
Picture = NDArray[np.uint8]  # (h, w, 3) BGR, or (h, w, 4) with alpha where some of it is transparent

MAX_SIDE_PX = 1080
MAX_FILE_BYTES = 64 * 2**20
MAX_PIXELS = 80_000_000
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif", ".gif", ".bmp")
PHOTO_KINDS = "a jpg, png, webp, avif, heic, gif or bmp"
BEHIND_TRANSPARENT = 255  # white: what a page shows it on

_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP")  # by Pillow's names
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_ORIENTATION = 0x0112  # of EXIF
_HEIF_TIMEOUT_S = 30.0
_ISPE = re.compile(rb"ispe\0{4}(.{8})", re.DOTALL)
# From stdin to stdout: "width height mode bytes-of-profile", the profile, and the pixels if they are not too many.
_UNPACK_HEIF = """
import io, sys
from pi_heif import HeifImageFile
image = HeifImageFile(io.BytesIO(sys.stdin.buffer.read()))
pixels = image.tobytes() if image.width * image.height <= int(sys.argv[1]) else b""
profile = image.info.get("icc_profile") or b""
head = f"{image.width} {image.height} {image.mode} {len(profile)}\\n".encode()
sys.stdout.buffer.write(head + profile + pixels)
"""
# What Pillow and libheif raise on a file that is cut short or has a damaged byte.
_DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    LookupError,
    TypeError,
    EOFError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
)


def load_photo(path: Path, max_side_px: int = MAX_SIDE_PX) -> Image:
    """Read a picture as BGR, upright, at most `max_side_px` on the long side, even sides; white shows through it.

    A photo whose face is searched is rather read by `load_picture`: scaled down, a small face is lost.
    Raises: FaceError, the file is missing, empty, not an image or absurdly large.
    """
    return fit_photo(flattened(load_picture(path)), max_side_px)


def load_picture(path: Path) -> Picture:
    """Read a picture as large as it is, upright; of one that moves the first frame. Raises: as `load_photo`."""
    return decode_picture(read_photo(path), str(path))


def read_photo(path: Path) -> bytes:
    """The bytes of a photo's file. Raises: FaceError, the file is missing or absurdly large."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe may never begin, a device never end
            raise FaceError(f"{path} is a folder, a pipe or a device and no file: give {PHOTO_KINDS}")
        size_bytes = status.st_size
        if size_bytes > MAX_FILE_BYTES:
            limit = MAX_FILE_BYTES >> 20
            raise FaceError(f"{path} has {size_bytes >> 20} MiB; a photo may have {limit}: scale it down first")
        return path.read_bytes()
    except OSError as error:
        raise FaceError(f"cannot read the photo {path}: {error.strerror or error}; check the path") from None


def decode_photo(data: bytes, name: str = "the photo", max_side_px: int = MAX_SIDE_PX) -> Image:
    """Like `load_photo`, from bytes."""
    return fit_photo(flattened(decode_picture(data, name)), max_side_px)


def decode_picture(data: bytes, name: str = "the photo") -> Picture:
    """Like `load_picture`, from bytes."""
    try:
        with warnings.catch_warnings(), _opened(data, name, MAX_PIXELS) as image:
            warnings.simplefilter("ignore")  # Pillow's about damaged notes beside the pixels
            image.load()
            return _pixels(_srgb(_turned(image)))
    except _DAMAGE:
        raise _unreadable(data, name) from None


def refuse_too_large(data: bytes, name: str, max_pixels: int) -> None:
    """Raises: FaceError, the file's head says more pixels, or is none that can be read. Nothing is unpacked."""
    if _is_heif(data):  # which `_opened` would unpack
        sizes = _heif_sizes(data)
        if not sizes:
            raise _unreadable(data, name)
        for width, height in sizes:
            _refuse_pixels(width, height, name, max_pixels)
        return
    try:
        _opened(data, name, max_pixels).close()
    except _DAMAGE:
        raise _unreadable(data, name) from None


def flattened(picture: Picture) -> Image:
    """The picture with white where it is transparent, (h, w, 3)."""
    if picture.shape[2] == 3:
        return picture
    alpha = picture[..., 3:].astype(np.uint16)
    shown = picture[..., :3] * alpha + np.uint16(BEHIND_TRANSPARENT) * (255 - alpha)
    return np.asarray((shown + 127) // 255, np.uint8)


def fit_photo(image: Image, max_side_px: int = MAX_SIDE_PX) -> Image:
    """Scale down to `max_side_px` on the long side and cut to even sides (video wants them)."""
    image, _ = shrunk(image, max_side_px)
    height, width = (n & ~1 for n in image.shape[:2])
    if min(height, width) < 2:
        raise FaceError(f"the photo is {image.shape[1]}x{image.shape[0]} px: give a larger one")
    return np.ascontiguousarray(image[:height, :width])


def shrunk(image: Image, max_side_px: int) -> tuple[Image, float]:
    """The picture with at most `max_side_px` on the long side, and its scale; itself and 1 if it is no larger."""
    scale = min(1.0, max_side_px / max(image.shape[:2]))
    if scale == 1.0:
        return image, scale
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _unreadable(data: bytes, name: str) -> FaceError:
    return FaceError(f"{name} is not an image that can be read ({len(data)} bytes): give {PHOTO_KINDS}")


def _opened(data: bytes, name: str, max_pixels: int) -> PIL.Image.Image:
    """The picture of a file, of which nothing but the head is unpacked. Raises: FaceError, it has too many pixels."""
    import PIL.Image

    try:
        image = _image_file(data)
    except PIL.Image.DecompressionBombError:  # it does not say how many they are
        raise FaceError(f"{name} is far too large; scale it below {max_pixels // 10**6} MP") from None
    _refuse_pixels(image.width, image.height, name, max_pixels)
    return image


def _refuse_pixels(width: int, height: int, name: str, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise FaceError(f"{name} has {width}x{height} px; scale it below {max_pixels // 10**6} MP")


def _image_file(data: bytes) -> PIL.Image.Image:
    import PIL.Image

    if _is_heif(data):
        return _heif(data)
    with warnings.catch_warnings():  # Pillow's own limit is a setting of the whole process
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
        return PIL.Image.open(io.BytesIO(data), formats=_FORMATS)


def _heif(data: bytes) -> PIL.Image.Image:
    """Unpacked by a process of its own: a damaged file can end libheif's. Raises: OSError, it cannot be read."""
    import pi_heif  # noqa: F401 - raises here where it is missing
    import PIL.Image

    # -P: no module of the folder that a user happens to be in
    command = [sys.executable, "-P", "-c", _UNPACK_HEIF, str(MAX_PIXELS)]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=_HEIF_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError(str(error)) from None
    head, _, rest = done.stdout.partition(b"\n")
    if done.returncode != 0 or not head:
        raise OSError(f"libheif ended with {done.returncode}")
    width, height, mode, profile_bytes = head.decode().split()
    size, profile, pixels = (int(width), int(height)), rest[: int(profile_bytes)], rest[int(profile_bytes) :]
    if not pixels:
        raise FaceError(f"the photo has {width}x{height} px; scale it below {MAX_PIXELS // 10**6} MP")
    image = PIL.Image.frombytes(mode, size, pixels)
    image.info["icc_profile"] = profile
    return image


def _is_heif(data: bytes) -> bool:
    """Whether this is HEIF with HEVC in it, as phones write it, by the file's brands. Source: ISO 14496-12, 4.3."""
    length = min(int.from_bytes(data[:4], "big"), 256)
    brands = data[8:length]
    return data[4:8] == b"ftyp" and b"avif" not in brands and any(brand in brands for brand in _HEIF_BRANDS)


def _heif_sizes(data: bytes) -> list[tuple[int, int]]:
    """Width and height in pixels of all pictures in a HEIF file, tiles and thumbnails too, as its head says.

    Sources: ISO 14496-12, 4.2 (boxes); ISO 23008-12, 6.5.3 (ispe).
    """
    sizes, start = [], 0
    while start + 8 <= len(data):
        length = int.from_bytes(data[start : start + 4], "big")
        if length == 1:
            length = int.from_bytes(data[start + 8 : start + 16], "big")
        end = start + length if length >= 8 else len(data)  # 0: the last box
        if data[start + 4 : start + 8] == b"meta":
            sizes += [struct.unpack(">II", found[1]) for found in _ISPE.finditer(data, start, end)]
        start = end
    return sizes


def _turned(image: PIL.Image.Image) -> PIL.Image.Image:
    """The loaded picture upright, if it says how it was held. Source: EXIF 2.32, 4.6.4 A."""
    from PIL.Image import Transpose

    orientation = None
    with contextlib.suppress(*_DAMAGE, struct.error):  # damaged notes say nothing
        orientation = image.getexif().get(_ORIENTATION)
    how = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation if isinstance(orientation, int) else 1)
    return image if how is None else image.transpose(how)


def _srgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """The picture in the colours of the web, where it says that it has others; else as it is."""
    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA"):
        return image
    with contextlib.suppress(ImageCms.PyCMSError, OSError):  # a damaged profile says nothing
        theirs, ours = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        if "sRGB" not in ImageCms.getProfileDescription(theirs):
            return ImageCms.profileToProfile(image, theirs, ours) or image
    return image


def _pixels(image: PIL.Image.Image) -> Picture:
    """BGR; with alpha if some pixel is not wholly opaque."""
    if image.mode.startswith("I"):  # grey of 16 bits, which Pillow would clip
        values = np.asarray(image, np.uint32)
        shown = np.where(values == image.info.get("transparency", -1), 0, 255).astype(np.uint8)
        grey = (values >> 8).clip(0, 255).astype(np.uint8)
        return np.dstack([grey] * 3 if shown.all() else [grey] * 3 + [shown])
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"), np.uint8)
        if rgba[..., 3].min() < 255:
            return np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA), np.uint8)
    rgb = np.asarray(image.convert("RGB"), np.uint8)
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)
