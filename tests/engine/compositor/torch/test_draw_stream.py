from __future__ import annotations

import gc

import pytest

torch = pytest.importorskip("torch", reason="the optional torch runtime is not installed")

from s2v.engine.backends.torch.device import CpuDevice  # noqa: E402 - it needs torch
from s2v.engine.compositor.torch.draw_stream import LANES, Lane, lane_of, next_lane  # noqa: E402


def test_a_device_has_one_lane_as_long_as_somebody_uses_it() -> None:
    """A second one would believe that it alone queues on the device's stream."""
    one, other = CpuDevice(), CpuDevice()
    lane = lane_of(one)
    assert lane_of(one) is lane
    assert lane.side is one
    assert lane_of(other) is not lane
    del lane
    gc.collect()
    assert lane_of(one).side is one


def test_work_beside_is_done_when_it_is_waited_for() -> None:
    done = []
    joined = Lane(CpuDevice()).beside(lambda: done.append(1) or len(done))
    assert joined() == 1
    assert done == [1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_lanes_of_a_gpu_are_few_and_their_streams_are_their_own() -> None:
    lanes = [next_lane() for _ in range(3 * LANES)]
    assert len({id(lane) for lane in lanes}) == LANES
    assert len({lane.side.stream.cuda_stream for lane in lanes}) == LANES


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_work_beside_runs_on_another_stream_and_is_waited_for() -> None:
    lane = next_lane()
    with lane.lock, lane.side.running():
        streams, total = set(), torch.zeros(1, device=lane.side.device)
        for step in range(50):

            def work(step: int = step) -> torch.Tensor:
                streams.add(torch.cuda.current_stream().cuda_stream)
                return torch.full((1 << 20,), float(step), device=lane.side.device).mean(0, keepdim=True)

            joined = lane.beside(work)
            total += joined()
        lane.side.wait()
        assert total.item() == sum(range(50))
    assert lane.side.stream is not None
    assert lane.side.stream.cuda_stream not in streams
