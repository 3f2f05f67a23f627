"""Steady small offsets of the face by mood: how it looks before it says anything."""

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


MOODS: dict[Mood, Expression] = {
    "neutral": Expression(),
    "friendly": Expression(brows=0.008, corners=0.022, cheeks=0.30, widen=-0.03),
    "serious": Expression(brows=-0.016, corners=-0.010, cheeks=0.0, widen=-0.06),
}
