"""Phones as articulation, and forced alignment."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from s2v.errors import DataError
from s2v.media.video_file import read_sound
from s2v.training.voices.phones import (
    N_FEATURES,
    Phone,
    align,
    align_all,
    pause_loudness,
    phone_features,
    read_labels,
    write_labels,
)

SPEECH = Path(__file__).parents[2] / "data" / "grid_s1_pgid5s.mp4"
SAID = "place green in d five soon"


def test_unlabelled_time_is_silence_and_a_closed_stop_closes_the_lips() -> None:
    features = phone_features([Phone("P", 0.10, 0.20), Phone("AA", 0.20, 0.30)], 40)
    assert features.shape == (40, N_FEATURES)
    assert features[:10, 15].all() and features[30:, 15].all() and not features[10:30, 15].any()
    assert features[10:20, 3].all() and not features[20:30, 3].any()
    assert features[25, 0] > 0.9  # the jaw is open in "ah"


def test_a_diphthong_glides() -> None:
    rounding = phone_features([Phone("OW", 0.0, 0.2)], 20)[:, 2]
    assert (np.diff(rounding) > 0).all()


def test_unknown_names_and_phones_past_the_end_do_no_harm() -> None:
    features = phone_features([Phone("+NOISE+", 0.0, 0.1), Phone("M", 0.15, 0.4)], 20)
    assert features[:10, 15].all() and features[15:, 3].all()


def test_alignment_finds_the_words_in_order_within_the_clip() -> None:
    pytest.importorskip("pocketsphinx")
    pcm = read_sound(SPEECH)
    phones = align(pcm, SAID)
    names = [phone.name for phone in phones if phone.name != "SIL"]
    assert names[:4] == ["P", "L", "EY", "S"] and names[-3:] == ["S", "UW", "N"]
    assert all(a.end_s <= b.start_s + 1e-9 for a, b in itertools.pairwise(phones))
    assert phones[-1].end_s <= len(pcm) / 16_000 + 0.05


def test_recordings_are_aligned_in_processes_and_those_that_do_not_fit_are_left_out() -> None:
    pytest.importorskip("pocketsphinx")
    pcm = read_sound(SPEECH)
    wrong = "twenty thousand leagues under the sea lived a whale whom nobody had ever seen before that summer morning"
    found = align_all({"a": pcm, "b": pcm, "untold": pcm}, {"a": SAID, "b": wrong, "absent": SAID}, workers=1)
    assert found == {"a": align(pcm, SAID)}


def test_a_word_outside_the_dictionary_is_said_as_one_is_told() -> None:
    pytest.importorskip("pocketsphinx")
    pcm, asked = read_sound(SPEECH), []

    def pronounce(word: str) -> list[str]:
        asked.append(word)
        return ["P", "L", "EY", "S"]

    phones = align(pcm, "xqzzy green in d five soon", pronounce)
    assert asked == ["xqzzy"]
    assert [phone.name for phone in phones] == [phone.name for phone in align(pcm, SAID)]


def test_a_word_that_nobody_can_say_is_named() -> None:
    pytest.importorskip("pocketsphinx")
    with pytest.raises(DataError, match="xqzzy"):
        align(np.zeros(16_000, np.int16), "hello xqzzy", lambda word: ())


def test_quotation_marks_are_no_part_of_a_word() -> None:
    pytest.importorskip("pocketsphinx")
    pcm = read_sound(SPEECH)
    assert align(pcm, "'place green' in d five soon'", lambda word: ()) == align(pcm, SAID)


def test_silence_and_no_words_fit_nothing() -> None:
    pytest.importorskip("pocketsphinx")
    with pytest.raises(DataError, match="does not fit"):
        align(np.zeros(48_000, np.int16), SAID)
    with pytest.raises(DataError, match="says nothing"):
        align(read_sound(SPEECH), "...")


def test_a_text_that_leaves_words_out_does_not_fit() -> None:
    pytest.importorskip("pocketsphinx")
    with pytest.raises(DataError, match=r"does not fit.*as loud as words"):
        align(read_sound(SPEECH), "a")


def test_pauses_are_as_loud_as_they_sound() -> None:
    pcm = np.repeat([0, 1000, 100, 1000], 1600).astype(np.int16)
    phones = [Phone("SIL", 0.0, 0.1), Phone("AA", 0.1, 0.2), Phone("AA", 0.3, 0.4)]
    assert pause_loudness(pcm, phones) == pytest.approx(0.05)
    assert pause_loudness(pcm, phones[:1]) == np.inf
    assert pause_loudness(pcm, [Phone("AA", 0.0, 0.4)]) == 0


def test_phones_are_written_as_a_label_track(tmp_path: Path) -> None:
    phones = [Phone("SIL", 0.0, 0.1234), Phone("P", 0.1234, 0.2)]
    write_labels(tmp_path / "a.lab", phones)
    assert (tmp_path / "a.lab").read_text() == "0.0000\t0.1234\tSIL\n0.1234\t0.2000\tP\n"
    assert read_labels(tmp_path / "a.lab") == phones
