from __future__ import annotations

import threading

import numpy as np
import pytest
from fakes import drawn_face

pytest.importorskip("torch", reason="the optional torch runtime is not installed")
import torch
from both_compositors import SPEC
from poses import pose_at
from torch_frames import Spoken, compositor, difference, some_outputs

from s2v.engine.backends.torch.device import TorchCpuDevice
from s2v.engine.compositor.torch.compositor import TorchCompositor
from s2v.engine.compositor.torch.draw_stream import DrawStream
from s2v.errors import BackendError
from s2v.spec import LipSyncSpec


def test_outputs_may_stay_on_the_device(spoken: dict[str, Spoken]) -> None:
    one = spoken["bundled"]
    ours = compositor(one, True)
    resident = {name: torch.from_numpy(rows) for name, rows in one.outputs[60].items()}
    np.testing.assert_array_equal(ours.draw(resident, pose_at(60)), ours.draw(one.outputs[60], pose_at(60)))


@pytest.mark.parametrize("resident", [False, True])
def test_outputs_may_be_float16(spoken: dict[str, Spoken], resident: bool) -> None:
    one = spoken["bundled"]
    ours = compositor(one, True)
    half = {name: rows.astype(np.float16) for name, rows in one.outputs[60].items()}
    wanted = ours.draw({name: rows.astype(np.float32) for name, rows in half.items()}, pose_at(60))
    given = {name: torch.from_numpy(rows) for name, rows in half.items()} if resident else half
    np.testing.assert_array_equal(ours.draw(given, pose_at(60)), wanted)
    assert difference(wanted, ours.draw(one.outputs[60], pose_at(60))) < 0.05


def test_frames_belong_to_the_caller(spoken: dict[str, Spoken]) -> None:
    one = spoken["bundled"]
    ours = compositor(one, False)
    first = ours.draw(one.outputs[60], pose_at(60))
    kept = first.copy()
    ours.draw(one.outputs[30], pose_at(30))
    np.testing.assert_array_equal(first, kept)
    first[:] = 0
    np.testing.assert_array_equal(ours.draw(one.outputs[60], pose_at(60)), kept)


def test_several_threads_may_draw_with_one(spoken: dict[str, Spoken]) -> None:
    one = spoken["closed"]
    ours = compositor(one, True)
    frames = [0, 30, 41, 60, 100, 140]
    wanted = {index: ours.draw(one.outputs[index], pose_at(index)) for index in frames}
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(3):
            if not np.array_equal(ours.draw(one.outputs[index], pose_at(index)), wanted[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in frames]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_outputs_of_another_shape_are_refused() -> None:
    ours = TorchCompositor(drawn_face(SPEC), SPEC, False, DrawStream(TorchCpuDevice()))
    with pytest.raises(BackendError, match=r"motion has the shape \(1, 3\), the frames need \(1, 10\)"):
        ours.draw({"motion": np.zeros((1, 3), np.float32), "tract": np.zeros((1, 5), np.float32)})
    with pytest.raises(BackendError, match=r"tract has the shape \(1, 3\), the frames need \(1, 5\)"):
        ours.draw({"motion": np.zeros((1, 10), np.float32), "tract": np.zeros((1, 3), np.float32)})


def test_networks_that_put_out_pixels_are_left_to_the_cpu() -> None:
    spec = LipSyncSpec.of("speech2vid")
    with pytest.raises(BackendError, match="speech2vid is drawn on the CPU"):
        TorchCompositor(drawn_face(spec), spec, False, DrawStream(TorchCpuDevice()))


def test_times_are_of_as_many_runs_as_asked_for() -> None:
    ours = TorchCompositor(drawn_face(SPEC), SPEC, True, DrawStream(TorchCpuDevice()))
    outputs = some_outputs()
    for times_ms in (ours.compose_ms(outputs, 3), ours.gpu_ms(outputs, 3)):
        assert len(times_ms) == 3
        assert min(times_ms) > 0
    assert ours.device_memory_bytes > ours.still.nbytes
