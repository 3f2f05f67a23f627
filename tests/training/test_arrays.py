"""Archives of arrays are taken as they should be, or refused with the array's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s2v.training.arrays import Wanted, check_ends, read_arrays

WANTED = {"a": Wanted("f", (None, 2), finite=True), "b": Wanted("iu", (None,), optional=True)}
A = np.zeros((3, 2), np.float32)


def test_what_is_wanted_is_read_and_what_is_optional_may_be_missing(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=A, other=np.zeros(1))
    assert read_arrays(tmp_path / "x.npz", WANTED).keys() == {"a"}
    np.savez(tmp_path / "x.npz", a=A, b=np.arange(3))
    np.testing.assert_array_equal(read_arrays(tmp_path / "x.npz", WANTED)["b"], [0, 1, 2])


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"c": A}, "it has no 'a'"),
        ({"a": A[:, :1]}, r"a is float32 \(3, 1\), wanted any x 2"),
        ({"a": A[0]}, r"a is float32 \(2,\)"),
        ({"a": A.astype(int)}, "a is int64"),
        ({"a": A.astype("U4")}, "a is <U4"),
        ({"a": A * np.nan}, "a has values that are no numbers"),
        ({"a": A, "b": np.zeros(3)}, "b is float64"),
        ({"a": np.array({"an": "object"})}, "pickle"),
    ],
)
def test_what_is_otherwise_is_refused_by_name(tmp_path: Path, arrays: dict[str, Any], says: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ValueError, match=says):
        read_arrays(tmp_path / "x.npz", WANTED)


def test_ends_are_of_parts_that_follow_each_other() -> None:
    check_ends("ends", np.array([2, 2, 5]), 5)
    check_ends("ends", np.zeros(0, np.int64), 0)
    for ends, total in (([2, 1, 5], 5), ([2, 5], 6), ([-1, 5], 5), ([], 1), ([2, 2**62], 5)):
        with pytest.raises(ValueError, match="ends are no ends"):
            check_ends("ends", np.array(ends, np.int64), total)
