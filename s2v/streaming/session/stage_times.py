"""Where the milliseconds of a live session go, measured all the time: a few additions a frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal, get_args

Stage = Literal["capture", "window", "network", "compose", "playout", "encode"]
STAGES: tuple[Stage, ...] = get_args(Stage)
KEPT = 250  # of each stage: ten seconds of frames at 25 fps


class StageTimes:
    """The newest times of each stage of one session, in the order in which sound becomes a picture.

    capture: from a chunk's last sample reaching this machine to the chunk being handed over.
    window: from a frame's own audio being handed over until it is drawn: the look-ahead, the rest of the
        chunk, and waiting for the thread. network, compose: the engine's two halves. playout: a finished
        frame waits until its audio is heard; what is left of the playout delay. encode: from handing a picture to the
        connection until it asks for the next, which includes sending.

    Their sum is how old a sound is when its picture leaves the machine. Used on the event loop only.
    """

    def __init__(self, observe: Callable[[Stage, float], None] | None = None) -> None:
        """`observe` is told of every single time, in seconds, by stage."""
        self._observe = observe
        self._kept: dict[Stage, deque[float]] = {stage: deque(maxlen=KEPT) for stage in STAGES}

    def add(self, stage: Stage, seconds: float) -> None:
        self._kept[stage].append(seconds)
        if self._observe is not None:
            self._observe(stage, seconds)

    def means_ms(self) -> dict[str, float]:
        """Mean of each stage that has been seen, in milliseconds."""
        return {stage: round(1000 * sum(kept) / len(kept), 2) for stage, kept in self._kept.items() if kept}

    def p95_ms(self) -> dict[str, float]:
        """What 19 of 20 stayed within, of each stage that has been seen, in milliseconds."""
        return {
            stage: round(1000 * sorted(kept)[-(-19 * len(kept) // 20) - 1], 2)
            for stage, kept in self._kept.items()
            if kept
        }
