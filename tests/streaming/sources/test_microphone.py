"""A microphone of a sound system that is not there: what is asked of it, and what becomes of its blocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from streaming.fakes import FakeEngine, session_of, tone
from streaming.sources.fake_portaudio import FakeDevice, FakeStream, Machine
from streaming.sources.test_source import check_counts
from streaming.virtual_time import VirtualTime

from s2v.errors import StreamError
from s2v.streaming.sources.microphone import LET_GO_WITHIN_S, MicrophoneSource
from s2v.streaming.sources.microphone_capture import MAX_WAITING_BLOCKS
from s2v.streaming.sources.portaudio import (
    Capability,
    best_capability,
    choose_microphone,
    list_microphones,
    microphones_of,
)
from s2v.streaming.sources.source import AudioChunk


def machine_of(*names: str) -> Machine:
    return Machine([FakeDevice(name) for name in names])


def s16(pcm: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.rint(pcm * 32767).astype(np.int16)


def test_only_inputs_are_listed_and_the_system_is_let_go() -> None:
    machine = Machine([FakeDevice("Loudspeaker", outputs_only=True), FakeDevice("Desk mic")], default=1)
    assert [(m.index, m.name, m.channels, m.rate_hz, m.default) for m in list_microphones(machine.make_system)] == [
        (1, "Desk mic", 2, 44_100, True)
    ]
    assert machine.systems == 0
    assert list_microphones(Machine().make_system) == []


@pytest.mark.parametrize(
    ("wanted", "index"),
    [("", 1), ("0", 0), ("2", 2), ("headset", 2), ("USB", 0), ("hda intel pch", 1), ("HEADSET (usb)", 2)],
)
def test_a_microphone_is_chosen_by_index_name_or_part_of_it(wanted: str, index: int) -> None:
    machine = machine_of("USB desk", "HDA Intel PCH", "Headset (usb)")
    machine.default = 1
    microphones = list_microphones(machine.make_system)
    if wanted == "USB":
        with pytest.raises(StreamError, match="2 microphones are called 'USB': choose one of 0 USB desk, 2 Headset"):
            choose_microphone(microphones, wanted)
    else:
        assert choose_microphone(microphones, wanted).index == index


@pytest.mark.parametrize(("wanted", "says"), [("7", "0 Desk"), ("guitar", "no microphone is called 'guitar'")])
def test_a_microphone_that_is_not_there_is_refused_with_those_that_are(wanted: str, says: str) -> None:
    with pytest.raises(StreamError, match=says) as refused:
        choose_microphone(list_microphones(machine_of("Desk").make_system), wanted)
    assert "--list-mics" in str(refused.value)
    with pytest.raises(StreamError, match="no microphone: plug one in"):
        choose_microphone([], wanted)


@pytest.mark.parametrize(
    ("rates_hz", "channels", "best"),
    [
        ((44_100, 48_000), (1, 2), (48_000, 1)),
        ((44_100, 48_000), (2,), (48_000, 2)),
        ((16_000,), (1,), (16_000, 1)),
    ],
)
def test_48_khz_and_one_channel_are_preferred(
    rates_hz: tuple[int, ...], channels: tuple[int, ...], best: Capability
) -> None:
    system = Machine([FakeDevice("Desk", rates_hz, channels)]).make_system()
    assert best_capability(system, microphones_of(system)[0]) == best


def test_a_device_that_can_do_nothing_of_use_is_refused() -> None:
    system = Machine([FakeDevice("Array", channels=(4, 8))]).make_system()
    with pytest.raises(StreamError, match="Array"):
        best_capability(system, microphones_of(system)[0])


async def opened(machine: Machine, count: int) -> FakeStream:
    while len(machine.streams) < count:
        await asyncio.sleep(0.005)
    return machine.streams[count - 1]


async def gather(source: MicrophoneSource, into: list[AudioChunk]) -> None:
    while (chunk := await source.read()) is not None:
        into.append(chunk)


def listen(
    machine: Machine, test: Callable[[MicrophoneSource, list[AudioChunk]], Awaitable[None]], wanted: str = ""
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Run `test` while the source is read; all samples at both rates, whose counts must have no hole."""
    time, chunks = VirtualTime(), list[AudioChunk]()

    async def run() -> None:
        source = source_of(machine, time, wanted)
        reading = asyncio.create_task(gather(source, chunks))
        try:
            await test(source, chunks)
        finally:
            source.close()
            source.close()
            await reading
            await source.wait_closed()

    time.run(run(), within_s=30)
    assert machine.systems == 0 and not any(stream.open for stream in machine.streams)
    assert not any(thread.name == "s2v-microphone" for thread in threading.enumerate())
    return check_counts(chunks)


def source_of(
    machine: Machine, time: VirtualTime, wanted: str = "", let_go_within_s: float = LET_GO_WITHIN_S
) -> MicrophoneSource:
    machine.wait = time.wait
    return MicrophoneSource(wanted, machine.make_system, let_go_within_s, time.now, time.wait)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not holds():
            await asyncio.sleep(0.005)


def heard(chunks: list[AudioChunk]) -> int:
    return sum(int(np.count_nonzero(chunk.voice)) for chunk in chunks)


@pytest.mark.parametrize(("rate_hz", "channels"), [(48_000, 1), (48_000, 2), (44_100, 1), (16_000, 2)])
def test_what_is_said_arrives_whole_at_both_rates(rate_hz: int, channels: int) -> None:
    machine = Machine([FakeDevice("Desk", (rate_hz,), (channels,))])
    speech = tone(0.4, 220.0, rate_hz)

    async def speak(_: MicrophoneSource, chunks: list[AudioChunk]) -> None:
        stream = await opened(machine, 1)
        assert (stream.rate, stream.channels) == (rate_hz, channels)
        for start in range(0, len(speech), rate_hz // 100):
            stream.say(np.repeat(s16(speech[start:][: rate_hz // 100])[:, None], channels, axis=1))
        await until(lambda: heard(chunks) > 0.39 * 48_000)

    voice, engine = listen(machine, speak)
    began = int(np.argmax(voice != 0)) - 1
    meant = tone(0.4)[: 48_000 * 38 // 100]
    assert np.abs(voice[began:][: len(meant)] - meant).max() < 0.03
    if rate_hz == 48_000:
        assert np.abs(voice[began:][: len(meant)] - meant).max() < 1e-4
    assert np.abs(engine).max() > 0.25


def test_time_goes_on_in_silence_while_the_device_is_away_and_it_is_found_again_by_its_name() -> None:
    machine = machine_of("Other", "Desk mic")
    loud = np.full(480, 8000, np.int16)

    async def unplug(source: MicrophoneSource, chunks: list[AudioChunk]) -> None:
        first = await opened(machine, 1)
        assert first.index == 1
        first.say(loud)
        await until(lambda: heard(chunks) == 480)
        machine.devices = [FakeDevice("Other")]
        first.open = False
        before = chunks[-1].voice_end
        await until(lambda: chunks[-1].voice_end > before + 12_000)
        await until(lambda: not source.stats()["connected"])
        assert heard(chunks) == 480
        machine.devices = [FakeDevice("New"), FakeDevice("Other"), FakeDevice("Desk mic")]
        second = await opened(machine, 2)
        assert second.index == 2
        second.say(loud)
        await until(lambda: heard(chunks) == 960)
        await until(lambda: source.stats()["openings"] == 2)
        assert source.filled_s > 0.25

    listen(machine, unplug, "desk")


def test_a_silent_dead_device_is_opened_again() -> None:
    """Some drivers claim to run on when the device has gone: only that nothing comes tells it."""
    machine = machine_of("Desk")

    async def wait(source: MicrophoneSource, _: list[AudioChunk]) -> None:
        await opened(machine, 2)
        await until(lambda: source.stats()["openings"] == 2)

    listen(machine, wait)


def test_lost_blocks_are_counted_and_become_silence_of_the_same_length() -> None:
    machine, loud = machine_of("Desk"), np.full(480, 8000, np.int16)

    async def flood(source: MicrophoneSource, chunks: list[AudioChunk]) -> None:
        stream = await opened(machine, 1)
        stream.say(loud)
        await until(lambda: heard(chunks) == 480)
        taken = len(chunks)
        for _ in range(MAX_WAITING_BLOCKS + 10):  # the loop has no chance to take any
            stream.say(loud)
        stream.say(loud, overflow=True)
        await until(lambda: heard(chunks) == 480 * (1 + MAX_WAITING_BLOCKS))
        assert source.overflows == 12, "eleven pushed out, one told by the system"
        after = next(chunk for chunk in chunks[taken:] if chunk.voice.any())
        assert not after.voice[: 480 * 11].any() and len(after.voice) == 480 * 12

    listen(machine, flood)


def test_what_comes_after_silence_has_taken_its_place_is_not_heard_a_second_time() -> None:
    machine, loud = machine_of("Desk"), np.full(480, 8000, np.int16)

    async def stutter(source: MicrophoneSource, chunks: list[AudioChunk]) -> None:
        stream = await opened(machine, 1)
        stream.say(loud)
        await until(lambda: heard(chunks) == 480)
        await until(lambda: source.filled_s > 0.2)
        for _ in range(20):  # all that the driver has kept meanwhile
            stream.say(loud)
        await until(lambda: source.late_samples > 480 * 10)

    listen(machine, stutter)


def test_a_device_that_cannot_be_opened_the_first_time_is_an_error() -> None:
    machine = machine_of("Desk")
    machine.refuse_open = True
    time = VirtualTime()

    async def read() -> None:
        source = source_of(machine, time)
        with pytest.raises(StreamError, match="close the program that uses it"):
            while True:
                assert await source.read() is not None
        source.close()
        await source.wait_closed()

    time.run(read(), within_s=10)
    assert machine.systems == 0


def test_closed_before_it_began_it_opens_nothing() -> None:
    machine, time = machine_of("Desk"), VirtualTime()

    async def read() -> None:
        source = source_of(machine, time)
        source.close()
        await source.wait_closed()
        assert await source.read() is None

    time.run(read())
    assert machine.streams == []


def listening() -> bool:
    return any(thread.name == "s2v-microphone" for thread in threading.enumerate())


def test_a_driver_that_hangs_holds_nobody_up_but_whoever_closes_its_session() -> None:
    machine, engine = machine_of("Desk"), FakeEngine()
    machine, engine, time = machine_of("Desk"), FakeEngine(), VirtualTime()
    machine.lets_go.clear()

    async def close() -> None:
        session = session_of(source_of(machine, time, let_go_within_s=60), lambda: engine, time)
        running = asyncio.create_task(session.run())
        stream = await opened(machine, 1)
        closing = asyncio.create_task(session.close())
        await until(stream.closing.is_set)  # the loop goes on: this line is reached while the driver hangs
        await until(lambda: engine.closed == 1)
        assert not closing.done() and listening()
        machine.lets_go.set()
        await closing
        assert running.done() and not listening() and machine.systems == 0

    time.run(close(), within_s=30)


def test_a_driver_that_never_lets_go_is_left_behind_and_said(caplog: pytest.LogCaptureFixture) -> None:
    machine, time = machine_of("Desk"), VirtualTime()
    machine.lets_go.clear()

    async def close() -> None:
        source = source_of(machine, time)
        reading = asyncio.create_task(gather(source, []))
        await opened(machine, 1)
        source.close()
        await reading
        closed_s = time.now_s
        await source.wait_closed()
        assert time.now_s - closed_s == pytest.approx(LET_GO_WITHIN_S, abs=1e-3)
        assert listening()
        machine.lets_go.set()
        await until(lambda: not listening())

    time.run(close())
    assert "driver does not let go" in caplog.text
