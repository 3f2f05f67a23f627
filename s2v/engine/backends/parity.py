"""How far a compiled engine's frames are from ONNX Runtime's: the largest differences, and what a viewer sees of them.

Of motion that is how far a point of the face lands from where it should, of pixels their SSIM.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import Tensors
from s2v.engine.backends.graphs import Graph
from s2v.engine.backends.ssim import ssim
from s2v.engine.face.motion_basis import MotionBasis
from s2v.spec import LipSyncSpec

BATCHES = (1, 3, 4, 8)  # one alone, and some that share a run
MAX_DIFFERENCE = 0.04  # of any output: colours and tract variables from 0 to 1, motion in units of about 1
MAX_MOVED = 0.002  # face units: a third of a pixel on a portrait of 512 px
MIN_SSIM = 0.995  # of the worst frame; below about 0.99 people begin to see it


@dataclass(frozen=True)
class Parity:
    """What was found."""

    frames: int
    max_difference: dict[str, float]  # by output
    moved_max: float | None  # face units by which a point of the face is misplaced at most; None: pixels are put out
    ssim_min: float | None  # over frames; None: motion is put out
    ssim_mean: float | None

    @property
    def differs_visibly(self) -> bool:
        """Also when an engine gives NaN."""
        close = all(difference <= MAX_DIFFERENCE for difference in self.max_difference.values())
        in_place = self.moved_max is None or self.moved_max <= MAX_MOVED
        return not (close and in_place and (self.ssim_min is None or self.ssim_min >= MIN_SSIM))

    def as_text(self) -> str:
        """One line."""
        worst = ", ".join(f"{name} {difference:.2g}" for name, difference in self.max_difference.items())
        if self.moved_max is not None:
            seen = f"the face moved {self.moved_max:.2g} of the eye distance at most"
        else:
            seen = f"SSIM {self.ssim_min:.5f} at worst"
        return f"{seen} over {self.frames} frames, largest difference: {worst}"


def compare(reference: Graph, candidate: Graph, identity: Tensors, spec: LipSyncSpec, max_batch: int) -> Parity:
    """Run the same voices and faces through both graphs.

    Args:
        identity: of some faces, (n, ...): what the face encoder gave for each; empty for a network without one.
        max_batch: the candidate's; larger batches of BATCHES are left out.
    """
    random = np.random.default_rng(7)
    basis = MotionBasis.load(spec.motion_basis).components[: spec.n_motion]
    difference = dict.fromkeys(reference.outputs, 0.0)
    moved: list[float] = []
    similar: list[float] = []
    frames = 0
    for batch in (size for size in BATCHES if size <= max_batch):
        faces = {name: np.take(rows, np.arange(batch) % len(rows), axis=0) for name, rows in identity.items()}
        for loudness in (0.3, 1.0, 2.0):
            tensors = {"mfcc": loudness * voice_like(random, batch, spec), **faces}
            wanted, found = ({k: v.copy() for k, v in graph.run(tensors).items()} for graph in (reference, candidate))
            for name, rows in wanted.items():
                difference[name] = max(difference[name], _largest(np.abs(rows - found[name])))
            if "motion" in wanted:
                with np.errstate(invalid="ignore"):  # infinite motion moves points by no number
                    off = np.tensordot(wanted["motion"] - found["motion"], basis, 1)
                moved.append(_largest(np.linalg.norm(off, axis=-1)))
            else:
                similar += [ssim(a, b) for a, b in zip(pictures(wanted), pictures(found), strict=True)]
            frames += batch
    return Parity(
        frames,
        difference,
        max(moved) if moved else None,
        min(similar) if similar else None,
        float(np.mean(similar)) if similar else None,
    )


def _largest(values: NDArray[np.floating]) -> float:
    """Infinite if any is no number."""
    largest = float(values.max())
    return largest if largest == largest else float("inf")


def some_faces(spec: LipSyncSpec, count: int = 3) -> list[NDArray[np.float32]]:
    """What stands in for photos: soft shapes in the colours of skin, each (1, 6, face_px, face_px)."""
    random = np.random.default_rng(11)
    faces = []
    for _ in range(count):
        coarse = random.uniform(-0.15, 0.15, (7, 7, 3)) + random.uniform([0.2, 0.3, 0.4], [0.5, 0.6, 0.8])
        size = (spec.face_px, spec.face_px)
        bgr = np.clip(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), 0, 1).transpose(2, 0, 1)
        masked = bgr.copy()
        masked[:, spec.face_px // 2 :] = 0
        faces.append(np.concatenate([masked, bgr])[None].astype(np.float32))
    return faces


def voice_like(random: np.random.Generator, batch: int, spec: LipSyncSpec) -> NDArray[np.float32]:
    """Normalised MFCC that change as slowly as speech does: (batch, 1, n_cepstra, n_columns)."""
    steps = random.standard_normal((batch, 1, spec.n_cepstra, spec.n_columns)).astype(np.float32)
    keep = np.float32(0.8)
    for column in range(1, spec.n_columns):
        steps[..., column] = keep * steps[..., column - 1] + np.sqrt(1 - keep**2) * steps[..., column]
    return steps


def pictures(outputs: Tensors) -> list[NDArray[np.float32]]:
    """Each frame's pixels as they are seen, (height, width, 3) in [0, 1]."""
    return [np.ascontiguousarray(picture.transpose(1, 2, 0)) for picture in outputs["pixels"]]
