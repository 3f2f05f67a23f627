"""`s2v label-voices`: recordings with transcripts become training clips, through the phone bridge."""

from __future__ import annotations

import json
import logging
from collections import Counter
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
    BridgeNet,
    bridge_correlation,
    bridge_motion,
    close_lips,
    part_lips,
    train_bridge,
)
from s2v.training.voices.phones import Phone, align_all, read_labels
from s2v.training.voices.words import read_transcripts, read_words

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

    Args:
        shards: as `prepare_data` wrote it.
        talker_words: word times of its talking clips, tab separated: clip, start_s, end_s, word (GRID's align files).
        voices: folders with recordings and a `transcripts.txt` (name|text a line).
    Raises: DataError, nothing could be aligned.
    """
    spec = LipSyncSpec.of("s2v")
    data.check_shards(shards, spec)
    train, held = (list(data.stored_clips(shards, split)) for split in ("train", "held"))
    texts = words_of([clip.name for clip in train + held], read_words(talker_words))
    sounds = {clip.name: _to_int16(clip.pcm) for clip in train + held if clip.name in texts}
    recordings, transcripts = read_voices(voices)
    exact = read_exact_phones(voices)
    unknown = {name: sound for name, sound in (sounds | recordings).items() if name not in exact}
    phones = exact | _aligned(shards / "phones.json", unknown, texts | transcripts, workers)
    bridge = train_bridge(train, phones, spec, steps, seed)
    held_figures = bridge_correlation(bridge, held, phones, spec)
    _log.info(
        "phone bridge: correlation %s on %d clips kept back", held_figures, sum(clip.name in phones for clip in held)
    )
    labelled = _labelled(bridge, {name: pcm for name, pcm in recordings.items() if name in phones}, phones, spec)
    if not labelled:
        raise DataError("none of the voices could be aligned with its transcript: check transcripts.txt (name|text)")
    order = np.random.default_rng(seed).permutation(len(labelled))
    replace_split(shards, "voice", [_sample(labelled[index], recordings) for index in order])
    _label_tongues(shards, phones, spec)
    minutes = sum(len(clip.pcm) for clip in labelled) / spec.sample_rate_hz / 60
    return LabelReport(sum(name in phones for name in sounds), len(labelled), round(minutes, 1), held_figures)


def words_of(clips: list[str], spoken: dict[str, str]) -> dict[str, str]:
    """What is said in clips, by their ids or, where that fits one of them only, by the last part of these."""
    ends = Counter(clip.rpartition("/")[2] for clip in clips)
    if twice := sorted(name for name in spoken if ends[name] > 1 and name not in clips):
        raise DataError(f"{ends[twice[0]]} clips are called {twice[0]}: name them by their paths in the list of words")
    found = {clip: spoken.get(clip) or spoken.get(clip.rpartition("/")[2]) for clip in clips}
    return {clip: words for clip, words in found.items() if words}


def _labelled(
    bridge: BridgeNet, recordings: dict[str, NDArray[np.int16]], phones: dict[str, list[Phone]], spec: LipSyncSpec
) -> list[data.Clip]:
    """Recordings with the bridge's motion, given the shapes that people make, and what the tongue does."""
    sounds = {name: (pcm / 32768).astype(np.float32) for name, pcm in recordings.items()}
    motions = {name: bridge_motion(bridge, pcm, phones[name], spec) for name, pcm in sounds.items()}
    offsets = fit_offsets([(motion, phones[name]) for name, motion in motions.items()], spec)
    gap = gap_weights(spec)
    clips = []
    for name, motion in motions.items():
        spoken = close_lips(
            part_lips(shaped(motion, phones[name], offsets, spec), phones[name], spec), phones[name], spec
        )
        tract = tract_labels(phones[name], len(spoken), spec)
        clips.append(data.Clip(name, sounds[name], spoken, (spoken @ gap).astype(np.float32), tract))
    return clips


def _sample(clip: data.Clip, recordings: dict[str, NDArray[np.int16]]) -> ClipSample:
    labels = (clip.motion.astype(np.float32), clip.aperture.astype(np.float32), clip.tract.astype(np.float32))
    return ClipSample(clip.name, clip.name.split("/")[0], "voice", "", recordings[clip.name], *labels)


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
    cache: Path, sounds: dict[str, NDArray[np.int16]], texts: dict[str, str], workers: int
) -> dict[str, list[Phone]]:
    """Align, or take from the cache what an earlier run aligned: it takes longer than everything else."""
    try:
        stored: dict[str, list[list[Any]]] = json.loads(cache.read_text(encoding="utf-8")) if cache.exists() else {}
    except ValueError:
        raise DataError(f"{cache} is damaged: delete it, and everything is aligned again") from None
    # A recording that did not fit is stored too, as no phones: it would not fit the second time either.
    missing = {name: sound for name, sound in sounds.items() if name not in stored}
    found = align_all(missing, texts, workers) if missing else {}
    stored |= {name: [list(astuple(phone)) for phone in found.get(name, ())] for name in missing}
    write_whole(cache, json.dumps(stored))
    return {name: [Phone(*row) for row in stored[name]] for name in sounds if stored[name]}


def read_voices(folders: list[Path]) -> tuple[dict[str, NDArray[np.int16]], dict[str, str]]:
    """Recordings (16 kHz mono) and their texts, named folder/file. Raises: DataError, no transcripts.txt."""
    sounds: dict[str, NDArray[np.int16]] = {}
    texts: dict[str, str] = {}
    for folder in folders:
        if any(name.startswith(f"{folder.name}/") for name in sounds):
            raise DataError(f"two folders of voices are called {folder.name}: rename one of them")
        for name, text in read_transcripts(folder).items():
            found = [path for suffix in SOUND_SUFFIXES if (path := folder / f"{name}{suffix}").exists()]
            if found:
                sounds[f"{folder.name}/{name}"] = read_sound(found[0])
                texts[f"{folder.name}/{name}"] = text
    return sounds, texts


def read_exact_phones(folders: list[Path]) -> dict[str, list[Phone]]:
    """Phones that a speech synthesizer wrote beside its recording: NAME.lab with lines of start, end, phone.

    Raises: DataError, a file without such lines: see `phones.read_labels`.
    """
    phones: dict[str, list[Phone]] = {}
    for folder in folders:
        for path in folder.glob("*.lab"):
            phones[f"{folder.name}/{path.stem}"] = read_labels(path)
    return phones


def _to_int16(pcm: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.asarray(np.round(pcm * 32768).clip(-32768, 32767), np.int16)
