"""The engine: push audio, get frames. Reads top to bottom; each step is a module of its own.

samples -> MfccWindows -> Backend.infer -> Compositor.draw -> DrawnFrame

Beside it, samples -> VocalEffort tells how far the lips go for what is said, samples -> FaceBehaviour what head and
eyes do meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s2v.engine.audio.effort import VocalEffort
from s2v.engine.audio.mfcc import as_mono
from s2v.engine.audio.windows import MfccWindows
from s2v.engine.backends.base import Backend, DeviceOutputsBackend, Outputs, Tensors
from s2v.engine.behaviour.face_behaviour import FaceBehaviour, Pcm
from s2v.engine.behaviour.mood import Mood
from s2v.engine.behaviour.options import USUAL as USUAL_LIVELINESS
from s2v.engine.behaviour.options import check_liveliness, check_mood
from s2v.engine.behaviour.pose import AT_REST, FacePose
from s2v.engine.compositor.cpu import Compositor, MotionCompositor, PixelCompositor
from s2v.engine.compositor_choice import composer_for
from s2v.engine.face.articulation import USUAL, check_articulation
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.photo import Image
from s2v.errors import AudioError, BackendError
from s2v.spec import LipSyncSpec

MAX_BATCH = 8  # frames per inference when several are due: faster than one by one, and a bound on memory

Window = tuple[int, NDArray[np.float32]]  # frame index, (n_cepstra, n_columns)


@dataclass(frozen=True)
class DrawnFrame:
    """One finished video frame; its pixels belong to whoever receives it."""

    index: int
    centre_sample: int  # the 16 kHz audio sample it belongs to
    pixels: Image  # (height, width, 3) BGR, or the `PixelFormat` that the compositor was asked for
    network_s: float = 0.0  # the inference it came of; frames of one batch waited for all of it
    compose_s: float = 0.0  # warping, drawing the mouth and pasting this one


class Engine(Protocol):
    """What `LipSyncEngine` offers, and whatever stands in for it. Opened, used and closed by one thread.

    In a `with` statement it is closed at the end.
    """

    @property
    def spec(self) -> LipSyncSpec: ...

    @property
    def backend_name(self) -> str: ...

    @property
    def frame_size(self) -> tuple[int, int]: ...  # (width_px, height_px), both even

    articulation: float  # how strongly the face speaks, 0.5 to 1.5; the frames drawn next have it
    liveliness: float  # how much head, brows and gaze move, 0 to 1.5; the frames drawn next have it

    def push(self, pcm: Pcm, heard: Pcm | None = None) -> list[DrawnFrame]: ...

    def flush(self) -> list[DrawnFrame]: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *ended: object) -> None: ...


@dataclass(frozen=True)
class _ToDraw:
    """All that a frame is drawn of."""

    index: int
    outputs: Outputs  # of the network, a batch of one
    pose: FacePose
    articulation: float


class LipSyncEngine:
    """One face, one stream of audio, its frames. Made, used and closed by one thread.

    The backend stays with whoever opened it, who closes it after the engine.
    """

    def __init__(
        self,
        face: EnrolledFace,
        backend: Backend,
        compose: Callable[[EnrolledFace, LipSyncSpec, bool], Compositor] | None = None,
        idle_seed: int | None = None,
        articulation: float = USUAL,
        liveliness: float = USUAL_LIVELINESS,
        mood: Mood = "neutral",
    ) -> None:
        """Prepare to draw.

        Args:
            compose: makes the compositor; None is `composer_for` this backend.
            idle_seed: whole number from 0: the face moves its head, blinks and looks about with what it says, always
                the same way for the same seed and sound. None: nothing but the lower face moves.
            articulation: how strongly the face speaks, 0.5 to 1.5; may be changed at any time. Pixels, which network
                "speech2vid" puts out, stay as they are.
            liveliness: how much head, brows and gaze move, 0 to 1.5; may be changed at any time.
            mood: how the face looks before it says anything. As liveliness, it does nothing without `idle_seed`.
        Raises: BackendError, the face was prepared for another model, or the backend is closed. S2vError, no such
            articulation, liveliness or mood.
        """
        self.articulation = articulation
        self.spec: LipSyncSpec = backend.spec
        liveliness, mood = check_liveliness(liveliness), check_mood(mood)
        self._behaviour = None if idle_seed is None else FaceBehaviour(idle_seed, self.spec, liveliness, mood)
        self._liveliness = liveliness
        self.backend_name: str = backend.name
        self._backend = backend
        self._windows = MfccWindows(self.spec)
        self._effort = VocalEffort(self.spec)
        identity = backend.encode_face(face.network_input)
        own = {name: tensor.copy() for name, tensor in identity.items()}  # one row: all frames are of one face
        self._identity: Tensors = {name: np.broadcast_to(row, (MAX_BATCH, *row.shape[1:])) for name, row in own.items()}
        self._compositor = (compose or composer_for(backend))(face, self.spec, idle_seed is not None)
        # A compositor on the backend's own device takes its outputs where they are: they need not come down.
        self._resident: DeviceOutputsBackend | None = None
        if isinstance(backend, DeviceOutputsBackend) and self._compositor.draws_from(backend.device):
            self._resident = backend
        self._closed = False
        self._opened = ExitStack()
        self._drawing: ThreadPoolExecutor | None = None  # None: the calling thread draws

    def draw_on(self, threads: int) -> None:
        """From now on draw the frames of one push on so many threads: the same frames, sooner where cores are free.

        For files; of a live stream one frame at a time is due. A GPU goes on drawing on the calling thread.
        """
        self._opened.close()
        self._drawing = None
        # What these compositors draw depends on what they are given alone.
        if threads > 1 and isinstance(self._compositor, MotionCompositor | PixelCompositor):
            self._drawing = self._opened.enter_context(ThreadPoolExecutor(min(threads, MAX_BATCH), "s2v-drawing"))

    @property
    def articulation(self) -> float:
        """How strongly the face speaks: motion is scaled about rest, closed lips stay closed.

        A raised voice scales it further, see `engine.audio.effort`.
        The frames drawn next have what it is set to. Raises: S2vError, when it is set to no number from 0.5 to 1.5.
        """
        return self._articulation

    @articulation.setter
    def articulation(self, value: float) -> None:
        self._articulation = check_articulation(value)

    @property
    def liveliness(self) -> float:
        """How much head, brows and gaze follow the conversation; at 0 sway, breath, blinks and looks are left.

        The frames drawn next have what it is set to. Raises: S2vError, when it is set to no number from 0 to 1.5.
        """
        return self._liveliness

    @liveliness.setter
    def liveliness(self, value: float) -> None:
        self._liveliness = check_liveliness(value)
        if self._behaviour is not None:
            self._behaviour.liveliness = self._liveliness

    @property
    def still(self) -> Image:
        """The face at rest, (height, width, 3) BGR: what to show before the first frame. Not to be written to."""
        return self._compositor.still

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height of every frame in pixels."""
        height, width = self.still.shape[:2]
        return width, height

    def push(self, pcm: ArrayLike, heard: ArrayLike | None = None) -> list[DrawnFrame]:
        """Append mono float32 samples in [-1, 1] at `spec.sample_rate_hz`, any length; draw the frames now due.

        However the audio is cut into chunks, the frames are the same, up to the last bit of a runtime's
        arithmetic for another batch size. A frame holds 3 bytes a pixel: push long files in pieces.

        Args:
            heard: as many samples of what is said to the face meanwhile, which it listens to; None: nobody speaks.
        Raises: AudioError, not such samples, or the stream was flushed. BackendError, closed or failed.
        """
        self._refuse_if_closed()
        voice = as_mono(pcm)
        other = None if heard is None else as_mono(heard)
        if other is not None and len(other) != len(voice):
            raise AudioError(f"{len(other)} samples were heard while {len(voice)} were said: push as many of both")
        due = self._windows.push(voice)
        self._effort.hear(voice)
        if self._behaviour is not None:
            self._behaviour.hear(voice, other)
        return self._draw(due)

    def flush(self) -> list[DrawnFrame]:
        """The audio has ended: draw the frames that still waited for what follows. Empty the second time.

        After it, n pushed samples have given `spec.frame_count(n)` frames.
        """
        self._refuse_if_closed()
        return self._draw(self._windows.flush())

    def close(self) -> None:
        """Free the face's features; safe to call twice. The backend stays open."""
        self._closed = True
        self._opened.close()
        self._identity = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()

    def _draw(self, due: list[Window]) -> list[DrawnFrame]:
        frames: list[DrawnFrame] = []
        for first in range(0, len(due), MAX_BATCH):
            frames += self._draw_batch(due[first : first + MAX_BATCH])
        return frames

    def _draw_batch(self, due: list[Window]) -> list[DrawnFrame]:
        began_s = time.perf_counter()
        mfcc = np.stack([window for _, window in due])[:, None]
        identity = {name: rows[: len(due)] for name, rows in self._identity.items()}
        outputs: Outputs = (
            self._backend.infer(mfcc, identity)
            if self._resident is None
            else self._resident.infer_resident(mfcc, identity)
        )
        network_s = time.perf_counter() - began_s
        asked = []
        for row, (index, _) in enumerate(due):  # poses and effort are asked for in order
            one = {name: rows[row : row + 1] for name, rows in outputs.items()}
            pose = AT_REST if self._behaviour is None else self._behaviour.pose(index)
            asked.append(_ToDraw(index, one, pose, self._articulation * self._effort.at(index)))
        drawn = map(self._draw_one, asked) if self._drawing is None else self._drawing.map(self._draw_one, asked)
        return [replace(frame, network_s=network_s) for frame in drawn]

    def _draw_one(self, asked: _ToDraw) -> DrawnFrame:
        """On any thread."""
        began_s = time.perf_counter()
        pixels = self._compositor.draw(asked.outputs, asked.pose, asked.articulation)
        compose_s = time.perf_counter() - began_s
        return DrawnFrame(asked.index, self.spec.frame_centre(asked.index), pixels, compose_s=compose_s)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise BackendError("this engine is closed: open another with avatar.engine()")
