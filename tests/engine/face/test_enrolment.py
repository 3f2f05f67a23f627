from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v.engine.face import enrolment as face_module
from s2v.engine.face.detection import detect_faces
from s2v.engine.face.enrolment import EnrolledFace, enrol, face_from_landmarks, face_grid, network_input, sample
from s2v.engine.face.geometry import N_MESH, OUTER_EYES, head_pose
from s2v.engine.face.photo import MAX_SIDE_PX, Image, decode_photo, fit_photo, load_photo
from s2v.errors import FaceError, NoFaceError, SeveralFacesError
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
PORTRAIT = Path(__file__).parents[2] / "data" / "closed_lips.jpg"


# --- enrolment -----------------------------------------------------------------------------------------


def test_a_portrait_is_enrolled(closed_face: EnrolledFace) -> None:
    assert closed_face.photo.shape == (512, 512, 3)
    assert closed_face.landmarks.shape == (478, 3)
    assert closed_face.canonical.shape == closed_face.rest.shape == (N_MESH, 3)
    assert closed_face.network_input.shape == (1, 6, SPEC.face_px, SPEC.face_px)
    assert closed_face.network_input.dtype == np.float32
    assert 0 <= closed_face.network_input.min() < closed_face.network_input.max() <= 1
    assert abs(closed_face.pose.yaw_degrees) < 10


def test_landmarks_and_canonical_points_are_the_same_face(closed_face: EnrolledFace) -> None:
    there = closed_face.pose.to_photo(closed_face.canonical)
    np.testing.assert_allclose(there, closed_face.landmarks[:N_MESH], atol=1e-6)


def test_enrolling_leaves_the_photo_as_it_is(closed_photo: Image) -> None:
    before = closed_photo.copy()
    enrol(closed_photo, SPEC)
    np.testing.assert_array_equal(closed_photo, before)


def test_the_crop_is_the_same_for_a_smaller_and_shifted_photo(closed_face: EnrolledFace) -> None:
    turn = np.array([[0.7, 0, 31.0], [0, 0.7, 55.0]])
    photo = cv2.warpAffine(closed_face.photo, turn, (420, 440), flags=cv2.INTER_AREA, borderValue=(90, 90, 90))
    other = enrol(fit_photo(np.asarray(photo, np.uint8)), SPEC)
    assert np.abs(other.network_input[:, 3:] - closed_face.network_input[:, 3:]).mean() < 0.03
    assert np.abs(other.canonical - closed_face.canonical).mean() < 0.01


def test_the_crop_shows_the_eyes_above_the_middle_and_the_mouth_below(closed_face: EnrolledFace) -> None:
    grid = face_grid(closed_face.plane, SPEC)
    in_crop = (closed_face.landmarks[:, :2] - grid[:, 2]) @ np.linalg.inv(grid[:, :2]).T
    assert (in_crop[list(OUTER_EYES), 1] < SPEC.face_px / 2).all()
    assert (in_crop[[13, 14], 1] > SPEC.face_px / 2).all()
    assert 0 < in_crop[:N_MESH, 0].min() < in_crop[:N_MESH, 0].max() < SPEC.face_px


def test_the_network_sees_no_lower_half_of_the_target() -> None:
    target, reference = np.full((112, 112, 3), 200, np.uint8), np.full((112, 112, 3), 100, np.uint8)
    reference[0, 0] = [1, 2, 3]
    both = network_input(target, reference)
    assert (both[0, :3, 56:] == 0).all()
    np.testing.assert_allclose(both[0, :3, :56], 200 / 255)
    np.testing.assert_allclose(both[0, 3:, 0, 0], np.array([1, 2, 3]) / 255, rtol=1e-6)  # BGR
    assert (target == 200).all()


@pytest.mark.parametrize("shrink", [1.0, 3.0, 4.2])
def test_sampling_keeps_pixel_centres_where_they_are(shrink: float) -> None:
    x, y = np.meshgrid(np.arange(300.0), np.arange(300.0))
    photo = np.stack([0.5 * x, 0.5 * y, 0 * x], -1).round().astype(np.uint8)
    grid = np.array([[shrink, 0, 20.0], [0, shrink, 40.0]])
    cut = sample(photo, grid, (50, 40))
    assert cut.shape == (40, 50, 3)
    np.testing.assert_allclose(cut[..., 0], np.tile(0.5 * (20 + shrink * np.arange(50)), (40, 1)), atol=1.01)
    np.testing.assert_allclose(cut[..., 1].T, np.tile(0.5 * (40 + shrink * np.arange(40)), (50, 1)), atol=1.01)


def test_sampling_does_not_alias() -> None:
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[:, ::2] = 255
    cut = sample(stripes, np.array([[6.0, 0, 3.0], [0, 6.0, 3.0]]), (40, 40))
    assert 120 < cut.min() <= cut.max() < 135


# --- refusals ------------------------------------------------------------------------------------------


def test_a_photo_of_nobody_is_refused() -> None:
    with pytest.raises(NoFaceError, match="use one where a face looks at the camera"):
        enrol(np.full((300, 400, 3), 128, np.uint8), SPEC)


@pytest.fixture(scope="module")
def couple(closed_photo: Image, smiling_photo: Image) -> Image:
    """The man on the left, the woman on the right."""
    return np.hstack([closed_photo, cv2.resize(smiling_photo, (512, 512))])


def test_of_two_people_one_must_be_chosen(couple: Image) -> None:
    with pytest.raises(SeveralFacesError, match=r"2 faces on the photo: pass --face-index 0\.\.1 \(0 is the leftmost"):
        enrol(couple, SPEC)
    with pytest.raises(SeveralFacesError) as caught:
        enrol(couple, SPEC)
    assert caught.value.count == 2


def test_the_face_index_counts_from_the_left(couple: Image) -> None:
    left, right = (enrol(couple, SPEC, face_index=index) for index in (0, 1))
    assert left.landmarks[:, 0].mean() < 512 < right.landmarks[:, 0].mean()


@pytest.mark.parametrize("index", [-1, 2, 7])
def test_a_face_that_is_not_there_cannot_be_chosen(couple: Image, index: int) -> None:
    with pytest.raises(FaceError, match=f"--face-index {index}: the photo has 2 face"):
        enrol(couple, SPEC, face_index=index)


def test_people_in_the_background_do_not_count(closed_photo: Image, smiling_photo: Image) -> None:
    photo = np.asarray(cv2.resize(smiling_photo, (512, 512)), np.uint8)
    photo[-130:, -130:] = cv2.resize(closed_photo[40:330, 90:380], (130, 130), interpolation=cv2.INTER_AREA)
    assert len(detect_faces(photo)) == 1
    assert len(detect_faces(np.ascontiguousarray(photo[200:, 300:]))) == 1  # on a photo of his own he does


def test_a_small_face_is_refused_with_its_size(closed_photo: Image) -> None:
    small = np.asarray(cv2.resize(closed_photo, (200, 200), interpolation=cv2.INTER_AREA), np.uint8)
    with pytest.raises(FaceError, match=r"too small: 3\d px between the eyes on a 200x200 photo, at least 36"):
        enrol(small, SPEC)


def test_a_face_cut_off_at_the_chin_is_refused(closed_face: EnrolledFace) -> None:
    mouth_y, chin_y = closed_face.landmarks[[14, 152], 1]
    cropped = fit_photo(closed_face.photo[: round(0.4 * mouth_y + 0.6 * chin_y)])
    with pytest.raises(FaceError, match="cut off by the edge"):
        enrol(cropped, SPEC)


def rotated(face: EnrolledFace, yaw_degrees: float, pitch_degrees: float) -> np.ndarray:
    """The face's landmarks after turning the head about its middle."""
    yaw, pitch = np.radians([yaw_degrees, pitch_degrees])
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    middle = face.landmarks[list(OUTER_EYES)].mean(0)
    return np.asarray((face.landmarks - middle) @ (about_x @ about_y).T + middle)


@pytest.mark.parametrize(("yaw", "pitch"), [(50, 0), (-50, 0), (0, 45), (0, -45)])
def test_a_face_turned_away_is_refused(closed_face: EnrolledFace, yaw: float, pitch: float) -> None:
    landmarks = rotated(closed_face, yaw, pitch)
    with pytest.raises(FaceError, match="turned away"):
        face_module._refuse_unusable(closed_face.photo, landmarks, head_pose(landmarks))


@pytest.mark.parametrize(("yaw", "pitch"), [(15, 0), (-15, 0), (0, 15), (0, -15)])
def test_a_face_turned_a_little_is_taken(closed_face: EnrolledFace, yaw: float, pitch: float) -> None:
    landmarks = rotated(closed_face, yaw, pitch)
    face_module._refuse_unusable(closed_face.photo, landmarks, head_pose(landmarks))


def test_known_landmarks_give_what_enrolment_gives(closed_face: EnrolledFace) -> None:
    again = face_from_landmarks(closed_face.photo, closed_face.landmarks, SPEC)
    np.testing.assert_array_equal(again.network_input, closed_face.network_input)
    np.testing.assert_array_equal(again.rest, closed_face.rest)
    larger = face_from_landmarks(closed_face.photo, closed_face.landmarks, replace(SPEC, face_px=64))
    assert larger.network_input.shape == (1, 6, 64, 64)


# --- reading a photo -----------------------------------------------------------------------------------


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


def test_a_missing_photo_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FaceError, match=r"cannot read the photo .*nobody\.jpg: No such file"):
        load_photo(tmp_path / "nobody.jpg")
    with pytest.raises(FaceError, match="Is a directory"):
        load_photo(tmp_path)


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size; a row of pixels follows."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1 + 3 * min(width, 1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(15_000, 15_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_small_file_that_claims_to_be_huge_is_refused_by_its_header(width: int, height: int) -> None:
    # By its size, not because the pixels are missing: nothing was unpacked.
    with pytest.raises(FaceError, match=f"{width}x{height} px; scale it below 80 MP"):
        decode_photo(png(width, height))


def test_a_file_beyond_all_measure_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(FaceError, match="has 200 MiB; a photo may have 64"):
        load_photo(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_jpg_png_and_webp_are_read(tmp_path: Path, closed_photo: Image, suffix: str) -> None:
    path = tmp_path / f"me{suffix}"
    path.write_bytes(cv2.imencode(suffix, closed_photo)[1].tobytes())
    photo = load_photo(path)
    assert photo.shape == closed_photo.shape
    assert np.abs(photo.astype(int) - closed_photo).mean() < 3


def test_grey_transparent_and_deep_pictures_become_bgr(closed_photo: Image) -> None:
    grey = cv2.cvtColor(closed_photo, cv2.COLOR_BGR2GRAY)
    alpha = np.dstack([closed_photo, np.full(closed_photo.shape[:2], 128, np.uint8)])
    deep = closed_photo.astype(np.uint16) * 257
    for picture, wanted in ((grey, grey[..., None]), (alpha, closed_photo), (deep, closed_photo)):
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
