from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s2v.engine.face.geometry import N_MESH, head_pose
from s2v.errors import DataError
from s2v.training.extract.feature_file import ClipFeatures, load_features
from s2v.training.prepare.canonical import canonical_clip


@pytest.fixture(scope="module")
def clip(features: Path) -> ClipFeatures:
    return load_features(features / "s1/pgid5s.npz", features)


def test_faces_come_out_of_their_own_poses_on_the_frames_middles(clip: ClipFeatures) -> None:
    canonical = canonical_clip(clip)
    poses = [head_pose(points) for points in clip.landmarks]
    moved = clip.on_frames(np.stack([p.to_canonical(m)[:N_MESH] for p, m in zip(poses, clip.landmarks, strict=True)]))
    np.testing.assert_allclose(canonical.points, moved, atol=1e-5)
    assert canonical.points.dtype == canonical.yaw_degrees.dtype == np.float32 and len(canonical) == len(clip.landmarks)
    np.testing.assert_allclose(
        canonical.yaw_degrees, clip.on_frames(np.array([p.yaw_degrees for p in poses])), atol=1e-3
    )


def test_a_head_that_is_turned_is_turned_and_its_mouth_stays_as_it_was(clip: ClipFeatures) -> None:
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    still, turned = (
        canonical_clip(replace(clip, landmarks=(clip.landmarks @ to).astype(np.float32) + 500))
        for to in (np.eye(3), turn)
    )
    assert np.abs(turned.yaw_degrees - still.yaw_degrees).mean() == pytest.approx(20, abs=0.5)
    np.testing.assert_allclose(turned.points, still.points, atol=1e-3)


@pytest.mark.parametrize("damage", [0.0, 1e-5, np.nan, 1e9])
def test_landmarks_of_no_face_are_refused(clip: ClipFeatures, damage: float) -> None:
    with pytest.raises(DataError, match="which no face's are"):
        canonical_clip(replace(clip, landmarks=clip.landmarks * np.float32(damage)))


def test_a_clip_without_a_frame_is_refused(clip: ClipFeatures) -> None:
    with pytest.raises(DataError, match="holds no frame"):
        canonical_clip(replace(clip, landmarks=clip.landmarks[:0], times_s=clip.times_s[:0]))
