"""Blinks in a curve of the lids' opening: how often, and how long the lids close, stay shut and open.

Seen at 25 frames a second, each crossing by a straight line between two frames: a single duration is good to a frame.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s2v.training.evaluation.measures.head.curves import Curve
from s2v.training.evaluation.measures.metrics import runs

_LID_SHUT = 0.65  # of the open lids: what goes below is a blink, not a glance downwards
_LID_OPEN = 0.85
_LONGEST_S = 0.8  # eyes that stay shut are no blink
_DEEP, _SHALLOW = 0.2, 0.8  # of the way: shut below the first, open above the second


class SeenBlink(NamedTuple):
    """One blink, in seconds."""

    at_s: float  # when the lids are lowest
    closing_s: float
    shut_s: float
    opening_s: float


def blinks(lid: Curve, fps: int) -> list[SeenBlink]:
    """Args: lid: (n,) opening in any unit. Blinks that a clip's ends cut are left out."""
    window = max(1, round(2 * fps))
    wide = np.array([np.quantile(lid[max(0, i - window) : i + window + 1], 0.8) for i in range(len(lid))])
    share = lid / np.maximum(wide, 1e-9)
    found = []
    for start, end in runs(share < _LID_OPEN):
        cut = start == 0 or end == len(lid)
        if cut or share[start:end].min() > _LID_SHUT or end - start > _LONGEST_S * fps:
            continue
        low = start + int(share[start:end].argmin())
        deep, shallow = (share[low] + (1 - share[low]) * way for way in (_DEEP, _SHALLOW))
        # The first crossings on either side, going away from the lowest frame.
        shuts, opens = _crossing(share, low, -1, deep), _crossing(share, low, 1, deep)
        begins, ends = _crossing(share, low, -1, shallow), _crossing(share, low, 1, shallow)
        found.append(SeenBlink(low / fps, (shuts - begins) / fps, (opens - shuts) / fps, (ends - opens) / fps))
    return found


def _crossing(curve: Curve, at: int, way: int, level: float) -> float:
    """Where a curve first rises above a level, in frames, going from frame `at` one way; the end if it never does."""
    index = at
    while 0 <= index + way < len(curve):
        if curve[index + way] >= level:
            rise = curve[index + way] - curve[index]
            return index + way * float((level - curve[index]) / rise) if rise > 0 else float(index)
        index += way
    return float(index)
