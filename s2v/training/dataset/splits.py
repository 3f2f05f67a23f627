"""Which clips are trained on: by list files where there are any, else by named talkers; one talker on one side only."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Literal

from s2v.errors import DataError

Split = Literal["train", "val", "test"]
_SPLITS: dict[str, Split] = {"train": "train", "pretrain": "train", "val": "val", "test": "test"}
_log = logging.getLogger("s2v")


def split_clips(
    talkers: Mapping[str, str], listed: Mapping[str, str], validation: Collection[str] = ()
) -> dict[str, Split]:
    """Where each clip belongs; what is left out belongs nowhere. A line is logged of what was moved or left out.

    Args:
        talkers: {clip id: talker}. listed: {clip id: name of its list}, see `lrs2.listed_splits`.
        validation: talkers never trained on, whatever the lists say.
    A talker of a training list who also is in test or val is not trained on: those clips are left out. Who is in test
    and in val is in test. Clips that no list names are trained on where there are no lists, or only of val and test;
    where there is a list of training they are left out.
    Raises: DataError, a talker of `validation` is not there, or nobody is left to train on.
    """
    if unknown := set(validation) - set(talkers.values()):
        there = sorted(set(talkers.values()))
        some = ", ".join(there[:20]) + (f" and {len(there) - 20} more" if len(there) > 20 else "")
        raise DataError(f"no features of {', '.join(sorted(unknown))}; there are {some}")
    wanted = _as_listed(talkers, listed, validation)
    sides: dict[str, set[Split]] = {}
    for clip_id, split in wanted.items():
        sides.setdefault(talkers[clip_id], set()).add(split)
    kept: dict[str, Split] = {}
    for clip_id, split in wanted.items():
        its = sides[talkers[clip_id]]
        if len(its) == 1 or split == ("test" if "test" in its else "val"):
            kept[clip_id] = split
    _warn_of_left_out(wanted, kept, sides)
    if talkers and not any(split == "train" for split in kept.values()):
        raise DataError(_nobody_left(talkers, wanted, validation))
    return kept


def _as_listed(talkers: Mapping[str, str], listed: Mapping[str, str], validation: Collection[str]) -> dict[str, Split]:
    here = {clip_id: _SPLITS[listed[clip_id]] for clip_id in talkers if listed.get(clip_id, "") in _SPLITS}
    train_is_listed = "train" in here.values()
    wanted: dict[str, Split] = {}
    for clip_id, talker in talkers.items():
        if talker in validation:
            wanted[clip_id] = "val"
        elif clip_id in here:
            wanted[clip_id] = here[clip_id]
        elif not train_is_listed:
            wanted[clip_id] = "train"
    if unlisted := len(talkers) - len(wanted):
        _log.warning("%d clips are in no list (train.txt, pretrain.txt, val.txt, test.txt) and left out", unlisted)
    return wanted


def _warn_of_left_out(wanted: Mapping[str, Split], kept: Mapping[str, Split], sides: Mapping[str, set[Split]]) -> None:
    left_out = Counter(split for clip_id, split in wanted.items() if clip_id not in kept)
    both = sum(len(its) > 1 for its in sides.values())
    if left_out:
        counts = ", ".join(f"{count} of {split}" for split, count in sorted(left_out.items()))
        _log.warning("%d talkers are on both sides of the split: %s clips left out", both, counts)


def _nobody_left(talkers: Mapping[str, str], wanted: Mapping[str, Split], validation: Collection[str]) -> str:
    if "train" not in wanted.values():
        return (
            "no talker is left to train on: name fewer talkers as validation"
            if validation
            else ("the lists name no clip to train on: give all of the data, or take the lists away")
        )
    if len(set(talkers.values())) == 1:
        (one,) = set(talkers.values())
        return f"all clips are of one talker ({one}), who is in val or test: say who is who with --talkers"
    return "every talker to train on is also in val or test: say who is who with --talkers, or take the lists away"
