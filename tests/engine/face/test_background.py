from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from s2v.engine.face.background import COLOURS, parse_background
from s2v.errors import FaceError, S2vError

PLATE = np.full((60, 80, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("navy", (0, 0, 128)),
        ("White", (255, 255, 255)),
        ("#1e90ff", (30, 144, 255)),
        ("#1E90FF", (30, 144, 255)),
        ("12,200,3", (12, 200, 3)),
        ("12, 200, 3", (12, 200, 3)),
    ],
)
def test_a_colour_is_told_by_name_by_digits_or_by_numbers(text: str, colour: tuple[int, int, int]) -> None:
    background = parse_background(text)
    assert background.colour == colour
    assert not background.blurs
    behind = background.behind(PLATE, 40.0)
    assert behind.shape == PLATE.shape
    assert (behind == colour[::-1]).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("256,0,0", "'256,0,0': red, green and blue go from 0 to 255"),
        ("#12345", "'#12345' is not a colour: give six hexadecimal digits"),
        ("#gggggg", "'#gggggg' is not a colour"),
        ("no such.jpg", "'no such.jpg' is no file, no colour and not 'blur': give"),
        ("1,2", "'1,2' is no file"),
        ("", "'' is no file"),
        ("reddish", "'reddish' is no file, no colour"),
    ],
)
def test_what_is_none_of_them_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(S2vError) as refused:
        parse_background(text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("sea")
    with pytest.raises(FaceError, match=r"notes\.txt is not an image"):
        parse_background(str(path))


@pytest.mark.parametrize(("height", "width"), [(30, 90), (200, 40), (60, 80), (300, 400)])
def test_a_picture_covers_the_frame_from_its_middle(tmp_path: Path, height: int, width: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2] = [0, 0, 255]
    picture[: height // 2, :, 1] = 255
    path = tmp_path / "sea.png"
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    behind = parse_background(str(path)).behind(PLATE, 40.0)
    assert behind.shape == PLATE.shape
    assert (behind[:25, :35] == [0, 255, 255]).all()
    assert (behind[35:, 45:] == 0).all()


def test_blur_is_made_of_what_is_behind() -> None:
    background = parse_background("blur")
    assert background.blurs
    striped = PLATE.copy()
    striped[:, ::2] = 190
    behind = background.behind(striped, 40.0).astype(int)
    assert np.abs(behind - 140).max() <= 4


def test_names_are_lower_case_and_colours_whole() -> None:
    for name, colour in COLOURS.items():
        assert name == name.lower()
        assert all(0 <= value <= 255 for value in colour)
