"""Which clips are trained on: one talker is never on both sides."""

from __future__ import annotations

import logging

import pytest

from s2v.errors import DataError
from s2v.training.dataset.splits import split_clips

TALKERS = {"a1": "ann", "a2": "ann", "b1": "bob", "c1": "cid", "d1": "dot"}


def test_lists_say_which_and_what_they_leave_out_is_left_out() -> None:
    listed = {"a1": "train", "a2": "pretrain", "b1": "val", "c1": "test"}
    assert split_clips(TALKERS, listed) == {"a1": "train", "a2": "train", "b1": "val", "c1": "test"}


def test_a_talker_of_val_or_test_is_not_trained_on_and_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    listed = {"a1": "train", "a2": "val", "b1": "train", "c1": "val", "d1": "test"}
    with caplog.at_level(logging.WARNING, "s2v"):
        split = split_clips({**TALKERS, "d2": "cid"}, {**listed, "d2": "test"})
    assert split == {"a2": "val", "b1": "train", "d1": "test", "d2": "test"}  # cid is in val and in test: test
    assert "2 talkers are on both sides of the split: 1 of train, 1 of val clips left out" in caplog.text


def test_lists_of_val_and_test_alone_leave_the_rest_to_train_on() -> None:
    assert split_clips(TALKERS, {"b1": "val"}) == {
        "a1": "train",
        "a2": "train",
        "b1": "val",
        "c1": "train",
        "d1": "train",
    }


def test_named_talkers_are_for_validation_with_lists_and_without() -> None:
    assert split_clips(TALKERS, {}, ("ann",))["a2"] == "val"
    split = split_clips(TALKERS, {"a1": "train", "b1": "train"}, ("ann",))
    assert split == {"a1": "val", "a2": "val", "b1": "train"}


def test_a_talker_that_is_not_there_is_named_with_those_who_are() -> None:
    with pytest.raises(DataError, match="no features of eve; there are ann, bob, cid, dot"):
        split_clips(TALKERS, {}, ("eve",))


@pytest.mark.parametrize(
    ("listed", "validation", "says"),
    [
        ({}, ("ann", "bob", "cid", "dot"), "no talker is left to train on"),
        ({"a1": "val", "b1": "test"} | {"a2": "train"}, (), "every talker to train on is also in val or test"),
        (dict.fromkeys(TALKERS, "test"), (), "the lists name no clip to train on"),
    ],
)
def test_nobody_left_to_train_on_is_refused(listed: dict[str, str], validation: tuple[str, ...], says: str) -> None:
    with pytest.raises(DataError, match=says):
        split_clips(TALKERS, listed, validation)
