"""Whole frames on the GPU: the network, then warp, mouth and paste; timed, and compared with what the CPU draws."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from s2v.benchmarks.gpu.report import FrameReport
from s2v.benchmarks.our_network import batch_of, identities
from s2v.benchmarks.report import Spread
from s2v.engine.backends.base import Backend, DeviceOutputsBackend, Outputs, Tensors
from s2v.engine.backends.parity import MIN_SSIM
from s2v.engine.backends.ssim import ssim
from s2v.engine.behaviour.pose import AT_REST, FacePose
from s2v.engine.compositor.cpu import make_compositor
from s2v.engine.face.enrolment import EnrolledFace

if TYPE_CHECKING:
    from s2v.engine.compositor.pixel_format import PixelFormat
    from s2v.engine.compositor.torch.compositor import TorchCompositor
    from s2v.engine.compositor.torch.draw_stream import DrawStream

MOST_OFF_LEVELS = 0.5  # of a frame, on average
COMPARED = 8  # frames: one at rest, one with shut lids, the others of heads that move
WARM_UP = 5
RUNS = 200  # of each, at most
# Whether the head moves, pixel format.
_CASES: tuple[tuple[bool, PixelFormat], ...] = ((True, "bgr"), (True, "nv12"), (False, "nv12"))


def measure_frames(
    backend: Backend,
    face: EnrolledFace,
    on_gpu: bool,
    compiled: bool,
    network_ms: dict[int, float],
    frames: int,
    face_batch: int,
) -> Iterator[FrameReport]:
    """Nothing for runtimes whose frames are drawn on the CPU.

    Args:
        compiled: let torch.compile fuse the drawing.
        network_ms: medians by batch size. frames: how many to draw of each kind. face_batch: faces of a batch.
    Raises: BackendError, torch cannot draw on this device.
    """
    draw_stream = _draw_stream(backend, on_gpu)
    if draw_stream is None:
        return
    from s2v.engine.compositor.torch.compositor import TorchCompositor

    identity = identities(backend, 1)
    for moving, pixels in _CASES[: 2 if compiled else 3]:  # compiling takes a minute for each layout
        compositor = TorchCompositor(face, backend.spec, moving, draw_stream, pixels, compiled)
        yield _one_face(backend, compositor, identity, pixels, on_gpu, network_ms, min(frames, RUNS))
        if on_gpu and moving and pixels == "nv12":
            yield _face_batch(
                backend, [compositor] * face_batch, compiled, identity, pixels, network_ms, min(frames, RUNS)
            )


def _draw_stream(backend: Backend, on_gpu: bool) -> DrawStream | None:
    """The backend's own stream where it has one; a stream of torch's for TensorRT, whose outputs come from the host."""
    if not (on_gpu or backend.device.runs_torch):
        return None
    from s2v.engine.compositor.torch.draw_stream import draw_stream_for

    return draw_stream_for(backend.device)


def _one_face(
    backend: Backend,
    compositor: TorchCompositor,
    identity: Tensors,
    pixels: PixelFormat,
    on_gpu: bool,
    network_ms: dict[int, float],
    runs: int,
) -> FrameReport:
    mfcc, faces = batch_of(backend.spec, identity, 1)

    def frame() -> None:
        compositor.draw(_outputs(backend, compositor, mfcc, faces))

    wall_ms = []
    for _ in range(WARM_UP + runs):
        began_s = time.perf_counter()
        frame()
        wall_ms.append(1000 * (time.perf_counter() - began_s))
    compose_ms: list[float] = []
    gpu_ms: list[float] = []
    blink_ms: list[float] = []
    if on_gpu:
        outputs = _kept(backend.infer(mfcc, faces))
        blink_ms = compositor.compose_ms(outputs, WARM_UP + runs, FacePose(closed=1.0))[WARM_UP:]
        compose_ms, gpu_ms = (
            time_it(outputs, WARM_UP + runs) for time_it in (compositor.compose_ms, compositor.gpu_ms)
        )
    height, width = compositor.still.shape[:2]
    composed = Spread.of(compose_ms[WARM_UP:], digits=4)
    return FrameReport(
        width_px=width,
        height_px=height,
        pixels=pixels,
        idle=compositor.layout.moving,
        batch=1,
        runs=runs,
        compose_ms=composed,
        blink_ms=Spread.of(blink_ms, digits=4),
        transfers_ms=Spread.of(gpu_ms[WARM_UP:], digits=4),
        together_ms=(together_ms := _together(network_ms.get(1), composed.p50)),
        frames_s=together_ms and round(1000 / together_ms, 1),
        both_ms=Spread.of(_both_ms(backend, compositor, mfcc, faces, runs) if on_gpu else (), digits=4),
        wall_ms=Spread.of(wall_ms[WARM_UP:], digits=4),
        memory_mib=round(compositor.device_memory_bytes / 2**20, 2) if on_gpu else None,
        parity=_parity(backend, compositor, identity) if pixels == "bgr" else None,
    )


def _outputs(backend: Backend, compositor: TorchCompositor, mfcc: NDArray[np.float32], faces: Tensors) -> Outputs:
    """Left where the compositor draws, if they can be."""
    if isinstance(backend, DeviceOutputsBackend) and compositor.draws_from(backend.device):
        return backend.infer_resident(mfcc, faces)
    return backend.infer(mfcc, faces)


def _both_ms(
    backend: Backend, compositor: TorchCompositor, mfcc: NDArray[np.float32], faces: Tensors, runs: int
) -> list[float]:
    """One frame after the other from the upload of a window to the drawn frame, by CUDA events: the time in which the
    host says what to do next counts. Nothing for a backend whose outputs do not stay on the device."""
    if not isinstance(backend, DeviceOutputsBackend):
        return []
    device = compositor.draw_stream.device
    found: list[float] = []
    with compositor.draw_stream.lock, device.running():
        for _ in range(WARM_UP + runs):
            found += device.times_ms(lambda: compositor.queue(backend.infer_resident(mfcc, faces)), 1)
    return found[WARM_UP:]


def _face_batch(
    backend: Backend,
    members: list[TorchCompositor],
    compiled: bool,
    identity: Tensors,
    pixels: PixelFormat,
    network_ms: dict[int, float],
    runs: int,
) -> FrameReport:
    """Many faces in one batch, all of them the same: drawing does not depend on whose they are."""
    from s2v.engine.compositor.torch.compositor import TorchBatchCompositor

    face_batch = TorchBatchCompositor(members, pixels=pixels, compiled=compiled)
    mfcc, faces = batch_of(backend.spec, identity, len(members))
    outputs = _kept(backend.infer(mfcc, faces))
    runs = max(runs // 10, 1)
    compose_ms, gpu_ms = (
        time_it(outputs, WARM_UP + runs)[WARM_UP:] for time_it in (face_batch.compose_ms, face_batch.gpu_ms)
    )
    height, width = members[0].still.shape[:2]
    composed = Spread.of(compose_ms, digits=4)
    return FrameReport(
        width_px=width,
        height_px=height,
        pixels=pixels,
        idle=members[0].layout.moving,
        batch=len(members),
        runs=runs,
        compose_ms=composed,
        blink_ms=Spread.of(()),
        transfers_ms=Spread.of(gpu_ms, digits=4),
        together_ms=(together_ms := _together(network_ms.get(len(members)), composed.p50)),
        frames_s=together_ms and round(1000 * len(members) / together_ms, 1),
        both_ms=Spread.of(()),
        wall_ms=Spread.of(()),
        memory_mib=round(face_batch.device_memory_bytes / 2**20, 2),
        parity=None,
    )


def _parity(backend: Backend, compositor: TorchCompositor, identity: Tensors) -> dict[str, float | bool]:
    """The same outputs drawn here and by OpenCV, some frames, one of them with shut lids."""
    on_cpu = make_compositor(compositor.face, compositor.spec, compositor.layout.moving)
    mfcc, faces = batch_of(backend.spec, identity, COMPARED)
    outputs = _kept(backend.infer(mfcc, faces))
    poses = [AT_REST, *(_some_pose(seed) for seed in range(COMPARED - 2)), FacePose(closed=1.0)]
    likeness: list[float] = []
    beyond: list[float] = []
    mean = largest = 0.0
    for row, pose in enumerate(poses):
        one = {name: rows[row : row + 1] for name, rows in outputs.items()}
        wanted, got = on_cpu.draw(one, pose).astype(np.float32), compositor.draw(one, pose).astype(np.float32)
        likeness.append(ssim(wanted / np.float32(255), got / np.float32(255)))
        off = np.abs(wanted - got)
        mean, largest = max(mean, float(off.mean())), max(largest, float(off.max()))
        beyond.append(float((off > 8).mean()))
    return {
        "frames": len(poses),
        "ssim_min": round(min(likeness), 5),
        "mean_difference_levels": round(mean, 3),
        "max_difference_levels": largest,
        "beyond_8_levels": round(max(beyond), 6),
        "differs_visibly": min(likeness) < MIN_SSIM or mean > MOST_OFF_LEVELS,
    }


def _some_pose(seed: int) -> FacePose:
    """A head that is turned, shifted and near, looks aside and raises its brows, as far as heads do that."""
    x, y, yaw, pitch, roll, look, brows, corners = np.random.default_rng(seed).uniform(-1, 1, 8)
    return FacePose(
        shift=(0.07 * x, 0.08 * y),
        yaw=0.14 * yaw,
        pitch=0.1 * pitch,
        roll=0.06 * roll,
        lean=0.06 * x,
        gaze=(0.04 * look, 0.01 * look),
        brows=0.04 * brows,
        corners=0.02 * corners,
    )


def _kept(outputs: Tensors) -> Tensors:
    return {name: rows.copy() for name, rows in outputs.items()}


def _together(network_ms: float | None, compose_ms: float | None) -> float | None:
    return None if network_ms is None or compose_ms is None else round(network_ms + compose_ms, 4)
