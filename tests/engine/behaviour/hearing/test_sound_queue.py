from __future__ import annotations

import numpy as np
import pytest

from s2v.engine.behaviour.hearing.sound_queue import SoundQueue


def ramp(start: int, end: int) -> np.ndarray:
    return np.arange(start, end, dtype=np.float32)


def test_pieces_of_any_size_come_out_in_order() -> None:
    queue = SoundQueue()
    for start, end in ((0, 3), (3, 3), (3, 10), (10, 11)):
        queue.put(ramp(start, end), -ramp(start, end))
    taken = [queue.take(n) for n in (1, 5, 0, 5)]
    np.testing.assert_array_equal(np.concatenate([voice for voice, _ in taken]), ramp(0, 11))
    np.testing.assert_array_equal(np.concatenate([heard for _, heard in taken if heard is not None]), -ramp(0, 11))


def test_what_is_not_there_is_silence_and_does_not_come_later() -> None:
    queue = SoundQueue()
    queue.put(ramp(1, 3), None)
    np.testing.assert_array_equal(queue.take(5)[0], [1, 2, 0, 0, 0])
    queue.put(ramp(3, 5), None)  # the time of these is over, and of the first of the next
    queue.put(ramp(5, 8), ramp(5, 8))
    voice, heard = queue.take(2)
    np.testing.assert_array_equal(voice, [6, 7])
    np.testing.assert_array_equal(heard, [6, 7])


def test_nobody_heard_is_told_from_somebody_silent() -> None:
    queue = SoundQueue()
    queue.put(ramp(0, 2), None)
    queue.put(ramp(2, 4), np.zeros(2, np.float32))
    assert queue.take(2)[1] is None
    assert queue.take(2)[1] is not None


def test_it_keeps_its_own_copy() -> None:
    queue, own = SoundQueue(), ramp(0, 4)
    queue.put(own, None)
    own[:] = 9
    np.testing.assert_array_equal(queue.take(4)[0], ramp(0, 4))


def test_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="3 samples of the voice, 2"):
        SoundQueue().put(ramp(0, 3), ramp(0, 2))
