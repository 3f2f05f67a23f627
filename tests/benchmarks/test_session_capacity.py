"""How the number of sessions is searched and judged; on a clock that only the network moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from fakes import FakeBackend

from s2v.benchmarks.our_network import batch_of, identities
from s2v.benchmarks.report import Spread
from s2v.benchmarks.session_capacity import WARM_UP_S, Trial, in_one_loop, largest, runner_of, through_batcher
from s2v.engine.backends.base import Part, Tensors
from s2v.engine.backends.batcher import BatchingBackend
from s2v.spec import LipSyncSpec, Network

FRAME_S = 0.04


class Clock:
    """Seconds that pass only when somebody lets them."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.s += seconds


def tried(sessions: int, run_s: float, row_s: float, max_rows: int = 8) -> tuple[Trial, list[Sequence[int]]]:
    """A network that takes `run_s` for a batch and `row_s` for each of its rows."""
    clock, batches = Clock(), list[Sequence[int]]()

    def run(chosen: Sequence[int]) -> None:
        batches.append(list(chosen))
        clock.s += run_s + row_s * len(chosen)

    return in_one_loop(run, sessions, FRAME_S, max_rows, 1.0, clock, clock.sleep), batches


def test_each_session_has_its_frames_in_turn_and_lateness_counts_from_when_they_were_due() -> None:
    trial, batches = tried(4, run_s=0.005, row_s=0.0)
    drawn = [session for batch in batches for session in batch]
    assert drawn == [n % 4 for n in range(len(drawn))] and len(drawn) == (1.0 + WARM_UP_S) * 100
    assert trial.carried and trial.rows_a_batch == 1.0
    assert trial.late_ms.n == 4 * 25 and trial.late_ms.p99 == pytest.approx(5.0, abs=0.01)


def test_a_busy_network_finds_several_frames_waiting_and_never_two_of_one_session() -> None:
    trial, batches = tried(3, run_s=0.030, row_s=0.0)
    assert trial.rows_a_batch is not None and 2 < trial.rows_a_batch <= 3
    assert all(len(set(batch)) == len(batch) <= 3 for batch in batches)
    _, small = tried(16, run_s=0.004, row_s=0.002, max_rows=4)
    assert max(map(len, small)) == 4


def test_a_network_that_falls_behind_is_given_up() -> None:
    trial, batches = tried(10, run_s=0.0, row_s=0.012)  # 120 ms of work every 40
    assert not trial.carried and trial.late_ms.p99 is not None and trial.late_ms.p99 > 40
    assert sum(map(len, batches)) < (1.0 + WARM_UP_S) * 250
    late, _ = tried(1, run_s=0.0, row_s=0.0399)
    assert late.carried
    later, _ = tried(2, run_s=0.041, row_s=0.0)
    assert not later.carried, "keeps up, but every frame is too old"


def attempt(capacity: int, asked: list[int]) -> Callable[[int], Trial]:
    def run(sessions: int) -> Trial:
        asked.append(sessions)
        return Trial(sessions, Spread.of([1.0]), 1.0, sessions <= capacity)

    return run


@pytest.mark.parametrize(("capacity", "most"), [(0, 64), (1, 64), (5, 64), (37, 64), (64, 64), (1000, 4096), (100, 64)])
def test_the_largest_number_is_found_to_a_sixteenth(capacity: int, most: int) -> None:
    asked: list[int] = []
    found = largest(attempt(capacity, asked), most)
    real = min(capacity, most)
    assert found.carried <= real <= found.carried + max(1, found.carried // 16)
    assert len(asked) <= 20 and len(set(asked)) == len(asked) and max(asked) <= most
    assert (found.best is None) == (real == 0) and (found.first_failed is None) == (capacity >= most)
    assert found.best is None or found.best.sessions == found.carried


class Resident(FakeBackend):
    """Takes the parts of several sessions, as backends with a device do."""

    def __init__(self, spec: LipSyncSpec) -> None:
        super().__init__(spec)
        self.parts: list[int] = []

    def infer_parts(self, parts: Sequence[Part]) -> Tensors:
        self.parts.append(len(parts))
        faces = {name: np.concatenate([face[name] for _, face in parts]) for name in parts[0][1]}
        return self.infer(np.concatenate([mfcc for mfcc, _ in parts]), faces)


@pytest.mark.parametrize("network", ["s2v", "speech2vid"])
def test_parts_are_handed_over_where_they_can_be_and_stacked_elsewhere(network: Network) -> None:
    results = []
    spec = LipSyncSpec.of(network)
    resident = Resident(spec)
    for backend in (FakeBackend(spec), resident):
        _, faces = batch_of(backend.spec, identities(backend), 5)
        run = runner_of(backend, faces)
        outputs = run([4, 0, 3])
        assert isinstance(outputs, dict) and backend.batches[-1] == 3
        results.append(outputs["motion" if network == "s2v" else "pixels"].copy())
    np.testing.assert_array_equal(*results)
    assert resident.parts == [3]


def test_threads_go_through_the_batcher_and_all_of_them_end() -> None:
    """A real batcher on a fake network. How many frames came, never how fast."""
    import threading

    running = threading.active_count()
    shared = BatchingBackend(FakeBackend)
    try:
        faces = [{name: rows[:1] for name, rows in identities(shared.view()).items()} for _ in range(3)]
        trial = through_batcher(shared, faces, 3, FRAME_S, 0.2)
        assert trial.sessions == 3 and trial.late_ms.n == 3 * (
            round((0.2 + WARM_UP_S) / FRAME_S) - round(WARM_UP_S / FRAME_S)
        )
        assert trial.rows_a_batch is not None and trial.rows_a_batch >= 1
    finally:
        shared.close()
    assert threading.active_count() == running


def test_a_network_that_fails_ends_the_trial() -> None:
    shared = BatchingBackend(lambda: FakeBackend(LipSyncSpec.of("speech2vid")))
    faces = [{name: rows[:1] for name, rows in identities(shared.view()).items()}]
    shared_faces = [{name: rows[:, :3] for name, rows in face.items()} for face in faces]  # no such identity
    try:
        trial = through_batcher(shared, shared_faces, 1, FRAME_S, 0.2)
        assert not trial.carried and trial.late_ms.n == 0
    finally:
        shared.close()
