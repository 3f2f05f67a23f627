"""Questions about the shapes of speech and what lies between the lips, with the thresholds in one place.

They are asked where there is something to ask them of: phones for the classes, a smile for what is left of its teeth.
Targets stand between the model of release 0.2 and film of real talkers (docs/EVALUATE.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from s2v.training.evaluation.measures.phone_classes import ClassTable
from s2v.training.evaluation.measures.probes import Probe, at_least, at_most, between

WIDTH_SPREAD = (0.6, 1.2)  # deviation of the width over the film's
MIN_WIDTH = 0.58  # correlation with the film's
SPEED = (0.75, 1.25)  # of the lips while somebody speaks, over the film's
MIN_CLOSURES = 0.55  # of the frames that the film has closed
MIN_LIPS_MEET = 0.68  # share of P, B and M with closed lips
MAX_LIP_TO_TEETH = 0.050  # face units of opening at F and V
MAX_WIDTHS = {"W": -0.030, "UW UH": -0.020, "OW AO": -0.025}  # face units off the clip's median
MIN_SPOKEN = 10  # of a class: fewer say more about the sentence than about the network
DARK_SHARE = (0.15, 0.28)  # of open mouths, median face
MAX_GREY_REDNESS = 2.0  # |a*| anywhere within the lips of a grey photo
MAX_TEETH_LEFT = 0.02  # of a closed mouth
MIN_QUIET_SPREAD = 0.8  # deviation of the opening at -30 dB over that of the same voice as it is
MIN_LOUDER = 1.10  # opening of a raised voice over that of the same voice talking

Figures = Mapping[str, float]


def shape_probes(sets: Mapping[str, Sequence[Figures]], level: str) -> list[Probe]:
    """Width, speed and closures against film, each of the set that does worst.

    Args: sets: the figures of a set's clips. level: "drawn_" as drawn, "" as asked for.
    """
    how = "drawn" if level else "asked for"
    return _known(
        [
            between(f"width moves as far as film's, {how}, times", *_off(sets, f"{level}width_spread", WIDTH_SPREAD)),
            at_least(f"width follows the film, {how}, correlation", *_lowest(sets, f"{level}width", MIN_WIDTH)),
            between(f"lips as fast as the film's, {how}, times", *_off(sets, f"{level}speed", SPEED)),
            at_least(f"film closed, ours closed too, {how}, share", *_lowest(sets, f"{level}closures", MIN_CLOSURES)),
        ]
    )


def class_probes(table: ClassTable) -> list[Probe]:
    """Classes of phones over all clips, those spoken often enough."""
    spoken = {name: shapes for name, shapes in table.items() if len(shapes) >= MIN_SPOKEN}
    probes = []
    if "P B M" in spoken:
        probes.append(at_least("P B M: lips meet, share", spoken["P B M"].means[1], MIN_LIPS_MEET))
    if "F V" in spoken:
        probes.append(at_most("F V: lower lip at the teeth, opening", spoken["F V"].means[0], MAX_LIP_TO_TEETH))
    for name, limit in MAX_WIDTHS.items():
        if name in spoken:
            probes.append(at_most(f"{name}: rounded, width off the median", spoken[name].means[2], limit))
    return probes


def level_probes(sets: Mapping[str, Sequence[Figures]]) -> list[Probe]:
    """A quiet voice moves the lips nearly as far, a raised one farther: each of the set that does worst."""
    return _known(
        [
            at_least("voice at -30 dB moves as far, times", *_lowest(sets, "quiet_spread", MIN_QUIET_SPREAD)),
            at_least("raised voice opens wider, times", *_lowest(sets, "louder", MIN_LOUDER)),
        ]
    )


def interior_probes(faces: Mapping[str, Figures]) -> list[Probe]:
    """Inside of the mouths drawn on unseen faces: the median is dark enough, the worst grey and clean enough."""
    dark = [figures["dark_share"] for figures in faces.values() if "dark_share" in figures]
    grey = [(figures["grey_redness"], name) for name, figures in faces.items() if "grey_redness" in figures]
    left = [(figures["teeth_left"], name) for name, figures in faces.items() if "teeth_left" in figures]
    probes = []
    if dark:
        where = f"median of {len(dark)}" if len(dark) > 1 else ""
        probes.append(between("open mouths dark inside, share", float(np.median(dark)), *DARK_SHARE, where))
    if grey:
        probes.append(at_most("grey photo stays grey, largest |a*|", max(grey)[0], MAX_GREY_REDNESS, max(grey)[1]))
    if left:
        probes.append(at_most("teeth left of a smile when closed, share", max(left)[0], MAX_TEETH_LEFT, max(left)[1]))
    return probes


def _medians(sets: Mapping[str, Sequence[Figures]], key: str) -> list[tuple[float, str]]:
    """Median of each set's clips, of the sets that have the figure."""
    found = []
    for name, clips in sets.items():
        values = [figures[key] for figures in clips if key in figures and not np.isnan(figures[key])]
        if values:
            found.append((float(np.median(values)), name))
    return found


def _lowest(sets: Mapping[str, Sequence[Figures]], key: str, limit: float) -> tuple[float, float, str]:
    value, name = min(_medians(sets, key), default=(float("nan"), ""))
    return value, limit, name


def _off(
    sets: Mapping[str, Sequence[Figures]], key: str, limits: tuple[float, float]
) -> tuple[float, float, float, str]:
    """Of the set that is farthest out of its limits, as a factor, or nearest to being so."""
    low, high = limits

    def factor(found: tuple[float, str]) -> float:
        return max(low / max(found[0], 1e-9), found[0] / high)

    worst = max(_medians(sets, key), key=factor, default=(float("nan"), ""))
    return worst[0], low, high, worst[1]


def _known(probes: Sequence[Probe]) -> list[Probe]:
    """Those that could be asked."""
    return [probe for probe in probes if not np.isnan(probe.found)]
