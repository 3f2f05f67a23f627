from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from s2v.engine.avatar import Photo, picture_of
from s2v.errors import FaceError

PHOTO = Path(__file__).parents[1] / "data" / "open_smile.jpg"


class OtherPath(os.PathLike[str]):
    def __fspath__(self) -> str:
        return str(PHOTO)


@pytest.mark.parametrize("form", [str, Path.read_bytes, lambda _: OtherPath(), lambda path: cv2.imread(str(path))])
def test_a_photo_may_be_a_path_its_bytes_or_its_pixels(form: object) -> None:
    photo = form(PHOTO)  # type: ignore[operator]
    wanted = picture_of(PHOTO)
    assert wanted.shape == (384, 384, 3)
    assert np.array_equal(picture_of(photo), wanted)


@pytest.mark.parametrize(
    ("photo", "told"),
    [
        (None, "it is a NoneType: give a path, the bytes of a file, or an array"),
        (np.zeros((64, 64), np.uint8), r"an array of uint8, shape \(64, 64\): give uint8 BGR or BGRA, \(height"),
        (np.zeros((64, 64, 2), np.uint8), r"shape \(64, 64, 2\)"),
        (np.zeros((0, 64, 3), np.uint8), r"shape \(0, 64, 3\)"),
        (np.zeros((64, 64, 3), np.float32), "an array of float32"),
    ],
)
def test_what_is_no_photo_is_told_what_it_is(photo: Photo | NDArray[np.float32] | None, told: str) -> None:
    with pytest.raises(FaceError, match=told):
        picture_of(photo, "it")  # type: ignore[arg-type]
