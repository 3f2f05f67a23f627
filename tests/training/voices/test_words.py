"""Transcripts as words, and words as phones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from s2v.errors import DataError
from s2v.training.voices.ipa import arpabet
from s2v.training.voices.words import pronunciation, read_transcripts, spoken_words


def test_words_lose_case_punctuation_and_hyphens() -> None:
    assert spoken_words("It's a well-known fact, (isn't it?)") == ["it's", "a", "well", "known", "fact", "isn't", "it"]


def test_accents_and_printed_quotation_marks_are_no_letters() -> None:
    assert spoken_words("A na\u00efve caf\u00e9, \u201cisn\u2019t it\u201d") == ["a", "naive", "cafe", "isn't", "it"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("in 1933", "in nineteen thirty three"),
        ("the 1930s", "the nineteen thirties"),
        ("the 3rd of March", "the third of march"),
        ("1,250 people", "one thousand two hundred and fifty people"),
        ("$42.15", "forty two point one five dollars"),
        ("No. 5, at 7:30 and 8:00", "number five at seven thirty and eight"),
        ("25% & Dr. Smith", "twenty five percent and doctor smith"),
        ("Mr. Bennet of St. Ives.", "mr bennet of saint ives"),
    ],
)
def test_numbers_and_abbreviations_are_written_out(text: str, said: str) -> None:
    pytest.importorskip("num2words")
    assert spoken_words(text) == said.split()


@pytest.mark.parametrize(
    ("ipa", "phones"),
    [
        ("t\u0283\u02c8\u025c\u02d0t\u0283", "CH ER CH"),  # church
        ("b\u02c8\u0254\u026az", "B OY Z"),  # boys
        ("n\u02c8a\u028a", "N AW"),  # now
        ("b\u02c8\u028c\u0294n\u0329", "B AH T AH N"),  # button
        ("h\u0259l\u02c8O", "HH AH L OW"),  # hello, as hibari writes it
        ("?!", ""),
    ],
)
def test_phonetic_letters_become_phones(ipa: str, phones: str) -> None:
    assert arpabet(ipa) == phones.split()


def test_a_word_of_no_dictionary_is_read_as_it_is_spelt() -> None:
    if not shutil.which("espeak-ng"):
        pytest.skip("espeak-ng is not installed")
    assert pronunciation("caslon")[:4] == ("K", "AE", "S", "L")
    assert pronunciation("...") == ()


def test_a_number_that_is_no_quantity_is_said_digit_by_digit() -> None:
    pytest.importorskip("num2words")
    assert spoken_words("9" * 5000) == ["nine"] * 5000
    said = "one two three four five six seven eight nine zero one two three four five six"
    assert spoken_words("1234567890123456th") == said.split()


@pytest.mark.parametrize("name", ["../other/one", "/etc/one", "a\\b", "x" * 300, "a\x00b"])
def test_a_transcript_cannot_name_what_is_not_beside_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "transcripts.txt").write_text(f"one|Good morning.\n{name}|Good night.\n")
    with pytest.raises(DataError, match=r"transcripts\.txt names a recording '.*wanted the name of a file beside it"):
        read_transcripts(tmp_path)
