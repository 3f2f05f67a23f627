"""The TensorRT backend on a real GPU, where there is one."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the small test model is exported with torch")

from backend_comparison import close_to, copied, inputs
from fake_tensorrt_machine import real_gpu

from s2v.engine.backends import bundled_model, open_backend
from s2v.engine.backends.base import Backend
from s2v.engine.backends.tensorrt.backend import open_on
from s2v.engine.backends.tensorrt.build import BuildOptions
from s2v.engine.backends.tensorrt.engine_cache import EngineCache
from s2v.engine.backends.tensorrt.module import load_tensorrt
from s2v.errors import BackendError


@pytest.fixture
def real(tmp_path: Path) -> Callable[[], Backend]:
    """Opens the bundled model in fp16."""
    device = real_gpu()
    if device is None:
        pytest.skip("no NVIDIA GPU that can be used")
    try:
        tensorrt = load_tensorrt()
    except BackendError as error:
        pytest.skip(str(error))
    cache = EngineCache(tmp_path)
    return lambda: open_on(bundled_model(), 1, tensorrt, device, cache, BuildOptions("fp16", 8))


@pytest.mark.gpu
def test_a_real_gpu_draws_what_onnxruntime_draws(real: Callable[[], Backend]) -> None:
    backend, reference = real(), open_backend(None, "onnxruntime")
    for batch in (1, 4, 8, 11, 1):
        identity, mfcc = inputs(backend, batch, seed=batch)
        close_to(backend.infer(mfcc, identity), reference.infer(mfcc, identity), tolerance=0.05)
    backend.close()


@pytest.mark.gpu
def test_a_real_gpu_gets_its_memory_back(real: Callable[[], Backend]) -> None:
    device = real_gpu()
    assert device is not None
    free = []
    for _ in range(6):
        backend = real()
        for batch in range(1, 9):
            identity, mfcc = inputs(backend, batch)
            backend.infer(mfcc, identity)
        backend.close()
        del backend
        gc.collect()
        free.append(device.free_bytes())
    # the driver keeps what it loaded the first time
    assert free[-1] >= free[1] - 2 * 2**20


@pytest.mark.gpu
def test_two_real_backends_on_two_threads_do_not_disturb_each_other(real: Callable[[], Backend]) -> None:
    reference = open_backend(None, "onnxruntime")
    real().close()  # built once
    failures: list[BaseException] = []

    def draw(seed: int) -> None:
        try:
            backend = real()
            identity, mfcc = inputs(backend, 2, seed)
            wanted = copied(reference.infer(mfcc, identity)) if seed == 0 else None
            first = copied(backend.infer(mfcc, identity))
            for _ in range(200):
                close_to(backend.infer(mfcc, identity), first, tolerance=1e-3)
            if wanted is not None:
                close_to(first, wanted, tolerance=0.05)
            backend.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
