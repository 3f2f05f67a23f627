"""NumPy archives that somebody else may have written: only arrays of the kind and shape that are wanted come out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Wanted(NamedTuple):
    """What an array must be."""

    kinds: str  # of its dtype: "f" floating, "iu" whole numbers, "U" text
    shape: tuple[int | None, ...]  # None: any length
    optional: bool = False
    finite: bool = False


def read_arrays(path: Path | BinaryIO, wanted: Mapping[str, Wanted]) -> dict[str, NDArray[Any]]:
    """These arrays of an archive; optional ones are left out where it has none.

    Raises: ValueError, naming what is wrong: not an archive, damaged, an array missing or of another kind.
    """
    try:
        opened = path.open("rb") if isinstance(path, Path) else nullcontext(path)
        with opened as file, np.load(file, allow_pickle=False) as stored:  # numpy leaves a damaged one open
            found = {name: stored[name] for name in wanted if name in stored}
    except Exception as error:  # what NumPy, zipfile, zlib, ast and tokenize raise on a damaged byte
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from None
    if missing := next((name for name, one in wanted.items() if name not in found and not one.optional), None):
        raise ValueError(f"it has no {missing!r}")
    for name, array in found.items():
        check_array(name, array, wanted[name])
    return found


def check_ends(name: str, ends: NDArray[Any], total: int) -> None:
    """Raises: ValueError, `ends` are not where consecutive parts of something of this length end."""
    starts = np.concatenate([[0], ends[:-1]])
    if (ends < starts).any() or (int(ends[-1]) if len(ends) else 0) != total:
        raise ValueError(f"{name} are no ends of parts of {total}")


def array_of(data: bytes) -> NDArray[Any]:
    """The array of an .npy file. Raises: ValueError, it is none, or holds less than it promises, or objects."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"an .npy file of version {version}")
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
        values = np.frombuffer(data, dtype, offset=stream.tell()) if not dtype.hasobject else np.zeros(0)
        return values.reshape(shape, order="F" if by_columns else "C")
    except Exception as error:  # what NumPy, ast and tokenize raise on a damaged byte
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from None


def check_array(name: str, array: object, wanted: Wanted) -> None:
    """Raises: ValueError, it is not what is wanted."""
    if not isinstance(array, np.ndarray):  # a member that is no array comes as its bytes
        raise ValueError(f"{name} is no array")
    fits = array.ndim == len(wanted.shape) and all(
        length in (None, found) for length, found in zip(wanted.shape, array.shape, strict=True)
    )
    if array.dtype.kind not in wanted.kinds or not fits:
        sizes = " x ".join("any" if length is None else str(length) for length in wanted.shape) or "one"
        raise ValueError(f"{name} is {array.dtype} {array.shape}, wanted {sizes} of kind {wanted.kinds}")
    if wanted.finite and not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are no numbers")
