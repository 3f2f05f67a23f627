"""What heads do, film beside ours: curves as PNG, and rows of frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure  # not pyplot: a figure of its own draws without a display

from s2v.engine.face.photo import Image
from s2v.files import written_whole
from s2v.training.evaluation.head_level import TILE_EVERY_S
from s2v.training.evaluation.measures.head.curves import QUANTITIES
from s2v.training.evaluation.report.contact_sheets import sheet
from s2v.training.evaluation.results import ClipResult

_FPS = 25
_MAX_SECONDS = 20.0


def longest_talk(clips: Sequence[ClipResult]) -> ClipResult | None:
    """The clip that shows most of a moving head; None if none does."""
    return max((clip for clip in clips if clip.heads), key=lambda clip: clip.seconds, default=None)


def head_plot(clip: ClipResult, path: Path) -> None:
    """Every quantity over time, each less its own median, filmed and drawn."""
    assert clip.heads is not None
    figure = Figure(figsize=(10, 1.0 + 1.3 * len(QUANTITIES)), layout="constrained")
    axes = figure.subplots(len(QUANTITIES), 1, sharex=True)
    for quantity, axis in zip(QUANTITIES, axes, strict=True):
        for name, head, colour in (("film", clip.heads.film, "black"), ("drawn", clip.heads.drawn, "C1")):
            part = head[quantity.key][: round(_MAX_SECONDS * _FPS)]
            axis.plot((np.arange(len(part)) + 0.5) / _FPS, part - np.median(part), colour, linewidth=1.1, label=name)
        axis.set_ylabel(quantity.key)
        axis.set_title(f"{quantity.title}{f', {quantity.unit}' if quantity.unit else ''}", fontsize=8, loc="left")
        axis.grid(alpha=0.3)
    axes[0].legend(loc="upper right", fontsize=8, ncols=2)
    axes[-1].set_xlabel(f"seconds of {clip.name}")
    with written_whole(path) as beside:
        figure.savefig(beside, format="png", dpi=100)


def head_sheet(clip: ClipResult) -> Image | None:
    """A frame every half second, the film's row over ours; None if there is none."""
    if clip.heads is None or not clip.heads.tiles:
        return None
    film, ours = zip(*clip.heads.tiles, strict=True)
    width = max(tile.shape[1] for tile in (*film, *ours))
    times = [f"{TILE_EVERY_S * index:.1f} s" for index in range(len(film))]
    return sheet([[_padded(tile, width) for tile in row] for row in (film, ours)], times, ["film", "drawn"])


def _padded(tile: Image, width: int) -> Image:
    """On white, as wide as its neighbours: the photo of a small face is enlarged and may round otherwise."""
    page = np.full((tile.shape[0], width, 3), 255, np.uint8)
    page[:, : tile.shape[1]] = tile
    return page
