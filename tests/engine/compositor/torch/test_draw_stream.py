from __future__ import annotations

import gc

import pytest

pytest.importorskip("torch", reason="the optional torch runtime is not installed")
import torch

from s2v.engine.backends.torch.device import TorchCpuDevice
from s2v.engine.compositor.torch.draw_stream import N_DRAW_STREAMS, DrawStream, draw_stream_of, next_draw_stream


def test_a_device_has_one_lane_as_long_as_somebody_uses_it() -> None:
    """A second one would believe that it alone queues on the device's stream."""
    one, other = TorchCpuDevice(), TorchCpuDevice()
    draw_stream = draw_stream_of(one)
    assert draw_stream_of(one) is draw_stream
    assert draw_stream.device is one
    assert draw_stream_of(other) is not draw_stream
    del draw_stream
    gc.collect()
    assert draw_stream_of(one).device is one


def test_work_beside_is_done_when_it_is_waited_for() -> None:
    done: list[int] = []

    def work() -> int:
        done.append(1)
        return len(done)

    joined = DrawStream(TorchCpuDevice()).fork(work)
    assert joined() == 1
    assert done == [1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_lanes_of_a_gpu_are_few_and_their_streams_are_their_own() -> None:
    draw_streams = [next_draw_stream() for _ in range(3 * N_DRAW_STREAMS)]
    assert len({id(draw_stream) for draw_stream in draw_streams}) == N_DRAW_STREAMS
    streams = [draw_stream.device.stream for draw_stream in draw_streams]
    assert len({stream.cuda_stream for stream in streams if stream is not None}) == N_DRAW_STREAMS


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_work_beside_runs_on_another_stream_and_is_waited_for() -> None:
    draw_stream = next_draw_stream()
    with draw_stream.lock, draw_stream.device.running():
        streams, total = set(), torch.zeros(1, device=draw_stream.device.device)
        for step in range(50):

            def work(step: int = step) -> torch.Tensor:
                streams.add(torch.cuda.current_stream().cuda_stream)
                return torch.full((1 << 20,), float(step), device=draw_stream.device.device).mean(0, keepdim=True)

            joined = draw_stream.fork(work)
            total += joined()
        draw_stream.device.wait()
        assert total.item() == sum(range(50))
    assert draw_stream.device.stream is not None
    assert draw_stream.device.stream.cuda_stream not in streams
