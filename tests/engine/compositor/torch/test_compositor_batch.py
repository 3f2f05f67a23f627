from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes import drawn_face

pytest.importorskip("torch", reason="the optional torch runtime is not installed")
from both_compositors import SPEC
from poses import pose_at
from torch_frames import Spoken, compositor, some_outputs

from s2v.bundled import BUNDLED_FACE
from s2v.engine.backends.torch.device import TorchCpuDevice
from s2v.engine.behaviour.pose import AT_REST
from s2v.engine.compositor.torch.compositor import TorchBatchCompositor, TorchCompositor
from s2v.engine.compositor.torch.draw_stream import DrawStream
from s2v.engine.compositor.torch.tables.layout import is_empty
from s2v.engine.face.enrolment import enrol
from s2v.engine.face.photo import load_photo
from s2v.errors import BackendError


def test_a_batch_is_drawn_as_each_of_its_faces(spoken: dict[str, Spoken]) -> None:
    """Two faces of different places and sizes in the frame, one of them twice."""
    one, other = spoken["bundled"], spoken["closed"]
    singles = [compositor(one, True), compositor(other, True)]
    members = [singles[0], singles[1], singles[0]]
    face_batch = TorchBatchCompositor(members)
    for indices in ([30, 41, 102], [0, 60, 140]):
        owners = (one, other, one)
        rows = [owner.outputs[index] for owner, index in zip(owners, indices, strict=True)]
        together = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        for frame, member, row, index in zip(
            face_batch.draw(together, [pose_at(n) for n in indices]), members, rows, indices, strict=True
        ):
            assert np.abs(frame.astype(int) - member.draw(row, pose_at(index))).max() <= 1
    assert face_batch.device_memory_bytes > 2 * singles[0].device_memory_bytes
    assert len(face_batch.compose_ms(together, 2)) == 2


def test_a_batch_whose_heads_are_still(spoken: dict[str, Spoken]) -> None:
    members = [compositor(spoken["bundled"], False), compositor(spoken["closed"], False)]
    rows = [spoken["bundled"].outputs[41], spoken["closed"].outputs[41]]
    together = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    for frame, member, row in zip(
        TorchBatchCompositor(members).draw(together, [AT_REST] * 2), members, rows, strict=True
    ):
        assert np.abs(frame.astype(int) - member.draw(row)).max() <= 1


@pytest.mark.parametrize("moving", [False, True])
def test_a_batch_in_which_some_lips_were_apart_on_the_photo(spoken: dict[str, Spoken], moving: bool) -> None:
    one = spoken["smiling"]
    other = enrol(load_photo(BUNDLED_FACE, max(one.face.photo.shape[:2])), one.spec)
    members = [compositor(one, moving), TorchCompositor(other, one.spec, moving, DrawStream(TorchCpuDevice()))]
    assert [member.layout.lip_line for member in members] == [True, False]
    assert members[0].layout.row != members[1].layout.row
    for index in (0, 41, 102):
        together = {name: np.concatenate([rows] * 2) for name, rows in one.outputs[index].items()}
        for frame, member in zip(
            TorchBatchCompositor(members).draw(together, [pose_at(index)] * 2), members, strict=True
        ):
            assert np.abs(frame.astype(int) - member.draw(one.outputs[index], pose_at(index))).max() <= 1


@pytest.mark.parametrize("moving", [False, True])
def test_a_batch_of_which_some_have_no_mouth(moving: bool) -> None:
    """One face's mouth is below the edge of its photo; another's, in a photo of that size, is not."""
    whole = drawn_face(SPEC, (150, 180))
    cut = drawn_face(SPEC, (301, 360))
    faces = [
        replace(whole, photo=np.pad(whole.photo, [(0, 0), (0, 151), (0, 0)], mode="edge")),
        replace(cut, photo=np.ascontiguousarray(cut.photo[:180])),
    ]
    members = [TorchCompositor(face, SPEC, moving, DrawStream(TorchCpuDevice())) for face in faces]
    assert [is_empty(member.layout.mouth) for member in members] == [False, True]
    one = some_outputs()
    together = {name: np.concatenate([rows] * 2) for name, rows in one.items()}
    for frame, member in zip(TorchBatchCompositor(members).draw(together, [pose_at(77)] * 2), members, strict=True):
        assert np.abs(frame.astype(int) - member.draw(one, pose_at(77))).max() <= 1


def test_faces_that_cannot_be_drawn_together_are_refused() -> None:
    draw_stream = DrawStream(TorchCpuDevice())
    small, large = (
        TorchCompositor(drawn_face(SPEC, size), SPEC, False, draw_stream) for size in ((200, 240), (220, 240))
    )
    awake = TorchCompositor(drawn_face(SPEC), SPEC, True, draw_stream)
    with pytest.raises(BackendError, match="220 x 240 px and 200 x 240 px cannot be drawn together"):
        TorchBatchCompositor([small, large])
    with pytest.raises(BackendError, match="whose head moves and 200 x 240 px cannot"):
        TorchBatchCompositor([small, awake])
    with pytest.raises(BackendError, match="no faces"):
        TorchBatchCompositor([])
