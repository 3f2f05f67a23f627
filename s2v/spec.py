"""The numbers that training and the live engine must agree on.

They are frozen, written into the ONNX metadata as JSON, and checked when a model is loaded.
Everything that can be derived is derived here, once.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from s2v.errors import ModelError

Network = Literal["s2v", "speech2vid"]

# What of the mouth the motion of the face does not tell, each in [0, 1]: height of the tongue's body from low to high,
# its place from back to front, its tip raised to the teeth, the lower lip tucked under the upper teeth, the tip's
# constriction at the teeth's edges instead of behind them (1: between the teeth, as in "th").
# Tract variables: Browman and Goldstein, "Articulatory phonology: an overview", Phonetica 49, 1992.
TRACT_VARIABLES = ("tongue_height", "tongue_front", "tongue_tip", "lip_to_teeth", "tongue_dental")
TRACT_AT_REST = (0.3, 0.5, 0.1, 0.0, 0.0)


@dataclass(frozen=True)
class LipSyncSpec:
    """What trained weights and running engine must agree on; travels inside the model file.

    MFCC numbers: "You said that?" (Chung et al. 2017), section 3.1. Geometry is in face units:
    one unit is the distance between the outer eye corners, x to the viewer's right, y down,
    the origin midway between the outer eye corners (see `s2v.engine.face.geometry`).
    """

    network: Network = "s2v"
    # audio
    sample_rate_hz: int = 16_000
    fps: int = 25
    mfcc_window_samples: int = 400
    mfcc_step_samples: int = 160
    n_fft: int = 512
    n_mels: int = 40
    mel_low_hz: float = 300.0
    mel_high_hz: float = 3700.0
    n_mfcc: int = 13
    n_columns: int = 35
    preemphasis: float = 0.97
    lifter: int = 22
    look_ahead_s: float = 0.08
    # running mean normalisation: prior and scale come from the training set
    mfcc_mean: tuple[float, ...] = (0.0,) * 13
    mfcc_std: tuple[float, ...] = (1.0,) * 13
    mean_time_constant_s: float = 4.0
    automatic_gain: bool = False  # a slow causal gain before the MFCC
    # face
    face_px: int = 112
    face_left: float = -0.95
    face_top: float = -0.40
    face_size: float = 1.90
    # motion (network "s2v")
    motion_basis: str = "grid-s1"
    n_motion: int = 10

    @classmethod
    def of(cls, network: Network, **changed: Any) -> LipSyncSpec:
        """The spec that a network is trained with when not told otherwise.

        "speech2vid" hears as its paper says; "s2v" hears more of the spectrum: nasals lie below 300 Hz,
        hissing above 3700 Hz (docs/LOG.md); and quiet voices as well as loud ones.
        """
        heard: dict[str, Any] = {}
        if network == "s2v":
            heard = {"mel_low_hz": 60.0, "mel_high_hz": 7600.0, "automatic_gain": True}
        return cls(network=network, **(heard | changed))

    @property
    def n_cepstra(self) -> int:
        """Rows of the network's audio input: the paper drops c0, ours keeps it."""
        return self.n_mfcc - 1 if self.network == "speech2vid" else self.n_mfcc

    @property
    def window_samples(self) -> int:
        """Samples under one window of `n_columns` MFCC columns (5840 at the defaults)."""
        return (self.n_columns - 1) * self.mfcc_step_samples + self.mfcc_window_samples

    @property
    def samples_per_frame(self) -> float:
        """Audio samples per video frame (640 at 25 fps)."""
        return self.sample_rate_hz / self.fps

    def frame_centre(self, frame: int) -> int:
        """Audio sample under the middle of video frame `frame`. From the index: no drift at 30 fps."""
        return (2 * frame + 1) * self.sample_rate_hz // (2 * self.fps)

    def last_column(self, frame: int) -> int:
        """Newest MFCC column that frame `frame` may see. Column m covers samples
        [m * step, m * step + window); it ends at or before the frame's centre plus the look-ahead."""
        reach = self.frame_centre(frame) + round(self.look_ahead_s * self.sample_rate_hz)
        return (reach - self.mfcc_window_samples) // self.mfcc_step_samples

    def ready_at(self, frame: int) -> int:
        """Samples that must have arrived before frame `frame` can be drawn."""
        return self.last_column(frame) * self.mfcc_step_samples + self.mfcc_window_samples

    def frame_count(self, n_samples: int) -> int:
        """Video frames that cover `n_samples` of audio: the last one may be covered in part."""
        return -(-n_samples * self.fps // self.sample_rate_hz)

    def to_json(self) -> str:
        """All fields as one JSON object: the `s2v_spec` entry of the model's metadata."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> LipSyncSpec:
        """Read back what `to_json` wrote.

        Raises: ModelError, not JSON, an unknown or missing field (made by another version).
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the model's spec is not JSON ({error}): export it again") from error
        if not isinstance(values, dict):
            raise ModelError(f"the model's spec is a JSON {type(values).__name__}, not an object: export it again")
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            odd = ", ".join(sorted(set(values) ^ known))
            raise ModelError(f"the model's spec and this version differ in: {odd}; export it again with this version")
        restored: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**restored)
