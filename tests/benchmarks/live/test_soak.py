from __future__ import annotations

import json
from pathlib import Path

import pytest

from s2v.benchmarks.live.caller import ENDS
from s2v.benchmarks.live.soak_report import CallOutcome, Sample, SoakReport, Trend, trends_of, verdict

ROUND_S = 30.0


def samples(leak_mb: float = 0.0, threads: float = 0.0, rounds: int = 40) -> list[Sample]:
    """A run whose first rounds take what caches take, with some noise; each round leaks so much."""
    found = []
    for number in range(rounds):
        at_s, fills = ROUND_S * (number + 1), min(number, 4)
        rss_mb = 400 + 12 * fills + leak_mb * number + (number * 7 % 5 - 2) * 0.8
        held = {"tasks": 3, "descriptors": 25 + number % 2, "threads": 20 + fills + int(threads * number)}
        found += [Sample(at_s - 15, 2, rss_mb + 60, 9, 40, 30), Sample(at_s, 0, rss_mb, **held)]
    return found


def calls(drift_ms: float = 0.0) -> list[CallOutcome]:
    return [CallOutcome(ROUND_S * n, 20.0, 25.0, 180.0, 4.0 + n % 3 + drift_ms * n) for n in range(40)]


def test_a_server_that_comes_back_to_what_it_was_is_steady() -> None:
    trends = trends_of(samples(), calls())
    assert not any(trend.grows for trend in trends.values())
    memory = trends["memory at rest, MB"]
    assert memory.n == 31, "of 40 rests, without the first quarter"
    assert memory.slope_per_hour is not None and abs(memory.slope_per_hour) < 10


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (trends_of(samples(leak_mb=1.5), calls()), "memory at rest, MB"),
        (trends_of(samples(threads=0.5), calls()), "threads at rest"),
        (trends_of(samples(), calls(drift_ms=0.5)), "skew of a call, ms"),
    ],
)
def test_what_grows_is_named(found: dict[str, Trend], name: str) -> None:
    assert found[name].grows
    assert [other for other, trend in found.items() if trend.grows and other.split()[0] != name.split()[0]] == []


def test_a_slope_is_that_of_a_straight_line_and_none_of_few_points() -> None:
    line = Trend.of([(60.0 * n, 100.0 + 2 * n) for n in range(10)], allowed=5.0)
    assert line.slope_per_hour == pytest.approx(120) and line.error_per_hour == pytest.approx(0, abs=1e-3)
    assert (line.first, line.last, line.lowest, line.highest, line.grows) == (100, 118, 100, 118, True)
    assert not Trend.of([(60.0 * n, 100.0 + 2 * n) for n in range(10)], allowed=30.0).grows, "as much is allowed"
    assert Trend.of([(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)], 0.0).slope_per_hour is None
    assert Trend.of([], 0.0) == Trend(0, None, None, None, None, None, None, False)


def test_the_report_tells_its_trends_as_a_table_and_as_json() -> None:
    heard = [*calls(), CallOutcome(9.0, 0.0, 0.0, None, None, failed="it hums")]
    trends = trends_of(samples(leak_mb=1.5), heard)
    report = SoakReport(20.0, 2, 512, 512, "fake", 40, heard, samples(leak_mb=1.5), 0.7, trends, steady=False)
    text = report.as_text()
    assert "memory at rest, MB" in text and "GROWS" in text and "steady: NO" in text
    assert "41 calls in 40 rounds, 0 refused, 1 failed" in text and "failed: it hums" in text
    written = json.loads(report.as_json())
    assert written["trends"]["memory at rest, MB"]["grows"] is True and len(written["samples"]) == 80


def test_a_server_that_says_it_is_busy_has_not_hung_up() -> None:
    """The states of a call's messages, as docs/http.md lists them for pages."""
    guide = (Path(__file__).parents[3] / "docs" / "http.md").read_text(encoding="utf-8")
    assert all(f'"{state}"' in guide for state in ENDS)
    assert "busy" not in ENDS and "refused" not in ENDS


def test_a_run_is_judged_only_when_it_was_long_enough() -> None:
    assert verdict(trends_of(samples(), calls()), calls()) is True
    assert verdict(trends_of(samples(leak_mb=1.5), calls()), calls()) is False
    assert verdict(trends_of(samples(rounds=3), calls()), calls()) is None
    failed = CallOutcome(9.0, 0.0, 0.0, None, None, failed="it hums")
    assert verdict(trends_of(samples(rounds=3), calls()), [failed]) is False
