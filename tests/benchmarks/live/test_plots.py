"""Plots of a call and of a clients: whole or not at all, also of calls that lack something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from s2v.benchmarks.live import end_to_end_plot, load_plot
from s2v.benchmarks.live.end_to_end import EndToEndReport
from s2v.benchmarks.live.load_report import COUNTED, LoadReport, StepReport
from s2v.benchmarks.plots import check_plot
from s2v.benchmarks.report import Spread
from s2v.cli import main
from s2v.errors import OutputError

SOME = Spread.of([100.0, 120.0, 150.0])
GOAL = {"picture_p95_ms": 180.0, "skew_p95_ms": 20.0, "met": True}
CALL = EndToEndReport(
    *(20.0, 512, 512, "fake", 0.0, 0.0, 80.0, 3, SOME, SOME, SOME, SOME, 0.0, 500, GOAL, {}),
    each=[(5.0, 140.0, 150.0), (6.1, None, 155.0), (7.3, 139.0, None), (8.0, 141.0, 139.0)],
)
STEP = StepReport(
    *(2, 2, 0, [], [], [25.0, 24.0], 24.5, 24.0, 0.02, 0.04, 9, SOME, SOME, 50.0, dict.fromkeys(COUNTED, 0), 150),
    *({}, 1.0, 0.2, None, 1.5, 300.0, True),
)
EMPTY = replace(STEP, callers=5, let_in=0, fps=[], fps_mean=None, picture_ms=Spread.of([]), carried=False)
REPORT = LoadReport(15.0, 512, 512, "fake", 80.0, None, 2, 280.0, [EMPTY, STEP])


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG") and [other.name for other in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("report", [CALL, replace(CALL, each=CALL.each[1:3], loss=0.02), replace(CALL, each=[])])
def test_a_call_is_drawn_whatever_came_of_it(report: EndToEndReport, tmp_path: Path) -> None:
    end_to_end_plot.plot(report, tmp_path / "call.png")
    assert is_png(tmp_path / "call.png")


@pytest.mark.parametrize("steps", [[EMPTY, STEP], [EMPTY]])
def test_a_crowd_is_drawn_also_if_nobody_was_let_in(steps: list[StepReport], tmp_path: Path) -> None:
    load_plot.plot(replace(REPORT, steps=steps), tmp_path / "clients.png")
    assert is_png(tmp_path / "clients.png")


def test_a_plot_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    old = tmp_path / "call.png"
    old.write_text("as before")
    with pytest.raises(AttributeError):
        end_to_end_plot.plot(None, old)  # type: ignore[arg-type]
    assert old.read_text() == "as before" and list(tmp_path.iterdir()) == [old]


@pytest.mark.parametrize("what", ["e2e", "load", "stages", "gpu"])
@pytest.mark.parametrize(("name", "said"), [("plot.pdf", "plot.png"), ("no/plot.png", "no folder")])
def test_a_path_is_refused_before_anything_is_measured(
    what: str, name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", what, "--plot", str(tmp_path / name)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines()[-1].startswith("s2v: ") and said in err
    with pytest.raises(OutputError):
        check_plot(tmp_path / name)
