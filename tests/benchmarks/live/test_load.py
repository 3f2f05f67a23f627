from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s2v.benchmarks.live.load import LoadConfig, report_of, report_of_step
from s2v.benchmarks.live.load_clients import Caller, LoadClients
from s2v.benchmarks.live.load_report import StepReport
from s2v.benchmarks.live.receiver import ReceivedCall
from s2v.benchmarks.live.server_process import Ready, ServerUnderTest, Usage
from s2v.cli import main

READY = Ready("http://127.0.0.1:1", 1, "fake", 512, 512, look_ahead_s=0.08)
BEGIN = Usage(at_s=100.0, cpu_s=40.0, rss_bytes=1, batches=100, rows=100)
END = Usage(at_s=110.0, cpu_s=52.0, rss_bytes=300 * 2**20, batches=300, rows=500)
FROM_S, SECONDS = 100.0, 10.0


def caller(number: int, age_s: float = 0.15, fps: float = 25.0) -> Caller:
    """Talks from 95 s to 111.5 s; its voice is 10 ms younger than its pictures."""
    said = [95.0 + 1.1 * n for n in range(15)]
    heard = ReceivedCall(
        said=said,
        voice=[(at_s + age_s - 0.01, 0.0) for at_s in said],
        picture=[(at_s + age_s - 0.012, -0.012) for at_s in said],
    )
    pictures_s = [95.0 + (n + 0.5) / fps for n in range(round(16.5 * fps))]
    before = {"frames_drawn": 100, "frames_late": 3, "audio_skipped_ms": 0, "playout_delay_ms": 150}
    after: dict[str, Any] = {
        "frames_drawn": 350,
        "frames_late": 5,
        "audio_skipped_ms": 40,
        "playout_delay_ms": 150 + number,
    }
    after["stages_p95_ms"] = {"network": 3.0 + number, "encode": 9.0 - number}
    return Caller(number, heard, pictures_s, before=before, after=after)


def step(*callers: Caller) -> StepReport:
    return report_of_step(READY, LoadClients(list(callers), FROM_S, FROM_S + SECONDS, cpu_s=1.5), BEGIN, END)


def test_a_smooth_step_is_carried_and_says_what_it_cost() -> None:
    found = step(caller(1), caller(2))
    assert found.carried and found.let_in == found.callers == 2 and found.refused == 0 and not found.failed
    assert found.fps == [25.0, 25.0] and found.missing == found.missing_worst == 0
    assert found.clicks == found.picture_ms.n == 2 * 9, "only what was said in the counted seconds"
    assert found.picture_ms.p99 == pytest.approx(150) and found.skew_size_ms.p95 == pytest.approx(10)
    assert found.longest_gap_ms == pytest.approx(40, abs=0.1)
    assert (found.server_cores, found.callers_cores, found.rows_a_batch, found.rss_mb) == (1.2, 0.15, 2.0, 300)
    assert found.counters["frames_drawn"] == 500 and found.counters["frames_late"] == 4
    assert found.counters["audio_skipped_ms"] == 80 and found.counters["stalls"] == 0
    assert found.playout_delay_ms == 152 and found.stages_p95_ms == {"network": 5.0, "encode": 8.0}


def test_one_starved_caller_among_smooth_ones_is_seen() -> None:
    found = step(caller(1), caller(2), caller(3, fps=10.0))
    assert not found.carried
    assert (found.fps_mean, found.fps_worst) == (20.0, 10.0)
    assert found.missing == pytest.approx(0.2) and found.missing_worst == pytest.approx(0.6)
    assert found.longest_gap_ms == pytest.approx(100, abs=0.1)


def test_a_picture_that_stands_still_is_a_gap_also_at_the_ends_of_what_is_counted() -> None:
    stopped, late, never = caller(1), caller(2), caller(3)
    stopped.pictures_s = [at_s for at_s in stopped.pictures_s if at_s < 107]
    late.pictures_s = [at_s for at_s in late.pictures_s if at_s >= 104]
    never.pictures_s = []
    for one, gap_ms in ((stopped, 3000), (late, 4000), (never, 10_000)):
        assert step(one).longest_gap_ms == pytest.approx(gap_ms, abs=40)
        assert not step(one).carried
    assert step(never).fps == [0.0]


@pytest.mark.parametrize(("age_s", "carried"), [(0.28, True), (0.281, False)])
def test_old_pictures_are_not_carried_however_many_there_are(age_s: float, carried: bool) -> None:
    assert step(caller(1, age_s=age_s)).carried is carried


def test_pictures_without_a_single_click_are_not_carried() -> None:
    blind = caller(1)
    blind.heard.picture = []
    assert not step(blind).carried and step(blind).picture_ms.p95 is None


def test_the_refused_are_counted_apart_and_do_not_spoil_the_others_rates() -> None:
    refused = [Caller(n, refused="full", retry_after=hint) for n, hint in ((2, "60"), (3, "60"), (4, None))]
    found = step(caller(1), *refused)
    assert (found.callers, found.let_in, found.refused) == (4, 1, 3)
    assert (
        found.refusals == ["full (Retry-After: 60)", "full (Retry-After: None)"]
        and found.fps == [25.0]
        and found.carried
    )
    nobody = step(*refused)
    assert nobody.let_in == 0 and nobody.fps_mean is None and nobody.playout_delay_ms is None and not nobody.carried


def test_a_call_that_failed_is_never_carried() -> None:
    found = step(caller(1), Caller(2, failed="the server hung up"))
    assert found.failed == ["the server hung up"] and found.let_in == 1 and not found.carried


def test_the_server_that_ran_nothing_has_no_batches() -> None:
    idle = report_of_step(
        READY, LoadClients([caller(1)], FROM_S, FROM_S + SECONDS, 1.0), BEGIN, replace(END, batches=100)
    )
    assert idle.rows_a_batch is None


def test_the_report_names_the_largest_step_that_was_carried() -> None:
    steps = [step(caller(1)), step(caller(1), caller(2)), step(caller(1), caller(2), caller(3, fps=20.0))]
    limited = step(*(caller(n) for n in range(3)), Caller(4, refused="full", retry_after="60"))
    config = LoadConfig(ServerUnderTest(Path("face.jpg"), 512), seconds=SECONDS)
    report = report_of(config, READY, steps, {"cpu": "a fake", "cores": 2})
    assert report.carried == 2 and report.limit_ms == 280 and report.max_sessions is None
    assert report_of(config, READY, [*steps, limited], {}).carried == 3, "of four callers, three were let in"
    assert report_of(config, READY, steps[2:], {}).carried == 0
    found = json.loads(report.as_json())
    assert [entry["callers"] for entry in found["steps"]] == [1, 2, 3] and found["machine"]["cores"] == 2
    text = report_of(config, replace(READY, max_sessions=3), [*steps, limited], {}).as_text()
    assert "at most 3 sessions" in text and "refused: full (Retry-After: 60)" in text
    assert "the callers themselves took 0.15 of 1.35 cores with 4 of them" in text
    lines = text.splitlines()
    assert [line.split()[-1] for line in lines[1:5]] == ["yes", "yes", "NO", "yes"]


def test_a_short_step_of_a_full_server_counts_pictures_and_the_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A real one. Structure and that something was found; never how fast."""
    arguments = ["--sessions", "2", "--max-sessions", "1", "--seconds", "2", "--size", "192", "--json"]
    assert main(["bench", "load", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    (only,) = found["steps"]
    assert found["max_sessions"] == 1 and found["width_px"] == 192
    assert (only["callers"], only["let_in"], only["refused"], only["failed"]) == (2, 1, 1, [])
    (answer,) = only["refusals"]
    assert "Retry-After: " in answer and "None" not in answer
    assert len(only["fps"]) == 1 and only["fps"][0] > 0 and only["longest_gap_ms"] > 20
    assert only["picture_ms"]["n"] >= 1 and only["picture_ms"]["p50"] > 0.7 * found["look_ahead_ms"]
    assert only["counters"]["frames_drawn"] > 0 and only["rows_a_batch"] >= 1
    assert only["server_cores"] > 0 and only["callers_cores"] > 0
    assert not multiprocessing.active_children(), "server and callers have ended"


@pytest.mark.parametrize(
    "wrong",
    [
        ["--sessions", "0"],
        ["--sessions", "1,,2"],
        ["--sessions", "1,many"],
        ["--sessions", "101"],
        ["--most", "0"],
        ["--seconds", "1"],
        ["--seconds", "121"],
        ["--max-sessions", "0"],
        ["--max-sessions", "few"],
        ["--size", "64"],
    ],
)
def test_an_option_out_of_range_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["bench", "load", *wrong])
    assert exit_.value.code == 2
    assert f"argument {wrong[0]}" in capsys.readouterr().err


def test_a_photo_without_a_face_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.jpg"
    assert main(["bench", "load", "--face", str(missing), "--sessions", "1"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines()[-1].startswith("s2v: ")
