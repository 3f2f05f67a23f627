from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2v.benchmarks.live.end_to_end import OLDEST_S, WARM_UP_S, EndToEndConfig, ages, report_of
from s2v.benchmarks.live.receiver import ReceivedCall
from s2v.benchmarks.live.server_process import Ready, ServerUnderTest
from s2v.benchmarks.report import Spread, machine, table
from s2v.errors import StreamError

CONFIG = EndToEndConfig(ServerUnderTest(Path("face.jpg"), 512), seconds=20.0)
READY = Ready("http://127.0.0.1:1", 1, "fake", 512, 512, look_ahead_s=0.08)


def heard(voice_s: float = 0.15, picture_s: float = 0.16, lost: int = 0) -> ReceivedCall:
    """Twenty clicks after the warm-up and three in it; every picture lies 12 ms before its click."""
    said = [100 + WARM_UP_S + n * 1.1 for n in range(-3, 20)]
    return ReceivedCall(
        began_s=100.0,
        said=said,
        voice=[(at + voice_s, 0.0) for at in said],
        picture=[(at + picture_s - 0.012, -0.012) for at in said[lost:]],
        frames=500,
        server={"state": "live", "frames_sent": 7, "stages_ms": {"network": 3.0}, "stages_p95_ms": {"network": 4.0}},
    )


@given(st.lists(st.floats(-1000, 1000).map(lambda value: round(value, 2)), min_size=1, max_size=300))
def test_percentiles_are_values_that_occurred_and_as_many_lie_below(values: list[float]) -> None:
    spread = Spread.of(values)
    assert spread.n == len(values) and spread.highest == max(values)
    for share, value in ((0.5, spread.p50), (0.95, spread.p95), (0.99, spread.p99)):
        assert value in values
        assert np.mean(np.array(values) <= value) >= share > np.mean(np.array(values) < value)


def test_nothing_measured_is_nothing_and_not_zero() -> None:
    assert Spread.of([]) == Spread(0, None, None, None, None)


def test_ages_are_counted_from_the_click_they_belong_to() -> None:
    said = [10.0, 11.2, 12.4]
    assert ages(said, [(10.3, 0.0), (12.35, 0.0)]) == {10.0: pytest.approx(0.3)}, "a second late is no click at all"
    assert ages(said, [(11.19 + 0.15, -0.01)]) == {11.2: pytest.approx(0.15)}, "a picture of the moment before it"
    assert ages(said, [(9.9, 0.0)]) == {}
    assert ages(said, [(10.2, 0.0), (10.4, 0.0)]) == {10.0: pytest.approx(0.2)}, "the first counts"


def test_the_report_says_latency_skew_and_goal() -> None:
    report = report_of(CONFIG, READY, heard())
    assert report.clicks == report.voice_ms.n == report.picture_ms.n == report.skew_ms.n == 20
    assert report.voice_ms.p50 == pytest.approx(150) and report.picture_ms.p95 == pytest.approx(160)
    assert report.skew_ms.p50 == report.skew_size_ms.p95 == pytest.approx(10)
    assert report.drift_ms == pytest.approx(0)
    assert report.goal == {"picture_p95_ms": 180.0, "skew_p95_ms": 20.0, "met": True}
    assert not report_of(CONFIG, READY, heard(picture_s=0.181)).goal["met"]
    assert not report_of(CONFIG, READY, heard(voice_s=0.13)).goal["met"], "voice 30 ms before the picture"
    assert "state" not in report.server


def test_a_call_that_slows_down_shows_as_drift() -> None:
    slowing = heard()
    slowing.voice = [(at_s + 0.001 * n, 0.0) for n, (at_s, _) in enumerate(slowing.voice)]
    assert report_of(CONFIG, READY, slowing).drift_ms == pytest.approx(15)


def test_pictures_that_were_lost_are_not_made_up() -> None:
    report = report_of(CONFIG, READY, heard(lost=13))
    assert report.voice_ms.n == 20 and report.picture_ms.n == report.skew_ms.n == 10


@pytest.mark.parametrize("late_s", [OLDEST_S + 0.05, -0.5])
def test_a_call_in_which_no_click_came_back_is_an_error(late_s: float) -> None:
    silent = heard()
    silent.picture = [(silent.said[0] - 1 + late_s, 0.0)]
    with pytest.raises(StreamError, match="20 heard and 0 seen"):
        report_of(CONFIG, READY, silent)


def test_json_is_one_object_and_the_table_lines_up() -> None:
    report = report_of(CONFIG, READY, heard())
    found = json.loads(report.as_json())
    assert found["picture_ms"]["p95"] == report.picture_ms.p95 and found["machine"]["cores"] >= 1
    text = report.as_text()
    assert "met" in text and "network" in text and "20/20" in text
    lines = table(("a", "bb"), [("long name", None), ("x", 1.5)]).splitlines()
    assert lines == ["a           bb", "long name    -", "x          1.5"]
    assert machine()["python"]
