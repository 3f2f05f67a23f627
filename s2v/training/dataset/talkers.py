"""Who talks in a clip: by its folder, or by a list that somebody wrote. A talker is a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from s2v.errors import DataError
from s2v.training.dataset.clip_index import plain_name
from s2v.training.dataset.lrs2 import without_partition


def talkers_by_folder(clip_ids: Sequence[str], data_name: str) -> dict[str, str]:
    """{clip id: the first folder of its id}; of LRS the recording, whichever partition it is in.

    Args: data_name: the talker of clips that lie in the data folder itself.
    """
    return {clip_id: talker_by_folder(clip_id, data_name) for clip_id in clip_ids}


def talker_by_folder(clip_id: str, data_name: str) -> str:
    """See `talkers_by_folder`."""
    first, *rest = without_partition(clip_id).split("/")
    return first if rest else plain_name(data_name) or "talker"  # the root of a disk has no name


def read_talkers(path: Path) -> dict[str, str]:
    """A list of talkers: a clip id or a folder of the data, tab or spaces, and the talker's name a line; # a comment.

    Raises: DataError, no such file, a line without a talker, or two talkers of one clip.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the list of talkers {path}: {error}") from None
    talkers: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        of, *name = line.strip().split("\t") if "\t" in line.strip() else line.strip().rsplit(maxsplit=1)
        if len(name) != 1 or not name[0].strip():
            raise DataError(f"{path}, line {number}: {line.strip()!r}; a line is a clip or folder, a tab, and a talker")
        of = of.strip().strip("/")
        if talkers.setdefault(of, name[0].strip()) != name[0].strip():
            raise DataError(f"{path}, line {number}: {of} is {talkers[of]} and {name[0].strip()}: one of them is wrong")
    if not talkers:
        raise DataError(f"{path} names no talker: a line is a clip or folder, a tab, and a talker")
    return talkers


def talkers_by_list(clip_ids: Sequence[str], named: Mapping[str, str]) -> dict[str, str]:
    """{clip id: its talker in a list of `read_talkers`}: the clip's own line, or that of the nearest folder above.

    Folders of LRS may be named without their partition, and clips with the suffix of their file.
    Raises: DataError, clips that no line is about, or none of whose lines is about a clip.
    """
    found: dict[str, str] = {}
    bare = {of.removesuffix(Path(of).suffix) if _has_suffix(of) else of: talker for of, talker in named.items()}
    for clip_id in clip_ids:
        for one in (clip_id, without_partition(clip_id)):
            above = [one, *(str(parent.as_posix()) for parent in Path(one).parents)]
            talker = next((bare[of] for of in above if of in bare), None)
            if talker is not None:
                found.setdefault(clip_id, talker)
    missing = [clip_id for clip_id in clip_ids if clip_id not in found]
    if missing:
        some = ", ".join(missing[:3])
        raise DataError(
            f"the list of talkers has no line about {len(missing)} of {len(clip_ids)} clips ({some}): "
            "add a line for each, or for the folder around it"
        )
    return found


def _has_suffix(of: str) -> bool:
    from s2v.engine.face.photo import PHOTO_SUFFIXES
    from s2v.training.dataset.sources import VIDEO_SUFFIXES

    return Path(of).suffix.lower() in {*VIDEO_SUFFIXES, *PHOTO_SUFFIXES}
