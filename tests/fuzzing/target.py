"""What is fuzzed: where inputs come from, how they are changed, and what takes them."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzzing.mutation import Mutator

Change = Callable[[Mutator, bytes, list[bytes]], bytes]


def changed_bytes(mutator: Mutator, data: bytes, others: list[bytes]) -> bytes:
    return mutator.changed(data, others)


def wav() -> bytes:
    """A fifth of a second of sound as a file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(struct.pack("<h", 9000) * 3200)
    return out.getvalue()


@dataclass(frozen=True)
class Target:
    """One kind of input."""

    name: str
    seeds: Callable[[], list[bytes]]  # inputs that are taken
    attempt: Callable[[bytes, Path], None]  # takes one, in an empty folder: works, or raises an S2vError
    change: Change = changed_bytes
    tokens: tuple[bytes, ...] = ()
    deadline_s: float = 20.0
    names: tuple[str, ...] = ()  # files that an attempt may leave in its folder
