from __future__ import annotations

import numpy as np
from spoken import RATE_HZ, Pcm, silence, speech

from s2v.engine.behaviour.hearing.conversation import LISTENS_ON_S, TALKS_ON_S, Conversation, Moment


def moments(voice: Pcm, heard: Pcm | None) -> list[Moment]:
    return Conversation(RATE_HZ).hear(voice, heard)


def roles(found: list[Moment], start_s: float, end_s: float) -> set[str]:
    return {moment.role for moment in found[round(100 * start_s) : round(100 * end_s)]}


def test_who_speaks_talks_who_hears_listens_and_else_nothing_happens() -> None:
    voice = np.concatenate([silence(2.0), speech(6.0), silence(20.0)])
    heard = np.concatenate([silence(12.0), speech(6.0, seed=1), silence(10.0)])
    found = moments(voice, heard)
    assert roles(found, 0, 2.0) == {"idle"}
    assert roles(found, 3.0, 8.0) == {"talking"}
    assert roles(found, 8.0 + 1.0 + TALKS_ON_S, 12.0) == {"idle"}
    assert roles(found, 13.0, 18.0) == {"listening"}
    assert roles(found, 18.0 + 1.0 + LISTENS_ON_S, 28.0) == {"idle"}
    assert found[-1].time_s == 28.0


def test_who_talks_over_the_other_talks() -> None:
    found = moments(np.concatenate([silence(3.0), speech(5.0)]), speech(8.0, seed=1))
    assert roles(found, 1.5, 3.0) == {"listening"}
    speaking = [moment.role for moment in found[400:] if moment.phrase.speaking]
    assert set(speaking) == {"talking"}


def test_nobody_and_somebody_silent_are_the_same() -> None:
    voice = speech(4.0)
    assert moments(voice, None) == moments(voice, np.zeros_like(voice))


def test_somebody_who_leaves_falls_silent() -> None:
    conversation = Conversation(RATE_HZ)
    conversation.hear(silence(4.0), speech(4.0))
    after = conversation.hear(silence(8.0), None)
    assert after[0].role == "listening" and after[-1].role == "idle"
    assert sum(moment.other.ends for moment in after) <= 1
