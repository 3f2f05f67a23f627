"""The card of a data set as a picture: how much of whom, and how sizes, poses and offsets are spread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure  # not pyplot: a figure of its own draws without a display

from s2v.files import written_whole
from s2v.training.quality.card import DataCard
from s2v.training.quality.clip_records import ClipRecord
from s2v.training.quality.thresholds import Thresholds

_MOST_BARS = 12
_BINS = 24
_KEPT, _SKIPPED, _LIMIT = "C0", "C3", "black"


def draw_card(card: DataCard, records: Iterable[ClipRecord], limits: Thresholds, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    records = sorted(
        records, key=lambda record: record.id
    )  # the same data, the same picture, in whatever order they came
    figure = Figure(figsize=(12, 7), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    figure.suptitle(
        f"{card.clips} clips, {card.minutes:.1f} minutes of {len(card.talkers)} talkers, {card.photos} photos; "
        f"{sum(card.skipped.values())} skipped"
    )
    _bars(axes[0], {name: one.minutes for name, one in card.talkers.items()}, "minutes of each talker", _KEPT)
    _spread(axes[1], records, "eye_distance_px", "between the eyes' outer corners, px", [limits.min_eye_distance_px])
    _spread(axes[2], records, "picture_height_px", "height of the picture, px", [])
    _poses(axes[3], records, limits.max_turn_degrees)
    edges_ms = [-1000 * limits.max_offset_s, 1000 * limits.max_offset_s]
    _spread(axes[4], records, "offset_ms", "sound came after the lips, ms", edges_ms)
    _bars(axes[5], card.skipped, "clips skipped, by reason", _SKIPPED)
    axes[5].xaxis.get_major_locator().set_params(integer=True)
    with written_whole(path) as beside:
        figure.savefig(beside, format="png", dpi=100)


def _bars(axis: Any, amounts: Mapping[str, float], title: str, colour: str) -> None:
    """One for each, the longest on top; what is left over is one bar."""
    shown = dict(list(amounts.items())[:_MOST_BARS])
    if len(amounts) > len(shown):
        shown[f"{len(amounts) - len(shown)} more"] = sum(amounts.values()) - sum(shown.values())
    axis.barh(range(len(shown)), list(shown.values()), color=colour)
    axis.set_yticks(range(len(shown)), [_short(name) for name in shown])
    axis.invert_yaxis()
    axis.set_title(title, fontsize=10)
    if not shown:
        _say_none(axis)


def _spread(axis: Any, records: list[ClipRecord], figure: str, title: str, edges: list[float]) -> None:
    """How many clips, kept and skipped ones, have a figure; dashed where a gate stands."""
    kept, skipped = (
        [one.figures[figure] for one in records if (one.refusal is not None) is out and figure in one.figures]
        for out in (False, True)
    )
    if kept or skipped:
        bins = np.histogram_bin_edges([*kept, *skipped], _BINS)
        axis.hist([kept, skipped], bins=bins, stacked=True, color=[_KEPT, _SKIPPED], label=["kept", "skipped"])
        axis.legend(fontsize=8)
        low, high = axis.get_xlim()
        for edge in edges:
            if low <= edge <= high:
                axis.axvline(edge, color=_LIMIT, linestyle="--", linewidth=1)
    else:
        _say_none(axis)
    axis.set_title(title, fontsize=10)
    axis.yaxis.get_major_locator().set_params(integer=True)


def _poses(axis: Any, records: list[ClipRecord], limit_degrees: float) -> None:
    """Where heads look, and the circle beyond which they are turned too far."""
    for out, colour, name in ((False, _KEPT, "kept"), (True, _SKIPPED, "skipped")):
        some = [one.figures for one in records if (one.refusal is not None) is out and "yaw_degrees" in one.figures]
        x, y = ([figures[key] for figures in some] for key in ("yaw_degrees", "pitch_degrees"))
        axis.plot(x, y, ".", color=colour, label=name, alpha=0.6)
    turn = np.linspace(0, 2 * np.pi, 100)
    axis.plot(limit_degrees * np.cos(turn), limit_degrees * np.sin(turn), "--", color=_LIMIT, linewidth=1)
    axis.set_aspect("equal")
    axis.invert_yaxis()
    axis.set_title("where heads look: side and down, degrees", fontsize=10)
    axis.legend(fontsize=8)


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:8]}…{name[-9:]}"


def _say_none(axis: Any) -> None:
    axis.text(0.5, 0.5, "none", ha="center", va="center", transform=axis.transAxes)
