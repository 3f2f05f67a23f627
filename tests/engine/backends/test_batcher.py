from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from fakes import FakeBackend

from s2v.engine.backends.base import Backend, Part, Tensors
from s2v.engine.backends.batcher import BatchingBackend
from s2v.errors import BackendError, ModelError
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec.of("speech2vid")  # whose frames depend on the face, too


class GatedBackend(FakeBackend):
    """Stands still before each call while its gate is shut; tells which threads used it."""

    def __init__(self) -> None:
        super().__init__(SPEC)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.threads = {threading.get_ident()}

    def infer(self, mfcc: np.ndarray, identity: Tensors) -> Tensors:
        self.threads.add(threading.get_ident())
        self.entered.release()
        assert self.gate.wait(20)
        return super().infer(mfcc, identity)

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        super().close()


def shared(max_rows: int = 4, answer_within_s: float = 20.0) -> tuple[BatchingBackend, GatedBackend]:
    made: list[GatedBackend] = []

    def open_runtime() -> Backend:
        made.append(GatedBackend())
        return made[0]

    batching = BatchingBackend(open_runtime, max_rows, answer_within_s)
    made[0].batches.clear()
    while made[0].entered.acquire(blocking=False):
        pass
    return batching, made[0]


def windows(rows: int, seed: int, spec: LipSyncSpec = SPEC) -> np.ndarray:
    shape = (rows, 1, spec.n_cepstra, spec.n_columns)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def face(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 6, SPEC.face_px, SPEC.face_px), np.float32)


def copied(tensors: Tensors) -> Tensors:
    return {name: tensor.copy() for name, tensor in tensors.items()}


def until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.002)


def wait_for(batching: BatchingBackend, count: int) -> None:
    until(lambda: len(batching._waiting) == count)


@pytest.mark.parametrize("max_rows", [1, 3, 8])
def test_many_threads_get_exactly_their_own_rows(max_rows: int) -> None:
    batching, runtime = shared(max_rows)
    alone = FakeBackend(SPEC)

    def session(number: int) -> list[tuple[np.ndarray, Tensors, Tensors]]:
        random = np.random.default_rng(number)
        view, done = batching.view(), []
        identity = view.encode_face(face(number))
        for call in range(25):
            rows = int(random.integers(1, 5))
            mfcc = windows(rows, 1000 * number + call)
            faces = {name: np.repeat(tensor, rows, axis=0) for name, tensor in identity.items()}
            done.append((mfcc, faces, view.infer(mfcc, faces)))
            if random.random() < 0.3:
                time.sleep(random.random() * 0.003)
        view.close()
        return done

    with ThreadPoolExecutor(7) as pool:
        calls = [call for session_calls in pool.map(session, range(7)) for call in session_calls]
    for mfcc, faces, outputs in calls:  # long after: nothing was overwritten by a later batch
        for name, wanted in alone.infer(mfcc, faces).items():
            np.testing.assert_array_equal(outputs[name], wanted)
    assert max(runtime.batches) <= max(max_rows, 4), "only a request that is itself larger exceeds the maximum"
    assert batching.rows == sum(runtime.batches) and batching.batches == len(runtime.batches)
    batching.close()
    assert runtime.closed
    assert len(runtime.threads) == 1 and threading.get_ident() not in runtime.threads


def ask(
    batching: BatchingBackend, pool: ThreadPoolExecutor, seed: int, rows: int = 1
) -> tuple[Backend, Future[Tensors]]:
    """A view, and the future of what it asks."""
    view = batching.view()
    identity = {"identity": np.full((rows, 6), seed, np.float32)}
    return view, pool.submit(lambda: copied(view.infer(windows(rows, seed), identity)))


def test_what_waits_while_the_runtime_is_busy_goes_as_one_batch_in_order() -> None:
    batching, runtime = shared(max_rows=4)
    with ThreadPoolExecutor(8) as pool:
        runtime.gate.clear()
        first = ask(batching, pool, 0)[1]
        assert runtime.entered.acquire(timeout=20)
        others = []
        for number, rows in enumerate([1, 2, 2, 1]):  # 1 + 2 + 1 fit into four rows; the other 2 come after
            others.append(ask(batching, pool, number + 1, rows)[1])
            wait_for(batching, number + 1)
        runtime.gate.set()
        for future in (first, *others):
            future.result(20)
    assert runtime.batches == [1, 4, 2]
    batching.close()


def test_a_request_of_another_shape_is_refused_alone() -> None:
    batching, runtime = shared(max_rows=4)
    with ThreadPoolExecutor(8) as pool:
        runtime.gate.clear()
        first = ask(batching, pool, 0)[1]
        assert runtime.entered.acquire(timeout=20)
        view = batching.view()
        wrong = [
            pool.submit(view.infer, windows(1, 1)[..., 1:], {"identity": np.zeros((1, 6), np.float32)}),
            pool.submit(batching.view().infer, windows(2, 1), {"identity": np.zeros((1, 6), np.float32)}),
            pool.submit(batching.view().infer, windows(1, 1), {"face": np.zeros((1, 6), np.float32)}),
            pool.submit(batching.view().infer, "no array", {}),  # type: ignore[arg-type]
        ]
        right = [ask(batching, pool, number)[1] for number in (1, 2)]
        wait_for(batching, 6)
        runtime.gate.set()
        assert [len(future.result(20)["pixels"]) for future in (first, *right)] == [1, 1, 1]
        for future in wrong:
            with pytest.raises(BackendError, match="fake"):
                future.result(20)
    assert runtime.batches == [1, 2]
    batching.close()


def test_an_error_of_the_runtime_reaches_all_of_its_batch_and_nobody_else() -> None:
    class Failing(GatedBackend):
        def infer(self, mfcc: np.ndarray, identity: Tensors) -> Tensors:
            outputs = super().infer(mfcc, identity)
            if len(mfcc) == 2 and identity["identity"][0, 0]:
                raise RuntimeError("out of memory")
            return outputs

    runtime = Failing()
    batching = BatchingBackend(lambda: runtime, 4)
    while runtime.entered.acquire(blocking=False):
        pass
    with ThreadPoolExecutor(4) as pool:
        runtime.gate.clear()
        first = ask(batching, pool, 5)[1]
        assert runtime.entered.acquire(timeout=20)
        both = [ask(batching, pool, number)[1] for number in (1, 2)]
        wait_for(batching, 2)
        runtime.gate.set()
        assert len(first.result(20)["pixels"]) == 1
        for future in both:
            with pytest.raises(BackendError, match=r"fake failed: .*out of memory"):
                future.result(20)
        assert both[0].exception() is not both[1].exception(), "each thread raises its own"
        assert len(ask(batching, pool, 3)[1].result(20)["pixels"]) == 1, "the thread lives on"
    batching.close()


def test_closing_ends_those_who_wait_and_closes_the_runtime_after_what_it_does() -> None:
    batching, runtime = shared()
    with ThreadPoolExecutor(4) as pool:
        runtime.gate.clear()
        running = ask(batching, pool, 0)[1]
        assert runtime.entered.acquire(timeout=20)
        waiting = [ask(batching, pool, number)[1] for number in (1, 2)]
        wait_for(batching, 2)
        closing = pool.submit(batching.close)
        for future in waiting:
            with pytest.raises(BackendError, match="closed"):
                future.result(20)
        assert not runtime.closed
        runtime.gate.set()
        assert len(running.result(20)["pixels"]) == 1
        closing.result(20)
    assert runtime.closed and not batching._thread.is_alive()
    batching.close()
    with pytest.raises(BackendError, match="closed"):
        batching.view()


def test_a_closed_view_stops_waiting_and_the_others_go_on() -> None:
    batching, runtime = shared()
    with ThreadPoolExecutor(4) as pool:
        runtime.gate.clear()
        running = ask(batching, pool, 0)[1]
        assert runtime.entered.acquire(timeout=20)
        view, gone = ask(batching, pool, 1)
        stays = ask(batching, pool, 2)[1]
        wait_for(batching, 2)
        view.close()
        with pytest.raises(BackendError, match="closed"):
            gone.result(20)
        runtime.gate.set()
        assert len(running.result(20)["pixels"]) == len(stays.result(20)["pixels"]) == 1
        with pytest.raises(BackendError, match="view of fake is closed"):
            view.encode_face(face(0))
    assert runtime.batches == [1, 1]
    batching.close()


def test_a_runtime_that_hangs_is_not_waited_for_and_what_was_asked_is_forgotten() -> None:
    batching, runtime = shared(answer_within_s=0.2)
    runtime.gate.clear()
    views = [batching.view() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        identity = {"identity": np.zeros((1, 6), np.float32)}
        for future in [pool.submit(view.infer, windows(1, 0), identity) for view in views]:
            with pytest.raises(BackendError, match=r"not answered within 0\.2 s"):
                future.result(20)
    assert not batching._waiting
    runtime.gate.set()
    until(lambda: len(runtime.batches) == 1)  # of one row, or of those that came before it hung
    assert len(views[0].infer(windows(1, 0), identity)["pixels"]) == 1, "it can be used again once it answers"
    batching.close()


def test_a_runtime_that_cannot_be_opened_is_refused_with_its_own_error_and_leaves_no_thread() -> None:
    def refuse() -> Backend:
        raise ModelError("no such model")

    class Unfit(FakeBackend):
        def infer(self, mfcc: np.ndarray, identity: Tensors) -> Tensors:
            raise BackendError("the model does not run")

    threads, unfit = threading.active_count(), Unfit()
    with pytest.raises(ModelError, match="no such model"):
        BatchingBackend(refuse)
    with pytest.raises(BackendError, match="does not run"):
        BatchingBackend(lambda: unfit)
    assert unfit.closed
    until(lambda: threading.active_count() == threads)
    with pytest.raises(BackendError, match="0 rows"):
        BatchingBackend(FakeBackend, max_rows=0)


class ResidentRuntime(GatedBackend):
    """Takes the parts of several sessions as they are; has sizes as a GPU has."""

    batch_sizes: tuple[int, ...] = (1, 2, 4, 6, 8, 100)

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[list[Part]] = []

    def infer_parts(self, parts: Sequence[Part]) -> Tensors:
        self.parts.append(list(parts))
        faces = {"identity": np.concatenate([identity["identity"] for _, identity in parts])}
        return self.infer(np.concatenate([mfcc for mfcc, _ in parts]), faces)


def test_a_runtime_that_keeps_faces_gets_each_sessions_own_arrays() -> None:
    runtime = ResidentRuntime()
    batching = BatchingBackend(lambda: runtime, 4)
    runtime.parts.clear()
    while runtime.entered.acquire(blocking=False):
        pass
    identities = [{"identity": np.full((1, 6), number, np.float32)} for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        runtime.gate.clear()
        calls = [pool.submit(batching.view().infer, windows(1, 0), identities[0])]
        assert runtime.entered.acquire(timeout=20)
        calls += [pool.submit(batching.view().infer, windows(1, n), identities[n]) for n in (1, 2)]
        wait_for(batching, 2)
        runtime.gate.set()
        found = [call.result(20) for call in calls]
    assert [len(parts) for parts in runtime.parts] == [1, 2]
    handed = {id(identity["identity"]) for parts in runtime.parts for _, identity in parts}
    assert handed == {id(identity["identity"]) for identity in identities}, "the same arrays, not copies"
    for number, outputs in enumerate(found):
        for name, wanted in FakeBackend(SPEC).infer(windows(1, number), identities[number]).items():
            np.testing.assert_array_equal(outputs[name], wanted)
    batching.close()


def test_how_many_rows_a_run_has_is_the_runtimes_choice_and_only_its_sizes_are_tried() -> None:
    runtime, usual = ResidentRuntime(), FakeBackend()
    BatchingBackend(lambda: runtime).close()
    assert sorted(set(runtime.batches)) == [1, 2, 4, 6, 8, 100], "up to 64, which is padded to 100"
    BatchingBackend(lambda: usual).close()
    assert sorted(set(usual.batches)) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("network", ["s2v", "speech2vid"])
@pytest.mark.parametrize("name", ["openvino-f32", "onnxruntime", "torch-cpu"])
def test_a_batch_of_several_faces_equals_the_single_calls_in_a_real_runtime(name: str, network: str) -> None:
    pytest.importorskip("torch", reason="the small test model is exported with torch")
    from tiny_networks import tiny_model

    from s2v.engine.backends import open_backend

    path = tiny_model(network).path
    alone = open_backend(path, name)
    spec = alone.spec
    wanted = []
    for number in range(4):
        identity = copied(alone.encode_face(face(number)))
        wanted.append(copied(alone.infer(windows(1, number, spec), identity)))
    alone.close()
    batching = BatchingBackend(lambda: open_backend(path, name), 4)
    assert batching.spec == spec
    with ThreadPoolExecutor(4) as pool:

        def session(number: int) -> Tensors:
            view = batching.view()
            identity = view.encode_face(face(number))
            everyone.wait(20)
            return view.infer(windows(1, number, spec), identity)

        everyone = threading.Barrier(4)
        for _ in range(50):
            for outputs, single in zip(pool.map(session, range(4)), wanted, strict=True):
                for tensor in single:
                    np.testing.assert_allclose(outputs[tensor], single[tensor], rtol=1e-4, atol=1e-5)
            if batching.rows > batching.batches:
                break
    assert batching.rows > batching.batches, "some of them were stacked"
    batching.close()
