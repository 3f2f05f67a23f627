"""How many calls one server carries, and what happens to running calls beyond that.

Step by step, more callers speak clicks and speech to one server over WebRTC on loopback; counted is what comes after
all are in and their sessions have settled. Callers work on the same cores: sending, receiving and decrypting packets
takes their share, which is reported (`callers_cores`); in real use browsers elsewhere pay it. Pictures are decoded
when a step is over; a click's picture is as old as when its last packet came, plus the time that decoding took then.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s2v.benchmarks.live.end_to_end import ages
from s2v.benchmarks.live.load_report import BEYOND_LOOK_AHEAD_MS, COUNTED, FPS, FRAMES_CARRIED, LoadReport, StepReport
from s2v.benchmarks.live.server_process import Ready, Server, ServerUnderTest, Usage, serving
from s2v.benchmarks.report import Spread, machine, stolen_cores

if TYPE_CHECKING:
    from s2v.benchmarks.live.load_clients import Caller, LoadClients

MOST = 8  # where rising ends by default


@dataclass(frozen=True)
class LoadConfig:
    served: ServerUnderTest
    sessions: tuple[int, ...] | None = None  # callers of each step; None rises from 1 until a step is not carried ...
    most: int = MOST  # ... at most to this many
    seconds: float = 15.0  # counted of each step
    seed: int = 0


def measure(
    config: LoadConfig, begins: Callable[[int], object] = lambda _: None, ended: Callable[[], object] = lambda: None
) -> LoadReport:
    """Start a server, let more and more call, end the server.

    Args: begins: told how many will call, before each step. ended: called after each.
    Raises: S2vError, the server cannot be started, stands still, or keeps sessions whose callers have gone.
    """
    steps: list[StepReport] = []
    busy = machine()  # before this benchmark is a part of the load
    with serving(config.served) as server:
        for callers in config.sessions or range(1, config.most + 1):
            begins(callers)
            steps.append(_step(server, callers, config.seconds, config.seed + len(steps)))
            server.wait_until_empty()  # the next step must not meet what is left of this one
            ended()
            if config.sessions is None and not (steps[-1].carried and steps[-1].let_in == callers):
                break
    return report_of(config, server.ready, steps, busy)


def _step(server: Server, callers: int, seconds: float, seed: int) -> StepReport:
    from s2v.benchmarks.live.load_clients import gather

    used: list[Usage] = []
    clients = gather(server.ready.url, callers, seconds, lambda: used.append(server.usage()), seed)
    return report_of_step(server.ready, clients, *used)


def report_of(
    config: LoadConfig, ready: Ready, steps: list[StepReport], busy: dict[str, str | int | float]
) -> LoadReport:
    return LoadReport(
        seconds=config.seconds,
        width_px=ready.width_px,
        height_px=ready.height_px,
        backend=ready.backend,
        look_ahead_ms=round(1000 * ready.look_ahead_s, 3),
        max_sessions=ready.max_sessions,
        carried=max((step.let_in for step in steps if step.carried), default=0),
        limit_ms=_limit_ms(ready),
        steps=steps,
        machine=busy,
    )


def report_of_step(ready: Ready, clients: LoadClients, begin: Usage, end: Usage) -> StepReport:
    """Count what came in the clients' window. `begin` and `end`: the server's usage at its ends."""
    seconds = clients.to_s - clients.from_s
    talked = [caller for caller in clients.callers if caller.refused is None and caller.failed is None]
    failed = [caller.failed for caller in clients.callers if caller.failed is not None]
    counts = [sum(clients.from_s <= came_s < clients.to_s for came_s in caller.pictures_s) for caller in talked]
    missing = [max(1 - count / (FPS * seconds), 0.0) for count in counts]
    said = [[at_s for at_s in caller.heard.said if clients.from_s <= at_s < clients.to_s] for caller in talked]
    seen = [ages(moments, caller.heard.picture) for moments, caller in zip(said, talked, strict=True)]
    spoken = [ages(moments, caller.heard.voice) for moments, caller in zip(said, talked, strict=True)]
    skews = [
        1000 * abs(pictures[at_s] - voices[at_s])
        for pictures, voices in zip(seen, spoken, strict=True)
        for at_s in pictures.keys() & voices.keys()
    ]
    picture = Spread.of(1000 * age_s for pictures in seen for age_s in pictures.values())
    batches = end.batches - begin.batches
    smooth = max(missing, default=1.0) <= 1 - FRAMES_CARRIED and picture.p95 is not None
    return StepReport(
        callers=len(clients.callers),
        let_in=len(talked),
        refused=sum(caller.refused is not None for caller in clients.callers),
        refusals=sorted(
            {f"{caller.refused} (Retry-After: {caller.retry_after})" for caller in clients.callers if caller.refused}
        ),
        failed=failed,
        fps=[round(count / seconds, 2) for count in counts],
        fps_mean=round(sum(counts) / seconds / len(counts), 2) if counts else None,
        fps_worst=round(min(counts) / seconds, 2) if counts else None,
        missing=round(sum(missing) / len(missing), 4) if missing else None,
        missing_worst=round(max(missing), 4) if missing else None,
        clicks=sum(map(len, said)),
        picture_ms=picture,
        skew_size_ms=Spread.of(skews),
        longest_gap_ms=round(1000 * max(_longest_gap_s(caller, clients) for caller in talked), 1) if talked else None,
        counters={name: sum(_counted(caller, name) for caller in talked) for name in COUNTED},
        playout_delay_ms=max((caller.after["playout_delay_ms"] for caller in talked if caller.after), default=None),
        stages_p95_ms=_slowest([caller.after.get("stages_p95_ms", {}) for caller in talked]),
        server_cores=round((end.cpu_s - begin.cpu_s) / (end.at_s - begin.at_s), 2),
        callers_cores=round(clients.cpu_s / seconds, 2),
        stolen_cores=stolen_cores(begin.stolen_s, end.stolen_s, seconds),
        rows_a_batch=round((end.rows - begin.rows) / batches, 2) if batches else None,
        rss_mb=None if end.rss_bytes is None else round(end.rss_bytes / 2**20, 1),
        carried=smooth and not failed and (picture.p95 or 0.0) <= _limit_ms(ready),
    )


def _longest_gap_s(caller: Caller, clients: LoadClients) -> float:
    """Between two pictures, of which at least one came in the window; a call that stands still has no second one."""
    inside = [came_s for came_s in caller.pictures_s if clients.from_s <= came_s < clients.to_s]
    before = [came_s for came_s in caller.pictures_s if came_s < clients.from_s][-1:] or [clients.from_s]
    return max(later - earlier for earlier, later in itertools.pairwise([*before, *inside, clients.to_s]))


def _counted(caller: Caller, name: str) -> int:
    return int(caller.after.get(name, 0)) - int(caller.before.get(name, 0))


def _slowest(sessions: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(itertools.chain.from_iterable(sessions))
    return {name: max(stages[name] for stages in sessions if name in stages) for name in names}


def _limit_ms(ready: Ready) -> float:
    return round(1000 * ready.look_ahead_s + BEYOND_LOOK_AHEAD_MS, 3)
