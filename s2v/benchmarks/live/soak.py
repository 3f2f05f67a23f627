"""Whether a server that runs for long stays as it is: callers come and go, and what it holds is looked at.

In rounds: each caller rings after a while of its own, stays for a while of its own and hangs up, so that calls overlap
and end in any order. When the last has hung up the server is at rest: memory, tasks, descriptors and threads are
counted there, where they should come back to the same values round after round.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from s2v.benchmarks.live.child_process import child, next_word
from s2v.benchmarks.live.end_to_end import ages
from s2v.benchmarks.live.server_process import ServerUnderTest, Usage, serving
from s2v.benchmarks.live.soak_report import CallOutcome, Sample, SoakReport, trends_of, verdict
from s2v.benchmarks.report import Spread, machine
from s2v.errors import StreamError

if TYPE_CHECKING:
    from s2v.benchmarks.live.receiver import RecordedCall

RINGS_WITHIN_S = 8.0
STAYS_S = (8.0, 30.0)
SAMPLE_EVERY_S = 3.0
REST_S = 2.0  # freed memory is given back by then
ROUND_WITHIN_S = 240.0
SETTLED_S = 3.0  # of a call; clocks settle, playout delays find their size


@dataclass(frozen=True)
class SoakConfig:
    served: ServerUnderTest
    minutes: float = 30.0
    callers: int = 2  # at once, at most
    seed: int = 0


def measure(config: SoakConfig, progress: Callable[[float], object] = lambda _: None) -> SoakReport:
    """Start a server, let callers come and go until the time is over, end the server.

    Args: progress: called with how many seconds are over.
    Raises: S2vError, the server cannot be started, does not answer, or keeps sessions whose callers have gone.
    """
    busy = machine()  # before this benchmark is a part of the load
    samples: list[Sample] = []
    calls: list[CallOutcome] = []
    rounds = 0
    with serving(config.served) as server, child(_call_in_rounds, server.ready.url, config.seed) as pipe:
        began_s = time.monotonic()
        first = last = server.usage()

        def look(callers: int) -> Usage:
            usage = server.usage()
            samples.append(_sample(usage, began_s, callers))
            progress(usage.at_s - began_s)
            return usage

        while rounds == 0 or time.monotonic() - began_s < 60 * config.minutes:
            pipe.send(config.callers)
            ends_s = time.monotonic() + ROUND_WITHIN_S
            while not pipe.poll(SAMPLE_EVERY_S) and time.monotonic() < ends_s:
                look(server.sessions())
            late = f"the callers did not end a round within {ROUND_WITHIN_S:g} s: free the machine"
            calls += [replace(call, at_s=call.at_s - began_s) for call in next_word(pipe, 1.0, late)]
            server.wait_until_empty()
            time.sleep(REST_S)
            last = look(0)
            rounds += 1
    trends = trends_of(samples, calls)
    return SoakReport(
        minutes=round((last.at_s - began_s) / 60, 2),
        callers=config.callers,
        width_px=server.ready.width_px,
        height_px=server.ready.height_px,
        backend=server.ready.backend,
        rounds=rounds,
        calls=calls,
        samples=samples,
        server_cores=round((last.cpu_s - first.cpu_s) / max(last.at_s - first.at_s, 1e-3), 2),
        trends=trends,
        steady=verdict(trends, calls),
        machine=busy,
    )


def _sample(usage: Usage, began_s: float, callers: int) -> Sample:
    rss_mb = None if usage.rss_bytes is None else round(usage.rss_bytes / 2**20, 1)
    at_s = round(usage.at_s - began_s, 1)
    return Sample(at_s, callers, rss_mb, usage.tasks, usage.descriptors, usage.threads)


def _call_in_rounds(url: str, seed: int, pipe: Connection) -> None:
    """The callers' process: a round for each number that is sent, answered by how its calls went."""
    from s2v.bundled import BUNDLED_VOICE
    from s2v.media.audio_file import read_audio

    speech, dice = read_audio(BUNDLED_VOICE).pcm_48k, random.Random(seed)
    while True:
        try:
            callers = pipe.recv()
        except (EOFError, ConnectionError):  # the parent is gone
            return
        plans = [
            (dice.uniform(0, RINGS_WITHIN_S), dice.uniform(*STAYS_S), dice.randrange(10**6)) for _ in range(callers)
        ]
        pipe.send(asyncio.run(_round(url, speech, plans)))


async def _round(url: str, speech: Any, plans: list[tuple[float, float, int]]) -> list[CallOutcome]:
    return list(await asyncio.gather(*(_call(url, speech, *plan) for plan in plans)))


async def _call(url: str, speech: Any, rings_s: float, stays_s: float, seed: int) -> CallOutcome:
    """Ring, talk for a while, hang up, and look into what came."""
    from s2v.benchmarks.live.caller import BusyError, ClickMicrophone, connected
    from s2v.benchmarks.live.click_track import click_track
    from s2v.benchmarks.live.receiver import RecordedCall, keep
    from s2v.media.audio_file import PLAYBACK_HZ

    track, onsets = click_track(speech, stays_s, PLAYBACK_HZ, seed)
    microphone, kept = ClickMicrophone(track, None), RecordedCall()
    await asyncio.sleep(rings_s)
    try:
        async with connected(url, microphone, lambda receiver: keep(receiver, kept), lambda _: None) as over:
            done, _ = await asyncio.wait([over], timeout=stays_s)
            if done:
                over.result()
    except BusyError:
        return CallOutcome(time.monotonic(), 0.0, 0.0, None, None, refused=True)
    except StreamError as error:
        return CallOutcome(time.monotonic(), 0.0, 0.0, None, None, failed=str(error))
    ended_s = time.monotonic()
    said = [at_s for at_s in microphone.said(onsets) if at_s > (microphone.began_s or 0.0) + SETTLED_S]
    return await asyncio.to_thread(_outcome, kept, said, ended_s, stays_s)


def _outcome(kept: RecordedCall, said: list[float], ended_s: float, seconds: float) -> CallOutcome:
    """Args: said: when clicks were at the microphone, those to be counted."""
    from s2v.benchmarks.live.receiver import decode

    heard = decode(kept)
    seen, spoken = ages(said, heard.picture), ages(said, heard.voice)
    skews = [1000 * (seen[at_s] - spoken[at_s]) for at_s in seen.keys() & spoken.keys()]
    return CallOutcome(
        at_s=ended_s,
        seconds=round(seconds, 1),
        fps=round(len(kept.pictures) / seconds, 2),
        picture_p95_ms=Spread.of(1000 * age_s for age_s in seen.values()).p95,
        skew_ms=round(statistics.median(skews), 2) if skews else None,
    )
