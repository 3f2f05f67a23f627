"""Steady small offsets of the face by mood: how it looks before it says anything."""

from __future__ import annotations

from typing import Literal, cast, get_args

from s2v.errors import S2vError

Mood = Literal["neutral", "friendly", "serious"]


def check_mood(value: object) -> Mood:
    """The value as it is. Raises: S2vError, it is no mood."""
    if isinstance(value, str) and value in get_args(Mood):
        return cast(Mood, value)
    raise S2vError(f"mood is {value!r:.40}: choose one of {', '.join(get_args(Mood))}")
