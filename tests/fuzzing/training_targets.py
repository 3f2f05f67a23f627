"""What the training commands read: features, shards, checkpoints, lists."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from fuzzing.mutation import Mutator
from fuzzing.target import Target, wav

from s2v.engine.face.geometry import canonical_face
from s2v.errors import DataError
from s2v.spec import TRACT_VARIABLES, LipSyncSpec

N_FRAMES = 20
TRACT = len(TRACT_VARIABLES)


def _changed_arrays(mutator: Mutator, data: bytes, others: list[bytes]) -> bytes:
    return mutator.npz(data, others)


def _features() -> list[bytes]:
    """A talking clip of small pictures, and a photo."""
    dice, side = np.random.default_rng(0), 96
    mesh = np.vstack([canonical_face(), np.zeros((10, 3))]) * 30 + (side / 2, side / 2 - 8, 0)
    landmarks = (mesh + dice.normal(0, 0.1, (N_FRAMES, 478, 3))).astype(np.float16)
    jpegs = [cv2.imencode(".jpg", np.full((side, side, 3), 5 * n, np.uint8))[1] for n in range(N_FRAMES)]
    arrays: dict[str, Any] = {"landmarks": landmarks, "jpeg": np.concatenate(jpegs), "person": np.array("ann")}
    arrays |= {"jpeg_ends": np.cumsum([len(jpeg) for jpeg in jpegs]), "times_s": (np.arange(N_FRAMES) + 0.5) / 25}
    arrays["pcm"] = dice.integers(-9000, 9000, N_FRAMES * 640, dtype=np.int16)
    photo = arrays | {"pcm": np.zeros(0, np.int16), "landmarks": landmarks[:1], "jpeg": jpegs[0]}
    photo |= {"jpeg_ends": np.array([len(jpegs[0])]), "times_s": np.array([0.02])}
    return [_packed(arrays), _packed(photo)]


def _packed(arrays: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def _feature_file(data: bytes, folder: Path) -> None:
    from s2v.training.extract.feature_file import has_sound, is_current, load_features
    from s2v.training.prepare.canonical import canonical_clip
    from s2v.training.prepare.make_shard import PrepareSettings, clip_sample
    from s2v.training.prepare.neutral import clip_rest, talker_neutral
    from s2v.training.prepare.shards import write_shard

    path = folder / "ann" / "input.npz"
    path.parent.mkdir()
    path.write_bytes(data)
    is_current(path)
    if not has_sound(path):
        return
    clip = load_features(path, folder)
    rest = talker_neutral([clip_rest(canonical_clip(clip))])
    settings = PrepareSettings(LipSyncSpec(), pictures_per_clip=2)
    sample, _ = clip_sample(clip, "ann", "train", rest, settings, np.random.default_rng(0))
    assert len(sample.motion) == len(clip.landmarks) and not np.isinf(sample.motion).any()
    write_shard(folder / "made.tar", 0, [sample])


def _samples() -> list[Any]:
    from s2v.training.shard_file import ClipSample

    dice, spec = np.random.default_rng(0), LipSyncSpec()
    jpeg = cv2.imencode(".jpg", dice.integers(0, 255, (spec.face_px, spec.face_px, 3), dtype=np.uint8))[1].tobytes()
    samples = []
    for clip, n in (("ann/one", 30), ("ann/two", 25)):
        pcm = dice.integers(-9000, 9000, n * 640, dtype=np.int16)
        motion = dice.normal(0, 0.1, (n, spec.n_motion)).astype(np.float32)
        tract = np.full((n, TRACT), np.nan, np.float32)
        pictures = {1: jpeg, 20: jpeg}
        samples.append(
            ClipSample(clip, "ann", "train", "", pcm, motion, motion[:, 0], tract, pictures, (1, 20), (1, 20))
        )
    return samples


@cache
def _shard_and_index() -> tuple[bytes, bytes]:
    from s2v.training.prepare.shards import write_shard
    from s2v.training.shard_index import index_of, packed_index

    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "train-000000.tar"
        entries = write_shard(place, 0, _samples())
        return place.read_bytes(), packed_index(index_of(entries))


def _index_of(data: bytes) -> bytes:
    """The index of a tar that was changed: where its clips lie now; that of the seed where nobody can tell."""
    from s2v.training.shard_file import read_sample
    from s2v.training.shard_index import Entry, index_of, packed_index

    places: dict[str, list[tuple[int, int, bool]]] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for one in archive:
                end = one.offset_data + -(-one.size // 512) * 512
                places.setdefault(one.name.partition(".")[0], []).append((one.offset, end, one.name.endswith(".jpg")))
    except (tarfile.TarError, OSError, ValueError, UnicodeError):
        return _shard_and_index()[1]
    entries = []
    for members in places.values():
        first, last = members[0][0], members[-1][1]
        speech_end = max((end for _, end, is_picture in members if not is_picture), default=last)
        try:
            sample = read_sample(data[first:last])
            sizes = len(sample.pcm), len(sample.motion), len(sample.targets)
        except ValueError:
            sizes = 640, 1, 1
        entries.append(Entry(0, first, speech_end - first, last - first, *sizes, "ann", False))
    return packed_index(index_of(entries))


def _shard(data: bytes, folder: Path) -> None:
    _read_shards(folder, data, _index_of(data))


def _index(data: bytes, folder: Path) -> None:
    _read_shards(folder, _shard_and_index()[0], data)


def _read_shards(folder: Path, shard: bytes, index: bytes) -> None:
    from s2v.training.shard_spec import shard_spec
    from s2v.training.shard_store import FORMAT
    from s2v.training.train.batches import load_split
    from s2v.training.train.picture_batches import picture_batch, spoken_pictures

    meta = {"format": FORMAT, "shards": {"train": 1}, "spec": shard_spec(LipSyncSpec())}
    (folder / "meta.json").write_text(json.dumps(meta))
    (folder / "train-000000.tar").write_bytes(shard)
    (folder / "train.index").write_bytes(index)
    clips, pictures = load_split(folder, "train", most_pictures=8)
    dice = np.random.default_rng(0)
    for clip in clips[:8]:
        assert len(clip.motion) == len(clip.aperture) == len(clip.tract) and np.isfinite(clip.pcm).all()
    if len(pictures):
        assert all(frame >= 0 for _, frame in pictures.where)
        picture_batch(pictures, np.arange(len(pictures)), dice)
        spoken_pictures(clips.with_pictures(), 0, 1, LipSyncSpec(), dice)


def _metas() -> list[bytes]:
    from s2v.training.shard_spec import shard_spec
    from s2v.training.shard_store import FORMAT

    meta = {"format": FORMAT, "shards": {"train": 1}, "clips": {"train": 3}, "spec": shard_spec(LipSyncSpec())}
    return [json.dumps(meta).encode()]


def _meta(data: bytes, folder: Path) -> None:
    from s2v.training.train.batches import check_shards

    (folder / "meta.json").write_bytes(data)
    check_shards(folder, LipSyncSpec())


@cache
def _checkpoints_once() -> tuple[bytes, ...]:
    import torch

    from s2v.training.networks.model import build_network

    network = build_network(LipSyncSpec())
    found = []
    for more in ({}, {"steps": 3, "history": [], "probes": [], "moments": {}, "best": 0.5}):
        out = io.BytesIO()
        state = {"format": 1, "spec": network.spec.to_json(), "weights": network.state_dict(), **more}
        torch.save(state, out)
        found.append(out.getvalue())
    return tuple(found)


def _change_checkpoint(mutator: Mutator, data: bytes, others: list[bytes]) -> bytes:
    """Mostly what the stored dictionary holds: a change of bytes nearly always spoils a checksum."""
    import torch

    if mutator.dice.random() < 0.25:
        return mutator.changed(data, others)
    try:
        state = torch.load(io.BytesIO(data), weights_only=True)
    except Exception:  # an earlier find, which may be anything
        return mutator.changed(data, others)
    if not isinstance(state, dict) or not state:
        return mutator.changed(data, others)
    odd: Any = mutator.dice.choice((None, -1, 0, "", "x", [], {}, [1], float("nan"), torch.zeros(0), torch.ones(3)))
    weights = state.get("weights")
    if isinstance(state.get("spec"), str) and mutator.dice.random() < 0.4:
        state["spec"] = mutator.json(state["spec"].encode()).decode(errors="replace")
    elif isinstance(weights, dict) and weights and mutator.dice.random() < 0.6:
        name = mutator.dice.choice(list(weights))
        kept = weights.pop(name)
        if isinstance(kept, torch.Tensor) and mutator.dice.random() < 0.7:
            weights[name] = mutator.dice.choice((odd, kept.ravel()[:1], kept[None], kept.double(), kept * float("nan")))
    else:
        state[mutator.dice.choice(list(state))] = odd
    out = io.BytesIO()
    torch.save(state, out)
    return out.getvalue()


def _checkpoint(data: bytes, folder: Path) -> None:
    from s2v.training.networks.model import load_checkpoint

    path = folder / "input.pt"
    path.write_bytes(data)
    load_checkpoint(path)


def _lists() -> list[bytes]:
    return [
        b"one|Dr. Smith paid $3.50 on the 4th of May, 1999.\ntwo|It is 10:30, no. 7.\n",
        b"# sentences\nGood morning.\none|How do you do?\n",
        b"clip\tstart_s\tend_s\tword\none\t0.0\t0.4\tbin\none\t0.4\t0.7\tsil\none\t0.7\t1.1\tz\n",
        b"0.0000\t0.2500\tSIL\n0.2500\t0.4000\tHH\n0.4000\t0.6000\tAY\n",
        b'[licences]\nfree = "CC0"\n[voices.ann]\nengine = "flite"\nvoice = "slt"\nsex = "f"\nlicence = "free"\n'
        b"share = 0.5\npitch = 1.2\n",
    ]


def _list(data: bytes, folder: Path) -> None:
    """Each kind of list is asked to read it; whoever can, goes on with what it says."""
    from s2v.training.voices.label_voices import read_exact_phones, read_voices
    from s2v.training.voices.make_voices import read_sentences, read_table
    from s2v.training.voices.phones import phone_features, read_labels
    from s2v.training.voices.words import TRANSCRIPTS, read_words, spoken_words

    path, refused = folder / "input.lab", []
    (folder / "one.wav").write_bytes(wav())
    for place in (path, folder / TRANSCRIPTS):
        place.write_bytes(data)
    readers = (
        lambda: [spoken_words(text) for text in read_voices([folder])[1].values()],
        lambda: [spoken_words(text) for text in read_sentences(path)],
        lambda: read_words(path),
        lambda: phone_features(read_labels(path), 100),
        lambda: read_exact_phones([folder]),
        lambda: [(voice.speaker, voice.share * 2) for voice in read_table(path)],
    )
    for read in readers:
        try:
            read()
        except DataError as error:
            refused.append(error)
    if len(refused) == len(readers):
        raise refused[0]


LIST_TOKENS: tuple[bytes, ...] = (
    b"../elsewhere/voice",
    b"one",
    b"\t",
    b"|",
    b"9" * 400,
    b"nan",
    b"-1",
    b"inf",
    b"\x00",
    b"\xff",
    b"1e400",
)
LIST_TOKENS += (b"$5,,0th", b"12:60", b"x" * 3000, b"\xe2\x80\xa8", b"0th", b"1,2.3s", b"\xc2\xb2", b"\xd9\xa3")

SHARD_FILES = ("meta.json", "train-000000.tar", "train.index")

TRAINING_TARGETS = (
    Target("features", _features, _feature_file, _changed_arrays, names=("ann/input.npz", "made.tar")),
    Target(
        "shard", lambda: [_shard_and_index()[0]], _shard, lambda mutator, data, others: mutator.tar(data, others),
        names=SHARD_FILES,
    ),
    Target("shard-index", lambda: [_shard_and_index()[1]], _index, _changed_arrays, names=SHARD_FILES),
    Target("meta", _metas, _meta, lambda mutator, data, _: mutator.json(data), names=("meta.json",)),
    Target(
        "checkpoint", lambda: list(_checkpoints_once()), _checkpoint, _change_checkpoint, names=("input.pt",)
    ),
    Target(
        "list", _lists, _list, lambda mutator, data, _: mutator.lines(data), LIST_TOKENS,
        names=("input.lab", "transcripts.txt", "one.wav"),
    ),
)  # fmt: skip
