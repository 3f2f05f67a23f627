"""How many sessions a network carries at 25 fps, when each frame must be done within a frame's time.

The frames of n sessions fall due one after the other, evenly over a frame's time, as those of callers do who came at
any moment. The network takes what is due as soon as it is free, as the batcher does. A frame is as old as the time
from its being due to its being done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from s2v.benchmarks.our_network import batch_of
from s2v.benchmarks.report import Spread
from s2v.engine.backends.base import Backend, Part, ResidentBackend, Tensors
from s2v.engine.backends.batcher import BackendView, BatchingBackend
from s2v.errors import BackendError

WARM_UP_S = 0.5  # of each trial, not counted
GIVE_UP_S = 1.0  # a frame this old: the trial has failed and ends
SHORTEST_SLEEP_S = 1e-5
BEGIN_IN_S = 0.05  # all threads have read their inputs by then
NEAR = 16  # searching ends when it is known to a sixteenth


@dataclass(frozen=True)
class Trial:
    """So many sessions, tried."""

    sessions: int
    late_ms: Spread  # from due to done
    rows_a_batch: float | None
    carried: bool


@dataclass(frozen=True)
class SessionsReport:
    carried: int  # 0: not even one
    best: Trial | None  # the trial with so many
    first_failed: Trial | None  # None: `most` was carried, there may be more
    most: int


def largest(attempt: Callable[[int], Trial], most: int) -> SessionsReport:
    """Double until a trial fails, then halve the gap."""
    best: Trial | None = None
    failed: Trial | None = None
    sessions = 1
    while True:
        trial = attempt(sessions)
        if trial.carried:
            best = trial
        else:
            failed = trial
        low, high = best.sessions if best else 0, failed.sessions if failed else most + 1
        if high - low <= max(1, low // NEAR) or low >= most:
            return SessionsReport(low, best, failed, most)
        sessions = (low + high) // 2 if failed else min(2 * low, most)


def in_one_loop(
    run: Callable[[Sequence[int]], object],
    sessions: int,
    frame_s: float,
    max_rows: int,
    seconds: float,
    clock_s: Callable[[], float] = time.perf_counter,
    sleep_s: Callable[[float], object] = time.sleep,
) -> Trial:
    """One thread, which is also the one that calls the network: what the network itself carries.

    Args: run: draws a frame of each of these sessions, at most `max_rows` of them.
    """
    gap_s = frame_s / sessions
    total = round((WARM_UP_S + seconds) / gap_s)
    most = min(max_rows, sessions)  # a session whose frame is in work has no second one
    late_s: list[float] = []
    done = batches = 0
    began_s = clock_s()
    while done < total:
        now_s = clock_s() - began_s
        ready = min(int(now_s / gap_s) + 1, total) - done
        if ready <= 0:
            sleep_s(max(done * gap_s - now_s, SHORTEST_SLEEP_S))  # rounding may make it nothing, or less
            continue
        rows = min(ready, most)
        run([index % sessions for index in range(done, done + rows)])
        now_s = clock_s() - began_s
        late_s += [now_s - index * gap_s for index in range(done, done + rows)]
        batches += 1
        done += rows
        if late_s[-1] > GIVE_UP_S:
            break
    counted = late_s[round(WARM_UP_S / gap_s) :]
    return _judged(sessions, counted, done == total, frame_s, round(done / batches, 2))


def through_batcher(
    shared: BatchingBackend, faces: Sequence[Tensors], sessions: int, frame_s: float, seconds: float
) -> Trial:
    """A thread for each session, as in `s2v live`: what one process of Python carries.

    Args: faces: at least as many identities, (1, ...) each.
    """
    late_s: list[list[float]] = [[] for _ in range(sessions)]
    gave_up, begun = threading.Event(), threading.Event()
    batches, rows = shared.batches, shared.rows
    frames = round((WARM_UP_S + seconds) / frame_s)
    began_s = [0.0]

    def live(index: int, view: BackendView) -> None:
        mfcc, _ = batch_of(shared.spec, faces[index], 1, seed=index % 16)
        begun.wait()
        for frame in range(frames):
            due_s = began_s[0] + (frame + index / sessions) * frame_s
            if gave_up.wait(max(due_s - time.perf_counter(), 0.0)):
                break
            try:
                view.infer(mfcc, faces[index])
            except BackendError:
                gave_up.set()
                break
            late_s[index].append(time.perf_counter() - due_s)
            if late_s[index][-1] > GIVE_UP_S:
                gave_up.set()
        view.close()

    threads = [
        threading.Thread(target=live, args=(index, shared.view()), name=f"session-{index}") for index in range(sessions)
    ]
    started: list[threading.Thread] = []
    try:
        for thread in threads:
            thread.start()
            started.append(thread)
        began_s[0] = time.perf_counter() + BEGIN_IN_S
    except RuntimeError:  # so many threads cannot be had: that is a trial that failed, too
        gave_up.set()
    finally:
        begun.set()
        for thread in started:
            thread.join()
    skipped = round(WARM_UP_S / frame_s)
    runs = shared.batches - batches
    counted = [late for some in late_s for late in some[skipped:]]
    rows_a_batch = round((shared.rows - rows) / runs, 2) if runs else None
    return _judged(sessions, counted, not gave_up.is_set(), frame_s, rows_a_batch)


def runner_of(backend: Backend, faces: Tensors) -> Callable[[Sequence[int]], object]:
    """Draws frames of chosen sessions. Args: faces: row i is session i's; empty if the network needs none."""
    spec = backend.spec
    mfcc = batch_of(spec, faces, 16)[0]

    @cache
    def part(session: int) -> Part:
        """The same arrays in every call: that is how a backend knows a face again."""
        return mfcc[session % 16][None], {name: rows[session : session + 1] for name, rows in faces.items()}

    if isinstance(backend, ResidentBackend):
        return lambda chosen: backend.infer_parts([part(index) for index in chosen])

    def stacked(chosen: Sequence[int]) -> object:
        at = list(chosen)
        return backend.infer(mfcc[[index % 16 for index in at]], {name: rows[at] for name, rows in faces.items()})

    return stacked


def _judged(sessions: int, late_s: list[float], ended: bool, frame_s: float, rows_a_batch: float | None) -> Trial:
    late_ms = Spread.of((1000 * late for late in late_s), digits=3)
    in_time = late_ms.p99 is not None and late_ms.p99 < 1000 * frame_s
    return Trial(sessions, late_ms, rows_a_batch, ended and in_time)
