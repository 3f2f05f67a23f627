"""What the stages benchmark adds up, and that its timers stand on the real parts. Never how fast."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeBackend, FakeCompositor, drawn_face, voice

from s2v.benchmarks import instrumentation as seams
from s2v.benchmarks.stages import CONVERT, DRAWN, H264, LIVE, VP8, WARM_UP, count, pieces, time_drawing, time_file
from s2v.benchmarks.stopwatch import Spent, Stopwatch, TimedRun
from s2v.cli import main
from s2v.engine.lipsync import LipSyncEngine
from s2v.spec import LipSyncSpec, Network

ROOT = Path(__file__).parents[2]


class Clock:
    """Seconds that pass only when somebody lets them."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


class Kitchen:
    """Two jobs, one inside the other."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def cook(self, seconds: float) -> str:
        self._clock.s += seconds
        self.chop(2.0)
        self._clock.s += seconds
        return "soup"

    def chop(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("no time goes backwards")
        self._clock.s += seconds


@pytest.fixture
def kitchen() -> Iterator[tuple[Kitchen, Stopwatch, Clock]]:
    clock = Clock()
    cook, watch = Kitchen(clock), Stopwatch(clock, lambda: clock.s / 2)
    watch.put_on(cook, "cook", "pot")
    watch.put_on(cook, "chop", "board")
    yield cook, watch, clock


def test_time_counts_for_the_innermost_stage_only(kitchen: tuple[Kitchen, Stopwatch, Clock]) -> None:
    cook, watch, clock = kitchen
    assert cook.cook(3.0) == "soup"
    clock.s += 100  # between two calls nobody is timed
    cook.chop(1.0)
    assert watch.lap() == {"pot": Spent(6.0, 3.0), "board": Spent(3.0, 1.5)}
    assert watch.lap() == {}


def test_a_stage_that_fails_is_left_again(kitchen: tuple[Kitchen, Stopwatch, Clock]) -> None:
    cook, watch, _ = kitchen
    with pytest.raises(ValueError):
        cook.chop(-1.0)
    cook.chop(1.0)
    assert watch.lap() == {"board": Spent(1.0, 0.5)}


def test_other_objects_of_the_class_are_not_timed_and_a_missing_method_is_noticed() -> None:
    clock = Clock()
    watch = Stopwatch(clock, clock)
    watch.put_on(Kitchen(clock), "chop", "board")
    Kitchen(clock).chop(1.0)
    assert watch.lap() == {}
    with pytest.raises(AttributeError):
        watch.put_on(Kitchen(clock), "wash", "sink")


@pytest.mark.parametrize("fps", [25, 30])
def test_every_piece_of_speech_makes_one_frame_ready(fps: int) -> None:
    spec = LipSyncSpec(fps=fps)
    pcm = voice(1.0)
    engine = LipSyncEngine(drawn_face(spec), FakeBackend(spec), FakeCompositor)
    cut = list(pieces(spec, pcm))
    np.testing.assert_array_equal(np.concatenate(cut), pcm[: sum(map(len, cut))])
    assert [[frame.index for frame in engine.push(piece)] for piece in cut] == [[n] for n in range(len(cut))]
    assert spec.ready_at(len(cut)) > len(pcm)


HEARD = {seams.RING, seams.MFCC, seams.NETWORK, seams.PASTE}
WARPED = {seams.WARP_MAP, seams.WARP_PIXELS}
MOVED = {seams.BEHAVIOUR, seams.HEAD, seams.UPPER_FACE}
INSIDE = {seams.OPENING, seams.LAYERS}  # of a mouth that is open


@pytest.mark.parametrize(
    ("network", "idle_seed", "expected"),
    [
        ("s2v", None, HEARD | WARPED),
        ("s2v", 0, HEARD | WARPED | MOVED),
        ("speech2vid", None, HEARD),
        ("speech2vid", 0, HEARD | {seams.WARP_PIXELS} | MOVED),
    ],
)
def test_timers_stand_on_all_parts_and_change_no_pixel(
    network: Network, idle_seed: int | None, expected: set[str]
) -> None:
    spec = LipSyncSpec(network=network)
    plain, watched = (LipSyncEngine(drawn_face(spec), FakeBackend(spec), idle_seed=idle_seed) for _ in range(2))
    watch, seen = Stopwatch(), set[str]()
    seams.instrument_engine(watched, watch)
    for piece in pieces(spec, voice(0.4)):
        (one,), (other,) = plain.push(piece), watched.push(piece)
        np.testing.assert_array_equal(one.pixels, other.pixels)
        lap = set(watch.lap())
        assert lap - INSIDE == expected and lap & INSIDE in (set(), INSIDE)
        seen |= lap
    assert seen == expected | (INSIDE if network == "s2v" else set())
    assert seen <= set(seams.DRAWING)


def test_what_was_drawn_goes_through_both_encoders() -> None:
    from s2v.benchmarks.encoders import live_encoder

    spec = LipSyncSpec()
    engines = [LipSyncEngine(drawn_face(spec), FakeBackend(spec), FakeCompositor) for _ in range(2)]
    pcm, watch, told = voice(0.6), Stopwatch(), list[int]()
    seams.instrument_engine(engines[0], watch)
    encode = live_encoder(watch, CONVERT, VP8, spec.fps)
    laps, late = time_drawing(engines[0], pcm, watch, encode, paced=False, progress=told.append)
    assert len(laps) == len(list(pieces(spec, pcm))) == sum(told) and late == 0
    assert all(set(lap) == HEARD | {CONVERT, VP8} for lap in laps)
    file_laps = time_file(engines[1], pcm, watch)
    assert [set(lap) for lap in file_laps] == [{H264}] * len(laps)


def laps(n: int, **stages: float) -> list[TimedRun]:
    """Frames that took so many seconds by the clock, in the warm-up a hundred times as many; half of it working."""
    seconds = [100.0] * WARM_UP + [1.0] * n
    return [{stage: Spent(f * s, f * s / 2) for stage, s in stages.items()} for f in seconds]


def test_the_warm_up_is_left_out_and_sums_are_of_whole_frames() -> None:
    counted = laps(4, **{seams.MFCC: 0.001, seams.NETWORK: 0.004, VP8: 0.005})
    counted[-1][seams.NETWORK] = Spent(0.006, 0.004)
    stages, sums = count(counted, laps(4, **{H264: 0.02}), fps=25)
    found = {row.stage: row for row in (*stages, *sums)}
    assert [row.stage for row in stages] == [seams.MFCC, seams.NETWORK, VP8, H264], "in the order of a frame's way"
    assert found[seams.NETWORK].wall_ms.n == 4
    assert (found[seams.NETWORK].wall_ms.p50, found[seams.NETWORK].wall_ms.p99) == (4, 6)
    assert found[seams.NETWORK].cpu_ms.highest == 4 and found[seams.NETWORK].share == 0.1
    assert (found[DRAWN].wall_ms.p50, found[DRAWN].wall_ms.highest, found[LIVE].wall_ms.p50) == (5, 7, 10)
    assert found[LIVE].share == 0.25, "without the file's encoder"


def test_a_stage_that_not_every_frame_has_counts_as_nothing_there() -> None:
    counted = laps(3, **{seams.NETWORK: 0.004})
    counted[-1][seams.UPPER_FACE] = Spent(0.002, 0.002)
    stages, _ = count(counted, [], fps=25)
    idle = next(row for row in stages if row.stage == seams.UPPER_FACE)
    assert (idle.wall_ms.n, idle.wall_ms.p50, idle.wall_ms.highest) == (3, 0, 2)


def test_the_command_prints_one_object_and_draws_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "stages.png"
    options = ["--size", "192", "--frames", "6", "--backend", "onnxruntime", "--paced"]
    assert main(["bench", "stages", *options, "--json", "--plot", str(picture)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["stage"] for row in found["stages"]] == [*seams.DRAWING, CONVERT, VP8, H264]
    assert [row["stage"] for row in found["sums"]] == [DRAWN, LIVE]
    assert all(row["wall_ms"]["n"] == row["cpu_ms"]["n"] == 6 for row in found["stages"] + found["sums"])
    assert found["paced"] and found["idle"] and found["width_px"] == 192 and found["frames"] == 6
    assert found["backend"].startswith("onnxruntime") and found["machine"]["cores"] and found["versions"]["numpy"]
    assert picture.read_bytes().startswith(b"\x89PNG") and [path.name for path in tmp_path.iterdir()] == [picture.name]


def test_a_bare_machine_measures_what_it_has() -> None:
    """Neither a face finder nor the streaming libraries: another face, another sound, no encoders; said in notes."""
    script = """
import sys
for name in ("mediapipe", "av", "aiortc", "aioice", "aiohttp", "matplotlib"):
    sys.modules[name] = None
from s2v.cli import main
from s2v.engine.backends.base import Tensors
sys.exit(main(["bench", "stages", "--size", "192", "--frames", "3", "--no-idle", "--backend", "onnxruntime"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert {*seams.DRAWING, DRAWN} - {*MOVED, *INSIDE} <= lines.keys()  # lips may be shut in so few frames
    assert not lines.keys() & {*MOVED, CONVERT, VP8, H264, LIVE}
    for note in ("no mediapipe here", "no av here", "are left out", "one right after the other"):
        assert note in done.stdout


@pytest.mark.parametrize(
    "wrong",
    [
        ["--frames", "0"],
        ["--frames", "many"],
        ["--frames", "100001"],
        ["--size", "64"],
        ["--seconds", "3"],
        ["--plot"],
    ],
)
def test_wrong_options_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", "stages", *wrong])
    assert end.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--plot", "{}/stages.pdf"], "stages.png"),
        (["--plot", "{}/no/stages.png"], "no folder"),
        (["--face", "{}/nobody.jpg"], "nobody.jpg"),
        (["--model", "{}/no.onnx"], "no.onnx"),
        (["--backend", "abacus"], "abacus"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    options: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    assert main(["bench", "stages", *(option.format(tmp_path) for option in options)]) == 2
    out, err = capsys.readouterr()
    last = err.splitlines()[-1]
    assert out == "" and last.startswith("s2v: ") and expected in last
    assert not list(tmp_path.iterdir())
