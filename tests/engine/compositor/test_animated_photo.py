"""Idle motion in whole frames: both compositors, and the engine that counts the frames."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from fakes import FakeBackend, drawn_face, voice
from poses import pose_at

from s2v.engine.backends.base import Tensors
from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.cpu import Compositor, MotionCompositor, animated_photo, make_compositor
from s2v.engine.compositor.face_tables import face_layers, moving_tables
from s2v.engine.face.enrolment import EnrolledFace, enrol
from s2v.engine.face.geometry import N_MESH
from s2v.engine.face.motion_basis import aperture
from s2v.engine.face.photo import Image
from s2v.engine.lipsync import DrawnFrame, LipSyncEngine
from s2v.spec import LipSyncSpec

SPECS = {"s2v": LipSyncSpec(), "speech2vid": LipSyncSpec(network="speech2vid")}
SEED = 3
FRAMES = (88, 160, 180, 212)  # far from rest, two of them in a blink


def talking(spec: LipSyncSpec, face: EnrolledFace, jaw: float = 2.0) -> Tensors:
    """A mouth opened by `jaw`, or a crop with a bright bar for a mouth."""
    if spec.network == "speech2vid":
        pixels = face.network_input[:, 3:].copy()
        pixels[:, :, 80:88, 40:72] = 0.9
        return {"pixels": pixels}
    motion = np.zeros((1, spec.n_motion), np.float32)
    motion[0, 0] = jaw
    return {"motion": motion, "tract": np.array([[0.3, 0.5, 0.1, 0.0, 0.0]], np.float32)}


@pytest.fixture(scope="module", params=list(SPECS))
def spec(request: pytest.FixtureRequest) -> LipSyncSpec:
    return SPECS[request.param]


@pytest.fixture(scope="module")
def still(closed_face: EnrolledFace, spec: LipSyncSpec) -> Compositor:
    return make_compositor(closed_face, spec)


@pytest.fixture(scope="module")
def alive(closed_face: EnrolledFace, spec: LipSyncSpec) -> Compositor:
    return make_compositor(closed_face, spec, moving=True)


def around_the_mouth(face: EnrolledFace, picture: Image) -> np.ndarray:
    centre = face.landmarks[[13, 14], :2].mean(0)
    reach = 0.4 * face.pose.unit_px
    left, top = (centre - reach).astype(int)
    right, bottom = (centre + reach).astype(int)
    return picture[top:bottom, left:right].astype(int)


def test_a_still_face_stays_in_every_pose(still: Compositor, closed_face: EnrolledFace) -> None:
    said = talking(SPECS["s2v"], closed_face) | talking(SPECS["speech2vid"], closed_face)
    first = still.draw(said)
    for frame in FRAMES:
        np.testing.assert_array_equal(still.draw(said, pose_at(frame)), first)


def test_the_first_frame_of_a_closed_mouth_is_the_still(
    alive: Compositor, closed_face: EnrolledFace, spec: LipSyncSpec
) -> None:
    if spec.network == "s2v":
        np.testing.assert_array_equal(alive.draw(talking(spec, closed_face, jaw=0.0)), alive.still)
    change = np.abs(alive.still.astype(int) - closed_face.photo)
    assert change.mean() < 0.5


def test_a_frame_depends_on_outputs_and_pose_alone(
    alive: Compositor, closed_face: EnrolledFace, spec: LipSyncSpec
) -> None:
    said = talking(spec, closed_face)
    drawn = {frame: alive.draw(said, pose_at(frame)) for frame in FRAMES}
    again = make_compositor(closed_face, spec, moving=True)
    for frame in reversed(FRAMES):
        np.testing.assert_array_equal(again.draw(said, pose_at(frame)), drawn[frame])
        assert (again.draw(said, pose_at(frame, seed=1)) != drawn[frame]).any()
    drawn[FRAMES[0]][:] = 0  # a frame is its receiver's
    np.testing.assert_array_equal(alive.draw(said, pose_at(FRAMES[1])), drawn[FRAMES[1]])


@pytest.mark.parametrize("frame", FRAMES)
def test_the_mouth_says_the_same_wherever_the_head_is(
    alive: Compositor, still: Compositor, closed_face: EnrolledFace, spec: LipSyncSpec, frame: int
) -> None:
    """Carried back to where it was, the mouth is the one drawn on a still head, its inside included."""
    said, pose = talking(spec, closed_face), replace(pose_at(frame), cheeks=0.0, corners=0.0)
    plan = animated_photo(moving_tables(closed_face, face_layers(closed_face, closed_face.photo, moving=True)))
    assert plan is not None
    height, width = closed_face.photo.shape[:2]
    pixels = around_the_mouth(closed_face, np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1))
    if spec.network == "s2v":
        there = plan.carry(pose, pixels.reshape(-1, 2).astype(np.float64)).reshape(pixels.shape)
    else:  # pasted as a flat picture
        forward = plan.forward(pose)
        there = pixels @ forward[:, :2].T + forward[:, 2]
    moved = alive.draw(said, pose)
    back = cv2.remap(moved, there.astype(np.float32), None, cv2.INTER_CUBIC)
    expected = around_the_mouth(closed_face, still.draw(said))
    difference = np.abs(back.astype(int) - expected)
    unmoved = np.abs(around_the_mouth(closed_face, moved) - expected)
    assert difference.mean() < 2.1  # 1.8: looked up twice here
    assert difference.mean() < 0.1 * unmoved.mean()  # 0.07


def test_the_inside_stays_between_the_lips_while_the_head_moves(closed_face: EnrolledFace) -> None:
    spec = SPECS["s2v"]
    alive = MotionCompositor(closed_face, spec, moving=True)
    said, shut = talking(spec, closed_face), talking(spec, closed_face, jaw=0.0)
    weights = np.append(said["motion"][0], np.float32(1))
    corner = np.array(alive.tables.box[:2])
    for frame in FRAMES:
        tongue_up = said | {"tract": np.array([[1.0, 1.0, 1.0, 1.0, 1.0]], np.float32)}
        changed = (alive.draw(said, pose_at(frame)) != alive.draw(tongue_up, pose_at(frame))).any(-1)
        assert alive.animated is not None
        outline = alive.animated.carry(pose_at(frame), alive.warp.mouth_outline(weights) + corner)
        rows, columns = np.nonzero(changed)
        assert len(rows) > 100
        reach_px = 0.035 * closed_face.pose.unit_px
        assert outline[:, 0].min() - reach_px < columns.min() < columns.max() < outline[:, 0].max() + reach_px
        assert outline[:, 1].min() - reach_px < rows.min() < rows.max() < outline[:, 1].max() + reach_px
        silent = alive.draw(shut | {"tract": tongue_up["tract"]}, pose_at(frame))
        np.testing.assert_array_equal(alive.draw(shut, pose_at(frame)), silent)


def test_shoulders_stay_at_the_photos_border_and_a_head_that_it_cuts_off_moves_on(
    alive: Compositor, closed_face: EnrolledFace, spec: LipSyncSpec
) -> None:
    said = talking(spec, closed_face)
    eyes = np.s_[int(closed_face.landmarks[9, 1]) : int(closed_face.landmarks[1, 1])]
    above = []
    for frame in FRAMES:
        change = np.abs(alive.draw(said, pose_at(frame)).astype(int) - closed_face.photo)
        assert change[eyes].max() > 20
        assert max(change[-1].max(), change[:, 0].max(), change[:, -1].max()) <= 1
        above.append(change[0].max())
    assert max(above) > 8


def test_lips_open_as_far_as_on_the_still_head(closed_face: EnrolledFace) -> None:
    """As a tracker of landmarks sees it, over two seconds of speech while the head turns, nods and rolls."""
    spec = SPECS["s2v"]
    still, alive = make_compositor(closed_face, spec), make_compositor(closed_face, spec, moving=True)
    t_s = np.arange(14) / 7
    jaws = 1.6 + 1.5 * np.sin(2 * np.pi * 1.2 * t_s) + 0.6 * np.sin(2 * np.pi * 2.3 * t_s)
    opened = []
    for jaw, t in zip(jaws, t_s, strict=True):
        said = talking(spec, closed_face, float(jaw))
        pose = FacePose(
            shift=(0.03 * np.sin(3 * t), 0.02 * np.sin(2 * t)),
            yaw=0.09 * float(np.sin(2.3 * t)),
            pitch=0.07 * float(np.sin(3.1 * t)),
            roll=0.03 * float(np.cos(2.7 * t)),
        )
        frames = still.draw(said), alive.draw(said, pose)
        opened.append([float(aperture(enrol(frame, spec).canonical)) for frame in frames])
    of_still, of_moving = np.array(opened).T
    assert np.ptp(of_still) > 0.1
    assert np.corrcoef(of_still, of_moving)[0, 1] > 0.985


# --- the engine ---------------------------------------------------------------------------------------


def frames_of(engine: LipSyncEngine, chunks: list[np.ndarray]) -> list[DrawnFrame]:
    return [frame for chunk in chunks for frame in engine.push(chunk)] + engine.flush()


def test_the_engine_tells_the_compositor_which_frame_it_draws() -> None:
    face, pcm = drawn_face(SPECS["s2v"]), voice(3.0)
    whole = frames_of(LipSyncEngine(face, FakeBackend(), idle_seed=SEED), [pcm])
    pieces = frames_of(LipSyncEngine(face, FakeBackend(), idle_seed=SEED), np.array_split(pcm, 40))
    assert len(whole) == len(pieces) == 75
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
    unmoving = frames_of(LipSyncEngine(face, FakeBackend()), [pcm])
    brow = np.s_[: int(face.landmarks[:N_MESH, 1].min()) + 40]
    assert all((frame.pixels[brow] == face.photo[brow]).all() for frame in unmoving)
    differences = [np.abs(frame.pixels[brow].astype(int) - face.photo[brow]).sum() for frame in whole]
    assert differences[0] <= differences[-1] * 0.5
    assert len(set(differences[25:])) > 40  # it goes on moving
