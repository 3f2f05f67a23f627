"""Faces that speak, drawn by torch in host memory, and how far pictures are apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from both_compositors import SPEC, TRACTS

from s2v.bundled import BUNDLED_FACE, BUNDLED_VOICE
from s2v.engine.audio.windows import MfccWindows
from s2v.engine.backends import open_backend
from s2v.engine.backends.base import Tensors
from s2v.engine.backends.torch.device import TorchCpuDevice
from s2v.engine.compositor.cpu import MotionCompositor
from s2v.engine.compositor.torch.compositor import TorchCompositor
from s2v.engine.compositor.torch.draw_stream import DrawStream
from s2v.engine.face.enrolment import EnrolledFace, enrol
from s2v.engine.face.maps import Box
from s2v.engine.face.photo import Image, load_photo
from s2v.spec import LipSyncSpec

VOICE_S = 6


class Spoken(NamedTuple):
    """A face, and what the bundled model makes of the bundled voice for some of its frames; `TRACTS` in turn."""

    face: EnrolledFace
    spec: LipSyncSpec
    outputs: dict[int, Tensors]


def speak(closed_face: EnrolledFace, smiling_face: EnrolledFace) -> dict[str, Spoken]:
    """What the "bundled", "closed" and "smiling" face say, frame by frame, by their names."""
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
