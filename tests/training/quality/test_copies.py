"""The same clip twice is found, byte for byte or encoded again, and like clips are not taken for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from spoken import noise, speech
from streaming.media import write_sound

from s2v.media.video_file import read_sound
from s2v.training.quality.copies import Prints, encoded_again, equal_files, prints_of


def pcm_of(sound: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.round(sound * 32767).astype(np.int16)


def lips(n: int, seed: int) -> NDArray[np.float64]:
    """(n,) an opening that goes up and down as in speech."""
    knots = np.arange(0, n + 4, 4)
    heights = np.random.default_rng(seed).uniform(-1, 1, len(knots))
    return 0.05 + 0.04 * np.interp(np.arange(n), knots, heights)


def clip(seed: int, length_s: float = 3.0) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    return pcm_of(speech(length_s, seed) + noise(length_s, 0.003, seed)), lips(round(25 * length_s), seed)


def test_files_of_the_same_bytes_are_found(tmp_path: Path) -> None:
    for name, content in {"a": b"one", "b": b"two", "c": b"one", "d": b"three", "e": b"one"}.items():
        (tmp_path / name).write_bytes(content)
    a, c, e = tmp_path / "a", tmp_path / "c", tmp_path / "e"
    every = sorted(tmp_path.iterdir())
    assert equal_files(every) == {c: a, e: a}
    assert equal_files(every, new={c}) == {c: a, e: a}  # what is no copy of a new one was compared before
    assert equal_files(every, new={tmp_path / "d"}) == {}
    assert equal_files([*every, tmp_path / "gone"]) == {c: a, e: a}


def test_files_that_differ_in_their_middle_are_no_copies(tmp_path: Path) -> None:
    one = bytearray(100_000)
    (tmp_path / "a").write_bytes(one)
    one[50_000] = 1
    (tmp_path / "b").write_bytes(one)
    assert equal_files(sorted(tmp_path.iterdir())) == {}


@pytest.mark.parametrize("codec", ["aac", "libopus"])
def test_sound_encoded_again_is_the_same(tmp_path: Path, codec: str) -> None:
    pcm, opening = clip(1)
    suffix, rate_hz = ("m4a", 16_000) if codec == "aac" else ("ogg", 48_000)
    heard = np.asarray(pcm / 32768, np.float32)
    if rate_hz == 48_000:
        heard = np.interp(np.arange(3 * len(heard)) / 3, np.arange(len(heard)), heard).astype(np.float32)
    again = read_sound(write_sound(tmp_path / f"a.{suffix}", heard, rate_hz, codec))
    seen_again = opening + np.random.default_rng(0).normal(0, 0.004, len(opening))
    prints = {"first": prints_of(pcm, opening), "other": prints_of(*clip(2)), "second": prints_of(again, seen_again)}
    assert encoded_again(prints) == {"second": "first"}


def test_a_copy_that_begins_later_is_found() -> None:
    pcm, opening = clip(3, 4.0)
    cut_frames = 20
    later = prints_of(pcm[cut_frames * 640 + 100 :], opening[cut_frames:])
    assert encoded_again({"whole": prints_of(pcm, opening), "cut": later}) == {"cut": "whole"}
    assert encoded_again({"cut": later, "whole": prints_of(pcm, opening)}) == {"whole": "cut"}


def test_all_copies_name_the_first() -> None:
    prints = {name: prints_of(*clip(4)) for name in "abcd"} | {"z": prints_of(*clip(5))}
    assert encoded_again(prints) == {"b": "a", "c": "a", "d": "a"}


def test_the_same_sound_with_other_lips_is_another_clip() -> None:
    pcm, opening = clip(6)
    assert encoded_again({"a": prints_of(pcm, opening), "b": prints_of(pcm, lips(75, 7))}) == {}


def test_clips_of_silence_are_not_copies_of_each_other() -> None:
    silence = np.zeros(48_000, np.int16)
    assert encoded_again({name: prints_of(silence, lips(75, seed)) for seed, name in enumerate("abc")}) == {}
    assert encoded_again({}) == {}
    assert encoded_again({"short": prints_of(silence[:1000], lips(1, 0))}) == {}


def test_prints_of_a_long_clip_stay_small() -> None:
    prints = prints_of(np.zeros(90 * 16_000, np.int16), np.zeros(90 * 25))
    assert isinstance(prints, Prints)
    assert len(prints.sound) == pytest.approx(1500, abs=12)
    assert len(prints.lips) == 1500


def test_a_copy_of_a_cut_is_a_copy_of_the_whole() -> None:
    pcm, opening = clip(11, 6.0)
    cut = pcm[20 * 640 :], opening[20:]
    prints = {"whole": prints_of(pcm, opening), "cut": prints_of(*cut), "again": prints_of(*cut)}
    assert encoded_again(prints) == {"cut": "whole", "again": "whole"}
