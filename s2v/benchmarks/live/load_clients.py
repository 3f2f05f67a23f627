"""Many callers at once, in processes of their own: they join one after the other, and report after they have hung up.

They keep what comes and decode it when all is over (`receiver.keep`): a caller then costs little but its packets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from s2v.benchmarks.live.caller import BusyError, ClickMicrophone, connected
from s2v.benchmarks.live.child_process import child, next_word
from s2v.benchmarks.live.click_track import click_track
from s2v.benchmarks.live.receiver import ReceivedCall, RecordedCall, decode, keep
from s2v.bundled import BUNDLED_VOICE
from s2v.errors import StreamError
from s2v.media.audio_file import PLAYBACK_HZ, read_audio

CALLERS_A_PROCESS = 8  # one event loop in Python takes some 200 packets a second of each
JOIN_EVERY_S = 0.3
SETTLE_S = 5.0  # from the last one's coming: clocks settle, playout delays find their size
LAST_CLICK_S = 1.5  # all stay on the line so long after the last counted click
START_WITHIN_S = 60.0
JOIN_WITHIN_S = 25.0  # of each: more than `caller.CONNECT_WITHIN_S`
DECODE_WITHIN_S = 300.0  # a busy core decodes some 100 pictures a second


@dataclass
class Caller:
    """What one caller met."""

    number: int
    heard: ReceivedCall = field(default_factory=ReceivedCall)
    pictures_s: list[float] = field(default_factory=list)  # when each picture was complete, from the call's begin on
    refused: str | None = None  # why the server, being full, did not let it in
    retry_after: str | None = None  # what it was told then
    failed: str | None = None  # why its call did not come about, or ended before it should
    before: dict[str, Any] = field(default_factory=dict)  # the session's counters at the window's begin ...
    after: dict[str, Any] = field(default_factory=dict)  # ... and at its end


@dataclass(frozen=True)
class LoadClients:
    """All callers of one step."""

    callers: list[Caller]
    from_s: float  # the counted window, by `time.monotonic`
    to_s: float
    cpu_s: float  # processor time of all callers' processes in it


@dataclass(frozen=True)
class _Order:
    url: str
    numbers: tuple[int, ...]
    longest_s: float  # how much there is to say
    seed: int


def gather(url: str, callers: int, seconds: float, at_ends: Callable[[], object], seed: int = 0) -> LoadClients:
    """Let `callers` call at once, and count for `seconds` when all are in.

    Args: at_ends: called at the begin of these seconds, and at their end.
    Raises: StreamError, a process of callers does not do what it should. Callers' own errors are in what is returned.
    """
    longest_s = callers * JOIN_EVERY_S + JOIN_WITHIN_S + SETTLE_S + seconds + LAST_CLICK_S
    numbers = range(callers)
    with ExitStack() as stack:
        pipes = [
            stack.enter_context(child(_call_all, _Order(url, tuple(some), longest_s, seed)))
            for some in (numbers[first : first + CALLERS_A_PROCESS] for first in range(0, callers, CALLERS_A_PROCESS))
        ]
        _all_say(pipes, "ready", START_WITHIN_S)
        for pipe in pipes:
            pipe.send(time.monotonic())
        _all_say(pipes, "in", callers * JOIN_EVERY_S + JOIN_WITHIN_S)
        from_s = time.monotonic() + SETTLE_S
        for pipe in pipes:
            pipe.send((from_s, from_s + seconds))
        for moment_s in (from_s, from_s + seconds):
            time.sleep(max(moment_s - time.monotonic(), 0.0))
            at_ends()
        late = f"the callers did not report within {DECODE_WITHIN_S:g} s: free the machine, or take fewer --seconds"
        told = [next_word(pipe, DECODE_WITHIN_S, late) for pipe in pipes]
    return LoadClients(
        [caller for some, _ in told for caller in some], from_s, from_s + seconds, sum(cpu_s for _, cpu_s in told)
    )


def _all_say(pipes: list[Connection], word: str, within_s: float) -> None:
    for pipe in pipes:
        said = next_word(pipe, within_s, f"a process of callers was not {word} within {within_s:g} s: free the machine")
        assert said == word


def _call_all(order: _Order, pipe: Connection) -> None:
    """A process of callers."""
    asyncio.run(_Callers(order, pipe).run())


class _Callers:
    def __init__(self, order: _Order, pipe: Connection) -> None:
        self._order = order
        self._pipe = pipe
        self._hang_up = asyncio.Event()
        self._callers = [Caller(number) for number in order.numbers]
        self._kept = [RecordedCall() for _ in order.numbers]
        self._settled = [asyncio.Event() for _ in order.numbers]  # in, or never will be

    async def run(self) -> None:
        speech = read_audio(BUNDLED_VOICE).pcm_48k
        seeds = [self._order.seed * 1000 + number for number in self._order.numbers]  # they do not click in step
        tracks = [click_track(speech, self._order.longest_s, PLAYBACK_HZ, seed) for seed in seeds]
        microphones = [(ClickMicrophone(pcm, None), onsets) for pcm, onsets in tracks]
        self._pipe.send("ready")
        began_s = await self._next_word()
        calls = [
            asyncio.create_task(self._call(index, began_s, microphone, onsets))
            for index, (microphone, onsets) in enumerate(microphones)
        ]
        for settled in self._settled:
            await settled.wait()
        self._pipe.send("in")
        from_s, to_s = await self._next_word()
        await asyncio.sleep(from_s - time.monotonic())
        cpu_s = time.process_time()
        for caller in self._callers:
            caller.before = caller.heard.server
        await asyncio.sleep(to_s - time.monotonic())
        cpu_s = time.process_time() - cpu_s
        for caller in self._callers:
            caller.after = caller.heard.server
        await asyncio.sleep(LAST_CLICK_S)
        self._hang_up.set()
        await asyncio.gather(*calls)
        for caller, kept in zip(self._callers, self._kept, strict=True):
            heard = decode(kept)
            caller.heard.voice, caller.heard.picture, caller.heard.frames = heard.voice, heard.picture, heard.frames
            caller.pictures_s = [came_s for came_s, _ in kept.pictures]
        self._pipe.send((self._callers, cpu_s))

    async def _next_word(self) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, self._pipe.recv)

    async def _call(self, index: int, began_s: float, microphone: ClickMicrophone, onsets: list[int]) -> None:
        caller, kept = self._callers[index], self._kept[index]

        def told(message: dict[str, Any]) -> None:
            caller.heard.server = message

        await asyncio.sleep(began_s + JOIN_EVERY_S * caller.number - time.monotonic())
        try:
            async with connected(self._order.url, microphone, lambda receiver: keep(receiver, kept), told) as over:
                caller.heard.began_s, caller.heard.said = microphone.began_s or 0.0, microphone.said(onsets)
                self._settled[index].set()
                leaving = asyncio.create_task(self._hang_up.wait())
                await asyncio.wait([leaving, over], return_when=asyncio.FIRST_COMPLETED)
                leaving.cancel()
                if over.done():
                    over.result()
        except BusyError as error:
            caller.refused, caller.retry_after = str(error), error.retry_after
        except StreamError as error:
            caller.failed = str(error)
        finally:
            self._settled[index].set()
