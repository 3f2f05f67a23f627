from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from s2v.bundled import BUNDLED_FACE
from s2v.errors import FaceError, ModelError
from s2v.media.talker import Talker
from s2v.spec import LipSyncSpec


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


@pytest.mark.parametrize("seed", [None, 5])
def test_its_engines_move_by_its_seed(seed: int | None) -> None:
    pytest.importorskip("torch", reason="the small test model is exported with torch")
    from tiny_networks import tiny_model

    talker = Talker.enrol(BUNDLED_FACE, tiny_model("s2v").path, "onnxruntime", idle_seed=seed)
    engine = talker.make_engine()
    try:
        still = engine.still.copy()
        frames = engine.push(np.zeros(3 * 16_000, np.float32))
    finally:
        engine.close()
    brow = still.shape[0] // 3
    moved = [bool((np.abs(frame.pixels[:brow].astype(int) - still[:brow]) > 8).any()) for frame in frames]
    assert not moved[0]  # the first frame follows on the still
    assert any(moved) == (seed is not None)
