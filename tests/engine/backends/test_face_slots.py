"""Which face lies where: known by its memory, forgotten with it."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from s2v.engine.backends.base import Tensors
from s2v.engine.backends.face_slots import FaceSlots
from s2v.errors import BackendError


def faces(count: int, seed: int = 0) -> Tensors:
    random = np.random.default_rng(seed)
    return {"identity": random.random((count, 3), np.float32), "skip": random.random((count, 2, 5), np.float32)}


def cut(identity: Tensors, rows: slice) -> Tensors:
    return {name: tensor[rows] for name, tensor in identity.items()}


def test_the_same_memory_is_the_same_face_however_it_is_cut() -> None:
    slots, identity = FaceSlots(8, 8), faces(4)
    where, new = slots.place([identity])
    assert len(set(where)) == len(new) == 4
    for rows in (slice(0, 4), slice(2, 4), slice(1, 2), slice(3, None, -1)):
        assert slots.place([cut(identity, rows)]) == (where[rows], [])
    again = {name: np.stack([tensor[1], tensor[3]]) for name, tensor in identity.items()}
    assert len(slots.place([again])[1]) == 2, "the same content elsewhere is not looked at"


def test_one_row_for_many_frames_is_one_face() -> None:
    slots, one = FaceSlots(8, 8), faces(1)
    many = {name: np.broadcast_to(row, (6, *row.shape[1:])) for name, row in one.items()}
    where, new = slots.place([many])
    assert where == [where[0]] * 6 and len(new) == 1
    assert slots.place([one, cut(many, slice(2, 5))]) == ([where[0]] * 4, [])


def test_what_has_to_be_brought_is_the_row_itself() -> None:
    slots, first, second = FaceSlots(8, 8), faces(2, 1), faces(1, 2)
    where, new = slots.place([first, second])
    assert [face.slot for face in new] == where
    for face, (source, row) in zip(new, [(first, 0), (first, 1), (second, 0)], strict=True):
        for name, tensor in source.items():
            np.testing.assert_array_equal(face.row[name], tensor[row : row + 1])


def test_another_face_at_the_address_of_one_that_is_gone_is_not_taken_for_it() -> None:
    slots = FaceSlots(8, 8)
    block = np.zeros(4096, np.float32)

    def at_the_same_address() -> Tensors:
        """Arrays that own nothing, of memory that stays where it is: as an allocator hands it out again."""
        given = np.frombuffer(block.data, np.float32)
        return {"identity": given[:3].reshape(1, 3), "skip": given[64:74].reshape(1, 2, 5)}

    before = at_the_same_address()
    slots.place([before])
    del before
    gc.collect()
    assert len(slots.place([at_the_same_address()])[1]) == 1


def test_a_face_that_nobody_has_any_more_gives_its_place_away() -> None:
    slots = FaceSlots(2, 2)
    stays = faces(1, 1)
    (kept,), _ = slots.place([stays])
    for seed in range(2, 12):
        goes = faces(1, seed)
        (slot,), new = slots.place([goes])
        assert slot != kept and len(new) == 1
        del goes, new
        gc.collect()
    assert slots.place([stays]) == ([kept], [])


def test_places_grow_while_all_are_alive_and_then_the_longest_unused_makes_room() -> None:
    slots, alive = FaceSlots(1, 3), [faces(1, seed) for seed in range(4)]
    counts = []
    for one in alive[:3]:
        slots.place([one])
        counts.append(slots.count)
    assert counts == [1, 2, 3]
    slots.place([alive[0]])
    slots.place([alive[3]])
    assert slots.count == 3
    assert [len(slots.place([alive[at]])[1]) for at in (0, 2, 3)] == [0, 0, 0]
    assert len(slots.place([alive[1]])[1]) == 1


def test_a_batch_of_more_faces_than_places_is_refused_and_leaves_no_half_face() -> None:
    slots, many = FaceSlots(2, 3), faces(4)
    with pytest.raises(BackendError, match="more than 3 faces"):
        slots.place([many])
    where, new = slots.place([cut(many, slice(0, 3))])
    assert len(set(where)) == len(new) == 3


def test_a_face_that_could_not_be_brought_is_brought_the_next_time() -> None:
    slots, identity = FaceSlots(4, 4), faces(2)
    _, new = slots.place([identity])
    slots.forget(new)
    assert len(slots.place([identity])[1]) == 2
