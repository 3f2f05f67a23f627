"""What `s2v bench soak` found: what grows while callers come and go, as a table and as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from s2v.benchmarks.report import Spread, machine, table, versions

LEAST_POINTS = 4  # for a slope
MEMORY_GROWS = 0.05  # of what it was, over the whole run; caches and arenas fill by less
SKEW_GROWS_MS = 10.0
_SAID = {True: "yes", False: "NO", None: "too short a run to tell"}
SETTLING = 0.25  # of the run


@dataclass(frozen=True)
class Trend:
    """How one quantity goes over the run."""

    n: int
    first: float | None
    last: float | None
    lowest: float | None
    highest: float | None
    slope_per_hour: float | None  # least squares; None of fewer than LEAST_POINTS
    error_per_hour: float | None  # standard error of the slope
    grows: bool  # the slope is above twice its error, and what it adds over the run is above what is allowed

    @classmethod
    def of(cls, points: Sequence[tuple[float, float]], allowed: float) -> Trend:
        """Args: points: (seconds, value), in order. allowed: growth over all of them that is none."""
        if not points:
            return cls(0, None, None, None, None, None, None, False)
        at_s, values = np.array(points, float).T
        slope = error = None
        if len(points) >= LEAST_POINTS and at_s[-1] > at_s[0]:
            centred = at_s - at_s.mean()
            per_s = float(centred @ values / (centred @ centred))
            left = values - values.mean() - per_s * centred
            error_per_s = float(np.sqrt(left @ left / (len(points) - 2) / (centred @ centred)))
            slope, error = round(3600 * per_s, 3), round(3600 * error_per_s, 3)
        added = 0.0 if slope is None else slope / 3600 * float(at_s[-1] - at_s[0])
        grows = slope is not None and error is not None and slope > 2 * error and added > allowed
        first, last, lowest, highest = (
            round(float(value), 3) for value in (*values[[0, -1]], values.min(), values.max())
        )
        return cls(len(points), first, last, lowest, highest, slope, error, grows)

    def row(self) -> tuple[object, ...]:
        cells = self.n, self.first, self.last, self.lowest, self.highest, self.slope_per_hour, self.error_per_hour
        return (*cells, "GROWS" if self.grows else "steady" if self.slope_per_hour is not None else None)


@dataclass(frozen=True)
class Sample:
    """What the server held at a moment."""

    at_s: float  # from the run's begin on
    callers: int  # 0: at rest
    rss_mb: float | None
    tasks: int
    descriptors: int | None
    threads: int | None


@dataclass(frozen=True)
class CallOutcome:
    """One call of the run."""

    at_s: float  # when it ended
    seconds: float  # connected
    fps: float
    picture_p95_ms: float | None
    skew_ms: float | None  # median of picture minus voice
    refused: bool = False
    failed: str | None = None


@dataclass(frozen=True)
class SoakReport:
    minutes: float
    callers: int
    width_px: int
    height_px: int
    backend: str
    rounds: int
    calls: list[CallOutcome]
    samples: list[Sample]
    server_cores: float
    trends: dict[str, Trend]
    steady: bool | None  # nothing grows, and no call failed; None: too few rounds to tell
    machine: dict[str, str | int | float] = field(default_factory=machine)
    versions: dict[str, str] = field(default_factory=versions)

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    def as_text(self) -> str:
        head = ("quantity", "n", "first", "last", "lowest", "highest", "slope/hour", "+-", "")
        done = [call for call in self.calls if call.failed is None and not call.refused]
        refused = sum(call.refused for call in self.calls)
        failed = [call.failed for call in self.calls if call.failed is not None]
        fps = Spread.of(call.fps for call in done)
        age = Spread.of(call.picture_p95_ms for call in done if call.picture_p95_ms is not None)
        return "\n".join(
            [
                table(head, ((name, *trend.row()) for name, trend in self.trends.items())),
                "",
                f"{len(self.calls)} calls in {self.rounds} rounds, {refused} refused, {len(failed)} failed; pictures a "
                f"second: median {fps.p50}; p95 of a picture's age: median {age.p50} ms, worst {age.highest}",
                f"server {self.server_cores:g} cores; {self.width_px}x{self.height_px}, {self.backend}, up to "
                f"{self.callers} callers at once, {self.minutes:g} minutes",
                f"steady: {_SAID[self.steady]} (at rest is after each round, when all have hung up)",
                *(f"failed: {reason}" for reason in sorted(set(failed))),
                "; ".join(f"{name} {value}" for name, value in self.machine.items()),
            ]
        )


def trends_of(samples: Sequence[Sample], calls: Sequence[CallOutcome]) -> dict[str, Trend]:
    """Of what is held at rest, of memory during calls, and of the calls' skew.

    The beginning of the run is left out, and so is the first rest: caches fill, and pools start their threads.
    """
    from_s = SETTLING * max((one.at_s for one in samples), default=0.0)
    rests = [one for one in [one for one in samples if one.callers == 0][1:] if one.at_s >= from_s]
    busy = [(one.at_s, one.rss_mb) for one in samples if one.callers and one.rss_mb is not None and one.at_s >= from_s]
    memory = [(one.at_s, one.rss_mb) for one in rests if one.rss_mb is not None]
    skews = [(call.at_s, abs(call.skew_ms)) for call in calls if call.skew_ms is not None]

    def at_rest(name: str) -> list[tuple[float, float]]:
        return [(one.at_s, float(getattr(one, name))) for one in rests if getattr(one, name) is not None]

    return {
        "memory at rest, MB": Trend.of(memory, MEMORY_GROWS * memory[0][1] if memory else 0.0),
        "memory in calls, MB": Trend.of(busy, MEMORY_GROWS * busy[0][1] if busy else 0.0),
        "tasks at rest": Trend.of(at_rest("tasks"), 1.0),
        "descriptors at rest": Trend.of(at_rest("descriptors"), 1.0),
        "threads at rest": Trend.of(at_rest("threads"), 1.0),
        "skew of a call, ms": Trend.of(skews, SKEW_GROWS_MS),
    }


def verdict(trends: Mapping[str, Trend], calls: Sequence[CallOutcome]) -> bool | None:
    """Whether nothing grows and no call failed; None where nothing is wrong, but too few rounds are over to tell."""
    if any(trend.grows for trend in trends.values()) or any(call.failed is not None for call in calls):
        return False
    return True if trends["tasks at rest"].slope_per_hour is not None else None
