"""One thing that `s2v doctor` looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """A `warn` takes away comfort or an option, a `fail` stops `live` or `generate`."""

    name: str
    state: State
    found: str
    next_step: str = ""
