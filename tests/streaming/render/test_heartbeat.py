"""A process that stands still is found out by looks, not by a clock, and one that hangs by what it says itself."""

from __future__ import annotations

import pytest
from streaming.virtual_time import VirtualTime

from s2v.streaming.render.heartbeat import LATE, MISSES, Deadlines, Heartbeat


class FakeLine:
    """The other side answers what is in `answers`, one a look; None: nothing yet."""

    def __init__(self, answers: list[bool | None]) -> None:
        self.answers = answers
        self.asked = 0
        self.ended = False

    def send(self, what: None, /) -> None:
        self.asked += 1
        if self.ended:
            raise BrokenPipeError

    def poll(self, within_s: float, /) -> bool:
        assert within_s > 0
        if self.answers[0] is None:
            self.answers.pop(0)
            return False
        return True

    def recv(self) -> bool:
        answer = self.answers.pop(0)
        assert answer is not None
        return answer


def looks(answers: list[bool | None]) -> tuple[list[str | None], FakeLine]:
    line = FakeLine(list(answers))
    heartbeat = Heartbeat(line)
    return [heartbeat.look() for _ in answers], line


def test_a_process_that_answers_late_is_left_alone_and_asked_once_at_a_time() -> None:
    found, line = looks(([None] * (MISSES - 1) + [False]) * 3)
    assert found == [None] * (3 * MISSES) and line.asked == 3


@pytest.mark.parametrize("answer", [None, True])
def test_a_process_that_does_not_answer_or_is_overdue_stands_still(answer: bool | None) -> None:
    line = FakeLine([False, *[answer] * MISSES, False])
    heartbeat = Heartbeat(line)
    found, late = zip(*((heartbeat.look(), heartbeat.late) for _ in range(MISSES + 1)), strict=True)
    assert found == (*[None] * MISSES, "stands still")
    assert late == (*[False] * LATE, *[True] * (MISSES + 1 - LATE))
    assert line.asked == 1 + (1 if answer is None else MISSES)
    assert heartbeat.look() is None and not heartbeat.late, "it answers again"


def test_a_process_that_has_gone_has_ended() -> None:
    line = FakeLine([False])
    heartbeat = Heartbeat(line)
    assert heartbeat.look() is None
    line.ended = True
    assert heartbeat.look() == "has ended"


def test_work_is_overdue_while_it_lasts_longer_than_it_may() -> None:
    time = VirtualTime()
    deadlines = Deadlines(time.now)
    with deadlines.within(3.0), pytest.raises(ZeroDivisionError), deadlines.within(1.0):
        time.now_s += 1.0
        assert not deadlines.overdue
        time.now_s += 0.1
        assert deadlines.overdue
        raise ZeroDivisionError
    assert not deadlines.overdue, "what failed is done"
