"""Stand-ins of the engine room. They fill the same protocols as the real parts; nothing is patched."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import CPU, ComputeDevice, Outputs, Tensors
from s2v.engine.behaviour.pose import AT_REST, FacePose
from s2v.engine.face.enrolment import EnrolledFace, face_from_landmarks
from s2v.engine.face.geometry import canonical_face
from s2v.engine.face.photo import Image
from s2v.errors import BackendError
from s2v.spec import TRACT_VARIABLES, LipSyncSpec


class FakeBackend:
    """Fills `Backend` for either network: outputs that depend on every input value, whatever the batch.

    As a real one it gives out its own buffers, and spoils them at the next call.
    """

    name = "fake"
    device: ComputeDevice = CPU
    batch_sizes: tuple[int, ...] = ()

    def __init__(self, spec: LipSyncSpec | None = None) -> None:
        self.spec = spec or LipSyncSpec()
        self.faces_encoded = 0
        self.batches: list[int] = []  # sizes, in order of the calls
        self.closed = False
        self._given: Tensors = {}

    def encode_face(self, face: NDArray[np.float32]) -> Tensors:
        self._spoil()
        if face.shape != (1, 6, self.spec.face_px, self.spec.face_px):
            raise BackendError(f"fake: input face has shape {face.shape}")
        self.faces_encoded += 1
        if self.spec.network == "speech2vid":
            self._given = {"identity": face.mean((2, 3))}
        return self._given

    def infer(self, mfcc: NDArray[np.float32], identity: Tensors) -> Tensors:
        self._spoil()
        batch = len(mfcc)
        if mfcc.shape != (batch, 1, self.spec.n_cepstra, self.spec.n_columns) or mfcc.dtype != np.float32:
            raise BackendError(f"fake: input mfcc is {mfcc.dtype} of shape {mfcc.shape}")
        of_a_face = {"identity": (batch, 6)} if self.spec.network == "speech2vid" else {}
        if {name: rows.shape for name, rows in identity.items()} != of_a_face:
            raise BackendError(f"fake: identity does not fit a batch of {batch}")
        self.batches.append(batch)
        faces = identity["identity"].sum(1) if identity else np.zeros(batch, np.float32)
        rows = np.array([wave_sum(window) for window in mfcc]) + faces
        waves = np.sin(np.arange(1, self.spec.n_motion + 1, dtype=np.float32))
        motion = np.sin(waves * rows[:, None]).astype(np.float32)
        if self.spec.network == "speech2vid":
            side = self.spec.face_px
            self._given = {"pixels": np.tile((0.5 + 0.5 * motion[:, :3])[:, :, None, None], (1, 1, side, side))}
        else:
            self._given = {"motion": motion, "tract": 0.5 + 0.5 * motion[:, : len(TRACT_VARIABLES)]}
        return self._given

    def close(self) -> None:
        self._spoil()
        self.closed = True

    def _spoil(self) -> None:
        if self.closed:
            raise BackendError("fake is closed")
        for tensor in self._given.values():
            tensor.fill(np.nan)
        self._given = {}


def wave_sum(window: NDArray[np.float32]) -> np.float32:
    """One number of one window: changes with each of its values and with their order."""
    weights = np.cos(np.arange(window.size, dtype=np.float32))
    return np.float32((window.ravel() * weights).sum())


class FakeCompositor:
    """Fills `Compositor`: writes the network's outputs, pose and articulation into the picture, bit for bit."""

    def __init__(self, face: EnrolledFace, spec: LipSyncSpec, moving: bool = False) -> None:
        self.still: Image = face.photo.copy()

    def draws_from(self, device: ComputeDevice) -> bool:
        return False

    def draw(self, outputs: Outputs, pose: FacePose = AT_REST, articulation: float = 1.0) -> Image:
        assert all(rows.shape[0] == 1 for rows in outputs.values()), "one frame at a time"
        content = b"".join(np.asarray(outputs[name]).tobytes() for name in sorted(outputs))
        content += np.float32(articulation).tobytes()
        content += (np.hstack([np.ravel(value) for value in astuple(pose)]) + 0.0).tobytes()  # -0.0 is 0.0
        frame = self.still.copy()
        frame.ravel()[:] = np.resize(np.frombuffer(content, np.uint8), frame.size)
        return frame


def drawn_face(spec: LipSyncSpec, size_px: tuple[int, int] = (200, 240)) -> EnrolledFace:
    """The canonical face on a picture of soft colours, width x height: no detector, no photo needed."""
    width, height = size_px
    x, y = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 6, height))
    photo = np.stack([128 + 90 * np.sin(x), 128 + 90 * np.cos(y), 128 + 90 * np.sin(x + y)], axis=-1)
    mesh = canonical_face() * (0.4 * width) + np.array([0.5 * width, 0.35 * height, 0.0])
    irises = np.repeat(mesh[[33, 263]], 5, axis=0)
    return face_from_landmarks(photo.astype(np.uint8), np.concatenate([mesh, irises]), spec)


def voice(seconds: float, sample_rate_hz: int = 16_000, seed: int = 0) -> NDArray[np.float32]:
    """A gliding buzz with pauses and some noise, mono float32 in [-1, 1]."""
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    pitch = np.cumsum(120 + 40 * np.sin(2 * np.pi * 0.7 * t)) / sample_rate_hz
    buzz = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 12))
    loudness = np.clip(np.sin(2 * np.pi * 2.1 * t), 0, 1)
    return (0.3 * loudness * buzz + 0.003 * random.standard_normal(len(t))).astype(np.float32)
