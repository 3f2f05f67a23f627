"""`s2v label-voices`: recordings with transcripts become training clips, through the phone bridge."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.files import write_whole
from s2v.media.video_file import read_sound
from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.motion_level import gap_weights
from s2v.training.prepare.change_shards import change_split, replace_split
from s2v.training.shard_file import ClipSample
from s2v.training.train import batches as data
from s2v.training.voices.articulation import tract_labels
from s2v.training.voices.lip_shapes import fit_offsets, shaped
from s2v.training.voices.phone_to_motion import (
    bridge_correlation,
    bridge_motion,
    close_lips,
    part_lips,
    train_bridge,
)
from s2v.training.voices.phones import Phone, align_all, read_labels
from s2v.training.voices.words import read_transcripts, read_words

_ALIGNED_AT_ONCE = 512  # recordings whose sound is in memory
SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class LabelReport:
    """What `label_voices` did."""

    talking_aligned: int
    voices_aligned: int
    voice_minutes: float
    bridge_held: list[float]  # correlation of three components, clips of the talker kept back


def label_voices(
    shards: Path, talker_words: Path, voices: list[Path], workers: int = 2, steps: int = 800, seed: int = 0
) -> LabelReport:
    """Learn the bridge from a shard folder and add `voice-*.tar` shards to it, in place of those it has.

    Sounds are read when they are asked for, and never held together: what is held of a clip is its phones, their
    features and its motion, a ninth of the bytes of its sound.

    Args:
        shards: as `prepare_data` wrote it.
        talker_words: word times of its talking clips, tab separated: clip, start_s, end_s, word (GRID's align files).
        voices: folders with recordings and a `transcripts.txt` (name|text a line).
    Raises: DataError, nothing could be aligned.
    """
    spec = LipSyncSpec.of("s2v")
    data.check_shards(shards, spec)
    train, held = (data.stored_clips(shards, split) for split in ("train", "held"))
    talking = {clip.name: (clips, at) for clips in (train, held) for at, clip in enumerate(clips)}
    texts = words_of(list(talking), read_words(talker_words))
    files, transcripts = read_voices(voices)
    exact = read_exact_phones(voices)

    def sound_of(name: str) -> NDArray[np.int16]:
        if name in files:
            return read_sound(files[name])
        clips, at = talking[name]
        return clips.sample(at, pictures=False).pcm

    filmed = [name for name in talking if name in texts]
    unknown = [name for name in dict.fromkeys((*filmed, *files)) if name not in exact]
    phones = exact | _aligned(shards / "phones.json", unknown, sound_of, texts | transcripts, workers)
    bridge = train_bridge(train, phones, spec, steps, seed)
    held_figures = bridge_correlation(bridge, held, phones, spec)
    _log.info("phone bridge: correlation %s on clips kept back", held_figures)
    names = [name for name in files if name in phones]
    if not names:
        raise DataError("none of the voices could be aligned with its transcript: check transcripts.txt (name|text)")
    motions = {name: bridge_motion(bridge, _to_float(sound_of(name)), phones[name], spec) for name in names}
    offsets = fit_offsets([(motion, phones[name]) for name, motion in motions.items()], spec)
    n_samples = 0

    def samples() -> Iterator[ClipSample]:
        nonlocal n_samples
        for index in np.random.default_rng(seed).permutation(len(names)):
            name = names[index]
            pcm = sound_of(name)
            n_samples += len(pcm)
            yield _sample(name, pcm, shaped(motions[name], phones[name], offsets, spec), phones[name], spec)

    replace_split(shards, "voice", samples())
    _label_tongues(shards, phones, spec)
    minutes = n_samples / spec.sample_rate_hz / 60
    return LabelReport(sum(name in phones for name in filmed), len(names), round(minutes, 1), held_figures)


def words_of(clips: list[str], spoken: dict[str, str]) -> dict[str, str]:
    """What is said in clips, by their ids or, where that fits one of them only, by the last part of these."""
    ends = Counter(clip.rpartition("/")[2] for clip in clips)
    if twice := sorted(name for name in spoken if ends[name] > 1 and name not in clips):
        raise DataError(f"{ends[twice[0]]} clips are called {twice[0]}: name them by their paths in the list of words")
    found = {clip: spoken.get(clip) or spoken.get(clip.rpartition("/")[2]) for clip in clips}
    return {clip: words for clip, words in found.items() if words}


def _sample(
    name: str, pcm: NDArray[np.int16], motion: NDArray[np.float32], phones: list[Phone], spec: LipSyncSpec
) -> ClipSample:
    """A recording with the bridge's motion, given the shapes that people make, and what the tongue does."""
    spoken = close_lips(part_lips(motion, phones, spec), phones, spec).astype(np.float32)
    tract = tract_labels(phones, len(spoken), spec).astype(np.float32)
    opening = (spoken @ gap_weights(spec)).astype(np.float32)
    return ClipSample(name, name.split("/")[0], "voice", "", pcm, spoken, opening, tract)


def _label_tongues(shards: Path, phones: dict[str, list[Phone]], spec: LipSyncSpec) -> None:
    """Write into the talkers' shards what their phones say of the tongue, where those are known."""

    def with_tract(sample: ClipSample) -> ClipSample:
        if sample.clip not in phones:
            return sample
        tract = tract_labels(phones[sample.clip], len(sample.motion), spec)
        return replace(sample, tract=tract.astype(np.float32))

    for split in ("train", "held", "val"):
        change_split(shards, split, with_tract)


def _aligned(
    cache: Path,
    names: list[str],
    sound_of: Callable[[str], NDArray[np.int16]],
    texts: dict[str, str],
    workers: int,
) -> dict[str, list[Phone]]:
    """Align, or take from the cache what an earlier run aligned: it takes longer than everything else."""
    try:
        stored: dict[str, list[list[Any]]] = json.loads(cache.read_text(encoding="utf-8")) if cache.exists() else {}
    except ValueError:
        raise DataError(f"{cache} is damaged: delete it, and everything is aligned again") from None
    missing = [name for name in names if name not in stored]
    written = len(stored)
    for start in range(0, len(missing), _ALIGNED_AT_ONCE):
        some = missing[start : start + _ALIGNED_AT_ONCE]
        found = align_all({name: sound_of(name) for name in some}, texts, workers)
        # A recording that did not fit is stored too, as no phones: it would not fit the second time either.
        stored |= {name: [list(astuple(phone)) for phone in found.get(name, ())] for name in some}
        # All of it each time: only when there is a tenth more, or it would take longer the more there is.
        if len(stored) > 1.1 * written or start + _ALIGNED_AT_ONCE >= len(missing):
            write_whole(cache, json.dumps(stored))
            written = len(stored)
    return {name: [Phone(*row) for row in stored[name]] for name in names if stored[name]}


def read_voices(folders: list[Path]) -> tuple[dict[str, Path], dict[str, str]]:
    """Recordings and their texts, named folder/file. Raises: DataError, no transcripts.txt."""
    files: dict[str, Path] = {}
    texts: dict[str, str] = {}
    for folder in folders:
        if any(name.startswith(f"{folder.name}/") for name in files):
            raise DataError(f"two folders of voices are called {folder.name}: rename one of them")
        for name, text in read_transcripts(folder).items():
            found = [path for suffix in SOUND_SUFFIXES if (path := folder / f"{name}{suffix}").exists()]
            if found:
                files[f"{folder.name}/{name}"] = found[0]
                texts[f"{folder.name}/{name}"] = text
    return files, texts


def read_exact_phones(folders: list[Path]) -> dict[str, list[Phone]]:
    """Phones that a speech synthesizer wrote beside its recording: NAME.lab with lines of start, end, phone.

    Raises: DataError, a file without such lines: see `phones.read_labels`.
    """
    phones: dict[str, list[Phone]] = {}
    for folder in folders:
        for path in folder.glob("*.lab"):
            phones[f"{folder.name}/{path.stem}"] = read_labels(path)
    return phones


def _to_float(pcm: NDArray[np.int16]) -> NDArray[np.float32]:
    return (pcm / 32768).astype(np.float32)
