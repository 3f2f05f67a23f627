"""The face mesh of MediaPipe by itself, for films: where the face is, the frame before has told.

MediaPipe's own graph seeks the face anew on each picture and copies it twice, or smooths, which lags. Here its network
alone is run, on the same square around the face as MediaPipe's tracking shows it.
Source: MediaPipe, face_landmarks_detector_graph.cc (square) and tensors_to_landmarks_calculator.cc (values).
"""

from __future__ import annotations

import tempfile
import zipfile
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.bundled import FACE_LANDMARKER
from s2v.engine.face.geometry import OUTER_EYES

_NETWORK = "face_landmarks_detector.tflite"  # within the bundle
_SIDE_PX = 256  # of its picture
_AROUND = 1.5  # times the face's longer side
_LEAST_SCORE = 0.0  # a logit: more likely a face than not


class MeshNetwork:
    """Landmarks near where they were, for one thread at a time."""

    def __init__(self) -> None:
        import openvino

        core = openvino.Core()
        with zipfile.ZipFile(FACE_LANDMARKER) as bundle, tempfile.TemporaryDirectory() as folder:
            model = core.read_model(bundle.extract(_NETWORK, folder))  # of this format it takes files only
        model.reshape([1, _SIDE_PX, _SIDE_PX, 3])
        settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}  # bf16 would shift lips
        self._request: Any = core.compile_model(model, "CPU", settings).create_infer_request()
        self._input = np.zeros((1, _SIDE_PX, _SIDE_PX, 3), np.float32)

    def near(self, picture: NDArray[np.uint8], known: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Landmarks (478, 3) px of a face on a picture (h, w, 3) BGR, about where `known` are; None, no face there."""
        square = _square(known)
        cut = cv2.warpAffine(picture, square, (_SIDE_PX, _SIDE_PX), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        np.divide(cut[..., ::-1], 255, out=self._input[0], casting="unsafe")
        self._request.infer([self._input], share_inputs=True)
        found, score = (self._request.get_output_tensor(index).data.reshape(-1) for index in (0, 1))
        if score[0] < _LEAST_SCORE:
            return None
        mesh = found.reshape(-1, 3).astype(np.float64)
        flat = np.concatenate([mesh[:, :2], np.ones((len(mesh), 1))], 1) @ square.T
        depth = mesh[:, 2:] * np.hypot(*square[:, 0])
        return np.concatenate([flat, depth], 1).astype(np.float32)


@lru_cache(maxsize=1)
def mesh_network() -> MeshNetwork:
    """One per process: it takes a second to be compiled. Raises: ImportError, there is no OpenVINO."""
    return MeshNetwork()


def _square(known: NDArray[np.float32]) -> NDArray[np.float64]:
    """(2, 3) takes a pixel of the network's picture to one of the whole: around the face, turned as its eyes are."""
    low, high = known[:, :2].min(0), known[:, :2].max(0)
    scale = _AROUND * float((high - low).max()) / _SIDE_PX
    across = known[OUTER_EYES[1], :2] - known[OUTER_EYES[0], :2]
    along = scale * across / max(float(np.hypot(*across)), 1e-6)
    turn = np.array([[along[0], -along[1]], [along[1], along[0]]], np.float64)
    middle = (low + high) / 2 - turn @ np.full(2, _SIDE_PX / 2)
    return np.concatenate([turn, middle[:, None]], 1)
