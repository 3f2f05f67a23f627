from __future__ import annotations

import threading

import numpy as np
import pytest
from fakes import drawn_face

pytest.importorskip("torch", reason="the optional torch runtime is not installed")
import torch
from both_compositors import SPEC
from poses import pose_at
from torch_frames import difference, some_outputs

from s2v.engine.compositor.torch.compositor import TorchBatchCompositor, TorchCompositor
from s2v.engine.compositor.torch.draw_stream import next_draw_stream
from s2v.errors import BackendError

no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_a_gpu_there_is_no_draw_stream() -> None:
    with pytest.raises(BackendError, match="no CUDA device"):
        next_draw_stream()


@pytest.mark.gpu
@no_gpu
@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_gpu_draws_what_the_cpu_draws(moving: bool, compiled: bool) -> None:
    face = drawn_face(SPEC, (512, 512))
    ours = TorchCompositor(face, SPEC, moving, compiled=compiled)
    assert isinstance(getattr(ours._canvas._replay_eyes_open, "__self__", None), torch.cuda.CUDAGraph)
    for index in (0, 30, 77, 102):
        outputs = some_outputs(index)
        found = ours.draw(outputs, pose_at(index))
        assert difference(ours.on_cpu.draw(outputs, pose_at(index)), found) < 0.5
        resident = {name: torch.from_numpy(rows).cuda() for name, rows in outputs.items()}
        torch.cuda.current_stream().synchronize()
        np.testing.assert_array_equal(ours.draw(resident, pose_at(index)), found)


@pytest.mark.gpu
@no_gpu
def test_a_gpu_draws_a_batch_of_sessions_as_it_draws_each_alone() -> None:
    one = TorchCompositor(drawn_face(SPEC, (512, 512)), SPEC, True)
    rows = [some_outputs(k) for k in range(8)]
    together = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    frames = TorchBatchCompositor([one] * 8).draw(together, [pose_at(k) for k in range(0, 80, 10)])
    for k, row in enumerate(rows):
        assert np.abs(frames[k].astype(int) - one.draw(row, pose_at(10 * k))).max() <= 1


@pytest.mark.gpu
@no_gpu
def test_faces_may_be_made_while_others_are_drawn() -> None:
    """Recording in one thread does not disturb, or pick up, what others queue."""
    outputs = some_outputs()
    drawn = [TorchCompositor(drawn_face(SPEC, (256, 256)), SPEC, True) for _ in range(2)]
    wanted = drawn[0].draw(outputs, pose_at(50))
    stop, wrong = threading.Event(), []

    def work(compositor: TorchCompositor) -> None:
        while not stop.is_set():
            if not np.array_equal(compositor.draw(outputs, pose_at(50)), wanted):
                wrong.append(1)

    threads = [threading.Thread(target=work, args=(one,)) for one in drawn]
    for thread in threads:
        thread.start()
    try:
        made = [TorchCompositor(drawn_face(SPEC, (256, 256)), SPEC, True) for _ in range(8)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    for one in made:
        np.testing.assert_array_equal(one.draw(outputs, pose_at(50)), wanted)
