"""Contact sheets: rows of tiles with words beside or above them, to judge mouths by eye."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from s2v.engine.face.photo import Image
from s2v.errors import OutputError
from s2v.files import write_whole
from s2v.training.evaluation.phone_times import PHONE_MOMENTS
from s2v.training.evaluation.results import ClipResult
from s2v.training.evaluation.unseen_faces import FaceResult
from s2v.training.evenly import evenly

_GAP_PX = 4
_PAPER, _INK = 255, (20, 20, 20)
_QUALITIES = (92, 88, 84, 80, 75, 70, 65, 60, 50, 40)


def sheet(rows: Sequence[Sequence[Image]], above: Sequence[str] = (), beside: Sequence[str] = ()) -> Image:
    """Tiles of one size in rows, with a word above each column and beside each row where given."""
    height, width = rows[0][0].shape[:2]
    left = (max(text_width(word) for word in beside) + 2 * _GAP_PX) if beside else 0
    top = 24 if above else 0
    n_columns = max(len(row) for row in rows)
    size = (top + len(rows) * (height + _GAP_PX), left + n_columns * (width + _GAP_PX), 3)
    page = np.full(size, _PAPER, np.uint8)
    for column, word in enumerate(above):
        middle = left + column * (width + _GAP_PX) + width // 2
        _write(page, word, (middle - text_width(word) // 2, top - 7))
    for index, row in enumerate(rows):
        y = top + index * (height + _GAP_PX)
        if beside:
            _write(page, beside[index], (_GAP_PX, y + height // 2 + 5))
        for column, tile in enumerate(row):
            x = left + column * (width + _GAP_PX)
            page[y : y + height, x : x + width] = tile
    return page


def text_width(text: str) -> int:
    """Pixels that a word takes."""
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0])


def _write(page: Image, text: str, at: tuple[int, int]) -> None:
    cv2.putText(page, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)


def film_over_drawn(results: Sequence[ClipResult], max_clips: int = 4) -> tuple[Image, Image] | None:
    """Faces, and mouths enlarged twice: the film's row over ours at the same times, for some clips of a set."""
    shown = [result for result in results if result.tiles][:max_clips]
    if not shown:
        return None
    faces, mouths, names = [], [], []
    for result in shown:
        assert result.mouth is not None
        for whose, tiles in (("film", [t[1] for t in result.tiles]), ("drawn", [t[2] for t in result.tiles])):
            faces.append(tiles)
            mouths.append([_enlarged(tile[result.mouth], 2) for tile in tiles])
            names.append(f"{result.name.rsplit('/', 1)[-1][:12]} {whose}")
    times = [f"{tile[0] / 25:.2f} s" for tile in shown[0].tiles] if len(shown) == 1 else []
    return sheet(faces, times, names), sheet(mouths, times, names)


def face_sheet(faces: Sequence[FaceResult], max_rows: int = 40) -> Image | None:
    """Unseen faces at rest and at known phones of the bundled voice, some of many; None if there is none."""
    shown = evenly([face for face in faces if face.tiles], max_rows)
    if not shown:
        return None
    labels = ["at rest", *(moment.label for moment in PHONE_MOMENTS)]
    return sheet([face.tiles for face in shown], labels, [face.name[:16] for face in shown])


def _enlarged(tile: Image, times: int) -> Image:
    return np.asarray(cv2.resize(tile, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC), np.uint8)


def check_picture_name(path: Path) -> None:
    """Raises: OutputError, neither JPEG nor PNG, or there is no such folder: told before an hour of drawing."""
    if path.suffix.lower() not in {".png", ".jpg", ".jpeg"}:
        raise OutputError(f"cannot write {path}: its name must end in .jpg or .png")
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {path.parent}; make it first")


def write_picture(path: Path, picture: Image, max_bytes: int | None = None) -> None:
    """As PNG or JPEG by its name, whole or not at all; a JPEG as good as `max_bytes` allows.

    Raises: OutputError, the ending is neither, the folder is missing, or it does not fit.
    """
    check_picture_name(path)
    data = b""
    for quality in _QUALITIES:
        data = cv2.imencode(path.suffix.lower(), picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if max_bytes is None or len(data) <= max_bytes:
            break
    else:
        raise OutputError(f"{path} would have {len(data)} bytes; at most {max_bytes} are wanted: show fewer rows")
    try:
        write_whole(path, data)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
