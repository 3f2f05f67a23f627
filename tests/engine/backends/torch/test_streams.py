from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from itertools import count
from typing import cast

import pytest

pytest.importorskip("torch", reason="the optional torch runtime is not installed")
import torch

from s2v.engine.backends.torch.streams import own_stream, reason


def next_of(numbers: Iterator[int]) -> Callable[[torch.device], torch.cuda.Stream]:
    """Numbers in place of streams, which no machine without a GPU can make: they are only handed on."""
    return cast("Callable[[torch.device], torch.cuda.Stream]", lambda _: next(numbers))


def test_a_stream_has_one_owner_and_is_used_again_afterwards() -> None:
    class Owner:
        pass

    device, other = torch.device("cuda", 91), torch.device("cuda", 92)
    made = count()
    first, second = Owner(), Owner()
    stream = own_stream(first, device, next_of(made))
    assert own_stream(second, device, next_of(made)) != stream
    del first
    gc.collect()
    third, fourth, fifth = Owner(), Owner(), Owner()
    assert own_stream(fourth, other, next_of(made)) == 2, "that of another GPU is of no use"
    assert own_stream(third, device, next_of(made)) == stream
    assert own_stream(fifth, device, next_of(made)) == 3


def test_of_a_capture_that_failed_the_first_error_is_told() -> None:
    def ends_badly() -> None:
        try:
            raise ValueError("not permitted:\n.item()")
        finally:
            raise RuntimeError("the capture was invalidated")

    with pytest.raises(RuntimeError) as both:
        ends_badly()
    assert reason(both.value) == "not permitted: .item()"
    assert reason(RuntimeError("alone")) == "alone"
