from __future__ import annotations

import base64
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from s2v.errors import FaceError, ModelError
from s2v.spec import LipSyncSpec
from s2v.streaming.talker import Talker


def model_of(path: Path, spec: LipSyncSpec) -> Path:
    """A model file that names a spec and computes nothing."""
    value, out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out]))
    encoder = base64.b64encode(model.SerializeToString()).decode()
    helper.set_model_props(model, {"s2v_spec": spec.to_json(), "s2v_face_encoder": encoder})
    onnx.save(model, path)
    return path


def test_a_model_for_another_sample_rate_is_refused_before_the_photo_is_looked_at(tmp_path: Path) -> None:
    model = model_of(tmp_path / "model.onnx", LipSyncSpec(sample_rate_hz=8000))
    with pytest.raises(ModelError, match=r"model\.onnx hears 8000 Hz; this version gives 16000 Hz"):
        Talker.enrol(tmp_path / "none.jpg", model)


def test_a_photo_that_is_not_there_is_refused_without_opening_a_runtime(tmp_path: Path) -> None:
    model = model_of(tmp_path / "model.onnx", LipSyncSpec())
    with pytest.raises(FaceError, match=r"none\.jpg"):
        Talker.enrol(tmp_path / "none.jpg", model, backend="no such backend")
