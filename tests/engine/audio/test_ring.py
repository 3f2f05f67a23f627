from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2v.engine.audio.ring import AudioRing
from s2v.errors import AudioError, WindowLost, WindowNotReady


def ramp(start: int, length: int) -> np.ndarray:
    """Samples that know their own index."""
    return np.arange(start, start + length, dtype=np.float32)


@st.composite
def written_rings(draw: st.DrawFn) -> tuple[AudioRing, np.ndarray]:
    """A ring after random writes, and everything ever written, end to end."""
    ring = AudioRing(draw(st.integers(1, 12)))
    written = np.zeros(0, np.float32)
    for length in draw(st.lists(st.integers(0, ring.capacity), max_size=6)):
        chunk = ramp(len(written), length)
        ring.write(chunk)
        written = np.concatenate([written, chunk])
    return ring, written


@given(written_rings(), st.integers(-8, 80), st.integers(0, 14))
def test_a_window_is_what_was_written_or_says_why_not(
    case: tuple[AudioRing, np.ndarray], start: int, length: int
) -> None:
    ring, written = case
    if start + length > len(written):
        with pytest.raises(WindowNotReady):
            ring.window(start, length)
    elif start < max(0, len(written) - ring.capacity):
        with pytest.raises(WindowLost):
            ring.window(start, length)
    else:
        np.testing.assert_array_equal(ring.window(start, length), written[start : start + length])


@given(written_rings())
def test_every_sample_the_ring_can_hold_is_there(case: tuple[AudioRing, np.ndarray]) -> None:
    ring, written = case
    assert ring.end == len(written)
    kept = min(len(written), ring.capacity)
    assert ring.oldest == len(written) - kept
    np.testing.assert_array_equal(ring.window(ring.oldest, kept), written[ring.oldest :])


def test_windows_are_read_only_views_across_the_seam() -> None:
    ring = AudioRing(8)
    ring.write(ramp(0, 6))
    ring.write(ramp(6, 6))  # samples 4..11, the seam is at 8
    whole, tail = ring.window(4, 8), ring.window(6, 4)
    assert whole.flags.c_contiguous
    assert np.shares_memory(whole, tail)
    with pytest.raises(ValueError, match="read-only"):
        whole[0] = 1.0
    ring.write(ramp(12, 1))  # the view must not have locked the ring itself
    np.testing.assert_array_equal(ring.window(5, 8), ramp(5, 8))


def test_a_chunk_larger_than_the_ring_is_refused_and_changes_nothing() -> None:
    ring = AudioRing(4)
    ring.write(ramp(0, 3))
    with pytest.raises(AudioError, match="chunk of 5 samples does not fit a ring of 4"):
        ring.write(ramp(3, 5))
    assert ring.end == 3
    np.testing.assert_array_equal(ring.window(0, 3), ramp(0, 3))


def test_a_ring_needs_room() -> None:
    with pytest.raises(AudioError, match="ring of 0 samples"):
        AudioRing(0)


def test_there_is_nothing_before_sample_0() -> None:
    ring = AudioRing(8)
    ring.write(ramp(0, 3))
    with pytest.raises(WindowLost, match="sample -1 is gone; the oldest kept is 0"):
        ring.window(-1, 2)
