"""One clip's results, and how they are summed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.photo import Image
from s2v.training.evaluation.head_level import FilmedAndDrawn
from s2v.training.evaluation.measures.phone_classes import ClassTable
from s2v.training.evaluation.measures.probes import Curves


class Figure(NamedTuple):
    """A row of the table."""

    key: str
    title: str
    decimals: int


MOTION_FIGURES = (
    Figure("first", "first component, correlation", 2),
    Figure("first_best", "  at its best offset", 2),
    Figure("second", "second component", 2),
    Figure("second_best", "  at its best offset", 2),
    Figure("aperture", "lip opening, correlation", 2),
    Figure("aperture_best", "  at its best offset", 2),
    Figure("offset", "  that offset, frames", 1),
    Figure("aperture_spoken", "  while somebody speaks", 2),
    Figure("loudness", "loudness alone against lip opening", 2),
    Figure("loudness_best", "  at its best offset", 2),
    Figure("loudness_offset", "  that offset, frames", 1),
    Figure("width", "mouth width, correlation", 2),
    Figure("width_best", "  at its best offset", 2),
    Figure("width_spread", "  its spread over the film's", 2),
    Figure("speed", "lip speed while speaking over the film's", 2),
    Figure("closures", "film closed while speaking, ours closed too", 2),
    Figure("closures_noise", "  with white noise at 10 dB", 2),
    Figure("quiet_spread", "spread of the opening at -30 dB over that at 0 dB", 2),
    Figure("quiet_same", "  correlation of the two", 2),
    Figure("louder", "opening when the voice is raised by 10 dB, times", 2),
)
PICTURE_FIGURES = (
    Figure("drawn_aperture", "lip opening, correlation", 2),
    Figure("drawn_aperture_best", "  at its best offset", 2),
    Figure("drawn_offset", "  that offset, frames", 1),
    Figure("drawn_aperture_spoken", "  while somebody speaks", 2),
    Figure("drawn_spread", "  its spread over the film's", 2),
    Figure("lmd", "LMD, hundredths of the eye distance", 2),
    Figure("lmd_still", "  of the still photo", 2),
    Figure("psnr_face", "PSNR, face, dB", 1),
    Figure("ssim_face", "SSIM, face", 3),
    Figure("psnr_mouth", "PSNR, mouth, dB", 1),
    Figure("psnr_mouth_still", "  of the still photo", 1),
    Figure("ssim_mouth", "SSIM, mouth", 3),
    Figure("ssim_mouth_still", "  of the still photo", 3),
    Figure("sharpness", "sharpness of the mouth over the photo's", 2),
    Figure("sharpness_film", "  of the film over the photo's", 2),
    Figure("drawn_width", "mouth width, correlation", 2),
    Figure("drawn_width_best", "  at its best offset", 2),
    Figure("drawn_width_spread", "  its spread over the film's", 2),
    Figure("drawn_speed", "lip speed while speaking over the film's", 2),
    Figure("drawn_closures", "film closed while speaking, ours closed too", 2),
    Figure("dark_share", "dark share of open mouths", 2),
    Figure("dark_share_film", "  of the film", 2),
    Figure("redness", "a* of their brightest quarter", 1),
    Figure("redness_film", "  of the film", 1),
    Figure("teeth_over_cheek", "L of their brightest quarter over the cheek's", 2),
    Figure("teeth_over_cheek_film", "  of the film", 2),
    Figure("silence_speed", "lip speed in pauses, eye distances a second", 3),
    Figure("silence_motion", "  over the film's", 2),
    Figure("lse_d", "LSE-D, by the given SyncNet", 2),
    Figure("lse_d_film", "  of the film", 2),
    Figure("lse_c", "LSE-C", 2),
    Figure("lse_c_film", "  of the film", 2),
    Figure("jitter", "largest change outside the lower face, of 255", 0),
)
FACE_FIGURES = (
    Figure("dark_share", "dark share of open mouths", 2),
    Figure("redness", "a* of their brightest quarter", 1),
    Figure("teeth_over_cheek", "L of their brightest quarter over the cheek's", 2),
    Figure("grey_redness", "grey copy: largest |a*|", 1),
    Figure("grey_chroma", "grey copy: chroma, 99 %", 1),
    Figure("teeth_left", "open photo: teeth left when closed", 3),
    Figure("variety_shapes", "variety of UW, SH, EH: width and opening", 2),
    Figure("variety_pictures", "variety of UW, SH, EH: pictures", 2),
)


@dataclass(frozen=True)
class ClipResult:
    """All that was found out about one clip; `refused` says why there are no pictures of it."""

    set_name: str
    name: str
    seconds: float
    figures: dict[str, float]
    film: NDArray[np.float32]  # opening over the talker's closed lips, face units, as the next two
    prediction: NDArray[np.float32] | None
    drawn: NDArray[np.float32] | None
    curves: Curves | None  # for the probes
    tiles: list[tuple[int, Image, Image]] = field(default_factory=list)
    mouth: tuple[slice, slice] | None = None
    refused: str = ""
    classes: dict[str, ClassTable] = field(default_factory=dict)  # "film", "asked", "drawn", where the phones are known
    not_aligned: str = ""  # why there are no classes although the text is known
    heads: FilmedAndDrawn | None = None  # drawn with the head moving; its figures are those that begin with "head_"


def by_set(results: Sequence[ClipResult]) -> dict[str, list[ClipResult]]:
    """In the order in which the sets first appear."""
    sets: dict[str, list[ClipResult]] = {}
    for result in results:
        sets.setdefault(result.set_name, []).append(result)
    return sets


def medians(results: Sequence[ClipResult]) -> dict[str, float]:
    """Of each figure over the clips that have it; jitter: the largest."""
    found: dict[str, float] = {}
    of_heads = dict.fromkeys(key for result in results for key in result.figures if key.startswith("head_"))
    for key in (*(figure.key for figure in (*MOTION_FIGURES, *PICTURE_FIGURES)), *of_heads):
        values = [v for r in results if not np.isnan(v := r.figures.get(key, float("nan")))]
        if values:
            found[key] = float(max(values) if key == "jitter" else np.median(values))
    return found


def plain(value: Any) -> Any:
    """For JSON: floats rounded to four places, NaN as null, arrays as lists."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else round(float(value), 4)
    return value.item() if isinstance(value, np.generic) else value
