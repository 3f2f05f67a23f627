from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from s2v.training.quality.card import card_of, card_text
from s2v.training.quality.card_picture import draw_card
from s2v.training.quality.clip_records import ClipRecord
from s2v.training.quality.findings import Gate, Refusal
from s2v.training.quality.thresholds import Thresholds


def record(name: str, talker: str, length_s: float, gate: Gate | None = None, **figures: float) -> ClipRecord:
    refusal = None if gate is None else Refusal(gate, "because", 1.0, 2.0)
    return ClipRecord(name, f"{name}.mp4", 1, 1, "", refusal, talker, {"length_s": length_s, **figures})


RECORDS = [
    record("a/1", "anna", 60, speech_s=30, eye_distance_px=40, yaw_degrees=-5, pitch_degrees=3, offset_ms=0),
    record("a/2", "anna", 120, speech_s=60, eye_distance_px=50, yaw_degrees=9, pitch_degrees=3, offset_ms=120),
    record("b/1", "bert", 30, speech_s=15, eye_distance_px=90, yaw_degrees=9, pitch_degrees=3),
    record("b/2", "bert", 30, "small-face", eye_distance_px=9, yaw_degrees=0, pitch_degrees=0),
    record("b/3", "bert", 30, "no-face"),
    record("b/4", "bert", 30, "no-face"),
    record("photo", "carl", 0),
]


def test_a_card_counts_what_is_kept_and_what_is_not() -> None:
    card = card_of(RECORDS)
    assert (card.clips, card.photos, card.minutes, card.minutes_of_speech) == (3, 1, 3.5, 1.75)
    assert {name: (one.clips, one.minutes) for name, one in card.talkers.items()} == {
        "anna": (2, 3.0),
        "bert": (1, 0.5),
    }
    assert card.skipped == {"no-face": 2, "small-face": 1}
    assert card.measured_offsets == 2
    eyes = card.spreads["eye_distance_px"]
    assert (eyes.least, eyes.median, eyes.most) == (40, 50, 90)  # the small face is not among them
    assert "sync_correlation" not in card.spreads
    json.dumps(card.as_dict())


def test_the_text_of_a_card_names_talkers_figures_and_gates() -> None:
    text = card_text(card_of(RECORDS))
    assert "3 clips, 3.5 minutes, 1.8 of them speech, 2 talkers, 1 photo" in text
    assert "anna 3.00, bert 0.50" in text
    assert "skipped: 2 no-face, 1 small-face" in text
    assert "offset measured in:" in text
    assert max(map(len, text.splitlines())) < 120


def test_of_many_talkers_the_text_shows_some() -> None:
    text = card_text(card_of(record(f"{n}", f"p{n}", 60 + n) for n in range(30)))
    assert "p29" in text
    assert "p0 " not in text
    assert "and 22 more" in text


def test_a_card_of_nothing_can_be_shown(tmp_path: Path) -> None:
    card = card_of([record("a", "x", 3, "no-face")])
    assert card_text(card).splitlines()[-1] == "skipped: 1 no-face"
    draw_card(card, [], Thresholds(), tmp_path / "card.png")
    assert (tmp_path / "card.png").stat().st_size > 1000


def test_a_card_is_drawn(tmp_path: Path) -> None:
    draw_card(card_of(RECORDS), RECORDS, Thresholds(), tmp_path / "card.png")
    picture = cv2.imread(str(tmp_path / "card.png"))
    assert picture is not None
    height, width = picture.shape[:2]
    assert (width, height) == (1200, 700)
    bars = (picture[: height // 2, : width // 3] == (180, 119, 31)).all(-1)  # what anna and bert have
    lengths = sorted({int(n) for n in bars.sum(1) if n > 5})
    assert lengths[-1] / lengths[0] == pytest.approx(6, rel=0.15)
