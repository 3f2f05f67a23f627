"""Reading transcripts, and the way from a shard folder to labelled voices."""

from __future__ import annotations

import json
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from s2v.errors import DataError
from s2v.media.video_file import read_sound
from s2v.training.train import batches as data
from s2v.training.voices.label_voices import label_voices, read_voices, words_of
from s2v.training.voices.words import read_words

WORDS = "clip\tstart_s\tend_s\tword\na\t0\t1\tsil\na\t1\t2\tbin\na\t2\t3\tz\nb\t0\t1\tset\n"


def test_words_of_a_clip_come_in_order_without_silences(tmp_path: Path) -> None:
    (tmp_path / "words.tsv").write_text(WORDS)
    assert read_words(tmp_path / "words.tsv") == {"a": "bin zed", "b": "set"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no tabs here", "line 3 is 'no tabs here'"),
        ("a\tx\t1\tbin", "line 3"),
        ("a\t2\t1\tbin", "line 3"),
        ("a\t0\tnan\tbin", "line 3"),
        ("a\t0\t1\tbin\tmore", "line 3"),
    ],
)
def test_a_line_that_is_no_stretch_of_a_word_is_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "words.tsv").write_text(f"clip\tstart_s\tend_s\tword\na\t0\t1\tbin\n{line}\n")
    with pytest.raises(DataError, match=message):
        read_words(tmp_path / "words.tsv")


@pytest.mark.parametrize("text", ["", "clip\tstart_s\tend_s\tword\n", "clip\tstart_s\tend_s\tword\na\t0\t1\tsil\n"])
def test_a_table_without_words_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "words.tsv").write_text(text)
    with pytest.raises(DataError, match="holds no words"):
        read_words(tmp_path / "words.tsv")


def test_a_folder_without_transcripts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="transcripts"):
        read_voices([tmp_path])


def test_a_damaged_alignment_or_meta_is_named(shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(shards, folder)
    (tmp_path / "words.tsv").write_text(WORDS)
    (tmp_path / "transcripts.txt").write_text("")
    (folder / "phones.json").write_text("{")
    with pytest.raises(DataError, match=r"phones\.json is damaged"):
        label_voices(folder, tmp_path / "words.tsv", [tmp_path])
    (folder / "meta.json").write_text("[]")
    with pytest.raises(DataError, match=r"holds no meta\.json"):
        label_voices(folder, tmp_path / "words.tsv", [tmp_path])


def test_recordings_with_a_text_are_found(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[2] / "data" / "speech.flac", tmp_path / "one.flac")
    (tmp_path / "transcripts.txt").write_text("one|some words\nmissing|other words\n")
    files, texts = read_voices([tmp_path])
    name = f"{tmp_path.name}/one"
    assert texts == {name: "some words"} and files == {name: tmp_path / "one.flac"}


def test_voices_join_the_shards(shards: Path, tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    folder = tmp_path / "shards"
    shutil.copytree(shards, folder)
    clips = [clip for split in ("train", "held") for clip in data.stored_clips(folder, split)]
    sentence = ["place", "green", "in", "d", "five", "soon"]
    rows = [f"{clip.name.split('/')[-1]}\t0\t1\t{word}" for clip in clips for word in sentence]
    (tmp_path / "words.tsv").write_text("clip\tstart\tend\tword\n" + "\n".join(rows) + "\n")
    voice = tmp_path / "somebody"
    voice.mkdir()
    speech = Path(__file__).parents[2] / "data" / "grid_s1_pgid5s.mp4"
    with wave.open(str(voice / "one.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(read_sound(speech).tobytes())
    (voice / "transcripts.txt").write_text("one|" + " ".join(sentence) + "\n")
    (folder / "voice-000003.tar").write_bytes(b"from an earlier run with more voices")
    report = label_voices(folder, tmp_path / "words.tsv", [voice], workers=1, steps=3)
    assert report.voices_aligned == 1 and report.talking_aligned >= 1
    labelled = data.stored_clips(folder, "voice")
    assert [path.name for path in folder.glob("voice-*")] == ["voice-000000.tar"]
    assert json.loads((folder / "meta.json").read_text())["clips"] == {
        "train": 1,
        "held": 1,
        "val": 1,
        "photo": 1,
        "voice": 1,
    }
    assert [clip.name for clip in labelled] == ["somebody/one"]
    assert len(labelled[0].motion) == len(labelled[0].pcm) // 640 and labelled[0].motion.any()
    # "bin ... five": somewhere the lower lip is at the teeth; tongues of the talker on film are known now too.
    assert labelled[0].tract[:, 3].max() > 0.6
    filmed = data.stored_clips(folder, "train")
    assert len(filmed.with_tract()) == len(filmed) == 1
    assert any(np.isfinite(clip.tract).all() and clip.tract[:, 3].max() > 0.6 for clip in filmed)
    assert all(np.array_equal(clip.pcm, before.pcm) for clip, before in zip(filmed, clips, strict=False))


def test_words_of_clips_are_found_by_their_ids_and_a_name_of_two_clips_is_refused() -> None:
    clips = ["main/A/00001", "main/B/00002"]
    assert words_of(clips, {"00001": "one", "main/B/00002": "two"}) == {clips[0]: "one", clips[1]: "two"}
    with pytest.raises(DataError, match="2 clips are called 00001"):
        words_of(["main/A/00001", "main/B/00001"], {"00001": "one"})
