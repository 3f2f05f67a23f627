"""What `scripts/kill-loop` runs and kills: commands on small inputs, and what must hold of their files."""

from __future__ import annotations

import hashlib
import json
import shutil
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"


@dataclass(frozen=True)
class Job:
    """One command."""

    name: str
    make_inputs: Callable[[Path], None]  # into an empty folder
    command: Callable[[Path, Path], list[str]]  # of the inputs' folder and the output's
    check: Callable[[Path], None]  # every file that has its name is whole: else AssertionError
    same_content: bool = True  # whether two runs write the same bytes
    replaces: bool = True  # what is there already, rather than going on with it
    codes: tuple[int, ...] = (0,)  # it may end with


def digests(folder: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _voice(folder: Path) -> None:
    from s2v.media.audio_file import read_audio

    shutil.copy(DATA / "closed_lips.jpg", folder / "face.jpg")
    pcm = (read_audio(DATA / "speech.flac").pcm_16k[:16_000] * 32767).astype("<i2")
    with wave.open(str(folder / "voice.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(pcm.tobytes())


def _check_film(out: Path) -> None:
    import av

    for path in out.glob("*.mp4"):
        with av.open(str(path)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 25, f"{path} is not whole"


def _talkers(folder: Path) -> None:
    for name, place in (("grid_s1_pgid5s.mp4", "s1/a.mp4"), ("grid_other_sbwe5n.mp4", "other/b.mp4")):
        (folder / place).parent.mkdir()
        shutil.copy(DATA / name, folder / place)
    shutil.copy(DATA / "open_smile.jpg", folder / "s1" / "c.jpg")


def _check_features(out: Path) -> None:
    from s2v.training.extract.feature_file import load_features

    for path in out.rglob("*.npz"):
        load_features(path, out)


def _features(folder: Path) -> None:
    from s2v.training.extract.extract_features import extract_features

    talkers = folder.with_name("talkers")
    talkers.mkdir()
    _talkers(talkers)
    extract_features(talkers, folder, progress=False)
    for number in range(30):
        shutil.copy(folder / "s1" / "a.npz", folder / "s1" / f"a{number}.npz")


def _check_shards(out: Path) -> None:
    from s2v.training.stored_clips import stored_clips

    if not (out / "meta.json").exists():
        return
    meta = json.loads((out / "meta.json").read_text())
    listed = [line.split("\t") for line in (out / "manifest.tsv").read_text().splitlines()[1:]]
    found = []
    for split, count in meta["clips"].items():
        clips = stored_clips(out, split)
        assert len(clips) == count, f"{split}: {len(clips)} clips, and meta.json tells of {count}"
        found += [clips.sample(at, pictures=True).clip for at in range(count)]
    assert sorted(found) == sorted(clip for clip, *_ in listed), "lost, doubled, or elsewhere than the manifest says"


def _shards(folder: Path) -> None:
    from s2v.spec import LipSyncSpec
    from s2v.training.prepare.make_shard import PrepareSettings
    from s2v.training.prepare.prepare_data import prepare_data

    features = folder.with_name("features")
    features.mkdir()
    _features(features)
    prepare_data(features, folder, PrepareSettings(LipSyncSpec(), ("other",), 2), progress=False)


def _train(inputs: Path, out: Path) -> list[str]:
    last = out / "last.pt"
    going_on = ["--resume", str(last)] if last.exists() else []
    return ["train", "-i", str(inputs), "-o", str(out), "-e", "2", "-se", "1", *going_on]


def _check_training(out: Path) -> None:
    from s2v.training.networks.model import read_checkpoint

    for path in out.glob("*.pt"):
        steps = [record["step"] for record in read_checkpoint(path)["history"]]
        assert steps == sorted(set(steps)), f"{path}: {steps}: a step was done twice"
    if (out / "history.json").exists():
        json.loads((out / "history.json").read_text())


def _checkpoint(folder: Path) -> None:
    import torch

    from s2v.spec import LipSyncSpec
    from s2v.training.networks.model import build_network, save_checkpoint

    torch.manual_seed(0)
    save_checkpoint(build_network(LipSyncSpec()), folder / "last.pt")


def _check_model(out: Path) -> None:
    from s2v.engine.backends.registry import open_backend

    for path in out.glob("*.onnx"):
        backend = open_backend(path, "onnxruntime")
        backend.infer(np.zeros((1, 1, backend.spec.n_cepstra, backend.spec.n_columns), np.float32), {})
        backend.close()


def _check_engine(out: Path) -> None:
    for path in out.glob("*.json"):
        entry = json.loads(path.read_text())
        engine = (out / entry["engine"]).read_bytes()
        assert hashlib.sha256(engine).hexdigest() == entry["sha256"], f"{path} tells of another engine"


JOBS = (
    Job(
        "generate",
        _voice,
        lambda inputs, out: [
            *("generate", "--face", str(inputs / "face.jpg"), "--audio", str(inputs / "voice.wav")),
            *("-o", str(out / "out.mp4"), "--force", "--quiet"),
        ],
        _check_film,
    ),
    Job(
        "extract-features",
        _talkers,
        lambda inputs, out: ["extract-features", "-d", str(inputs), "-o", str(out), "-w", "2"],
        _check_features,
        replaces=False,
    ),
    Job(
        "prepare-data",
        _features,
        lambda inputs, out: [
            *("prepare-data", "-f", str(inputs), "-p", str(out), "--validation", "other"),
            *("--shard-clips", "4", "-w", "2"),
        ],
        _check_shards,
        replaces=False,
    ),
    # 1: the probes fail, as two epochs' do
    Job("train", _shards, _train, _check_training, same_content=False, replaces=False, codes=(0, 1)),
    Job(
        "export",
        _checkpoint,
        lambda inputs, out: ["export", str(inputs / "last.pt"), "-o", str(out / "model.onnx")],
        _check_model,
    ),
    Job(
        "compile",
        lambda folder: None,
        lambda inputs, out: [
            *("compile", "--runtime", "tensorrt_rtx", "--gpu", "sm_89", "--max-batch", "1", "--force", "-o", str(out)),
        ],
        _check_engine,
        same_content=False,
    ),
)


def make_inputs(name: str, folder: str) -> None:
    """In a process of its own: libraries that start threads stay out of the one that forks."""
    next(job for job in JOBS if job.name == name).make_inputs(Path(folder))
