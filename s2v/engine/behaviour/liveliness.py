"""How much a face moves besides its lips: a share of what its behaviour asks of head, brows and gaze."""

from __future__ import annotations

import numpy as np

from s2v.errors import S2vError

LEAST, USUAL, MOST = 0.0, 1.0, 1.5


def check_liveliness(value: object) -> float:
    """The value as a float. Raises: S2vError, it is no number, or outside LEAST to MOST."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool) and LEAST <= value <= MOST:
        return float(value)
    raise S2vError(f"liveliness is {value!r:.40}: give a number from {LEAST:g} to {MOST}, {USUAL:g} is as it is")
