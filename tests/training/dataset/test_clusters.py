"""Talkers by the shape of their faces."""

from __future__ import annotations

import numpy as np

from s2v.training.dataset.clusters import clustered_talkers
from s2v.training.dataset.talkers import talkers_by_folder


def faces_of(people: dict[str, int], spread: float) -> dict[str, np.ndarray]:
    """Clips about the middles of people who are 4 apart at least."""
    dice = np.random.default_rng(0)
    return {
        clip_id: (np.eye(8)[person] * 4 + dice.normal(0, spread, 8)).astype(np.float32)
        for clip_id, person in people.items()
    }


def test_one_talker_in_several_recordings_is_one_and_two_in_one_recording_are_two() -> None:
    people = {"A/1": 0, "A/2": 1, "B/1": 0, "B/2": 0, "C/1": 1, "D/1": 2}
    talkers = clustered_talkers(faces_of(people, 0.3), talkers_by_folder(list(people), ""), 1.7)
    assert talkers == {"A/1": "A", "A/2": "A.2", "B/1": "A", "B/2": "A", "C/1": "A.2", "D/1": "D"}


def test_many_clips_of_few_talkers_are_told_apart_whatever_their_order() -> None:
    people = {f"{n:03d}/1": n * 5 % 7 for n in range(140)}
    talkers = clustered_talkers(faces_of(people, 0.35), talkers_by_folder(list(people), ""), 1.7)
    assert len(set(talkers.values())) == 7
    assert len({(people[clip_id], talker) for clip_id, talker in talkers.items()}) == 7


def test_nobody_makes_no_talker() -> None:
    assert clustered_talkers({}, {}, 1.7) == {}


def test_a_talker_without_a_folder_of_his_own_gets_a_name_that_is_free() -> None:
    people = {"A/1": 0, "A/2": 1, "A.2/1": 2}
    talkers = clustered_talkers(faces_of(people, 0.3), talkers_by_folder(list(people), ""), 1.7)
    assert talkers == {"A/1": "A", "A/2": "A.3", "A.2/1": "A.2"}
