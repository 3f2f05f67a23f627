from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from s2v.engine.face.face_search import detect_faces
from s2v.engine.face.photo import MAX_SIDE_PX, Image, decode_photo, fit_photo, load_photo, refuse_too_large, shrunk
from s2v.errors import FaceError

DATA = Path(__file__).parents[2] / "data"
PORTRAIT = DATA / "closed_lips.jpg"
KINDS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP", ".avif": "AVIF"}


@pytest.mark.parametrize(
    "content", [b"", b"not a photo", b"\xff\xd8\xff\xe0 cut short", b"GIF89a", b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_not_a_photo_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "me.jpg"
    path.write_bytes(content)
    with pytest.raises(FaceError, match=rf"me\.jpg is not an image that can be read \({len(content)} bytes\)"):
        load_photo(path)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_photo_or_refused(content: bytes) -> None:
    with pytest.raises(FaceError):
        decode_photo(content)


@settings(max_examples=30, deadline=None)
@given(at=st.integers(0, 40_000), value=st.integers(0, 255), end=st.integers(0, 40_000))
def test_a_damaged_photo_is_read_or_refused(at: int, value: int, end: int) -> None:
    content = bytearray(PORTRAIT.read_bytes())
    content[at] = value
    try:
        photo = decode_photo(bytes(content[: max(end, at)]))
    except FaceError:
        return
    assert max(photo.shape) <= MAX_SIDE_PX


def test_what_is_no_file_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(FaceError, match=r"cannot read the photo .*nobody\.jpg: No such file"):
        load_photo(tmp_path / "nobody.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")  # nobody will ever write to it
    for path in (tmp_path, tmp_path / "pipe.jpg", Path("/dev/zero")):
        with pytest.raises(FaceError, match=rf"{path} is a folder, a pipe or a device"):
            load_photo(path)


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size; a row of pixels follows."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1 + 3 * min(width, 1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(9_000, 9_000), (15_000, 15_000), (2**31 - 1, 2**31 - 1)])
def test_a_small_file_that_claims_to_be_huge_is_refused_by_its_header(width: int, height: int) -> None:
    # By its size, not because the pixels are missing: nothing was unpacked.
    with pytest.raises(FaceError, match=r"the photo (has 9000x9000 px|is far too large); scale it below 80 MP"):
        decode_photo(png(width, height))


def test_a_file_beyond_all_measure_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(FaceError, match="has 200 MiB; a photo may have 64"):
        load_photo(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".gif", ".bmp", ".avif"])
def test_photos_of_all_kinds_are_read(tmp_path: Path, closed_photo: Image, suffix: str) -> None:
    path = tmp_path / f"me{suffix}"
    path.write_bytes(encoded(closed_photo, suffix))
    photo = load_photo(path)
    assert photo.shape == closed_photo.shape
    assert np.abs(photo.astype(int) - closed_photo).mean() < (8 if suffix == ".gif" else 3)  # which has 256 colours
    (tmp_path / "me.jpg").write_bytes(path.read_bytes())  # what it is called does not matter
    np.testing.assert_array_equal(load_photo(tmp_path / "me.jpg"), photo)


def test_a_photo_of_a_phone_is_read_turned_and_without_what_it_hides(closed_photo: Image) -> None:
    photo = decode_photo((DATA / "on_its_side.heic").read_bytes())
    wanted = cv2.resize(closed_photo, (192, 256), interpolation=cv2.INTER_AREA)
    assert photo.shape == (256, 192, 3)
    assert np.abs(photo[24:].astype(int) - wanted[24:]).mean() < 5
    assert photo[:16].min() > 250


def test_a_damaged_photo_of_a_phone_ends_no_process_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2v.engine.face.photo._UNPACK_HEIF", "import os; os.abort()")  # as libheif does on some files
    with pytest.raises(FaceError, match="not an image that can be read"):
        decode_photo((DATA / "on_its_side.heic").read_bytes())


def test_a_photo_of_a_phone_is_unpacked_by_no_module_of_the_folder_that_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pi_heif.py").write_text("raise SystemExit('somebody else')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)  # which may well name it
    assert decode_photo((DATA / "on_its_side.heic").read_bytes()).shape == (256, 192, 3)


@pytest.mark.parametrize("suffix", [".heic", ".jpg", ".avif"])
def test_too_many_pixels_are_refused_by_the_head_alone(closed_photo: Image, suffix: str) -> None:
    whole = (DATA / "on_its_side.heic").read_bytes() if suffix == ".heic" else encoded(closed_photo[:192, :256], suffix)
    head = whole if suffix == ".avif" else whole[:700]  # with none of the pixels
    refuse_too_large(head, "it", 256 * 192)
    with pytest.raises(FaceError, match=r"it has (256x192|192x256) px"):
        refuse_too_large(head, "it", 256 * 192 - 1)
    with pytest.raises(FaceError, match="not an image that can be read"):
        refuse_too_large(whole[:30], "it", 256 * 192)


def encoded(photo: Image, suffix: str, **options: object) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(photo[..., ::-1])).save(file, KINDS[suffix], **options)
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif"])
def test_of_a_picture_that_moves_the_first_frame_is_taken(closed_photo: Image, suffix: str) -> None:
    other = PIL.Image.new("RGB", (200, 200), "red")
    moving = encoded(closed_photo[:200, :200], suffix, save_all=True, append_images=[other, other])
    still = encoded(closed_photo[:200, :200], suffix)
    assert np.abs(decode_photo(moving).astype(int) - decode_photo(still)).mean() < 3


# --- what is transparent is white -----------------------------------------------------------------------


def deep_png(photo: Image, alpha: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", np.dstack([photo, alpha]).astype(np.uint16) * 257)[1].tobytes()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "deep"])
def test_what_transparent_pixels_hide_is_not_shown(closed_photo: Image, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (100, 400, 3), np.uint8)
    photo = np.concatenate([noise, closed_photo[100:300, :400]])
    alpha = np.repeat([0, 128, 255], 100).astype(np.uint8)[:, None].repeat(400, 1)
    if kind == "deep":
        data = deep_png(photo, alpha)
    else:
        file, lossless = io.BytesIO(), {"lossless": True, "exact": True} if kind == "WEBP" else {}
        PIL.Image.fromarray(np.dstack([photo[..., ::-1], alpha])).save(file, kind, **lossless)
        data = file.getvalue()
    found = decode_photo(data)
    within = 30 if kind == "AVIF" else 1.01
    np.testing.assert_allclose(found[:96], 255, atol=1.01)
    np.testing.assert_allclose(found[104:196], (photo[104:196] * 128.0 + 255 * 127.0) / 255, atol=within)
    np.testing.assert_allclose(found[204:], photo[204:], atol=within)


def test_a_transparent_colour_of_a_palette_is_white(closed_photo: Image) -> None:
    photo = PIL.Image.fromarray(np.ascontiguousarray(closed_photo[..., ::-1])).convert("P", colors=64)
    index = np.asarray(photo)
    for kind in ("PNG", "GIF"):
        file = io.BytesIO()
        photo.save(file, kind, transparency=int(index[0, 0]))
        found = decode_photo(file.getvalue())
        assert (found[index == index[0, 0]] == 255).all()
        opaque = np.asarray(photo.convert("RGB"))[..., ::-1][index != index[0, 0]]
        np.testing.assert_array_equal(found[index != index[0, 0]], opaque)


def test_a_picture_in_other_colours_than_the_web_s_is_shown_as_it_was_meant(closed_photo: Image) -> None:
    plain = decode_photo(encoded(closed_photo, ".png"))
    same = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(decode_photo(encoded(closed_photo, ".png", icc_profile=same)), plain)
    lab = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("LAB")).tobytes()
    for damaged in (lab, same[:300], b"no profile"):
        np.testing.assert_array_equal(decode_photo(encoded(closed_photo, ".png", icc_profile=damaged)), plain)


# --- and none is that ----------------------------------------------------------------------------------


def test_grey_and_deep_pictures_become_bgr(closed_photo: Image) -> None:
    grey = cv2.cvtColor(closed_photo, cv2.COLOR_BGR2GRAY)
    deep, deep_grey = closed_photo.astype(np.uint16) * 257, grey.astype(np.uint16) * 257
    for picture, wanted in ((grey, grey[..., None]), (deep, closed_photo), (deep_grey, grey[..., None])):
        photo = decode_photo(cv2.imencode(".png", picture)[1].tobytes())
        assert photo.dtype == np.uint8
        np.testing.assert_array_equal(photo, np.broadcast_to(wanted, closed_photo.shape))


def test_a_photo_from_a_phone_is_turned_upright(closed_photo: Image) -> None:
    # Orientation 6: the stored picture must be turned a quarter clockwise to be seen upright.
    stored = cv2.imencode(".jpg", cv2.rotate(closed_photo, cv2.ROTATE_90_COUNTERCLOCKWISE))[1].tobytes()
    orientation = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    segment = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + orientation + struct.pack(">I", 0)
    turned = stored[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + stored[2:]
    assert np.abs(decode_photo(turned).astype(int) - closed_photo).mean() < 3
    assert len(detect_faces(decode_photo(turned))) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_notes_about_a_picture_do_not_matter(closed_photo: Image, kind: str) -> None:
    picture, whole, damaged = PIL.Image.fromarray(closed_photo), io.BytesIO(), io.BytesIO()
    picture.save(whole, kind)
    picture.save(damaged, kind, exif=b"Exif\0\0no notes at all")
    np.testing.assert_array_equal(decode_photo(damaged.getvalue()), decode_photo(whole.getvalue()))


def test_a_deep_grey_that_is_called_transparent_is_white() -> None:
    grey = np.tile(np.array([1000, 2000, 3000, 4000], np.uint16), (4, 1))
    file = io.BytesIO()
    PIL.Image.fromarray(grey).save(file, "PNG", transparency=3000)
    found = decode_photo(file.getvalue())
    np.testing.assert_array_equal(found[0, :, 0], [1000 >> 8, 2000 >> 8, 255, 4000 >> 8])


def test_a_large_photo_is_fitted_and_has_even_sides(closed_photo: Image) -> None:
    large = cv2.resize(closed_photo, (3001, 2003))
    fitted = fit_photo(np.asarray(large, np.uint8))
    assert fitted.shape == (720, 1080, 3)
    assert fitted.flags["C_CONTIGUOUS"]
    assert fit_photo(closed_photo[:511, :333]).shape == (510, 332, 3)
    assert fit_photo(closed_photo[:512, :512]).shape == (512, 512, 3)  # never scaled up


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (5000, 1)])
def test_a_speck_or_a_line_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(FaceError, match="give a larger one"):
        fit_photo(np.zeros((*shape, 3), np.uint8))


# --- another decoder sees the same ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "kind", "options", "off_by"),
    [
        ("RGB", "JPEG", {"progressive": True}, 0),
        ("RGB", "JPEG", {"subsampling": 0}, 0),
        ("L", "JPEG", {}, 0),
        ("CMYK", "JPEG", {}, 1),  # each rounds on its way from ink to light
        ("P", "PNG", {}, 0),
        ("1", "PNG", {}, 0),
        ("LA", "PNG", {}, 0),
        ("RGB", "PNG", {"transparency": (1, 255, 1)}, 0),
        ("RGBA", "WEBP", {"quality": 80}, 0),
        ("RGB", "WEBP", {"lossless": True}, 0),
        ("RGB", "AVIF", {}, 0),
        ("L", "GIF", {}, 0),
        ("P", "BMP", {}, 0),
        ("RGBA", "BMP", {}, 0),
    ],
)
def test_kinds_that_are_rare_are_read_as_another_decoder_does(
    closed_photo: Image, mode: str, kind: str, options: dict[str, object], off_by: int
) -> None:
    file = io.BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(closed_photo[:300, :400, ::-1])).convert(mode).save(file, kind, **options)
    wanted = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    assert wanted is not None
    assert np.abs(decode_photo(file.getvalue()).astype(int) - wanted).max() <= off_by


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_ways_of_holding_a_phone_come_out_upright(closed_photo: Image, kind: str, orientation: int) -> None:
    # What each orientation means for the picture as it is stored: EXIF 2.32, 4.6.4 A.
    upright = closed_photo[:300, :400].copy()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, 3),
    }[orientation]
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(stored[..., ::-1])).save(file, kind, exif=exif, quality=90)
    found = decode_photo(file.getvalue())
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).mean() < 3


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95, 0.999])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".gif", ".bmp", ".heic"])
def test_a_photo_cut_short_is_refused_and_nobody_else_writes_about_it(
    closed_photo: Image, suffix: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = (DATA / "on_its_side.heic").read_bytes() if suffix == ".heic" else encoded(closed_photo, suffix)
    with pytest.raises(FaceError, match="not an image that can be read"):
        decode_photo(whole[: int(share * len(whole))])
    assert capfd.readouterr() == ("", "")


def test_a_png_with_a_wrong_checksum_is_refused_in_one_line(
    closed_photo: Image, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = bytearray(cv2.imencode(".png", closed_photo)[1].tobytes())
    damaged[len(damaged) // 2] ^= 0x5A
    with pytest.raises(FaceError, match="not an image that can be read"):
        decode_photo(bytes(damaged))
    assert capfd.readouterr() == ("", "")


def test_a_picture_is_shrunk_to_its_long_side_and_never_enlarged() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (30, 80, 3), np.uint8)
    small, scale = shrunk(picture, 40)
    assert (small.shape, scale) == ((15, 40, 3), 0.5)
    np.testing.assert_allclose(small, picture.reshape(15, 2, 40, 2, 3).mean((1, 3)), atol=0.5)
    same, scale = shrunk(picture, 80)
    assert same is picture and scale == 1
    assert shrunk(picture[:1], 10)[0].shape == (1, 10, 3)
