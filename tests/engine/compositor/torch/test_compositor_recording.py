from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the optional torch runtime is not installed")
import torch
from poses import pose_at
from recording_device import NoWaiting, RecordingDevice
from torch_frames import Spoken, compositor, telling

from s2v.engine.compositor.torch.compositor import TorchCompositor
from s2v.engine.compositor.torch.draw_stream import DrawStream
from s2v.engine.compositor.torch.drawing.draw import draw
from s2v.engine.compositor.torch.tables.face_tensors import face_tensors
from s2v.engine.compositor.torch.tables.frame_inputs import Inputs, PoseInputs


@pytest.mark.parametrize("moving", [False, True])
def test_a_recording_draws_every_frame(spoken: dict[str, Spoken], moving: bool) -> None:
    """As a CUDA graph would: no operator waits for the device, and no number of the first frame stays in."""
    one, device = spoken["smiling"], RecordingDevice()
    ours = TorchCompositor(one.face, one.spec, moving, DrawStream(device))
    assert device.recorded > 100
    plain = compositor(one, moving)
    for index in telling(one, ours.on_cpu):
        np.testing.assert_array_equal(
            ours.draw(one.outputs[index], pose_at(index)), plain.draw(one.outputs[index], pose_at(index))
        )


def test_the_watch_for_waiting_operators_sees_them() -> None:
    values = torch.arange(4.0)
    with NoWaiting():  # type: ignore[no-untyped-call]
        for waiting in (lambda: values[values > 1], lambda: values.sum().item(), lambda: torch.nonzero(values)):
            with pytest.raises(AssertionError, match="asks the device"):
                waiting()
        assert values.add(1).shape == (4,)


@pytest.mark.parametrize(("moving", "blinking"), [(False, False), (True, True)])
def test_a_drawing_is_one_program(spoken: dict[str, Spoken], moving: bool, blinking: bool) -> None:
    """torch can trace it in one piece: it never branches on what a tensor holds."""
    one = spoken["smiling"]
    ours = compositor(one, moving)
    pose = pose_at(30)
    rows = torch.from_numpy(PoseInputs(ours.on_cpu, ours.layout)(pose))[None]
    weights = torch.from_numpy(np.append(one.outputs[30]["motion"], 1).astype(np.float32))[None]
    tensors = face_tensors(ours.on_cpu.tables, ours.layout, torch.device("cpu"))
    frame = Inputs(rows, weights, torch.from_numpy(one.outputs[30]["tract"]))
    given = (tensors, ours.layout, frame, blinking)
    traced = torch.compile(draw, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(traced(*given), draw(*given))
