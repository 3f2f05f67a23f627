"""The sheet of portraits by phones that is looked at after every training: `s2v evaluate --portraits`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2v.engine.backends.base import Backend
from s2v.errors import DataError, FaceError
from s2v.training.evaluation.phone_times import PHONE_MOMENTS
from s2v.training.evaluation.report.contact_sheets import check_picture_name, sheet, write_picture
from s2v.training.evaluation.unseen_faces import photos_in, portrait_tiles

MAX_BYTES = 900_000  # it goes into the documentation
_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class DrawnPortraits:
    """What the sheet shows."""

    rows: int
    refused: dict[str, str]  # photo -> reason


def portrait_sheet(
    places: Sequence[Path], backend: Backend, out: Path, n_rows: int = 24, progress: bool = True
) -> DrawnPortraits:
    """Draw portraits (rows) at rest and at known phones (columns).

    Args:
        places: photos, of which all are taken in this order, and folders, of which `n_rows` follow, picked evenly over
            the sorted names; where one of these is refused, the next one stands in for it.
    Raises: DataError, no photos or none that can be used. OutputError.
    """
    from tqdm import tqdm

    check_picture_name(out)
    named = [place for place in places if not place.is_dir()]
    pool = [photo for place in places if place.is_dir() for photo in photos_in(place)]
    n_picked = min(n_rows, len(pool))
    firsts = np.linspace(0, len(pool), n_picked, endpoint=False).astype(int)
    # The next photos stand in for one of a folder that is refused.
    candidates = [[photo] for photo in named] + [pool[i : i + max(1, len(pool) // n_picked)] for i in firsts]
    rows, refused = [], {}
    with tqdm(total=len(candidates), unit="face", disable=not progress) as bar:
        for photos in candidates:
            for photo in photos:
                try:
                    rows.append(portrait_tiles(photo, backend))
                    break
                except FaceError as error:
                    refused[photo.name] = " ".join(str(error).split())
            bar.update()
    if not rows:
        raise DataError(f"none of {len(named) + len(pool)} photos can be used: {next(iter(refused.values()))}")
    labels = ["at rest", *(moment.label for moment in PHONE_MOMENTS)]
    write_picture(out, sheet(rows, labels), MAX_BYTES if out.suffix.lower() != ".png" else None)
    for name, reason in refused.items():
        _log.warning("left out the photo %s: %s", name, reason)
    return DrawnPortraits(len(rows), refused)
