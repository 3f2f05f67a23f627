"""What a face's behaviour can be asked for, checked where it comes from outside."""

from __future__ import annotations

from typing import cast, get_args

import numpy as np

from s2v.engine.behaviour.mood import Mood
from s2v.errors import S2vError

# Liveliness: how much of what the conversation moves is shown.
LEAST, USUAL, MOST = 0.0, 1.0, 1.5


def check_liveliness(value: object) -> float:
    """The value as a float. Raises: S2vError, it is no number, or outside LEAST to MOST."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool) and LEAST <= value <= MOST:
        return float(value)
    raise S2vError(f"liveliness is {value!r:.40}: give a number from {LEAST:g} to {MOST}, {USUAL:g} is as it is")


def check_mood(value: object) -> Mood:
    """The value as it is. Raises: S2vError, it is no mood."""
    if isinstance(value, str) and value in get_args(Mood):
        return cast(Mood, value)
    raise S2vError(f"mood is {value!r:.40}: choose one of {', '.join(get_args(Mood))}")
