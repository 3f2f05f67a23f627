"""The compositor on a device: what `s2v.engine.compositor.cpu` draws with OpenCV, drawn with torch.

Per frame a few numbers go up (or the network's outputs too, if they are not on the device already), one recorded
CUDA graph is replayed, and one finished frame comes down.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import ComputeDevice, Outputs
from s2v.engine.behaviour.pose import AT_REST, FacePose
from s2v.engine.compositor.cpu import MotionCompositor
from s2v.engine.compositor.pixel_format import PixelFormat
from s2v.engine.compositor.torch.canvas import TorchCanvas
from s2v.engine.compositor.torch.draw_stream import DrawStream, next_draw_stream
from s2v.engine.compositor.torch.tables.face_tensors import FaceTensors, behind, face_tensors, stacked
from s2v.engine.compositor.torch.tables.frame_inputs import PoseInputs
from s2v.engine.compositor.torch.tables.layout import Layout
from s2v.engine.face.articulation import USUAL
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.photo import Image
from s2v.errors import BackendError
from s2v.spec import LipSyncSpec


class TorchCompositor:
    """One face of network "s2v", drawn on a device. Fills `Compositor`; may be called by several threads.

    Args:
        face: enrolled. spec: of the model. moving: as of `make_compositor`.
        draw_stream: where to draw; None is the first GPU.
        pixels: what `draw` returns frames in; `Compositor` asks for "bgr".
        compiled: see `TorchCanvas`.
    Raises: BackendError, a network that puts out pixels; no GPU; a frame whose size the pixel format cannot have.
    """

    def __init__(
        self,
        face: EnrolledFace,
        spec: LipSyncSpec,
        moving: bool = False,
        draw_stream: DrawStream | None = None,
        pixels: PixelFormat = "bgr",
        compiled: bool = False,
    ) -> None:
        if spec.network != "s2v":
            raise BackendError(f"network {spec.network} is drawn on the CPU: give --compose cpu")
        self.face, self.spec = face, spec
        self.on_cpu = MotionCompositor(face, spec, moving)  # it knows how the head moves
        self.still: Image = self.on_cpu.still
        self.draw_stream = draw_stream or next_draw_stream()
        self.layout = Layout.of(self.on_cpu.tables)
        self._pose_inputs = PoseInputs(self.on_cpu, self.layout)
        self._lock = threading.Lock()
        device = self.draw_stream.device
        with self.draw_stream.lock, device.running():
            tensors = face_tensors(self.on_cpu.tables, self.layout, device.device)
            self._canvas = TorchCanvas(
                tensors, self.layout, [behind(self.on_cpu.tables)], self.draw_stream, pixels, compiled
            )

    def draw(self, outputs: Outputs, pose: FacePose = AT_REST, articulation: float = USUAL) -> NDArray[np.uint8]:
        """See `Compositor.draw`; in the pixel format asked for.

        Args:
            outputs: `motion` (1, K) and `tract` (1, 5): arrays, or tensors on this device that were computed on the
                draw_stream's stream or are finished.
        """
        with self._lock:
            with self.draw_stream.lock, self.draw_stream.device.running():
                self._canvas.load(outputs, self._pose_inputs(pose, articulation)[None])
                self._canvas.draw(pose.closed > 0)
                pixels = self._canvas.fetch()
            frame: NDArray[np.uint8] = pixels()[0].copy()
        return frame

    def draws_from(self, device: ComputeDevice) -> bool:
        """See `Compositor.draws_from`."""
        return device is self.draw_stream.device

    def queue(self, outputs: Outputs, pose: FacePose = AT_REST) -> None:
        """`draw` without the download, and without waiting: to be timed behind a network on the same stream.

        Call it within `draw_stream.device.running()`, and wait before the next one.
        """
        self._canvas.load(outputs, self._pose_inputs(pose)[None])
        self._canvas.draw(pose.closed > 0)

    def compose_ms(self, outputs: Outputs, runs: int, pose: FacePose = AT_REST) -> list[float]:
        """How long the device takes to warp and paste, for each of several runs; nothing crosses the bus."""
        return _compose_ms(self._canvas, self.draw_stream, self._row(pose), outputs, runs)

    def gpu_ms(self, outputs: Outputs, runs: int, pose: FacePose = AT_REST) -> list[float]:
        """The same with the upload of the numbers (and the outputs, if they are arrays) and the frame's download."""
        return _gpu_ms(self._canvas, self.draw_stream, self._row(pose), outputs, runs)

    @property
    def device_memory_bytes(self) -> int:
        """Of this face: its photo, its tables, its frame. Recorded work of all faces of a stream shares its memory."""
        return self._canvas.n_bytes

    def _row(self, pose: FacePose) -> tuple[NDArray[np.float32], bool]:
        return self._pose_inputs(pose)[None], pose.closed > 0


class TorchBatchCompositor:
    """Several faces with frames of one size, drawn as one batch.

    Args:
        members: their compositors; one may be there several times. draw_stream: where to draw; None is the first one's.
        pixels: what frames are made of. compiled: see `TorchCanvas`.
    Raises: BackendError, nobody; frames of different sizes, or only some heads move.
    """

    def __init__(
        self,
        members: Sequence[TorchCompositor],
        draw_stream: DrawStream | None = None,
        pixels: PixelFormat = "bgr",
        compiled: bool = False,
    ) -> None:
        if not members:
            raise BackendError("a batch of no faces draws nothing: give one or more")
        self._members = list(members)
        self.draw_stream = draw_stream or members[0].draw_stream
        self._layout = Layout.merged([member.layout for member in members])
        self._pose_inputs = [PoseInputs(member.on_cpu, self._layout) for member in members]
        self._lock = threading.Lock()
        device = self.draw_stream.device
        with self.draw_stream.lock, device.running():
            made: dict[int, FaceTensors] = {}
            for one in members:
                if id(one) not in made:
                    made[id(one)] = face_tensors(one.on_cpu.tables, self._layout, device.device)
            tensors = stacked([made[id(one)] for one in members])
            photos = [behind(one.on_cpu.tables) for one in members]
            self._canvas = TorchCanvas(tensors, self._layout, photos, self.draw_stream, pixels, compiled)

    def draw(self, outputs: Outputs, poses: Sequence[FacePose]) -> NDArray[np.uint8]:
        """One frame of each face, (n, h, w, 3) BGR or as asked for, a new array.

        Args:
            outputs: `motion` (n, K) and `tract` (n, 5), one row a face. poses: of each of them.
        """
        rows, blinking = self._rows(poses)
        with self._lock:
            with self.draw_stream.lock, self.draw_stream.device.running():
                self._canvas.load(outputs, rows)
                self._canvas.draw(blinking)
                pixels = self._canvas.fetch()
            return pixels().copy()

    def compose_ms(self, outputs: Outputs, runs: int, pose: FacePose = AT_REST) -> list[float]:
        """As `TorchCompositor.compose_ms`, of the whole batch."""
        return _compose_ms(self._canvas, self.draw_stream, self._rows([pose] * len(self._members)), outputs, runs)

    def gpu_ms(self, outputs: Outputs, runs: int, pose: FacePose = AT_REST) -> list[float]:
        """As `TorchCompositor.gpu_ms`, of the whole batch."""
        return _gpu_ms(self._canvas, self.draw_stream, self._rows([pose] * len(self._members)), outputs, runs)

    @property
    def device_memory_bytes(self) -> int:
        """Of all faces together, as `TorchCompositor.device_memory_bytes`."""
        return self._canvas.n_bytes

    def _rows(self, poses: Sequence[FacePose]) -> tuple[NDArray[np.float32], bool]:
        rows = [inputs(pose) for inputs, pose in zip(self._pose_inputs, poses, strict=True)]
        return np.stack(rows), any(pose.closed > 0 for pose in poses)


Rows = tuple[NDArray[np.float32], bool]


def _compose_ms(canvas: TorchCanvas, draw_stream: DrawStream, rows: Rows, outputs: Outputs, runs: int) -> list[float]:
    with draw_stream.lock, draw_stream.device.running():
        canvas.load(outputs, rows[0])
        return draw_stream.device.times_ms(lambda: canvas.draw(rows[1]), runs)


def _gpu_ms(canvas: TorchCanvas, draw_stream: DrawStream, rows: Rows, outputs: Outputs, runs: int) -> list[float]:
    def whole() -> None:
        canvas.load(outputs, rows[0])
        canvas.draw(rows[1])
        canvas.fetch()

    with draw_stream.lock, draw_stream.device.running():
        return draw_stream.device.times_ms(whole, runs)
