"""Pictures cut to the face while nobody knows yet where it will go."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from s2v.training.extract.face_cuts import cut_to_faces
from s2v.training.extract.feature_file import ClipFeatures, load_features, save_features

WIDTH, HEIGHT = 320, 200


def picture(n: int) -> np.ndarray:
    """Smooth, and another one for each n."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    return np.stack([x / 2 + n, y, (x + y) / 4], -1).astype(np.uint8)


def face_at(x: float, y: float, size: float = 40) -> np.ndarray:
    dice = np.random.default_rng(0)
    points = np.concatenate([dice.uniform(-0.5, 0.5, (476, 3)), [[-0.5, -0.5, 0], [0.5, 0.5, 0]]])
    return (points * size + [x, y, 0]).astype(np.float32)


def written(tmp_path: Path, faces: list[np.ndarray], frames: list[np.ndarray] | None = None) -> ClipFeatures:
    landmarks = np.array(faces)
    frames = frames or [picture(n) for n in range(len(faces))]
    known = np.where(np.isnan(landmarks), face_at(100, 100), landmarks)
    path = tmp_path / "s" / "a.npz"
    save_features(path, cut_to_faces(frames, landmarks), known, np.ones(640, np.int16), "s", "hello")
    return load_features(path, tmp_path)


def test_a_still_head_is_cut_once_and_for_all(tmp_path: Path) -> None:
    clip = written(tmp_path, [face_at(100 + n % 3, 100) for n in range(9)])
    assert not clip.corners.any()
    assert clip.frame(0).shape[1::-1] == clip.canvas_px
    margin = 0.35 * 40
    assert (clip.landmarks[..., :2].min((0, 1)) >= margin - 3).all()
    assert max(clip.canvas_px) < 2 * 40


def test_a_head_that_moves_stays_on_frames_of_one_size_with_its_landmarks(tmp_path: Path) -> None:
    faces = [face_at(60 + 10 * n, 80 + 3 * n) for n in range(18)]
    clip = written(tmp_path, faces)
    assert len({clip.frame(n).shape for n in range(18)}) == 1
    assert len(np.unique(clip.corners, axis=0)) > 2  # and is stored in pieces
    shift = faces[0] - clip.landmarks[0]
    assert np.ptp(shift[:, :2], axis=0).max() < 0.02
    for n in range(18):
        np.testing.assert_allclose(clip.landmarks[n], faces[n] - shift.mean(0), atol=0.02)
        left, top = np.floor(clip.landmarks[n, :, :2].min(0) - 10).astype(int)
        whole_x, whole_y = np.rint([left, top] + shift[0, :2]).astype(int)
        seen = clip.frame(n)[top : top + 60, left : left + 60].astype(int)
        true = picture(n)[whole_y : whole_y + 60, whole_x : whole_x + 60].astype(int)
        assert np.abs(seen - true).mean() < 2.5  # JPEG's


def test_before_the_first_face_all_is_kept_and_a_lost_one_is_where_it_was(tmp_path: Path) -> None:
    nobody = np.full((478, 3), np.nan, np.float32)
    clip = written(tmp_path, [nobody, face_at(100, 100), nobody, face_at(100, 100)])
    assert clip.canvas_px == (WIDTH, HEIGHT)
    assert (clip.corners[0] == 0).all() and (clip.corners[1:] == clip.corners[1]).all() and clip.corners[1].all()


def test_a_picture_that_stays_is_packed_once(tmp_path: Path) -> None:
    frame = picture(0)
    cuts = cut_to_faces([frame, frame, picture(1)], np.array([face_at(100, 100)] * 3))
    assert cuts.packed[0] is cuts.packed[1] and cuts.packed[1] is not cuts.packed[2]


def test_a_face_that_hangs_over_the_edge_is_cut_at_it(tmp_path: Path) -> None:
    clip = written(tmp_path, [face_at(WIDTH - 5, 4)])
    assert clip.canvas_px == (5 + 20 + 16, 4 + 20 + 16)


def test_a_face_outside_the_picture_leaves_a_picture_all_the_same(tmp_path: Path) -> None:
    assert min(written(tmp_path, [face_at(-500, 900)]).frame(0).shape[:2]) >= 1
