from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from s2v.engine.backends.model_file import MAX_FILE_BYTES, ModelFile, read_model_file
from s2v.errors import ModelError
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec(look_ahead_s=0.04, mfcc_mean=tuple(i / 7 for i in range(13)))


def graph(name: str = "x") -> onnx.ModelProto:
    value = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
    return helper.make_model(helper.make_graph([helper.make_node("Relu", [name], ["y"])], "g", [value], [out]))


FACE = graph("face").SerializeToString()
GOOD = {
    "s2v_spec": SPEC.to_json(),
    "s2v_face_encoder": base64.b64encode(FACE).decode(),
    "s2v_licence": "CC BY 4.0 — attribution",
    "s2v_train": "",
    "other_tool": "not ours",
}


def model_bytes(entries: dict[str, str]) -> bytes:
    model = graph()
    helper.set_model_props(model, entries)
    return bytes(model.SerializeToString())


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], ModelFile]:
    def write_and_read(data: bytes) -> ModelFile:
        path = tmp_path / "model.onnx"
        path.write_bytes(data)
        return read_model_file(path)

    return write_and_read


def test_what_was_written_is_read_back_and_the_graphs_are_bare(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_bytes(GOOD))
    model = read_model_file(path)
    assert model.path == path
    assert model.spec == SPEC
    assert model.face_graph == FACE
    assert model.info == {"licence": "CC BY 4.0 — attribution", "train": ""}
    frame = onnx.load_model_from_string(model.frame_graph)
    assert frame == graph()
    assert not frame.metadata_props


def test_onnx_itself_sees_the_same_metadata() -> None:
    seen = onnx.load_model_from_string(model_bytes(GOOD))
    assert {entry.key: entry.value for entry in seen.metadata_props} == GOOD


def test_a_missing_file_a_folder_and_a_device_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path, Path("/dev/zero")):
        with pytest.raises(ModelError, match="no model file at"):
            read_model_file(path)


def test_an_absurdly_large_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    with path.open("wb") as sparse:
        os.truncate(sparse.fileno(), MAX_FILE_BYTES + 1)
    with pytest.raises(ModelError, match="is it the right file"):
        read_model_file(path)


def test_onnx_of_somebody_else_names_the_command_that_writes_ours(read: Callable[[bytes], ModelFile]) -> None:
    with pytest.raises(ModelError, match=r"not a speech2vid model.*s2v export"):
        read(model_bytes({"author": "somebody"}))
    with pytest.raises(ModelError, match="lacks s2v_spec"):
        read(model_bytes({"s2v_face_encoder": GOOD["s2v_face_encoder"]}))


def test_a_network_may_need_no_face(read: Callable[[bytes], ModelFile]) -> None:
    model = read(model_bytes({key: text for key, text in GOOD.items() if key != "s2v_face_encoder"}))
    assert (model.spec, model.face_graph) == (SPEC, None)


@pytest.mark.parametrize("data", [b"", b"PNG", b"\x00" * 64, b"{}", FACE[:-1], b"\x08\x0a" * 20_000])
def test_other_files_are_not_onnx(read: Callable[[bytes], ModelFile], data: bytes) -> None:
    with pytest.raises(ModelError, match="not an ONNX model, or is cut short"):
        read(data)


def test_the_reason_says_what_is_wrong_with_the_bytes(read: Callable[[bytes], ModelFile]) -> None:
    for data, words in (
        (FACE[:-1], "ends 1 bytes after the end"),
        (b"\x08\x0a" * 20_000, "more than 10000 fields"),
        (b"\x08" + b"\xff" * 20, "an endless number at byte 1"),
        (b"\x0b", "wire type 3 at byte 0"),
        (b"\x08\x0a", "it holds no graph"),
    ):
        with pytest.raises(ModelError, match=words):
            read(data)


def spec_with(**changes: object) -> str:
    return json.dumps({**asdict(SPEC), **changes})


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("1" * 10_000, "not JSON"),
        ("[[1]]", "a list, not an object"),
        ("null", "not an object"),
        (spec_with(colour="red"), "differ in: colour"),
        (spec_with(network="wav2lip"), "network is 'wav2lip'"),
        (spec_with(network=["s2v"]), "network is"),
        (spec_with(fps=0), "fps=0"),
        (spec_with(fps="25"), "fps='25'"),
        (spec_with(fps=True), "fps=True"),
        (spec_with(automatic_gain=1), "automatic_gain=1"),
        (spec_with(automatic_gain="true"), "automatic_gain='true'"),
        (spec_with(n_columns=10**12), "n_columns"),
        (spec_with(face_size=float("nan")), "face_size=nan"),
        (spec_with(mfcc_mean=[0.0]), "13 values"),
        (spec_with(mfcc_std=["1"] * 13), "mfcc_std"),
        (spec_with(mfcc_mean=0.0), "mfcc_mean"),
        (spec_with(fps=121), "fps=121, wanted 1 to 120"),
        (spec_with(n_columns=35_000), "n_columns=35000, wanted 1 to 1000"),
        (spec_with(face_px=4096), "face_px=4096, wanted 8 to 1024"),
        (spec_with(look_ahead_s=-0.01), "look_ahead_s=-0.01, wanted 0 to 1"),
        (spec_with(look_ahead_s=1.1), "look_ahead_s=1.1"),
        (spec_with(mean_time_constant_s=0), "mean_time_constant_s=0"),
        (spec_with(mean_time_constant_s=-4.0), "mean_time_constant_s=-4.0"),
        (spec_with(mfcc_std=[1.0] * 12 + [0.0]), "mfcc_std"),
        (spec_with(face_size=0.0), "face_size=0.0"),
        (spec_with(n_motion=11), "n_motion=11; basis grid-s1 has 10"),
        (spec_with(motion_basis="grid-s99"), "basis 'grid-s99'"),
        (spec_with(motion_basis="../face"), "motion_basis='../face'"),
        (spec_with(motion_basis="a" * 300), "motion_basis"),
    ],
)
def test_a_spec_that_this_version_cannot_use_says_why(
    read: Callable[[bytes], ModelFile], spec: str, words: str
) -> None:
    with pytest.raises(ModelError) as refusal:
        read(model_bytes({**GOOD, "s2v_spec": spec}))
    assert words in str(refusal.value)
    assert "model.onnx" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("encoder", ["", "not base64!", "é", base64.b64encode(FACE[:-2]).decode(), "AAAA"])
def test_a_damaged_face_encoder_is_refused(read: Callable[[bytes], ModelFile], encoder: str) -> None:
    with pytest.raises(ModelError, match="face encoder is damaged"):
        read(model_bytes({**GOOD, "s2v_face_encoder": encoder}))


def test_a_cut_anywhere_is_refused(read: Callable[[bytes], ModelFile]) -> None:
    data = model_bytes({key: GOOD[key] for key in ("s2v_licence", "s2v_face_encoder", "s2v_spec")})  # as exported
    for length in range(0, len(data), 3):
        with pytest.raises(ModelError):
            read(data[:length])


def read_or_refuse(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        read_model_file(path)
    except ModelError as error:
        assert "\n" not in str(error)  # and nothing else may be raised


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300))
@example(data=b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")  # a length beyond any file
@example(data=b"\x72\x02\x0a\x00" + b"\x08\x0a\x3a\x00")
def test_arbitrary_bytes_never_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    read_or_refuse(tmp_path_factory.getbasetemp() / "arbitrary.onnx", data)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(model_bytes(GOOD)) - 1), byte=st.integers(0, 255))
def test_a_damaged_byte_never_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    data = bytearray(model_bytes(GOOD))
    data[at] = byte
    read_or_refuse(tmp_path_factory.getbasetemp() / "damaged.onnx", bytes(data))


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=5)


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(sorted(asdict(SPEC))), value=JSON)
def test_any_value_in_the_spec_is_used_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: object
) -> None:
    data = model_bytes({**GOOD, "s2v_spec": spec_with(**{name: value})})
    read_or_refuse(tmp_path_factory.getbasetemp() / "value.onnx", data)


def test_the_two_networks_of_the_spec_are_read(read: Callable[[bytes], ModelFile]) -> None:
    for spec in (SPEC, replace(SPEC, network="speech2vid")):
        model = read(model_bytes({**GOOD, "s2v_spec": spec.to_json()}))
        assert model.spec == spec
