"""Some of many things, spread evenly over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def evenly(things: Sequence[T], most: int) -> list[T]:
    """At most `most` of them in their order, the first and the last among them; all, if there are no more."""
    picks = np.linspace(0, len(things) - 1, min(most, len(things))).round().astype(int)
    return [things[pick] for pick in picks]
