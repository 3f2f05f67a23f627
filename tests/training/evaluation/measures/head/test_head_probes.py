from __future__ import annotations

import pytest

from s2v.training.evaluation.measures.head.probes import FREE_SD, FREE_SPEED, head_medians, head_probes, over_free
from s2v.training.evaluation.measures.probes import Probe

ALIVE = {
    **{f"{key}_sd": 0.7 * value for key, value in FREE_SD.items()},
    **{f"{key}_speed": 0.8 * value for key, value in FREE_SPEED.items()},
    "y_follows": 0.5, "y_chance": 0.3, "brow_follows": 0.5, "brow_chance": 0.3,
    "background_largest": 1.0, "face_sharpness": 0.98, "same_opening": 0.995,
}  # fmt: skip


def by_name(seconds: float = 20.0, **changed: float) -> dict[str, Probe]:
    return {probe.name.split(",")[0]: probe for probe in head_probes({"face": ALIVE | changed}, seconds)}


def test_a_head_as_alive_as_half_of_free_talkers_passes_all() -> None:
    probes = by_name()
    assert len(probes) == 8 and all(probe.passed for probe in probes.values())


@pytest.mark.parametrize(
    ("changed", "fails"),
    [
        ({"pitch_sd": 0.49 * FREE_SD["pitch"]}, "head moves as far as free talkers'"),
        ({"lid_speed": 0.59 * FREE_SPEED["lid"]}, "head moves as fast as free talkers'"),
        ({"roll_sd": 3.05}, "head tilts"),
        ({"y_chance": 0.36}, "height of the head with loudness"),
        ({"brow_follows": 0.44}, "brows with loudness"),
        ({"background_largest": 2.0}, "background beside the head stays"),
        ({"face_sharpness": 0.94}, "face as sharp as its photo"),
        ({"face_sharpness": 1.06}, "face as sharp as its photo"),
        ({"same_opening": 0.985}, "mouth opens as with a still head"),
    ],
)
def test_each_shortfall_fails_its_own_question_only(changed: dict[str, float], fails: str) -> None:
    assert [name for name, probe in by_name(**changed).items() if not probe.passed] == [fails]


def test_the_quantity_that_moves_least_and_the_worst_picture_are_named() -> None:
    assert by_name(yaw_sd=0.1)["head moves as far as free talkers'"].where == "yaw"
    probes = head_probes({"a": ALIVE, "b": ALIVE | {"background_largest": 5.0}, "c": ALIVE}, 20)
    worst = next(probe for probe in probes if "background" in probe.name)
    assert (worst.found, worst.where) == (5.0, "b")


def test_a_short_sound_is_asked_only_about_pictures() -> None:
    assert set(by_name(seconds=1.2)) == {
        "background beside the head stays", "face as sharp as its photo", "mouth opens as with a still head",
    }  # fmt: skip
    assert head_probes({}, 20) == []


def test_medians_leave_out_what_is_not_known() -> None:
    assert head_medians([{"a": 1.0}, {"a": float("nan"), "b": 2.0}, {"a": 3.0}]) == {"a": 2.0, "b": 2.0}
    assert over_free({"x_sd": 0.032}, "sd") == {"x": pytest.approx(0.5)}
