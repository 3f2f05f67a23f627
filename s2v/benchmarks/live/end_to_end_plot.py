"""The delay of a call from click to click, how it is spread, and how far voice and picture lie apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure  # not pyplot: a figure of its own draws without a display

from s2v.benchmarks.live.end_to_end import EndToEndReport
from s2v.benchmarks.plots import save

VOICE, PICTURE, SKEW = "#6baed6", "#08519c", "#d95f02"


def plot(report: EndToEndReport, path: Path) -> None:
    """Write the picture. Raises: see `save`."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    (delay, delays), (skew, skews) = figure.subplots(2, 2, width_ratios=(3, 1), height_ratios=(2, 1), sharey="row")
    ages_ms = [age_ms for click in report.each for age_ms in click[1:] if age_ms is not None]
    bins = np.histogram_bin_edges(ages_ms, 40)
    for label, column, colour in (("voice", 1, VOICE), ("picture", 2, PICTURE)):
        heard = [(click[0], age_ms) for click in report.each if (age_ms := click[column]) is not None]
        delay.plot(*zip(*heard, strict=True), ".", markersize=4, color=colour, label=label)
        delays.hist([age_ms for _, age_ms in heard], bins, orientation="horizontal", color=colour, alpha=0.6)
    delay.axhline(report.goal["picture_p95_ms"], color="black", linewidth=0.8, linestyle="--", label="goal at p95")
    delay.set_ylabel("delay, ms")
    delay.set_ylim(bottom=0)
    delay.legend(loc="lower right", fontsize=8)
    both = [(at_s, picture - voice) for at_s, voice, picture in report.each if None not in (voice, picture)]  # type: ignore[operator]
    skew.plot(*zip(*both, strict=True), ".", markersize=4, color=SKEW)
    skews.hist([apart for _, apart in both], 40, orientation="horizontal", color=SKEW)
    for sign in (-1, 1):
        skew.axhline(sign * report.goal["skew_p95_ms"], color="black", linewidth=0.8, linestyle="--")
    skew.set_ylabel("picture - voice, ms")
    skew.set_xlabel("seconds into the call")
    skews.set_xlabel("clicks")
    for axis in (delay, delays, skew, skews):
        axis.grid(alpha=0.3)
    size = f"{report.width_px}x{report.height_px}"
    lossy = f", loss {report.loss:g}, jitter {report.jitter_ms:g} ms" if report.loss or report.jitter_ms else ""
    figure.suptitle(f"{size}, {report.backend}, {report.clicks} clicks{lossy}\n{report.machine['cpu']}", fontsize=9)
    save(figure, path)
