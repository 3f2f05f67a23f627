from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from s2v.engine.backends.base import Tensors
from s2v.engine.backends.resident import batch_sizes, in_parts, padded_batch
from s2v.errors import BackendError


@pytest.mark.parametrize("most", [1, 2, 5, 8, 64, 200, 256])
def test_sizes_pad_by_less_than_half_and_end_at_the_largest(most: int) -> None:
    sizes = batch_sizes(most)
    assert sizes[0] == 1 and sizes[-1] == most and list(sizes) == sorted(set(sizes))
    assert all(padded_batch(rows, sizes) < 1.5 * rows for rows in range(1, most + 1))
    assert len(sizes) <= 2 * most.bit_length()
    with pytest.raises(BackendError, match=f"batch of {most + 1} is more than the {most}"):
        padded_batch(most + 1, sizes)


def test_parts_of_any_size_go_through_in_full_batches_and_come_back_in_order() -> None:
    ran: list[int] = []
    given: Tensors = {}

    def run(parts: Sequence[Tensors]) -> Tensors:
        rows = np.concatenate([part["mfcc"] for part in parts])
        ran.append(len(rows))
        for tensor in given.values():
            tensor.fill(np.nan)  # as a runtime that writes to its own memory again
        given["doubled"] = 2 * rows
        return given

    sizes = (3, 9, 1, 2)
    values = np.arange(sum(sizes), dtype=np.float32)
    parts = [{"mfcc": part} for part in np.split(values, np.cumsum(sizes)[:-1])]
    found = in_parts(parts, 4, {"doubled": ()}, run)
    np.testing.assert_array_equal(found["doubled"], 2 * values)
    assert ran == [4, 4, 4, 3]
