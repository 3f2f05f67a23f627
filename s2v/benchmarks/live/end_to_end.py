"""How old a face is when it is seen: clicks through a real call, from the microphone to the decoded picture.

A caller with its own process, clock and decoder rings a server over WebRTC on loopback and says speech with
clicks. A click's age is taken where a player could begin to play it: at the voice's decoded packet, and at the
decoded picture that belongs to it. What a browser's jitter buffer adds on a real network is not in it; it delays
voice and picture alike.
"""

from __future__ import annotations

import asyncio
import bisect
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from s2v.benchmarks.live.server_process import Ready, ServerUnderTest, serving
from s2v.benchmarks.report import Spread, machine, stolen_cores, stolen_s, table, versions
from s2v.errors import StreamError

if TYPE_CHECKING:
    from s2v.benchmarks.live.receiver import ReceivedCall

WARM_UP_S = 5.0  # clicks before it are not counted: the clock settles, the encoder finds its rate
OLDEST_S = 1.0  # clicks are at least this far apart: an older one could not be told from the next
BEYOND_LOOK_AHEAD_MS = 100.0  # the goal, at the 95th percentile
SKEW_MS = 20.0


@dataclass(frozen=True)
class EndToEndConfig:
    served: ServerUnderTest
    seconds: float = 60.0  # of counted clicks, after the warm-up
    loss: float = 0.0
    jitter_s: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class EndToEndReport:
    """Times in milliseconds, from the moment a sound is at the microphone."""

    seconds: float
    width_px: int
    height_px: int
    backend: str
    loss: float
    jitter_ms: float
    look_ahead_ms: float
    clicks: int  # said after the warm-up
    voice_ms: Spread
    picture_ms: Spread
    skew_ms: Spread  # picture minus voice, of clicks of which both came
    skew_size_ms: Spread  # the same without its sign
    drift_ms: float | None  # the voice's median age in the last quarter minus that in the first
    frames_received: int
    goal: dict[str, Any]
    server: dict[str, Any]  # the session's own counters and stages, as it told its page last
    each: list[tuple[float, float | None, float | None]]  # second of each click, age of its voice and its picture, ms
    machine: dict[str, str | int | float] = field(default_factory=machine)
    versions: dict[str, str] = field(default_factory=versions)

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    def as_text(self) -> str:
        spreads = {
            "voice": self.voice_ms,
            "picture": self.picture_ms,
            "picture - voice": self.skew_ms,
            "without sign": self.skew_size_ms,
        }
        rows = [(name, s.p50, s.p95, s.p99, s.highest, f"{s.n}/{self.clicks}") for name, s in spreads.items()]
        means, p95 = self.server.get("stages_ms", {}), self.server.get("stages_p95_ms", {})
        counters = {name: value for name, value in self.server.items() if isinstance(value, int)}
        return "\n".join(
            [
                table(("milliseconds", "p50", "p95", "p99", "max", "clicks"), rows),
                "",
                table(("server's stages, ms", "mean", "p95"), [(name, means[name], p95.get(name)) for name in means]),
                "",
                f"goal: picture {self.goal['picture_p95_ms']:g} ms at p95 (look-ahead {self.look_ahead_ms:g} + "
                f"{BEYOND_LOOK_AHEAD_MS:g}), skew within {SKEW_MS:g}: {'met' if self.goal['met'] else 'MISSED'}",
                f"drift of the voice's delay over the call: {self.drift_ms} ms",
                f"{self.width_px}x{self.height_px}, {self.backend}, loss {self.loss:g}, jitter {self.jitter_ms:g} ms, "
                f"{self.seconds:g} s; " + ", ".join(f"{name} {value}" for name, value in counters.items()),
                "; ".join(f"{name} {value}" for name, value in self.machine.items()),
            ]
        )


def measure(config: EndToEndConfig, progress: Callable[[float], object] | None = None) -> EndToEndReport:
    """Start a server, ring it, count, hang up, end the server.

    Args:
        progress: told the seconds said so far, now and then.
    Raises: S2vError, the server cannot be started or refuses the call. StreamError, nothing was found.
    """
    from s2v.benchmarks.live.caller import call
    from s2v.benchmarks.live.network_emulation import loopback_only

    loopback_only()
    with serving(config.served) as server:
        seconds, stolen_before_s = WARM_UP_S + config.seconds, stolen_s()
        heard = asyncio.run(call(server.ready.url, seconds, config.loss, config.jitter_s, config.seed, progress))
    report = report_of(config, server.ready, heard)
    if (stolen := stolen_cores(stolen_before_s, stolen_s(), seconds)) is not None:
        report.machine["stolen_cores"] = stolen  # what a virtual machine's host gave to others meanwhile
    return report


def report_of(config: EndToEndConfig, ready: Ready, heard: ReceivedCall) -> EndToEndReport:
    """Put clicks said and clicks received together.

    Raises: StreamError, no click came back.
    """
    said = [said_s for said_s in heard.said if said_s >= heard.began_s + WARM_UP_S]
    voices = ages(said, heard.voice)
    pictures = ages(said, heard.picture)
    if not voices or not pictures:
        raise StreamError(
            f"{len(said)} clicks were said, {len(voices)} heard and {len(pictures)} seen within {OLDEST_S:g} s: "
            "free the machine, or make --size smaller"
        )
    skews = [1000 * (pictures[at] - voices[at]) for at in sorted(pictures.keys() & voices.keys())]
    picture, skew_size = Spread.of(1000 * age for age in pictures.values()), Spread.of(map(abs, skews))
    allowed_ms = 1000 * ready.look_ahead_s + BEYOND_LOOK_AHEAD_MS
    quarter = len(voices) // 4
    in_order = [1000 * voices[at] for at in sorted(voices)]
    first, last = Spread.of(in_order[:quarter]).p50, Spread.of(in_order[-quarter:] if quarter else []).p50
    return EndToEndReport(
        seconds=config.seconds,
        width_px=ready.width_px,
        height_px=ready.height_px,
        backend=ready.backend,
        loss=config.loss,
        jitter_ms=round(1000 * config.jitter_s, 3),
        look_ahead_ms=round(1000 * ready.look_ahead_s, 3),
        clicks=len(said),
        voice_ms=Spread.of(1000 * age for age in voices.values()),
        picture_ms=picture,
        skew_ms=Spread.of(skews),
        skew_size_ms=skew_size,
        drift_ms=None if first is None or last is None else round(last - first, 2),
        frames_received=heard.frames,
        goal={
            "picture_p95_ms": round(allowed_ms, 3),
            "skew_p95_ms": SKEW_MS,
            "met": (picture.p95 or 0.0) <= allowed_ms and (skew_size.p95 or 0.0) <= SKEW_MS,
        },
        server={name: value for name, value in heard.server.items() if name != "state"},
        each=[(round(at - heard.began_s, 3), _ms(voices.get(at)), _ms(pictures.get(at))) for at in said],
    )


def ages(said: list[float], came: list[tuple[float, float]]) -> dict[float, float]:
    """How long after being said each click came.

    Args:
        said: moments, ascending. came: (moment, how far what came lies from the click's begin), in seconds; a
            picture may show the moment 30 ms before the click, and is due that much earlier.
    Returns: moment said -> age in seconds, of those that came within `OLDEST_S`.
    """
    found: dict[float, float] = {}
    for moment_s, offset_s in came:
        index = bisect.bisect_right(said, moment_s - offset_s) - 1
        if index >= 0 and (age_s := moment_s - offset_s - said[index]) < OLDEST_S:
            found.setdefault(said[index], age_s)
    return found


def _ms(age_s: float | None) -> float | None:
    return None if age_s is None else round(1000 * age_s, 2)
