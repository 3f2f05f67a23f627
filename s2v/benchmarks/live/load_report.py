"""What `s2v bench load` found, as tables and as one JSON object."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from s2v.benchmarks.report import Spread, machine, table, versions

FPS = 25
FRAMES_CARRIED = 0.95  # of its frames every caller must get ...
BEYOND_LOOK_AHEAD_MS = 200.0  # ... and pictures must not be older, at the 95th percentile
COUNTED = ("frames_drawn", "frames_late", "frames_dropped", "audio_skipped_ms", "underruns", "stalls")


@dataclass(frozen=True)
class StepReport:
    """So many callers at once; rates and shares are of those that were let in."""

    callers: int
    let_in: int
    refused: int  # the server was full, or too busy
    refusals: list[str]  # what they were told, each answer once
    failed: list[str]  # why calls did not come about or ended early
    fps: list[float]  # complete pictures a second of each caller, repeats included
    fps_mean: float | None
    fps_worst: float | None  # of the caller who got fewest
    missing: float | None  # share of all callers' frames that did not come
    missing_worst: float | None
    clicks: int
    picture_ms: Spread  # from a click at a microphone to its picture
    skew_size_ms: Spread
    longest_gap_ms: float | None  # between two pictures at any caller
    counters: dict[str, int]  # of all sessions, in the counted seconds
    playout_delay_ms: int | None  # the longest that a session holds back at the end
    stages_p95_ms: dict[str, float]  # of the session that was slowest in each, over its last seconds
    server_cores: float
    callers_cores: float
    stolen_cores: float | None  # what a virtual machine's host gave to others meanwhile
    rows_a_batch: float | None  # frames that went through the network at once
    rss_mb: float | None
    carried: bool

    def seen(self) -> tuple[object, ...]:
        picture = self.picture_ms
        return (
            *(self.callers, self.let_in, self.refused, len(self.failed), self.fps_mean, self.fps_worst),
            *(_percent(self.missing), _percent(self.missing_worst), picture.p50, picture.p95, picture.p99),
            *(f"{picture.n}/{self.clicks}", self.skew_size_ms.p95, self.longest_gap_ms),
            "yes" if self.carried else "NO",
        )

    def used(self) -> tuple[object, ...]:
        cores = self.server_cores, self.callers_cores, self.stolen_cores
        return (
            self.callers,
            *cores,
            self.rows_a_batch,
            self.rss_mb,
            self.playout_delay_ms,
            *(self.counters[name] for name in COUNTED),
        )


SEEN = (
    *("callers", "in", "refused", "failed", "fps", "worst", "missing", "worst", "p50 ms", "p95", "p99", "clicks"),
    *("skew p95", "gap ms", "carried"),
)
USED = (
    *("callers", "server", "callers'", "stolen", "rows/batch", "RSS MB", "delay ms"),
    *("drawn", "late", "dropped", "skipped ms", "underruns", "stalls"),
)


@dataclass(frozen=True)
class LoadReport:
    seconds: float
    width_px: int
    height_px: int
    backend: str
    look_ahead_ms: float
    max_sessions: int | None  # the server's limit; None: none
    carried: int  # the most callers let in at once whose calls were all smooth; 0: not even one
    limit_ms: float  # p95 of a picture's age in a step that is carried
    steps: list[StepReport]
    machine: dict[str, str | int | float] = field(default_factory=machine)
    versions: dict[str, str] = field(default_factory=versions)

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    def as_text(self) -> str:
        failed = sorted({reason for step in self.steps for reason in step.failed})
        refused = sorted({answer for step in self.steps for answer in step.refusals})
        full = max(self.steps, key=lambda step: step.callers)
        both = full.server_cores + full.callers_cores
        limit = "no limit" if self.max_sessions is None else f"at most {self.max_sessions} sessions"
        return "\n".join(
            [
                table(SEEN, (step.seen() for step in self.steps)),
                "",
                table(USED, (step.used() for step in self.steps)),
                "",
                f"carried: {self.carried} (every caller gets {FRAMES_CARRIED:.0%} of {FPS} pictures a second, no call "
                f"fails, and p95 stays under {self.limit_ms:g} ms, look-ahead {self.look_ahead_ms:g} + "
                f"{BEYOND_LOOK_AHEAD_MS:g})",
                *([] if not full.stolen_cores else [f"this machine's host gave {full.stolen_cores:g} cores to others"]),
                f"the callers themselves took {full.callers_cores:g} of {both:.2f} cores with {full.callers} of them; "
                "browsers elsewhere would not",
                f"the slowest session's stages with {full.callers} callers, p95 in ms: "
                + ", ".join(f"{name} {value:g}" for name, value in full.stages_p95_ms.items()),
                *(f"refused: {answer}" for answer in refused),
                *(f"failed: {reason}" for reason in failed),
                f"{self.width_px}x{self.height_px}, {self.backend}, {limit}, {self.seconds:g} s a step",
                "; ".join(f"{name} {value}" for name, value in self.machine.items()),
            ]
        )


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"
