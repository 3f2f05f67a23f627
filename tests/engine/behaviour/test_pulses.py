from __future__ import annotations

from s2v.engine.behaviour.pulses import Pulse, Pulses


def test_a_pulse_is_there_from_its_beginning_until_its_end() -> None:
    pulses = Pulses()
    pulses.add([Pulse(1.0, 1.5, 2.0)])
    assert [pulses.at(t) for t in (0.9, 1.0, 1.4, 1.5, 2.0)] == [0, 2, 2, 0, 0]


def test_of_several_the_highest_counts_and_one_to_come_is_not_lost() -> None:
    pulses = Pulses()
    pulses.add([Pulse(0.0, 1.0, 1.0), Pulse(0.5, 0.8, 3.0)])
    pulses.add([Pulse(2.0, 3.0, -1.0)])
    assert [pulses.at(t) for t in (0.2, 0.6, 0.9, 1.5, 2.5, 3.0)] == [1, 3, 1, 0, -1, 0]
