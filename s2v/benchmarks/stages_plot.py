"""A bar for every stage of a frame: the median, and how far the 95th and 99th percentile reach beyond."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure  # not pyplot: a figure of its own draws without a display

from s2v.benchmarks.plots import save
from s2v.benchmarks.stages import StagesReport


def plot(report: StagesReport, path: Path) -> None:
    """Write the picture. Raises: see `save`."""
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
    save(figure, path)
