"""Which of a file's sound to take: the track on which somebody speaks, and one channel where two would cancel out.

What is best is known only when a track has been heard, so a file is read again where something else is better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from s2v.engine.audio.voice_activity import BLOCK_S, VoiceActivity, levels_db
from s2v.errors import S2vError
from s2v.media.container import UnreadableError

SPEAKS_S = 0.3  # of speech over quiet: less is a knock or a breath
SPEAKS_DB = 3.5  # what speech in noise as loud as itself varies by; noise alone varies by 1 to 3 (docs/LOG.md)
_PIECE_S = 60  # at a time: levels are computed in several times the memory
_LEVEL_S, _ABOVE_S = 0.04, 0.005  # a level for each syllable's part; of what changes within 5 ms, no hum or rumble
_FLOOR_DB = -65.0  # what is quieter is silence


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
    """Whether mono sound (n,) in [-1, 1] may be speech: neither silence nor noise that stays as it is."""
    return speech_s(pcm, rate_hz) >= SPEAKS_S or varies_by_db(pcm, rate_hz) >= SPEAKS_DB


def varies_by_db(pcm: NDArray[np.float32], rate_hz: int) -> float:
    """How much louder the loudest twentieth of mono sound (n,) in [-1, 1] is than its quietest; 0 for silence."""
    found = [level_db for some in _levels_db(pcm, rate_hz, _LEVEL_S) for level_db in some]
    if not found:
        return 0.0
    low_db, high_db = np.quantile(np.maximum(found, _FLOOR_DB), [0.05, 0.95])
    return float(high_db - low_db)


def speech_s(pcm: NDArray[np.float32], rate_hz: int) -> float:
    """Seconds of mono sound (n,) in [-1, 1] that stand out from its own noise as speech does."""
    activity = VoiceActivity()
    return BLOCK_S * sum(activity.hears(level_db) for some in _levels_db(pcm, rate_hz, BLOCK_S) for level_db in some)


def _levels_db(pcm: NDArray[np.float32], rate_hz: int, block_s: float) -> Iterator[list[float]]:
    """Levels of blocks, less hum and rumble, a minute after the other; what is left over at the end is not heard."""
    size, around = round(block_s * rate_hz), round(_ABOVE_S * rate_hz)
    for first in range(0, len(pcm), _PIECE_S * rate_hz):
        piece = pcm[first : first + _PIECE_S * rate_hz].astype(np.float64)
        sums = np.cumsum(np.concatenate([[0.0], piece]))
        means = (sums[around:] - sums[:-around]) / around
        high = piece[around // 2 : around // 2 + len(means)] - means
        yield levels_db(high[: len(high) // size * size].reshape(-1, size).astype(np.float32))


def _read_well(read: Callable[[SoundChoice], Some], choice: SoundChoice) -> tuple[Some, SoundChoice]:
    """A track, and once more if something of it must be left out."""
    reading = read(choice)
    better = reading.better_choice()
    if better == choice:
        return reading, choice
    return read(better), better
