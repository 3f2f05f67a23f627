"""What one training shard holds, read back and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.spec import TRACT_VARIABLES
from s2v.training.arrays import Wanted, check_ends, read_arrays

PICTURE_ARRAYS = ("target", "reference")
_CLIPS = {
    "clips": Wanted("U", (None,)),
    "pcm": Wanted("i", (None,)),
    "pcm_ends": Wanted("iu", (None,)),
    "motion": Wanted("f", (None, None)),  # NaN where nobody knows it, as the aperture
    "aperture": Wanted("f", (None,)),
    "tract": Wanted("f", (None, len(TRACT_VARIABLES))),
    "motion_ends": Wanted("iu", (None,)),
}
_PICTURES = {
    "picture_where": Wanted("iu", (None, 2), optional=True),
    **{f"picture_{name}": Wanted("u", (None, None, None, 3), optional=True) for name in PICTURE_ARRAYS},
}


def read_shard(path: Path, pictures: bool = True) -> dict[str, NDArray[Any]]:
    """The arrays of a shard, as `Shard.save` of prepare-data names them; pictures where it has any and they are wanted.

    Raises: DataError, not a shard.
    """
    try:
        stored = read_arrays(path, _CLIPS | (_PICTURES if pictures else {}))
        check_ends("pcm_ends", stored["pcm_ends"], len(stored["pcm"]))
        check_ends("motion_ends", stored["motion_ends"], len(stored["motion"]))
        _check_lengths(stored)
    except ValueError as error:
        raise DataError(f"{path} is not a shard of s2v prepare-data ({error}): prepare again") from None
    return stored


def _check_lengths(stored: dict[str, NDArray[Any]]) -> None:
    if not len(stored["clips"]) == len(stored["pcm_ends"]) == len(stored["motion_ends"]):
        raise ValueError(f"{len(stored['clips'])} clips, but {len(stored['motion_ends'])} motions")
    if not len(stored["motion"]) == len(stored["aperture"]) == len(stored["tract"]):
        raise ValueError(f"{len(stored['motion'])} frames of motion, but {len(stored['tract'])} of the tract")
    if (found := stored.keys() & _PICTURES.keys()) and found != _PICTURES.keys():
        raise ValueError(f"of its pictures there is only {', '.join(sorted(found))}")
    if not found:
        return
    where, sizes = stored["picture_where"], {stored[f"picture_{name}"].shape for name in PICTURE_ARRAYS}
    if len(sizes) > 1 or len(where) != next(iter(sizes))[0]:
        raise ValueError(f"its pictures are {sorted(sizes)} for {len(where)} places")
    if (where < 0).any() or (where[:, 0] >= len(stored["clips"])).any():
        raise ValueError("its pictures are of clips that it has not")
