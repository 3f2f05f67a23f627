from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from fakes import drawn_face

pytest.importorskip("torch", reason="the optional torch runtime is not installed")
import torch
from both_compositors import SPEC, TRACTS
from poses import pose_at
from torch_frames import Spoken, compositor, difference, some_outputs, telling

from s2v.engine.backends.ssim import ssim
from s2v.engine.backends.torch.device import TorchCpuDevice
from s2v.engine.compositor.face_tables import lower_face_box
from s2v.engine.compositor.head.fine_photo import FINE
from s2v.engine.compositor.mouth.own_teeth import own_teeth
from s2v.engine.compositor.torch.compositor import TorchCompositor
from s2v.engine.compositor.torch.draw_stream import DrawStream
from s2v.engine.compositor.torch.drawing.warp import articulate
from s2v.engine.compositor.torch.tables.face_tensors import face_tensors
from s2v.engine.face.articulation import articulated
from s2v.engine.face.background import Background
from s2v.engine.face.geometry import LOWER_INNER_LIP, UPPER_INNER_LIP


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("name", ["bundled", "closed", "smiling"])
def test_frames_are_those_of_the_cpu(spoken: dict[str, Spoken], name: str, moving: bool) -> None:
    one = spoken[name]
    ours = compositor(one, moving)
    np.testing.assert_array_equal(ours.still, ours.on_cpu.still)
    for index in telling(one, ours.on_cpu):
        wanted, found = (
            ours.on_cpu.draw(one.outputs[index], pose_at(index)),
            ours.draw(one.outputs[index], pose_at(index)),
        )
        assert (found.shape, found.dtype) == (wanted.shape, np.dtype(np.uint8))
        assert difference(wanted, found) < 0.15, index  # 0.07
        assert difference(wanted, found, ours.layout.mouth) < 0.3, index  # 0.09
        unit = [np.divide(picture, np.float32(255), dtype=np.float32) for picture in (wanted, found)]
        assert ssim(unit[0], unit[1]) > 0.999, index  # 0.9995
        if moving:
            assert difference(wanted, found, ours.layout.eyes) < 0.3, index  # 0.17


@pytest.mark.parametrize("background", [Background(colour=(20, 200, 30)), Background()], ids=["colour", "blur"])
@pytest.mark.parametrize("moving", [False, True])
def test_another_background_is_that_of_the_cpu(spoken: dict[str, Spoken], background: Background, moving: bool) -> None:
    one = spoken["closed"]
    ours = compositor(one._replace(face=replace(one.face, background=background)), moving)
    plain = compositor(one, moving)
    for index in (0, 77):
        said, pose = one.outputs[index], pose_at(index)
        found = ours.draw(said, pose)
        assert difference(ours.on_cpu.draw(said, pose), found) < 0.15, index  # 0.03
        assert difference(plain.draw(said, pose), found) > 2


def test_what_is_behind_the_head_does_not_move(spoken: dict[str, Spoken]) -> None:
    """Not by a level, wherever the head is."""
    one = spoken["bundled"]
    ours = compositor(one, True)
    moving = ours.on_cpu.tables.moving
    assert moving is not None
    left, top, right, bottom = moving.head.box
    share = np.full(one.face.photo.shape[:2], 255, np.uint8)
    x, y = moving.head.layer_box[:2]
    share[top:bottom, left:right] = moving.head.fine[::FINE, ::FINE, 3][top - y : bottom - y, left - x : right - x]
    reach = round(0.35 * one.face.pose.unit_px)
    free = cv2.erode(share, np.ones((2 * reach + 1,) * 2, np.uint8)) == 255
    assert free.mean() > 0.1
    moved = 0.0
    for index in (30, 77, 102):
        frame = ours.draw(one.outputs[index], pose_at(index))
        np.testing.assert_array_equal(frame[free], moving.head.background[free])
        moved = max(moved, difference(frame, one.face.photo))
    assert moved > 4


@pytest.mark.parametrize("share", [0.5, 1.5])
def test_a_face_speaks_as_strongly_here_as_on_the_cpu(spoken: dict[str, Spoken], share: float) -> None:
    """Of arrays, and of tensors that stay on the device."""
    one = spoken["bundled"]
    ours = compositor(one, True)
    jaw = {index: one.outputs[index]["motion"][0, 0] for index in sorted(one.outputs)}
    for index in (min(jaw, key=jaw.__getitem__), 60, max(jaw, key=jaw.__getitem__)):
        said = one.outputs[index]
        found = ours.draw(said, pose_at(index), share)
        assert difference(ours.on_cpu.draw(said, pose_at(index), share), found) < 0.3, index
        resident = {name: torch.from_numpy(rows) for name, rows in said.items()}
        np.testing.assert_array_equal(ours.draw(resident, pose_at(index), share), found)
        np.testing.assert_array_equal(
            ours.draw(said, pose_at(index)), compositor(one, True).draw(said, pose_at(index))
        )  # none is left
    assert difference(found, ours.draw(said, pose_at(index)), ours.layout.mouth) > 1  # the widest mouth


def test_motion_is_scaled_as_the_cpu_scales_it(spoken: dict[str, Spoken]) -> None:
    one = spoken["smiling"]
    ours = compositor(one, False)
    tensors = face_tensors(ours.on_cpu.tables, ours.layout, torch.device("cpu"))
    random = np.random.default_rng(0)
    for share in (0.5, 0.8, 1.0, 1.5):
        motion = random.normal(0, 1.5, (1, SPEC.n_motion)).astype(np.float32)
        weights = torch.from_numpy(np.append(motion, np.array([1, 0.02], np.float32)))[None]
        scaled = articulate(tensors.warp, weights, torch.tensor([[share]])).numpy()
        wanted = articulated(motion, share, ours.on_cpu.tables.articulation)
        np.testing.assert_allclose(scaled[:, :-2], wanted, atol=1e-5)
        # The photo's own rest is closed whole, and the corners of the mouth are not speech.
        np.testing.assert_array_equal(scaled[0, -2:], weights[0, -2:])


@pytest.mark.parametrize("tract", TRACTS)
def test_mouths_of_every_shape_are_those_of_the_cpu(spoken: dict[str, Spoken], tract: tuple[float, ...]) -> None:
    """Opened wide and by a slit, speaking as usual and more weakly."""
    given = np.array([tract], np.float32)
    for name, one in spoken.items():
        ours = compositor(one, False)
        jaw = {index: float(one.outputs[index]["motion"][0, 0]) for index in one.outputs}
        for index in (max(jaw, key=jaw.__getitem__), min(jaw, key=lambda index: abs(jaw[index] - 1))):
            outputs = {"motion": one.outputs[index]["motion"], "tract": given}
            for articulation in (0.6, 1.0):
                wanted, found = (
                    ours.on_cpu.draw(outputs, pose_at(0), articulation),
                    ours.draw(outputs, pose_at(0), articulation),
                )
                assert difference(wanted, found, ours.layout.mouth) < 0.2, (name, index)  # 0.13
            rest = {**outputs, "tract": np.array([TRACTS[0]], np.float32)}
            if tract != TRACTS[0] and jaw[index] > 1.5:
                assert difference(found, ours.draw(rest), ours.layout.mouth) > 0.3, "the tongue does not matter"


def test_the_photos_own_teeth_are_seen(spoken: dict[str, Spoken]) -> None:
    """And drawn ones where the same mouth is dark."""
    one = spoken["smiling"]
    lips = one.face.landmarks[[*UPPER_INNER_LIP, *LOWER_INNER_LIP[-2:0:-1]], :2]
    dark = one.face.photo.copy()
    cv2.fillPoly(dark, [np.round(lips).astype(np.int32)], (30, 20, 40))
    widest = one.outputs[max(one.outputs, key=lambda index: one.outputs[index]["motion"][0, 0])]
    seen = []
    for face, has_teeth in ((one.face, True), (replace(one.face, photo=dark), False)):
        ours = compositor(one._replace(face=face), False)
        left, top, right, bottom = window = ours.on_cpu.tables.interior.window
        assert (own_teeth(face, left, top, (right - left, bottom - top)) is not None) == has_teeth
        seen.append(ours.draw(widest))
        assert difference(ours.on_cpu.draw(widest), seen[-1], window) < 0.2
    assert difference(seen[0], seen[1], window) > 0.5


def test_closed_lips_show_nothing_between_them(spoken: dict[str, Spoken]) -> None:
    one = spoken["closed"]
    ours = compositor(one, False)
    shut = {"motion": np.zeros((1, SPEC.n_motion), np.float32), "tract": np.ones((1, 5), np.float32)}
    assert difference(ours.draw(shut), one.face.photo) < 0.05
    np.testing.assert_array_equal(ours.draw(shut), ours.draw({**shut, "tract": np.zeros((1, 5), np.float32)}))


def test_nothing_outside_the_lower_face_changes_while_the_head_is_still(spoken: dict[str, Spoken]) -> None:
    one = spoken["smiling"]
    left, top, right, bottom = lower_face_box(one.face)
    frame = compositor(one, False).draw(one.outputs[60])
    assert difference(frame, one.face.photo) > 0
    frame[top:bottom, left:right] = one.face.photo[top:bottom, left:right]
    np.testing.assert_array_equal(frame, one.face.photo)


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("photo", ["cut through the mouth", "cut above the mouth", "half a face", "40 px", "1000 px"])
def test_faces_at_the_edge_and_of_odd_sizes(photo: str, moving: bool) -> None:
    """Also those of which no mouth, one eye, or hardly a pixel is on the photo."""
    size = {"40 px": (40, 48), "1000 px": (1000, 700)}.get(photo, (301, 360))
    face = drawn_face(SPEC, size)
    shown: dict[str, slice | tuple[slice, slice]]
    shown = {"cut through the mouth": np.s_[:210], "cut above the mouth": np.s_[:190], "half a face": np.s_[:, :160]}
    face = replace(face, photo=np.ascontiguousarray(face.photo[shown.get(photo, np.s_[:])]))
    ours = TorchCompositor(face, SPEC, moving, DrawStream(TorchCpuDevice()))
    for index in (0, 77, 102):
        outputs = some_outputs(index)
        assert difference(ours.on_cpu.draw(outputs, pose_at(index)), ours.draw(outputs, pose_at(index))) < 0.3
