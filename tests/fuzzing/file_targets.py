"""Files that people bring: photos, sound, film, models, and what training reads."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from fuzzing.mutation import Mutator, with_right_checksums
from fuzzing.target import Target
from PIL import Image as PillowImage

from s2v.engine.face.photo import MAX_SIDE_PX, decode_photo
from s2v.media.audio_file import read_audio
from s2v.media.video_file import read_video
from s2v.spec import LipSyncSpec

ELSEWHERE = (b"../elsewhere/voice.wav", b"file:../elsewhere/voice.wav", b"concat:../elsewhere/voice.wav")


DATA = Path(__file__).parents[1] / "data"

# --- photos ---------------------------------------------------------------------------------------------------


def _photos() -> list[bytes]:
    rows, columns = np.mgrid[:40, :56]
    picture = np.stack([rows * 6, columns * 4, rows + columns, 255 - rows * 4], axis=2).astype(np.uint8)
    found = []
    for ending, array in ((".png", picture), (".png", picture[..., :3].astype(np.uint16) * 200), (".bmp", picture)):
        found.append(cv2.imencode(ending, array)[1].tobytes())
    still = PillowImage.fromarray(picture[..., :3])
    turned = PillowImage.Exif()
    turned[0x0112] = 6
    forms: list[tuple[str, dict[str, Any]]] = [
        ("JPEG", {"exif": turned}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": turned}),
        ("BMP", {}),
    ]
    forms += [("AVIF", {})] if ".avif" in PillowImage.registered_extensions() else []
    for form, options in forms:
        out = io.BytesIO()
        still.save(out, form, **options)
        found.append(out.getvalue())
    out = io.BytesIO()
    still.save(out, "GIF", save_all=True, append_images=[still.rotate(90), still.rotate(180)])
    phone = (DATA / "on_its_side.heic").read_bytes()  # seldom: another process unpacks it
    return [*found, *found, out.getvalue(), phone]


def _change_photo(mutator: Mutator, data: bytes, others: list[bytes]) -> bytes:
    data = mutator.changed(data, others)
    return with_right_checksums(data) if data[:4] == b"\x89PNG" and mutator.dice.random() < 0.8 else data


def _photo(data: bytes, _: Path) -> None:
    photo = decode_photo(data)
    assert photo.dtype == np.uint8 and photo.ndim == 3 and photo.shape[2] == 3
    assert max(photo.shape) <= MAX_SIDE_PX and not photo.shape[0] % 2 and not photo.shape[1] % 2


PHOTO_TOKENS: tuple[bytes, ...] = (
    b"\xff\xd8", b"\xff\xc0", b"\xff\xda", b"\xff\xe1", b"Exif\0\0", b"IHDR", b"IDAT", b"tRNS", b"acTL",
    b"VP8X", b"ANIM", b"ALPH", b"GIF89a", b"ftypavif", b"iloc", b"<svg xmlns='x'>", *ELSEWHERE,
)  # fmt: skip


# --- sound and film -------------------------------------------------------------------------------------------

SOUND_FORMS = (
    ("wav", "pcm_s16le", 16_000), ("wav", "pcm_f32le", 44_100), ("flac", "flac", 16_000), ("mp3", "libmp3lame", 22_050),
    ("ogg", "libopus", 48_000), ("mp4", "aac", 44_100), ("matroska", "pcm_s24le", 48_000),
    ("aiff", "pcm_s16be", 8_000), ("adts", "aac", 16_000),
)  # fmt: skip


def _sounds() -> list[bytes]:
    found = [_recorded(form, codec, rate_hz, film=False) for form, codec, rate_hz in SOUND_FORMS]
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n../elsewhere/voice.wav\n#EXT-X-ENDLIST\n"
    concat = b"ffconcat version 1.0\nfile ../elsewhere/voice.wav\n"
    sdp = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"
    return [*found, playlist, concat, sdp]


def _films() -> list[bytes]:
    return [_recorded(form, "aac", 16_000, film=True) for form in ("mp4", "matroska", "mpegts", "avi")]


def _recorded(form: str, codec: str, rate_hz: int, film: bool) -> bytes:
    """0.3 s of a tone, with six small pictures or none."""
    out = io.BytesIO()
    with av.open(out, "w", format=form) as container:
        sound: Any = container.add_stream(codec, rate=rate_hz)
        sound.layout = "mono"
        picture: Any = container.add_stream("mpeg4", rate=20) if film else None
        if picture is not None:
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
            for level in range(6):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * level, np.uint8), format="bgr24")
                container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
        tone = (9000 * np.sin(np.arange(round(0.3 * rate_hz)) * 0.1)).astype(np.int16)
        resampler = av.AudioResampler(format=sound.format.name, layout="mono", rate=rate_hz)
        heard = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        heard.sample_rate = rate_hz
        for part in [*resampler.resample(heard), *resampler.resample(None)]:
            container.mux(sound.encode(part))
        container.mux(sound.encode(None))
    return out.getvalue()


def _sound(data: bytes, folder: Path) -> None:
    path = folder / "input"
    path.write_bytes(data)
    clip = read_audio(path, max_s=60)
    assert np.isfinite(clip.pcm_48k).all() and np.abs(clip.pcm_16k).max() <= 1


def _film(data: bytes, folder: Path) -> None:
    path = folder / "input.mp4"
    path.write_bytes(data)
    for count, picture in enumerate(read_video(path).frames()):
        assert picture.dtype == np.uint8 and picture.shape[2] == 3
        if count == 50:
            break


MEDIA_TOKENS: tuple[bytes, ...] = (
    b"RIFF",
    b"fmt ",
    b"data",
    b"fLaC",
    b"OggS",
    b"moov",
    b"trak",
    b"stsd",
    b"dref",
    b"url ",
    b"alis",
    b"elst",
)
MEDIA_TOKENS += (b"\x1a\x45\xdf\xa3", b"ID3", b"#EXTM3U\n", b"ffconcat version 1.0\n", b"file ", *ELSEWHERE)


# --- models ---------------------------------------------------------------------------------------------------


def _models() -> list[bytes]:
    """A network of one layer, as a model file."""
    from onnx import TensorProto, helper, numpy_helper

    from s2v.engine.backends.model_file import SPEC_KEY

    spec = LipSyncSpec()
    n_in, dice = spec.n_cepstra * spec.n_columns, np.random.default_rng(0)
    nodes = [helper.make_node("Flatten", ["mfcc"], ["flat"])]
    weights, outputs = [], []
    for name, size in (("motion", spec.n_motion), ("tract", 5)):
        matrix = (0.01 * dice.standard_normal((n_in, size))).astype(np.float16)  # half the bytes
        weights.append(numpy_helper.from_array(matrix, f"{name}_w"))
        nodes.append(helper.make_node("Cast", [f"{name}_w"], [f"{name}_w32"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("MatMul", ["flat", f"{name}_w32"], [name]))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", size]))
    heard = helper.make_tensor_value_info("mfcc", TensorProto.FLOAT, ["b", 1, spec.n_cepstra, spec.n_columns])
    graph = helper.make_graph(nodes, "tiny", [heard], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {SPEC_KEY: spec.to_json(), "s2v_licence": "CC0"})
    return [model.SerializeToString()]


def _change_model(mutator: Mutator, data: bytes, others: list[bytes]) -> bytes:
    """Half of the time only its metadata, written as it should be."""
    import onnx

    if mutator.dice.random() < 0.5:
        return mutator.changed(data, others)
    try:
        model = onnx.load_model_from_string(data)
    except Exception:  # protobuf's own: an earlier change has spoiled it
        return mutator.changed(data, others)
    for entry in model.metadata_props:
        if entry.key == "s2v_spec":
            entry.value = mutator.json(str(entry.value).encode()).decode(errors="replace")
    return bytes(model.SerializeToString())


def _model(data: bytes, folder: Path) -> None:
    from s2v.engine.backends.registry import open_backend

    path = folder / "input.onnx"
    path.write_bytes(data)
    backend = open_backend(path, "onnxruntime")
    try:
        spec = backend.spec
        if spec.network == "s2v" and spec.n_cepstra * spec.n_columns < 10**6:
            backend.infer(np.zeros((1, 1, spec.n_cepstra, spec.n_columns), np.float32), {})
    finally:
        backend.close()


MODEL_TOKENS: tuple[bytes, ...] = (
    b"s2v_spec", b"s2v_face_encoder", b"motion", b"MatMul", b"Loop", b"external", b"location", *ELSEWHERE,
)  # fmt: skip


# --- settings -------------------------------------------------------------------------------------------------


def _configs() -> list[bytes]:
    return [
        b'network = "s2v"\nepochs = 3\nbatch_size = 8\nlearning_rate = 0.001\nlook_ahead_s = 0.08\nseed = 1\n',
        b'steps_per_epoch = 4 # batches\nsave_every_steps = 100\nprecision = "bf16"\nema = 0.9\n',
    ]


def _config(data: bytes, folder: Path) -> None:
    from s2v.training.train.config import TrainConfig, read_config

    path = folder / "input.toml"
    path.write_bytes(data)
    TrainConfig(folder, folder, **read_config(path))


CONFIG_TOKENS: tuple[bytes, ...] = (
    b"network",
    b"[a]",
    b"[[a]]",
    b'"""',
    b"nan",
    b"-inf",
    b"0x",
    b"1979-05-27",
    b"{",
    b"= [",
    b"true",
    b"\\u",
)


def _specs() -> list[bytes]:
    return [LipSyncSpec().to_json().encode(), LipSyncSpec.of("speech2vid").to_json().encode()]


def _spec(data: bytes, _: Path) -> None:
    """What a model file or a checkpoint says of itself."""
    spec = LipSyncSpec.from_json(data.decode(errors="replace"))
    assert json.loads(spec.to_json())


FILE_TARGETS = (
    Target("photo", _photos, _photo, _change_photo, PHOTO_TOKENS),
    Target("audio", _sounds, _sound, tokens=MEDIA_TOKENS, names=("input",)),
    Target("video", _films, _film, tokens=MEDIA_TOKENS, names=("input.mp4",)),
    Target("model", _models, _model, _change_model, MODEL_TOKENS, names=("input.onnx",)),
    Target(
        "config", _configs, _config, lambda mutator, data, _: mutator.lines(data), CONFIG_TOKENS, names=("input.toml",)
    ),
    Target("spec", _specs, _spec, lambda mutator, data, _: mutator.json(data)),
)
