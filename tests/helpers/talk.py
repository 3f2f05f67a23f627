"""Moments of a conversation that never sounded, tick by tick."""

from __future__ import annotations

from collections.abc import Iterator

from s2v.engine.behaviour.hearing.conversation import Moment, Role
from s2v.engine.behaviour.hearing.phrases import NO_PHRASE, Phrase
from s2v.engine.behaviour.hearing.prosody import SILENT, ProsodyTick


def moments(
    length_s: float,
    role: Role = "talking",
    accents: dict[int, float] | None = None,
    own: dict[int, Phrase] | None = None,
    other: dict[int, Phrase] | None = None,
    sound: ProsodyTick = SILENT,
) -> Iterator[Moment]:
    """Ticks of 10 ms, counted from 1, with what happens in some of them."""
    accents, own, other = accents or {}, own or {}, other or {}
    for tick in range(1, round(100 * length_s) + 1):
        phrase, heard = own.get(tick, NO_PHRASE), other.get(tick, NO_PHRASE)
        yield Moment(tick / 100, role, sound, accents.get(tick, 0.0), phrase, heard)
