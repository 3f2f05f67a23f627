"""Which of a file's sound to take: the track on which somebody speaks, and one channel where two would cancel out.

What is best is known only when a track has been heard, so a file is read again where something else is better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from s2v.engine.audio.voice_activity import BLOCK_S, VoiceActivity, levels_db
from s2v.errors import S2vError
from s2v.media.container import UnreadableError

_SPEAKS_S = 0.3  # of speech: less is a knock or a breath
_PIECE_BLOCKS = 6000  # a minute at a time: levels are computed in twice the memory


@dataclass(frozen=True)
class SoundChoice:
    """What of a file's sound is taken."""

    track: int = 0  # of those that can be decoded, the best one first
    channel: int | None = None  # of two that cancel out; None: all of them, mixed
    ceiling: float | None = None  # at which samples are cut off, see `Levels.ceiling`

    @property
    def note(self) -> str:
        """What somebody who made the file does not expect, or ""."""
        notes = []
        if self.track:
            notes.append("nobody speaks on its first sound track, so another one is taken")
        if self.channel is not None:
            side = ("left", "right")[self.channel]
            notes.append(f"its two channels cancel each other out, so the {side} one alone is taken")
        return "; ".join(notes)


class Reading(Protocol):
    """A sound track that has been read."""

    @property
    def pcm(self) -> NDArray[np.float32]: ...  # (n,) mono
    @property
    def n_tracks(self) -> int: ...  # of the file
    def better_choice(self) -> SoundChoice: ...  # of the same track


Some = TypeVar("Some", bound=Reading)


def best_reading(read: Callable[[SoundChoice], Some], rate_hz: int) -> tuple[Some, SoundChoice]:
    """Read a file's sound so often as it takes: once, if the best track can be taken as it is and somebody speaks.

    Raises: what `read` raises of the best track.
    """
    first = _read_well(read, SoundChoice())
    if first[0].n_tracks > 1 and not somebody_speaks(first[0].pcm, rate_hz):
        for track in range(1, first[0].n_tracks):
            try:
                other = _read_well(read, SoundChoice(track))
            except (UnreadableError, S2vError):  # it cannot be better then
                continue
            if somebody_speaks(other[0].pcm, rate_hz):
                return other
    return first


def somebody_speaks(pcm: NDArray[np.float32], rate_hz: int) -> bool:
    """Whether mono sound (n,) in [-1, 1] stands out from its own noise as speech does, for a third of a second."""
    return speech_s(pcm, rate_hz) >= _SPEAKS_S


def speech_s(pcm: NDArray[np.float32], rate_hz: int) -> float:
    """Seconds of mono sound (n,) in [-1, 1] that stand out from its own noise as speech does."""
    size = round(BLOCK_S * rate_hz)
    blocks = pcm[: len(pcm) // size * size].reshape(-1, size)
    activity, heard = VoiceActivity(), 0
    for first in range(0, len(blocks), _PIECE_BLOCKS):
        heard += sum(activity.hears(level_db) for level_db in levels_db(blocks[first : first + _PIECE_BLOCKS]))
    return heard * BLOCK_S


def _read_well(read: Callable[[SoundChoice], Some], choice: SoundChoice) -> tuple[Some, SoundChoice]:
    """A track, and once more if something of it must be left out."""
    reading = read(choice)
    better = reading.better_choice()
    if better == choice:
        return reading, choice
    return read(better), better
