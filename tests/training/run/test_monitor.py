from __future__ import annotations

import logging
from pathlib import Path

import pytest

from s2v.training.run.monitor import Monitor, duration


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def logged(caplog: pytest.LogCaptureFixture, total: int, step_s: float, little_s: float = 0.0) -> list[str]:
    """What is logged by a training whose first steps take longer."""
    clock = Clock()
    caplog.set_level(logging.INFO, "s2v")
    monitor = Monitor("s2v", 5, total, progress=False, little_s=little_s, clock=clock)
    for step in range(6, 40):
        clock.now += 30 if step < 9 else step_s
        monitor.step(step, {"loss": 1.0}, 1e-3, 1.0)
    monitor.close()
    return [record.getMessage() for record in caplog.records]


def test_how_long_it_takes_is_measured_without_the_first_steps(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog, 1018, 2.0) == ["1000 steps to come take about 33 min here (2.00 s each)"]


def test_a_short_training_says_nothing_of_its_time(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog, 118, 0.1) == []


def test_little_speech_is_warned_of_with_the_time(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = logged(caplog, 118, 0.1, little_s=52.0)
    assert line.startswith("52 s of speech is little to learn from: the 100 steps to come see it again and again, and")
    assert "about 10 s here; fewer: -e and -se; --init default" in line
    assert caplog.records[0].levelname == "WARNING"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7100, "118 min"), (12_000, "3 h 20 min")]
)
def test_times_are_given_as_people_give_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_curves_and_pictures_go_to_tensorboard_and_a_killed_trainings_later_steps_are_dropped(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    import torch

    for done, last, loss in ((0, 40, 1.0), (20, 30, 2.0)):  # the second goes on after 20 steps
        monitor = Monitor("s2v", done, 60, progress=False, tensorboard=tmp_path)
        for step in range(done + 1, last + 1):
            monitor.step(step, {"loss": loss, "shape": 0.5}, 1e-3, loss)
        monitor.checked(last, {"held": {"aperture": 0.5}, "score": 0.25})
        monitor.picture(last, "pictures", torch.zeros(3, 8, 8))
        monitor.probed(last, {"offset": 1.0})
        monitor.close()
    events = event_accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    curve = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert curve == [(10, 1.0), (20, 1.0), (30, 2.0)]
    tags = set(events.Tags()["scalars"])
    assert {"train/shape", "train/learning_rate", "validation/held/aperture", "validation/score"} < tags
    assert "probes/offset" in tags and events.Tags()["images"] == ["pictures"]
