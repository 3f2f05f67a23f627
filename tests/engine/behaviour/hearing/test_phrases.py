from __future__ import annotations

import pytest

from s2v.engine.behaviour.hearing.phrases import ENDS_AFTER_S, SHORTEST_S, Phrase, Phrases
from s2v.engine.behaviour.hearing.prosody import SILENT, ProsodyTick


def followed(*parts: tuple[ProsodyTick, float]) -> list[Phrase]:
    """Phrases of sounds that last so many seconds each."""
    phrases = Phrases()
    return [phrases.hear(sound) for sound, length_s in parts for _ in range(round(100 * length_s))]


def ticks(phrases: list[Phrase], name: str) -> list[int]:
    return [i for i, phrase in enumerate(phrases) if getattr(phrase, name)]


def voiced(semitones: float | None = 0.0) -> ProsodyTick:
    return ProsodyTick(0.6, True, semitones)


def test_it_begins_and_ends_once_and_lasts_as_long_as_its_sound() -> None:
    found = followed((SILENT, 0.5), (voiced(), 1.0), (SILENT, 1.0))
    assert ticks(found, "begins") == [57]
    assert ticks(found, "ends") == [150 + round(100 * ENDS_AFTER_S) - 1]
    assert found[-1].spoken_s == pytest.approx(1.0, abs=0.011)
    assert found[-1].pause_s == pytest.approx(1.0)
    assert found[100].speaking and not found[-1].speaking


def test_a_short_gap_is_part_of_it_and_a_long_one_parts_two() -> None:
    short = followed((voiced(), 0.6), (SILENT, 0.15), (voiced(), 0.6), (SILENT, 0.5))
    long = followed((voiced(), 0.6), (SILENT, 0.4), (voiced(), 0.6), (SILENT, 0.5))
    assert len(ticks(short, "begins")) == len(ticks(short, "ends")) == 1
    assert len(ticks(long, "begins")) == len(ticks(long, "ends")) == 2


def test_a_knock_neither_begins_nor_ends_and_a_cough_does_not_end() -> None:
    knock = followed((SILENT, 0.3), (voiced(), 0.05), (SILENT, 0.5))
    cough = followed((SILENT, 0.3), (voiced(), SHORTEST_S - 0.1), (SILENT, 0.5))
    assert not ticks(knock, "begins") and not ticks(knock, "ends")
    assert ticks(cough, "begins") and not ticks(cough, "ends")


def test_a_question_rises_a_statement_does_not() -> None:
    question = followed((voiced(-1.0), 0.8), (voiced(5.0), 0.25), (SILENT, 0.5))
    statement = followed((voiced(2.0), 0.8), (voiced(-3.0), 0.25), (SILENT, 0.5))
    assert ticks(question, "rises") == ticks(question, "ends")
    assert not ticks(statement, "rises")


def test_a_region_of_low_pitch_is_found_once_through_gaps_of_pitch() -> None:
    found = followed((voiced(0.0), 0.8), (voiced(-3.0), 0.06), (voiced(None), 0.05), (voiced(-3.0), 0.3))
    assert len(ticks(found, "low")) == 1
    assert 94 <= ticks(found, "low")[0] <= 97
    assert not ticks(followed((voiced(0.0), 0.8), (voiced(-3.0), 0.05), (voiced(0.0), 0.3)), "low")
