"""Time of a batch against its size, of each runtime, with what the roofline allows."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure  # not pyplot: a figure of its own draws without a display

from s2v.benchmarks.gpu.report import GpuReport
from s2v.benchmarks.plots import save


def plot(report: GpuReport, path: Path) -> None:
    """Write the picture. Raises: see `save`."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axis = figure.subplots()
    for number, backend in enumerate(report.backends):
        colour, rows = f"C{number}", backend.batches
        for label, name, line in (("network", "network_ms", "o-"), ("clock", "wall_ms", "^:")):
            found = [(one.batch, p50) for one in rows if (p50 := getattr(one, name).p50)]
            if found:
                axis.plot(*zip(*found, strict=True), line, color=colour, markersize=4, label=f"{backend.name}, {label}")
        for label, name, line in (("roofline", "roofline_ms", "--"), ("layer by layer", "layered_ms", "-.")):
            least = [(one.batch, ms) for one in rows if (ms := getattr(one, name)) is not None]
            if least:
                axis.plot(
                    *zip(*least, strict=True), line, color=colour, linewidth=0.8, label=f"{backend.name}, {label}"
                )
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    for numbers in (axis.xaxis, axis.yaxis):
        numbers.set_major_formatter("{x:g}")
    axis.set_xlabel("frames in a batch")
    axis.set_ylabel("milliseconds a batch, median")
    axis.grid(alpha=0.3, which="both")
    axis.legend(fontsize=8)
    where = report.machine["cpu"] if report.device is None else report.device["name"]
    axis.set_title(f"{where}, {report.multiply_adds / 1e6:.1f} million multiply-adds a frame", fontsize=9)
    save(figure, path)
