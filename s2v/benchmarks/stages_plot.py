"""A bar for every stage of a frame: the median, and how far the 95th and 99th percentile reach beyond."""

from __future__ import annotations

import os
from pathlib import Path

from matplotlib.figure import Figure  # not pyplot: a figure of its own draws without a display

from s2v.benchmarks.stages import StagesReport
from s2v.errors import OutputError


def check_plot(path: Path) -> None:
    """Refuse a path before anything is measured. Raises: OutputError."""
    if path.suffix.lower() != ".png":
        raise OutputError(f"the plot is {path}, but this draws .png: name it {path.stem or 'stages'}.png")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"there is no folder {folder} to write {path.name} into: create it first")


def plot(report: StagesReport, path: Path) -> None:
    """Write the picture; it appears whole or not at all.

    Raises: OutputError, see `check_plot`. OSError, the disk is full or the folder not writable.
    """
    check_plot(path)
    rows = report.rows
    places = range(len(rows))
    figure = Figure(figsize=(8, 1.6 + 0.34 * len(rows)), layout="constrained")
    axis = figure.subplots()
    for wide, percentile, colour in ((0.35, "p99", "#c6dbef"), (0.55, "p95", "#6baed6"), (0.75, "p50", "#08519c")):
        widths = [getattr(row.wall_ms, percentile) or 0.0 for row in rows]
        axis.barh(places, widths, wide, color=colour, label=percentile, zorder=2)
    frame_ms = 1000 / report.fps
    axis.axvline(frame_ms, color="black", linewidth=0.8, linestyle="--", label=f"a frame: {frame_ms:g} ms", zorder=3)
    axis.set_yticks(places, [row.stage for row in rows])
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    axis.set_xlabel("milliseconds by the clock")
    axis.grid(axis="x", alpha=0.3)
    axis.legend(loc="lower right", fontsize=8)
    how = "each frame when it was due" if report.paced else "one frame right after the other"
    size = f"{report.width_px}x{report.height_px}"
    axis.set_title(f"{size}, {report.backend}, {report.frames} frames, {how}\n{report.machine['cpu']}", fontsize=9)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        figure.savefig(beside, format="png", dpi=110)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
