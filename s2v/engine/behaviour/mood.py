"""Steady small offsets of the face by mood: how it looks before it says anything.

A photo that smiles already, or that has no room, takes less of them: the compositor's `ExpressionRoom` sees to that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mood = Literal["neutral", "friendly", "serious"]


@dataclass(frozen=True)
class Expression:
    """Offsets in the units of `FacePose`."""

    brows: float = 0.0  # face units up
    corners: float = 0.0  # face units up and out
    cheeks: float = 0.0  # 0..1 raised
    widen: float = 0.0  # share of the eye's opening


# Looked at on fourteen faces: with corners of 0.022 half of them seemed neutral, from 0.045 on some grin.
MOODS: dict[Mood, Expression] = {
    "neutral": Expression(),
    "friendly": Expression(brows=0.008, corners=0.035, cheeks=0.5),
    "serious": Expression(brows=-0.022, corners=-0.014, widen=-0.12),
}
