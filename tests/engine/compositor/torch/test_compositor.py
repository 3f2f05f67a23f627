from __future__ import annotations

import threading
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from fakes import drawn_face

pytest.importorskip("torch", reason="the optional torch runtime is not installed")
import torch
from both_compositors import SPEC, TRACTS
from poses import pose_at
from recording_device import NoWaiting, RecordingDevice

from s2v.bundled import BUNDLED_FACE, BUNDLED_VOICE
from s2v.engine.audio.windows import MfccWindows
from s2v.engine.backends import open_backend
from s2v.engine.backends.base import Tensors
from s2v.engine.backends.ssim import ssim
from s2v.engine.backends.torch.device import TorchCpuDevice
from s2v.engine.behaviour.pose import AT_REST
from s2v.engine.compositor.cpu import MotionCompositor
from s2v.engine.compositor.face_tables import lower_face_box
from s2v.engine.compositor.head.fine_photo import FINE
from s2v.engine.compositor.mouth.own_teeth import own_teeth
from s2v.engine.compositor.torch.compositor import TorchBatchCompositor, TorchCompositor
from s2v.engine.compositor.torch.draw_stream import DrawStream, next_draw_stream
from s2v.engine.compositor.torch.drawing.draw import draw
from s2v.engine.compositor.torch.drawing.warp import articulate
from s2v.engine.compositor.torch.tables.face_tensors import face_tensors
from s2v.engine.compositor.torch.tables.frame_inputs import Inputs, PoseInputs
from s2v.engine.compositor.torch.tables.layout import is_empty
from s2v.engine.face.articulation import articulated
from s2v.engine.face.background import Background
from s2v.engine.face.enrolment import EnrolledFace, enrol
from s2v.engine.face.geometry import LOWER_INNER_LIP, UPPER_INNER_LIP
from s2v.engine.face.maps import Box
from s2v.engine.face.photo import Image, load_photo
from s2v.errors import BackendError
from s2v.spec import LipSyncSpec

VOICE_S = 6
no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Spoken(NamedTuple):
    """A face, and what the bundled model makes of the bundled voice for some of its frames; `TRACTS` in turn."""

    face: EnrolledFace
    spec: LipSyncSpec
    outputs: dict[int, Tensors]


@pytest.fixture(scope="module")
def spoken(closed_face: EnrolledFace, smiling_face: EnrolledFace) -> dict[str, Spoken]:
    from s2v.media.audio_file import read_audio

    backend = open_backend(None, "onnxruntime")
    windows = MfccWindows(backend.spec)
    due = windows.push(read_audio(BUNDLED_VOICE).pcm_16k[: VOICE_S * SPEC.sample_rate_hz])
    bundled = enrol(load_photo(BUNDLED_FACE), backend.spec)
    spoken = {}
    for name, face in {"bundled": bundled, "closed": closed_face, "smiling": smiling_face}.items():
        outputs = {}
        for index, window in due:
            rows = backend.infer(window[None, None], {})
            outputs[index] = {"motion": rows["motion"].copy(), "tract": tract_of(index)}
        spoken[name] = Spoken(face, backend.spec, outputs)
    backend.close()
    return spoken


def tract_of(index: int) -> np.ndarray:
    return np.array([TRACTS[index % len(TRACTS)]], np.float32)


def some_outputs(seed: int = 0) -> Tensors:
    """A random face that opens its mouth, with a random tongue."""
    random = np.random.default_rng(seed)
    motion = random.normal(0, 1, (1, SPEC.n_motion)).astype(np.float32)
    motion[0, 0] = 2.5
    return {"motion": motion, "tract": random.random((1, 5), np.float32)}


def compositor(one: Spoken, moving: bool) -> TorchCompositor:
    return TorchCompositor(one.face, one.spec, moving, DrawStream(TorchCpuDevice()))


def telling(one: Spoken, on_cpu: MotionCompositor) -> list[int]:
    """Frames to look at: the first, closed lips, the widest mouth, some between, lids half down and shut."""
    jaw = np.array([one.outputs[index]["motion"][0, 0] for index in sorted(one.outputs)])
    frames = {0, int(jaw.argmin()), int(jaw.argmax()), 30, 60, 140}
    if on_cpu.animated is not None:
        frames |= {41, 77, 102}
    return sorted(frames)


def difference(a: Image, b: Image, box: Box | None = None) -> float:
    """Mean of the absolute differences, levels."""
    left, top, right, bottom = box or (0, 0, a.shape[1], a.shape[0])
    part = np.s_[top:bottom, left:right]
    return float(np.abs(a[part].astype(int) - b[part]).mean())


# --- the same pictures as on the CPU -------------------------------------------------------------------


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
    idle = ours.on_cpu.tables.idle
    assert idle is not None
    left, top, right, bottom = idle.head.box
    share = np.full(one.face.photo.shape[:2], 255, np.uint8)
    x, y = idle.head.layer_box[:2]
    share[top:bottom, left:right] = idle.head.fine[::FINE, ::FINE, 3][top - y : bottom - y, left - x : right - x]
    reach = round(0.35 * one.face.pose.unit_px)
    free = cv2.erode(share, np.ones((2 * reach + 1,) * 2, np.uint8)) == 255
    assert free.mean() > 0.1
    moved = 0.0
    for index in (30, 77, 102):
        frame = ours.draw(one.outputs[index], pose_at(index))
        np.testing.assert_array_equal(frame[free], idle.head.background[free])
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


# --- what can be recorded ------------------------------------------------------------------------------


@pytest.mark.parametrize("moving", [False, True])
def test_a_recording_draws_every_frame(spoken: dict[str, Spoken], moving: bool) -> None:
    """As a CUDA graph would: no operator waits for the device, and no number of the first frame stays in."""
    one, device = spoken["smiling"], RecordingDevice()
    ours = TorchCompositor(one.face, one.spec, moving, DrawStream(device))
    assert device.recorded > 100
    plain = compositor(one, moving)
    for index in telling(one, ours.on_cpu):
        np.testing.assert_array_equal(
            ours.draw(one.outputs[index], pose_at(index)), plain.draw(one.outputs[index], pose_at(index))
        )


def test_the_watch_for_waiting_operators_sees_them() -> None:
    values = torch.arange(4.0)
    with NoWaiting():  # type: ignore[no-untyped-call]
        for waiting in (lambda: values[values > 1], lambda: values.sum().item(), lambda: torch.nonzero(values)):
            with pytest.raises(AssertionError, match="asks the device"):
                waiting()
        assert values.add(1).shape == (4,)


@pytest.mark.parametrize(("moving", "blinking"), [(False, False), (True, True)])
def test_a_drawing_is_one_program(spoken: dict[str, Spoken], moving: bool, blinking: bool) -> None:
    """torch can trace it in one piece: it never branches on what a tensor holds."""
    one = spoken["smiling"]
    ours = compositor(one, moving)
    pose = pose_at(30)
    rows = torch.from_numpy(PoseInputs(ours.on_cpu, ours.layout)(pose))[None]
    weights = torch.from_numpy(np.append(one.outputs[30]["motion"], 1).astype(np.float32))[None]
    tensors = face_tensors(ours.on_cpu.tables, ours.layout, torch.device("cpu"))
    frame = Inputs(rows, weights, torch.from_numpy(one.outputs[30]["tract"]))
    given = (tensors, ours.layout, frame, blinking)
    traced = torch.compile(draw, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(traced(*given), draw(*given))


# --- arrays and tensors, threads -------------------------------------------------------------------------


def test_outputs_may_stay_on_the_device(spoken: dict[str, Spoken]) -> None:
    one = spoken["bundled"]
    ours = compositor(one, True)
    resident = {name: torch.from_numpy(rows) for name, rows in one.outputs[60].items()}
    np.testing.assert_array_equal(ours.draw(resident, pose_at(60)), ours.draw(one.outputs[60], pose_at(60)))


@pytest.mark.parametrize("resident", [False, True])
def test_outputs_may_be_float16(spoken: dict[str, Spoken], resident: bool) -> None:
    one = spoken["bundled"]
    ours = compositor(one, True)
    half = {name: rows.astype(np.float16) for name, rows in one.outputs[60].items()}
    wanted = ours.draw({name: rows.astype(np.float32) for name, rows in half.items()}, pose_at(60))
    given = {name: torch.from_numpy(rows) for name, rows in half.items()} if resident else half
    np.testing.assert_array_equal(ours.draw(given, pose_at(60)), wanted)
    assert difference(wanted, ours.draw(one.outputs[60], pose_at(60))) < 0.05


def test_frames_belong_to_the_caller(spoken: dict[str, Spoken]) -> None:
    one = spoken["bundled"]
    ours = compositor(one, False)
    first = ours.draw(one.outputs[60], pose_at(60))
    kept = first.copy()
    ours.draw(one.outputs[30], pose_at(30))
    np.testing.assert_array_equal(first, kept)
    first[:] = 0
    np.testing.assert_array_equal(ours.draw(one.outputs[60], pose_at(60)), kept)


def test_several_threads_may_draw_with_one(spoken: dict[str, Spoken]) -> None:
    one = spoken["closed"]
    ours = compositor(one, True)
    frames = [0, 30, 41, 60, 100, 140]
    wanted = {index: ours.draw(one.outputs[index], pose_at(index)) for index in frames}
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(3):
            if not np.array_equal(ours.draw(one.outputs[index], pose_at(index)), wanted[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in frames]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_outputs_of_another_shape_are_refused() -> None:
    ours = TorchCompositor(drawn_face(SPEC), SPEC, False, DrawStream(TorchCpuDevice()))
    with pytest.raises(BackendError, match=r"motion has the shape \(1, 3\), the frames need \(1, 10\)"):
        ours.draw({"motion": np.zeros((1, 3), np.float32), "tract": np.zeros((1, 5), np.float32)})
    with pytest.raises(BackendError, match=r"tract has the shape \(1, 3\), the frames need \(1, 5\)"):
        ours.draw({"motion": np.zeros((1, 10), np.float32), "tract": np.zeros((1, 3), np.float32)})


def test_networks_that_put_out_pixels_are_left_to_the_cpu() -> None:
    spec = LipSyncSpec.of("speech2vid")
    with pytest.raises(BackendError, match="speech2vid is drawn on the CPU"):
        TorchCompositor(drawn_face(spec), spec, False, DrawStream(TorchCpuDevice()))


def test_times_are_of_as_many_runs_as_asked_for() -> None:
    ours = TorchCompositor(drawn_face(SPEC), SPEC, True, DrawStream(TorchCpuDevice()))
    outputs = some_outputs()
    for times_ms in (ours.compose_ms(outputs, 3), ours.gpu_ms(outputs, 3)):
        assert len(times_ms) == 3
        assert min(times_ms) > 0
    assert ours.device_memory_bytes > ours.still.nbytes


# --- many faces at once --------------------------------------------------------------------------------


def test_a_batch_is_drawn_as_each_of_its_faces(spoken: dict[str, Spoken]) -> None:
    """Two faces of different places and sizes in the frame, one of them twice."""
    one, other = spoken["bundled"], spoken["closed"]
    singles = [compositor(one, True), compositor(other, True)]
    members = [singles[0], singles[1], singles[0]]
    face_batch = TorchBatchCompositor(members)
    for indices in ([30, 41, 102], [0, 60, 140]):
        owners = (one, other, one)
        rows = [owner.outputs[index] for owner, index in zip(owners, indices, strict=True)]
        together = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        for frame, member, row, index in zip(
            face_batch.draw(together, [pose_at(n) for n in indices]), members, rows, indices, strict=True
        ):
            assert np.abs(frame.astype(int) - member.draw(row, pose_at(index))).max() <= 1
    assert face_batch.device_memory_bytes > 2 * singles[0].device_memory_bytes
    assert len(face_batch.compose_ms(together, 2)) == 2


def test_a_batch_whose_heads_are_still(spoken: dict[str, Spoken]) -> None:
    members = [compositor(spoken["bundled"], False), compositor(spoken["closed"], False)]
    rows = [spoken["bundled"].outputs[41], spoken["closed"].outputs[41]]
    together = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    for frame, member, row in zip(
        TorchBatchCompositor(members).draw(together, [AT_REST] * 2), members, rows, strict=True
    ):
        assert np.abs(frame.astype(int) - member.draw(row)).max() <= 1


@pytest.mark.parametrize("moving", [False, True])
def test_a_batch_in_which_some_lips_were_apart_on_the_photo(spoken: dict[str, Spoken], moving: bool) -> None:
    one = spoken["smiling"]
    other = enrol(load_photo(BUNDLED_FACE, max(one.face.photo.shape[:2])), one.spec)
    members = [compositor(one, moving), TorchCompositor(other, one.spec, moving, DrawStream(TorchCpuDevice()))]
    assert [member.layout.lip_line for member in members] == [True, False]
    assert members[0].layout.row != members[1].layout.row
    for index in (0, 41, 102):
        together = {name: np.concatenate([rows] * 2) for name, rows in one.outputs[index].items()}
        for frame, member in zip(
            TorchBatchCompositor(members).draw(together, [pose_at(index)] * 2), members, strict=True
        ):
            assert np.abs(frame.astype(int) - member.draw(one.outputs[index], pose_at(index))).max() <= 1


@pytest.mark.parametrize("moving", [False, True])
def test_a_batch_of_which_some_have_no_mouth(moving: bool) -> None:
    """One face's mouth is below the edge of its photo; another's, in a photo of that size, is not."""
    whole = drawn_face(SPEC, (150, 180))
    cut = drawn_face(SPEC, (301, 360))
    faces = [
        replace(whole, photo=np.pad(whole.photo, [(0, 0), (0, 151), (0, 0)], mode="edge")),
        replace(cut, photo=np.ascontiguousarray(cut.photo[:180])),
    ]
    members = [TorchCompositor(face, SPEC, moving, DrawStream(TorchCpuDevice())) for face in faces]
    assert [is_empty(member.layout.mouth) for member in members] == [False, True]
    one = some_outputs()
    together = {name: np.concatenate([rows] * 2) for name, rows in one.items()}
    for frame, member in zip(TorchBatchCompositor(members).draw(together, [pose_at(77)] * 2), members, strict=True):
        assert np.abs(frame.astype(int) - member.draw(one, pose_at(77))).max() <= 1


def test_faces_that_cannot_be_drawn_together_are_refused() -> None:
    draw_stream = DrawStream(TorchCpuDevice())
    small, large = (
        TorchCompositor(drawn_face(SPEC, size), SPEC, False, draw_stream) for size in ((200, 240), (220, 240))
    )
    awake = TorchCompositor(drawn_face(SPEC), SPEC, True, draw_stream)
    with pytest.raises(BackendError, match="220 x 240 px and 200 x 240 px cannot be drawn together"):
        TorchBatchCompositor([small, large])
    with pytest.raises(BackendError, match="whose head moves and 200 x 240 px cannot"):
        TorchBatchCompositor([small, awake])
    with pytest.raises(BackendError, match="no faces"):
        TorchBatchCompositor([])


# --- on a GPU --------------------------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_a_gpu_there_is_no_draw_stream() -> None:
    with pytest.raises(BackendError, match="no CUDA device"):
        next_draw_stream()


@pytest.mark.gpu
@no_gpu
@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_gpu_draws_what_the_cpu_draws(moving: bool, compiled: bool) -> None:
    face = drawn_face(SPEC, (512, 512))
    ours = TorchCompositor(face, SPEC, moving, compiled=compiled)
    assert isinstance(getattr(ours._canvas._replay_eyes_open, "__self__", None), torch.cuda.CUDAGraph)
    for index in (0, 30, 77, 102):
        outputs = some_outputs(index)
        found = ours.draw(outputs, pose_at(index))
        assert difference(ours.on_cpu.draw(outputs, pose_at(index)), found) < 0.5
        resident = {name: torch.from_numpy(rows).cuda() for name, rows in outputs.items()}
        torch.cuda.current_stream().synchronize()
        np.testing.assert_array_equal(ours.draw(resident, pose_at(index)), found)


@pytest.mark.gpu
@no_gpu
def test_a_gpu_draws_a_batch_of_sessions_as_it_draws_each_alone() -> None:
    one = TorchCompositor(drawn_face(SPEC, (512, 512)), SPEC, True)
    rows = [some_outputs(k) for k in range(8)]
    together = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    frames = TorchBatchCompositor([one] * 8).draw(together, [pose_at(k) for k in range(0, 80, 10)])
    for k, row in enumerate(rows):
        assert np.abs(frames[k].astype(int) - one.draw(row, pose_at(10 * k))).max() <= 1


@pytest.mark.gpu
@no_gpu
def test_faces_may_be_made_while_others_are_drawn() -> None:
    """Recording in one thread does not disturb, or pick up, what others queue."""
    outputs = some_outputs()
    drawn = [TorchCompositor(drawn_face(SPEC, (256, 256)), SPEC, True) for _ in range(2)]
    wanted = drawn[0].draw(outputs, pose_at(50))
    stop, wrong = threading.Event(), []

    def work(compositor: TorchCompositor) -> None:
        while not stop.is_set():
            if not np.array_equal(compositor.draw(outputs, pose_at(50)), wanted):
                wrong.append(1)

    threads = [threading.Thread(target=work, args=(one,)) for one in drawn]
    for thread in threads:
        thread.start()
    try:
        made = [TorchCompositor(drawn_face(SPEC, (256, 256)), SPEC, True) for _ in range(8)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    for one in made:
        np.testing.assert_array_equal(one.draw(outputs, pose_at(50)), wanted)
