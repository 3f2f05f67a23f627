"""The files that come with the package; what each is, and under which licence, says `assets/README.md`."""

from __future__ import annotations

from pathlib import Path

_ASSETS = Path(__file__).with_name("assets")

BUNDLED_FACE = _ASSETS / "face.jpg"
BUNDLED_VOICE = _ASSETS / "voice.flac"
PHONES_VOICE = _ASSETS / "phones.flac"
PHONES_LABELS = _ASSETS / "phones.lab"
BUNDLED_MODEL = _ASSETS / "model.onnx"
BUNDLED_WEIGHTS = _ASSETS / "model.safetensors"  # of that model, to go on training from
FACE_LANDMARKER = _ASSETS / "face_landmarker.task"
PERSON_SEGMENTATION = _ASSETS / "person_segmentation.onnx"
CANONICAL_FACE = _ASSETS / "canonical_face.npy"
FACE_SHAPE = _ASSETS / "face_shape.npz"


def motion_basis_file(name: str) -> Path:
    """Of a `LipSyncSpec.motion_basis`; there need not be one of every name."""
    return _ASSETS / f"motion_{name}.npz"
