"""Short movements: a target that jumps up, is held for a moment and jumps back; springs make a movement of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pulse:
    """A height, in the unit of what is moved, from one moment to another."""

    begins_s: float
    ends_s: float
    height: float


class Pulses:
    """Those under way and those to come; together they are as high as the one that goes furthest, up or down."""

    def __init__(self) -> None:
        self._pulses: list[Pulse] = []

    def add(self, pulses: Iterable[Pulse]) -> None:
        """Take more of them in."""
        self._pulses.extend(pulses)

    def at(self, t_s: float) -> float:
        """Their height at a moment; moments never go back: what is over is forgotten."""
        if not self._pulses:
            return 0.0
        self._pulses = [one for one in self._pulses if one.ends_s > t_s]
        return max((one.height for one in self._pulses if one.begins_s <= t_s), key=abs, default=0.0)
